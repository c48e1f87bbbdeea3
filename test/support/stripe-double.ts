/**
 * A double of Stripe's API for tests, on loopback: PaymentIntents and refunds that keep their state as Stripe documents it,
 * Idempotency-Keys, test payment methods by their documented names, and webhooks signed by Stripe's own package.
 *
 * It has what the adapter and the verifier use, and no more. What it cannot know, it does not make up: shapes are held against `stripe-mock` by
 * test/contract/stripe.test.ts.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import Stripe from 'stripe';

type Form = ReadonlyMap<string, string>;
type Body = Record<string, unknown>;

export interface DoubleIntent extends Body {
  id: string;
  status: string;
  amount: number;
  amount_received: number;
  currency: string;
  metadata: Record<string, string>;
}

export interface DoubleRefund extends Body {
  id: string;
  status: string;
  amount: number;
  currency: string;
  payment_intent: string;
  metadata: Record<string, string>;
}

interface Answer {
  readonly status: number;
  readonly body: Body;
}

/** What goes wrong with the next requests. */
export type Fault =
  /** It is carried out, and its answer is lost. */
  | 'lose the answer'
  /** Nothing is done, and nothing answered. */
  | 'say nothing'
  /** Nothing is done, and this status is answered. */
  | number;

/** Thrown where Stripe answers with an error. */
class Refused extends Error {
  readonly answer: Answer;

  constructor(status: number, error: Body) {
    super(String(error.message ?? error.code));
    this.answer = { status, body: { error } };
  }
}

const invalid = (code: string | undefined, message: string) =>
  new Refused(400, { type: 'invalid_request_error', ...(code ? { code } : {}), message });

/** What becomes of a payment with these methods, which are Stripe's own for tests, and one that is paid in a shop. */
const methods: Record<
  string,
  'pays' | 'asks' | 'asks in a shop' | 'asks without an address' | 'processes' | { decline: string }
> = {
  pm_card_visa: 'pays',
  pm_card_threeDSecure2Required: 'asks',
  pm_konbini: 'asks in a shop',
  pm_blik: 'asks without an address',
  pm_usBankAccount_success: 'processes',
  pm_card_visa_chargeDeclinedInsufficientFunds: { decline: 'insufficient_funds' },
  ctoken_visa: 'pays',
};

export class StripeDouble {
  readonly apiKey = 'sk_test_double';
  readonly webhookSecret = 'whsec_double';
  readonly intents = new Map<string, DoubleIntent>();
  readonly refunds: DoubleRefund[] = [];
  /** Every event that it would send, in order. */
  readonly events: { type: string; data: { object: Body } }[] = [];
  /** Method and path of every request. */
  readonly requests: string[] = [];
  /** Faults of the next requests, in order; undefined for one that has none. */
  faults: (Fault | undefined)[] = [];
  /** What goes wrong with a request, by its method and path, of which `faults` says nothing. */
  trouble: ((request: string) => Fault | undefined) | undefined;
  /** Whether its search knows of new intents, of which it learns late. */
  searchIsCurrent = true;
  /** What refunds do from now on: a status, or the code with which they are refused. */
  refundsAre: { status: 'succeeded' | 'pending' | 'failed' } | { refused: string } = { status: 'succeeded' };

  readonly #answers = new Map<string, { form: string; answer: Answer }>();
  readonly #server = createServer((request, response) => void this.#handle(request, response));
  #made = 0;

  /** Starts it; resolves to its address, with the API key as the user name. */
  async start(): Promise<URL> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return new URL(`http://${this.apiKey}@127.0.0.1:${(this.#server.address() as AddressInfo).port}/`);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The intent of a purchase. */
  intentOf(reference: string): DoubleIntent {
    const [found, ...others] = [...this.intents.values()].filter(({ metadata }) => metadata.reference === reference);
    if (!found || others.length > 0) throw new Error(`${others.length + (found ? 1 : 0)} intents have ${reference}`);
    return found;
  }

  /** The customer does what an intent asks for, or fails to. */
  act(intent: DoubleIntent, succeeds: boolean): void {
    if (intent.status !== 'requires_action') throw new Error(`the intent is ${intent.status}`);
    intent.next_action = null;
    if (succeeds) this.#pay(intent);
    else this.#fail(intent, { code: 'payment_intent_authentication_failure', decline_code: null });
  }

  /** The keys of yesterday: every request is a new one. */
  forgetKeys(): void {
    this.#answers.clear();
  }

