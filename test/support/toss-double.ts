/**
 * A double of Toss Payments' API for tests, on loopback: payments that a customer has allowed in Toss's window, their
 * confirmation, virtual accounts with their deposit, cancels in part, Idempotency-Keys and webhooks, with their state as Toss
 * documents it (version 2022-11-16). As at Toss, webhooks are not signed.
 *
 * It has what the adapter and the verifier use, and no more. Toss offers no mock of its own to hold it against.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Body = Record<string, unknown>;

interface DoubleCancel extends Body {
  transactionKey: string;
  cancelAmount: number;
  cancelReason: string;
  cancelStatus: string;
}

export interface DoublePayment extends Body {
  paymentKey: string;
  orderId: string;
  status: string;
  currency: string;
  totalAmount: number;
  balanceAmount: number;
  approvedAt: string | null;
  cancels: DoubleCancel[] | null;
  virtualAccount: (Body & { refundReceiveAccount: Body | null }) | null;
}

interface Answer {
  readonly status: number;
  readonly body: Body | Body[];
}

/** What goes wrong with the next requests. */
export type Fault =
  /** It is carried out, and its answer is lost. */
  | 'lose the answer'
  /** Nothing is done, and nothing answered. */
  | 'say nothing'
  /** Nothing is done, and this is answered. */
  | { readonly status: number; readonly code?: string };

/** Thrown where Toss answers with an error. */
class Refused extends Error {
  readonly answer: Answer;

  constructor(status: number, code: string) {
    super(code);
    this.answer = { status, body: { code, message: 'as documented' } };
  }
}

/** With what the customer wants to pay. */
export type Method =
  | 'card'
  /** The bank will refuse it when it is confirmed. */
  | 'bad card'
  | 'account'
  /** The window has asked where money would go back to. */
  | 'account with refund account';

const refundReceiveAccount = { bankCode: '20', accountNumber: '1002123456789', holderName: '김토스' };

export class TossDouble {
  readonly secretKey = 'test_sk_double';
  readonly payments = new Map<string, DoublePayment>();
  /** Method and path of every request. */
  readonly requests: string[] = [];
  /** The bodies of cancels, in order. */
  readonly cancelled: Body[] = [];
  /** Faults of the next requests, in order; undefined for one that has none. */
  faults: (Fault | undefined)[] = [];
  /** What goes wrong with a request, by its method and path, of which `faults` says nothing. */
  trouble: ((request: string) => Fault | undefined) | undefined;
  /** Until when a deposit is waited for. */
  dueDate = '2100-01-01T00:00:00+09:00';
  /** The code with which cancels are refused from now on. */
  refusesCancels: string | undefined;

  readonly #methods = new Map<string, Method>();
  readonly #answers = new Map<string, Answer>();
  readonly #server = createServer((request, response) => void this.#handle(request, response));
  /** Each payment that was confirmed, and each cancel, in order. */
  readonly #transactions: Body[] = [];
  #made = 0;

  /** Starts it; resolves to its address, with the secret key as the user name. */
  async start(): Promise<URL> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return new URL(`http://${this.secretKey}@127.0.0.1:${(this.#server.address() as AddressInfo).port}/`);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The customer allows a payment in the window of Toss. Returns its `paymentKey`. */
  allow(orderId: string, totalAmount: number, method: Method = 'card', currency = 'KRW'): string {
    const paymentKey = `tgen_${++this.#made}AbC-d~x`;
    this.#methods.set(paymentKey, method);
    this.payments.set(paymentKey, {
      ...{ version: '2022-11-16', mId: 'tosspayments', type: 'NORMAL', method: null, country: 'KR' },
      ...{ paymentKey, orderId, orderName: 'A thing', status: 'IN_PROGRESS', currency },
      ...{ totalAmount, balanceAmount: totalAmount, isPartialCancelable: true },
      ...{ requestedAt: '2026-11-29T10:00:00+09:00', approvedAt: null, lastTransactionKey: null },
      ...{ cancels: null, virtualAccount: null, secret: null, failure: null, receipt: null },
      checkout: { url: `https://api.tosspayments.com/v1/payments/${paymentKey}/checkout` },
    });
    return paymentKey;
  }

  payment(paymentKey: string): DoublePayment {
    const found = this.payments.get(paymentKey);
    if (!found) throw new Error(`there is no payment ${paymentKey}`);
    return found;
  }