  /** An account that nobody has used yet. */
  clear(): void {
    for (const kept of [this.intents, this.#answers]) kept.clear();
    for (const kept of [this.refunds, this.events, this.requests, this.faults]) kept.length = 0;
    this.trouble = undefined;
    this.searchIsCurrent = true;
    this.refundsAre = { status: 'succeeded' };
  }

  /** Somebody gives money back in Stripe's dashboard. */
  refundByHand(intent: DoubleIntent, amount: number): DoubleRefund {
    return this.#refund(intent, amount, {}, 'succeeded');
  }

  /** The last event of this type, as a webhook that Stripe has signed. */
  webhook(type: string, options?: { secret?: string; atMs?: number }) {
    const event = this.events.findLast((one) => one.type === type);
    if (!event) throw new Error(`there is no event ${type}`);
    return this.signed(event, options);
  }

  /** An event as a webhook, of its own or made up, signed with a secret. */
  signed(event: (typeof this.events)[number], { secret = this.webhookSecret, atMs = Date.now() } = {}) {
    const body = JSON.stringify({ id: `evt_${this.events.indexOf(event)}`, object: 'event', ...event });
    const timestamp = Math.floor(atMs / 1000);
    const header = Stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp });
    return { headers: { 'stripe-signature': header }, body };
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request) text += chunk;
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://stripe');
    this.requests.push(`${request.method} ${pathname}`);
    const fault = this.faults.length > 0 ? this.faults.shift() : this.trouble?.(`${request.method} ${pathname}`);
    if (fault === 'say nothing') return;
    const error = { type: 'api_error', message: 'as asked' };
    const answer =
      typeof fault === 'number'
        ? { status: fault, body: { error } }
        : this.#answer(request, pathname, searchParams, text);
    if (fault === 'lose the answer') {
      response.destroy();
      return;
    }
    response.writeHead(answer.status, { 'content-type': 'application/json', 'request-id': 'req_double' });
    response.end(JSON.stringify(answer.body));
  }

  #answer(request: IncomingMessage, path: string, query: URLSearchParams, text: string): Answer {
    try {
      if (request.headers.authorization !== `Bearer ${this.apiKey}`) {
        throw new Refused(401, { type: 'invalid_request_error', message: 'Invalid API Key provided' });
      }
      if (request.method === 'GET') return { status: 200, body: this.#get(path, new Map(query)) };
      return this.#once(String(request.headers['idempotency-key']), `${path}?${text}`, () =>
        this.#post(path, new Map(new URLSearchParams(text))),
      );
    } catch (thrown) {
      if (thrown instanceof Refused) return thrown.answer;
      throw thrown;
    }
  }

  /** The first answer under a key is given again; errors of the request's form are not kept. */
  #once(key: string, form: string, make: () => Body): Answer {
    const known = this.#answers.get(key);
    if (known && known.form !== form) {
      throw new Refused(400, { type: 'idempotency_error', message: 'Keys can only be used with the same parameters' });
    }
    if (known) return known.answer;
    let answer: Answer;
    try {
      answer = { status: 200, body: structuredClone(make()) };
    } catch (thrown) {
      if (!(thrown instanceof Refused)) throw thrown;
      if (thrown.answer.status === 400) throw thrown;
      ({ answer } = thrown);
    }
    this.#answers.set(key, { form, answer });
    return answer;
  }

  #get(path: string, query: Form): Body {
    if (path === '/v1/payment_intents/search') {
      const reference = /^metadata\['reference'\]:'([^']+)'$/.exec(query.get('query') ?? '')?.[1];
      const found = [...this.intents.values()].filter(({ metadata }) => metadata.reference === reference);
      return { object: 'search_result', has_more: false, data: this.searchIsCurrent ? found : [] };
    }
    if (path === '/v1/payment_intents') return listed([...this.intents.values()].reverse(), query);
    if (path === '/v1/refunds') {
      const of = query.get('payment_intent');
      const found = this.refunds.filter((refund) => of === undefined || refund.payment_intent === of);
      return listed(found.reverse(), query);
    }
    return this.#shown(this.#intent(/^\/v1\/payment_intents\/(\w+)$/.exec(path)?.[1]));
  }

  #post(path: string, form: Form): Body {
    if (path === '/v1/payment_intents') return this.#shown(this.#create(form));
    if (path === '/v1/refunds') return this.#createRefund(form);
    return this.#shown(this.#cancel(this.#intent(/^\/v1\/payment_intents\/(\w+)\/cancel$/.exec(path)?.[1]), form));
  }

  #intent(id: string | undefined): DoubleIntent {
    const found = this.intents.get(id ?? '');
    if (!found)
      throw new Refused(404, { type: 'invalid_request_error', code: 'resource_missing', message: `No such ${id}` });
    return found;
  }

  /** With the charge, as the adapter asks for it. */
  #shown(intent: DoubleIntent): Body {
    const refunded = this.#givenBack(intent) === intent.amount_received && intent.amount_received > 0;
    return { ...intent, latest_charge: { object: 'charge', refunded } };
  }

  #create(form: Form): DoubleIntent {
    const amount = Number(form.get('amount'));
    const currency = form.get('currency') ?? '';
    const isWhole = /^(isk|ugx)$/.test(currency) ? amount % 100 === 0 : true;
    const isRounded = /^(bhd|jod|kwd|omr|tnd)$/.test(currency) ? amount % 10 === 0 : true;
    if (!Number.isSafeInteger(amount) || amount < 1 || !isWhole || !isRounded)
      throw invalid(undefined, 'Invalid amount');
    if (!/^[a-z]{3}$/.test(currency)) throw invalid(undefined, 'Invalid currency');
    const method = form.get('payment_method') ?? form.get('confirmation_token') ?? '';
    const does = methods[method];
    const confirms = form.get('confirm') === 'true';
    if (confirms && !does) throw invalid('resource_missing', `No such PaymentMethod: '${method}'`);
    const intent: DoubleIntent = {
      ...{ object: 'payment_intent', id: `pi_${++this.#made}`, status: 'requires_payment_method' },
      ...{ amount, currency, amount_received: 0, payment_method: method, metadata: metadataOf(form) },
      ...{ next_action: null, last_payment_error: null, cancellation_reason: null },
    };
    this.intents.set(intent.id, intent);
    this.#tell('payment_intent.created', intent);
    if (!confirms) return intent;
    const askFor = (type: string, part: Body) => {
      intent.status = 'requires_action';
      intent.next_action = { type, [type]: part };
      this.#tell('payment_intent.requires_action', intent);
    };
    if (does === 'pays') this.#pay(intent);
    else if (does === 'processes') intent.status = 'processing';
    else if (does === 'asks') {
      const return_url = form.get('return_url');
      if (!return_url) throw invalid(undefined, 'A return_url is needed');
      askFor('redirect_to_url', { url: `https://hooks.stripe.com/3d_secure_2/${intent.id}`, return_url });
    } else if (does === 'asks in a shop') {
      const hosted_voucher_url = `https://payments.stripe.com/konbini/${intent.id}`;
      askFor('konbini_display_details', { expires_at: 4_102_444_800, hosted_voucher_url });
    } else if (does === 'asks without an address') askFor('blik_authorize', {});
    else if (does) {
      this.#fail(intent, { code: 'card_declined', decline_code: does.decline });
      throw new Refused(402, {
        ...{
          type: 'card_error',
          code: 'card_declined',
          decline_code: does.decline,
          message: 'Your card was declined.',
        },
        payment_intent: { ...intent },
      });
    }
    return intent;
  }

  #cancel(intent: DoubleIntent, form: Form): DoubleIntent {
    if (['succeeded', 'canceled', 'processing'].includes(intent.status)) {
      throw invalid('payment_intent_unexpected_state', `You cannot cancel this, it is ${intent.status}`);
    }
    intent.status = 'canceled';
    intent.next_action = null;
    intent.cancellation_reason = form.get('cancellation_reason') ?? null;
    this.#tell('payment_intent.canceled', intent);
    return intent;
  }

  #pay(intent: DoubleIntent): void {
    intent.status = 'succeeded';
    intent.amount_received = intent.amount;
    this.#tell('payment_intent.succeeded', intent);
  }

  #fail(intent: DoubleIntent, error: Body): void {
    intent.status = 'requires_payment_method';
    intent.last_payment_error = error;
    this.#tell('payment_intent.payment_failed', intent);
  }

  #createRefund(form: Form): DoubleRefund {
    const intent = this.#intent(form.get('payment_intent'));
    if ('refused' in this.refundsAre) throw invalid(this.refundsAre.refused, 'Refused, as asked');
    const amount = Number(form.get('amount'));
    if (amount > intent.amount_received - this.#givenBack(intent)) {
      throw invalid(undefined, 'Refund amount is greater than unrefunded amount on charge');
    }
    return this.#refund(intent, amount, metadataOf(form), this.refundsAre.status);
  }

  #refund(intent: DoubleIntent, amount: number, metadata: Record<string, string>, status: string): DoubleRefund {
    const refund: DoubleRefund = {
      ...{ object: 'refund', id: `re_${++this.#made}`, status, amount, currency: intent.currency, metadata },
      payment_intent: intent.id,
      failure_reason: null,
    };
    this.refunds.push(refund);
    this.#tell('refund.created', refund);
    if (status === 'failed') this.failRefund(refund, 'expired_or_canceled_card');
    return refund;
  }

  /** The bank does not take a refund after all. */
  failRefund(refund: DoubleRefund, reason: string): void {
    refund.status = 'failed';
    refund.failure_reason = reason;
    this.#tell('refund.failed', refund);
  }

  /** The bank has taken a refund that was pending. */
  finishRefund(refund: DoubleRefund): void {
    refund.status = 'succeeded';
    this.#tell('refund.updated', refund);
  }

  #givenBack(intent: DoubleIntent): number {
    return this.refunds
      .filter(({ payment_intent: of, status }) => of === intent.id && status !== 'failed')
      .reduce((sum, { amount }) => sum + amount, 0);
  }

  #tell(type: string, object: Body): void {
    this.events.push({ type, data: { object: structuredClone(object) } });
  }
}

/** A page of a list, the newest first. */
function listed(all: readonly (Body & { id: string })[], query: Form): Body {
  const start = all.findIndex(({ id }) => id === query.get('starting_after')) + 1;
  const data = all.slice(start, start + Number(query.get('limit') ?? 10));
  return { object: 'list', has_more: start + data.length < all.length, data };
}

function metadataOf(form: Form): Record<string, string> {
  const given = [...form].flatMap(([name, value]) => {
    const key = /^metadata\[(\w+)\]$/.exec(name)?.[1];
    return key ? [[key, value] as const] : [];
  });
  return Object.fromEntries(given);
}