  /** The customer transfers the money to the virtual account. */
  deposit(paymentKey: string): void {
    const payment = this.payment(paymentKey);
    if (payment.status !== 'WAITING_FOR_DEPOSIT') throw new Error(`the payment is ${payment.status}`);
    this.#approve(payment);
  }

  /** Nobody has transferred it in time. */
  expire(paymentKey: string): void {
    this.payment(paymentKey).status = 'EXPIRED';
  }

  /** Somebody gives money back in Toss's own pages. */
  cancelByHand(paymentKey: string, amount: number): void {
    this.#cancel(this.payment(paymentKey), { cancelReason: '고객 변심', cancelAmount: amount, refundReceiveAccount });
  }

  /** The keys of two weeks ago: every request is a new one. */
  forgetKeys(): void {
    this.#answers.clear();
  }

  /** An account that nobody has used yet. */
  clear(): void {
    for (const kept of [this.payments, this.#methods, this.#answers]) kept.clear();
    for (const kept of [this.requests, this.cancelled, this.faults]) kept.length = 0;
    this.trouble = undefined;
    this.refusesCancels = undefined;
    this.#transactions.length = 0;
  }

  /** What Toss sends when a payment changes; what it says of its status may be made up. */
  webhook(paymentKey: string, lie: Body = {}) {
    const data = { ...this.payment(paymentKey), ...lie };
    return this.#sent({ eventType: 'PAYMENT_STATUS_CHANGED', createdAt: '2026-11-29T10:00:01.000000', data });
  }

  /** What Toss sends when the money for a virtual account has arrived; what it says may be made up. */
  depositWebhook(paymentKey: string, lie: Body = {}) {
    const { orderId, status, secret, lastTransactionKey: transactionKey } = this.payment(paymentKey);
    return this.#sent({ createdAt: '2026-11-29T10:00:01.000000', secret, status, transactionKey, orderId, ...lie });
  }

  #sent(body: Body) {
    const headers = {
      'content-type': 'application/json',
      'tosspayments-webhook-transmission-id': `wh_${++this.#made}`,
      'tosspayments-webhook-transmission-retried-count': '0',
    };
    return { headers, body: JSON.stringify(body) };
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request) text += chunk;
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://toss').pathname);
    this.requests.push(`${request.method} ${path}`);
    const fault = this.faults.length > 0 ? this.faults.shift() : this.trouble?.(`${request.method} ${path}`);
    if (fault === 'say nothing') return;
    const answer =
      typeof fault === 'object'
        ? { status: fault.status, body: { code: fault.code ?? 'AS_ASKED', message: 'as asked' } }
        : this.#answer(request, path, text);
    if (fault === 'lose the answer') {
      response.destroy();
      return;
    }
    response.writeHead(answer.status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer.body));
  }

  #answer(request: IncomingMessage, path: string, text: string): Answer {
    try {
      const expected = `Basic ${Buffer.from(`${this.secretKey}:`).toString('base64')}`;
      if (request.headers.authorization !== expected) throw new Refused(401, 'UNAUTHORIZED_KEY');
      const { searchParams } = new URL(request.url ?? '/', 'http://toss');
      if (request.method === 'GET') return { status: 200, body: this.#get(path, searchParams) };
      const body = JSON.parse(text) as Body;
      return this.#once(`${request.headers['idempotency-key']} ${path}`, () => this.#post(path, body));
    } catch (thrown) {
      if (thrown instanceof Refused) return thrown.answer;
      throw thrown;
    }
  }

  /** The first answer under a key is given again at the same address, whatever is asked; errors too. */
  #once(key: string, make: () => Body): Answer {
    const known = this.#answers.get(key);
    if (known) return known;
    let answer: Answer;
    try {
      answer = { status: 200, body: structuredClone(make()) };
    } catch (thrown) {
      if (!(thrown instanceof Refused)) throw thrown;
      ({ answer } = thrown);
    }
    this.#answers.set(key, answer);
    return answer;
  }

  #get(path: string, query: URLSearchParams): Body | Body[] {
    if (path === '/v1/transactions') {
      const after = this.#transactions.findIndex(({ transactionKey }) => transactionKey === query.get('startingAfter'));
      return this.#transactions.slice(after + 1).slice(0, Number(query.get('limit') ?? 100));
    }
    const orderId = /^\/v1\/payments\/orders\/([^/]+)$/.exec(path)?.[1];
    const found = orderId
      ? [...this.payments.values()].findLast((payment) => payment.orderId === orderId)
      : this.payments.get(/^\/v1\/payments\/([^/]+)$/.exec(path)?.[1] ?? '');
    if (!found) throw new Refused(404, 'NOT_FOUND_PAYMENT');
    return found;
  }

  #post(path: string, body: Body): Body {
    if (path === '/v1/payments/confirm') return this.#confirm(body);
    const payment = this.payments.get(/^\/v1\/payments\/([^/]+)\/cancel$/.exec(path)?.[1] ?? '');
    if (!payment) throw new Refused(404, 'NOT_FOUND_PAYMENT');
    this.cancelled.push(body);
    return this.#cancel(payment, body);
  }

  #confirm({ paymentKey, orderId, amount }: Body): DoublePayment {
    const payment = this.payments.get(String(paymentKey));
    if (!payment) throw new Refused(404, 'NOT_FOUND_PAYMENT_SESSION');
    if (payment.status !== 'IN_PROGRESS') throw new Refused(400, 'ALREADY_PROCESSED_PAYMENT');
    if (payment.orderId !== orderId || payment.totalAmount !== amount) throw new Refused(400, 'INVALID_REQUEST');
    const method = this.#methods.get(payment.paymentKey);
    if (method === 'bad card') {
      payment.status = 'ABORTED';
      payment.failure = { code: 'REJECT_CARD_PAYMENT', message: '한도초과 혹은 잔액부족으로 결제에 실패했습니다.' };
      throw new Refused(403, 'REJECT_CARD_PAYMENT');
    }
    if (method === 'card') this.#approve(payment);
    else this.#wait(payment, method === 'account with refund account');
    return payment;
  }

  #wait(payment: DoublePayment, hasRefundAccount: boolean): void {
    payment.status = 'WAITING_FOR_DEPOSIT';
    payment.method = '가상계좌';
    payment.secret = `ps_${++this.#made}`;
    payment.receipt = { url: `https://dashboard.tosspayments.com/receipt/${payment.paymentKey}` };
    payment.virtualAccount = {
      ...{ accountType: '일반', accountNumber: 'X6505636518308', bankCode: '20', customerName: '박토스' },
      ...{ dueDate: this.dueDate, expired: false, settlementStatus: 'INCOMPLETED', refundStatus: 'NONE' },
      refundReceiveAccount: hasRefundAccount ? refundReceiveAccount : null,
    };
  }

  #approve(payment: DoublePayment): void {
    payment.status = 'DONE';
    payment.approvedAt = '2026-11-29T10:05:00+09:00';
    payment.method ??= '카드';
    payment.lastTransactionKey = `txrd_${++this.#made}`;
    this.#transact(payment);
  }

  #transact({ lastTransactionKey: transactionKey, paymentKey, orderId, status, currency }: DoublePayment): void {
    this.#transactions.push({ mId: 'tosspayments', transactionKey, paymentKey, orderId, status, currency });
  }

  #cancel(payment: DoublePayment, body: Body): DoublePayment {
    if (this.refusesCancels) throw new Refused(403, this.refusesCancels);
    const cancelAmount = Number(body.cancelAmount ?? payment.balanceAmount);
    if (payment.status === 'CANCELED') throw new Refused(400, 'ALREADY_CANCELED_PAYMENT');
    const isPaid = payment.status === 'DONE' || payment.status === 'PARTIAL_CANCELED';
    if (!isPaid && payment.status !== 'WAITING_FOR_DEPOSIT') throw new Refused(403, 'NOT_CANCELABLE_PAYMENT');
    if (!isPaid && cancelAmount !== payment.totalAmount) {
      throw new Refused(403, 'NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT');
    }
    if (cancelAmount > payment.balanceAmount) throw new Refused(403, 'NOT_CANCELABLE_AMOUNT');
    const receives = body.refundReceiveAccount as Body | undefined;
    if (isPaid && payment.virtualAccount && !receives) throw new Refused(400, 'INVALID_REQUEST');
    const transactionKey = `txrd_${++this.#made}`;
    payment.balanceAmount -= cancelAmount;
    payment.status = payment.balanceAmount === 0 ? 'CANCELED' : 'PARTIAL_CANCELED';
    payment.lastTransactionKey = transactionKey;
    payment.cancels = [
      ...(payment.cancels ?? []),
      {
        ...{ transactionKey, cancelAmount, cancelReason: String(body.cancelReason), cancelStatus: 'DONE' },
        ...{ canceledAt: '2026-11-29T10:10:00+09:00', taxFreeAmount: 0, refundableAmount: payment.balanceAmount },
      },
    ];
    this.#transact(payment);
    return payment;
  }
}
