/**
 * Purchases through Toss Payments on real MySQL, Redis and SQS, against a double of its API that keeps its payments: the card,
 * the virtual account from its opening to the last refund, lost answers, and webhooks, which anybody can send.
 */
import { writeFileSync } from 'node:fs';
import { createProduct } from '#catalog/product.ts';
import { purchaseIdOf } from '#client/purchase-id.ts';
import { handler as pay } from '#functions/queue/pay.ts';
import { createSale } from '#launch/create-sale.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { takeTokens } from '#platform/handlers/limits.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { type PurchaseId, toBytes } from '#platform/kernel/ids.ts';
import { locate } from '#platform/kernel/registry.ts';
import type { ProviderName } from '#platform/payments/provider-names.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { missesAtMost } from '#platform/resilience/unknown-ids.ts';
import { openTokens, type Tokens } from '#platform/security/access-token.ts';
import { actionLifeAtMostMs } from '#purchase/action.ts';
import { looksAt } from '#purchase/toss-webhook.ts';
import { receiveWebhook } from '#purchase/webhook.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { deriveReservationId } from '#reservation/reservation-id.ts';
import type { CreateSale } from '#sale/sale.shapes.ts';
import { newId } from '#test/support/ids.ts';
import { type Answer, type Api, openApi } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { withDeps } from '../support/deps.ts';
import { type TestBed, testBed } from '../support/stack.ts';
import { type Method, TossDouble } from '../support/toss-double.ts';

const double = new TossDouble();
let bed: TestBed;
let api: Api;
let deps: Deps;
let tokens: Tokens;
let registry: Record<string, string>;

beforeAll(async () => {
  bed = await testBed();
  registry = {
    ...bed.registry,
    'provider/payments': 'http://127.0.0.1:1',
    'provider/toss': (await double.start()).href,
    'provider/choices': 'sandbox, toss',
  };
  writeFileSync(bed.registryFile, JSON.stringify(registry), { mode: 0o600 });
  api = openApi();
  deps = await api.deps();
  tokens = await openTokens(locate(registry, 'secret/token-signing-key'), deps.clock);
  await redisReady(deps.redis);
});

afterAll(async () => {
  await api?.close();
  await double.stop();
  await bed?.close();
});

afterEach(() => {
  double.faults = [];
  double.refusesCancels = undefined;
});

const minutes = (count: number) => count * 60_000;
const won = (amountMinor: number) => ({ amountMinor, currency: 'KRW' });

async function productOf(price: { amountMinor: number; currency: string }): Promise<string> {
  const product = await createProduct(deps, { sku: newId(), name: 'A thing', description: '', price });
  if (isRefusal(product)) throw new Error(product.detail);
  return product.productId;
}

function termsOf(productId: string, paymentProvider: ProviderName | null): CreateSale {
  const nowMs = Date.now();
  return {
    ...{ productId: productId as never, name: 'A sale', allotment: 2, paymentProvider },
    ...{ capPerCustomer: 2, capPer: 'customer', requiresContact: false, requiresCode: false },
    ...{ waitlistSize: 0, offerLifeSeconds: 600 },
    reserveOpensAt: toIso(nowMs - minutes(1)),
    reserveClosesAt: toIso(nowMs + minutes(60)),
    purchaseOpensAt: toIso(nowMs - minutes(1)),
    purchaseClosesAt: toIso(nowMs + minutes(120)),
  };
}

async function saleOf(price: { amountMinor: number; currency: string }, provider: ProviderName | null) {
  const sale = await createSale(deps, termsOf(await productOf(price), provider));
  if (isRefusal(sale)) throw new Error(sale.detail);
  return sale;
}

/** Two units of a sale, set aside for this customer. */
async function setAside(saleId: string, customerId: string): Promise<string> {
  const of = { saleId: saleId as never, customerId: customerId as never };
  const reservationId = deriveReservationId(of.saleId, of.customerId, 'reserve');
  const message = { reservationId, ...of, quantity: 2, atLeast: 2, ticket: Date.now() * 1000 };
  await allocateBatch(deps, [{ messageId: '1', message, sentAtMs: Date.now(), deliveries: 1 }], Date.now() + 10_000);
  return reservationId;
}

/** Somebody who has allowed the payment of two units at 7,500 won in Toss's window, and has just asked to buy them. */
async function bought(method: Method, provider: ProviderName | null = 'toss') {
  const sale = await saleOf(won(7_500), provider);
  const customerId = newId();
  const reservationId = await setAside(sale.saleId, customerId);
  const token = await tokens.issue({ customerId, role: 'customer' });
  const key = newId();
  const purchaseId = await purchaseIdOf(customerId, key);
  const paymentToken = double.allow(purchaseId, 15_000, method);
  const json = { reservationIds: [reservationId], paymentToken };
  const accepted = await api.call('POST /purchases', { token, key, json });
  expect(accepted).toMatchObject({ status: 202, body: { purchaseId } });
  /** What MySQL has of it. */
  const row = async () => {
    const [found] = await deps.db.rows<{ provider: string | null; chargeId: string | null; state: string }>(
      'SELECT provider, charge_id AS chargeId, state FROM purchases WHERE id = ?',
      [toBytes(purchaseId)],
    );
    return found;
  };
  /** Whether Toss has yet to answer what the pay worker asks. */
  const isAsked = async () => {
    const { provider: name, state = '' } = (await row()) ?? {};
    return name === 'toss' && ['requested', 'unknown', 'refunding'].includes(state);
  };
  return {
    purchaseId,
    paymentKey: paymentToken,
    token,
    sale,
    row,
    /** The purchase, as its customer sees it. */
    look: async () => (await api.call(`GET /purchases/${purchaseId}`, { token })).body,
    /** One attempt of the pay worker if it is to fail; otherwise until Toss has answered, however slow everything is. */
    work: async () => {
      const isToFail = double.faults.length > 0;
      do await deliver(pay, [{ messageId: '1', body: JSON.stringify({ purchaseId }), deliveries: 2 }]);
      while (!isToFail && (await isAsked()));
    },
  };
}

const operator = () => tokens.issue({ customerId: newId(), role: 'operator' });

const refund = async (purchaseId: string, json?: object): Promise<Answer> =>
  api.call(`POST /purchases/${purchaseId}/refund`, { token: await operator(), key: newId(), ...(json && { json }) });

const tell = ({ headers, body }: { headers: Record<string, string>; body: string }): Promise<Answer> =>
  api.call('POST /webhooks/payments', { headers, text: body });

const received = { status: 200, body: { received: true } };

describe('a virtual account', () => {
  it('is told with its deadline, bought by its deposit, and given back in part and then in whole', async () => {
    const { purchaseId, paymentKey, work, look, row, sale } = await bought('account with refund account');
    await work();
    const asked = await look();
    expect(asked).toMatchObject({
      state: 'requires_action',
      action: {
        url: `https://dashboard.tosspayments.com/receipt/${paymentKey}`,
        transferTo: { bankCode: '20', accountNumber: 'X6505636518308', holderName: '박토스' },
      },
    });
    expect(Date.parse(asked.action.deadline)).toBeLessThanOrEqual(Date.now() + actionLifeAtMostMs);
    expect(await row()).toEqual({ provider: 'toss', chargeId: paymentKey, state: 'requires_action' });

    double.deposit(paymentKey);
    for (let times = 0; times < 2; times++)
      expect(await tell(double.depositWebhook(paymentKey))).toMatchObject(received);
    expect(await tell(double.webhook(paymentKey))).toMatchObject(received);
    expect(await look()).toMatchObject({ state: 'captured', amount: won(15_000) });

    expect((await refund(purchaseId, { amountMinor: 5_000 })).status).toBe(202);
    await work();
    // Toss tells of what it was asked for as well.
    expect(await tell(double.webhook(paymentKey))).toMatchObject(received);
    expect(await look()).toMatchObject({ state: 'captured', refunds: [{ state: 'refunded', amount: won(5_000) }] });

    expect((await refund(purchaseId)).status).toBe(202);
    await work();
    expect(await tell(double.webhook(paymentKey))).toMatchObject(received);
    expect(await look()).toMatchObject({
      ...{ state: 'refunded', refunds: [{ amount: won(5_000) }, { state: 'refunded', amount: won(10_000) }] },
    });
    expect(double.payment(paymentKey)).toMatchObject({ status: 'CANCELED', balanceAmount: 0 });
    expect(double.payment(paymentKey).cancels).toHaveLength(2);
    const { body } = await api.call(`GET /sales/${sale.saleId}`);
    expect(body.stock).toMatchObject({ sold: 0, allocated: 0, available: 2 });
  });

  it('is closed at Toss when it is given up, and its units are free', async () => {
    const { purchaseId, paymentKey, token, work, look } = await bought('account');
    await work();
    expect((await api.call(`DELETE /purchases/${purchaseId}`, { token })).status).toBe(202);
    await work();
    expect(double.payment(paymentKey)).toMatchObject({ status: 'CANCELED', approvedAt: null });
    expect(await look()).toMatchObject({ state: 'declined', reason: 'given_up' });
  });

  it('is declined when Toss says that its time is over', async () => {
    const { paymentKey, work, look } = await bought('account');
    await work();
    double.expire(paymentKey);
    await tell(double.webhook(paymentKey));
    expect(await look()).toMatchObject({ state: 'declined', reason: 'EXPIRED' });
  });

  it('whose customer named no account for money to go back to: the refund fails, until an operator says one', async () => {
    const { purchaseId, paymentKey, work, look } = await bought('account');
    await work();
    double.deposit(paymentKey);
    await tell(double.webhook(paymentKey));
    await refund(purchaseId, { amountMinor: 5_000 });
    await work();
    expect(await look()).toMatchObject({ state: 'refund_failed' });
    const account = { bankCode: '88', accountNumber: '110123456789', holderName: '김고객' };
    for (const [status, code, wrong] of [
      [400, 'invalid_input', { retryFailed: true, account: { ...account, accountNumber: '110-12' } }],
      [400, 'invalid_input', { retryFailed: true, account: { ...account, bankCode: '' } }],
      [422, 'unprocessable', { waiveFailed: true, account }],
    ] as const) {
      expect(await refund(purchaseId, wrong)).toMatchObject({ status, body: { code } });
    }
    expect(await look()).toMatchObject({ state: 'refund_failed' });
    const stored = () =>
      deps.db.rows<{ account: string | null }>('SELECT account FROM refunds WHERE purchase_id = ?', [
        toBytes(purchaseId),
      ]);
    expect((await refund(purchaseId, { retryFailed: true, account })).status).toBe(202);
    expect(await stored()).toEqual([{ account: JSON.stringify(account) }]);
    await work();
    const { bankCode: bank, ...rest } = account;
    expect(double.cancelled.at(-1)).toMatchObject({ cancelAmount: 5_000, refundReceiveAccount: { bank, ...rest } });
    expect(await look()).toMatchObject({ state: 'captured', refunds: [{ state: 'refunded', amount: won(5_000) }] });
    // It is not kept for longer than it is needed.
    expect(await stored()).toEqual([{ account: null }]);
  });

  it('whose refund is made by hand at Toss: it is recorded, and ours is waived', async () => {
    const { purchaseId, paymentKey, work, look } = await bought('account');
    await work();
    double.deposit(paymentKey);
    await tell(double.webhook(paymentKey));
    await refund(purchaseId, { amountMinor: 5_000 });
    await work();
    expect(await look()).toMatchObject({
      ...{ state: 'refund_failed', refunds: [{ state: 'failed', failure: 'refund_account_missing' }] },
    });
    double.cancelByHand(paymentKey, 5_000);
    await tell(double.webhook(paymentKey));
    await refund(purchaseId, { waiveFailed: true });
    await work();
    const { refunds, state } = await look();
    expect(state).toBe('captured');
    expect(refunds).toContainEqual(expect.objectContaining({ reason: 'refunded_by_provider', amount: won(5_000) }));
  });
});

describe('a card', () => {
  it('is captured at once, and its refund made at Toss is recorded', async () => {
    const { paymentKey, work, look, row } = await bought('card');
    await work();
    expect(await row()).toEqual({ provider: 'toss', chargeId: paymentKey, state: 'captured' });
    double.cancelByHand(paymentKey, 1_000);
    for (let times = 0; times < 2; times++) expect(await tell(double.webhook(paymentKey))).toMatchObject(received);
    expect(await look()).toMatchObject({ state: 'captured', refunds: [{ state: 'refunded', amount: won(1_000) }] });
  });

  it('that the bank refuses is declined', async () => {
    const { work, look } = await bought('bad card');
    await work();
    expect(await look()).toMatchObject({ state: 'declined', reason: 'REJECT_CARD_PAYMENT' });
  });

  it.each([
    ['the answer to its confirmation', ['lose the answer']],
    ['Toss for a while', [{ status: 500 }, { status: 503 }]],
  ] as const)('I7: that lost %s is asked about, and charged once', async (_, faults) => {
    const { paymentKey, work, row } = await bought('card');
    double.faults = [...faults];
    await work();
    expect(await row()).toMatchObject({ state: 'unknown' });
    await work();
    await work();
    expect(await row()).toEqual({ provider: 'toss', chargeId: paymentKey, state: 'captured' });
    expect(double.payment(paymentKey)).toMatchObject({ status: 'DONE', balanceAmount: 15_000 });
  });

  it('I13: of which Toss captured another amount is disputed', async () => {
    const { paymentKey, work, row } = await bought('card');
    double.faults = ['lose the answer'];
    await work();
    double.payment(paymentKey).totalAmount += 1;
    await work();
    expect(await row()).toMatchObject({ state: 'disputed' });
  });
});

describe('webhooks', () => {
  it('that lie have Toss asked, and change nothing', async () => {
    const { paymentKey, work, look } = await bought('account');
    const before = await look();
    // Nothing is waited for yet.
    await tell(double.webhook(paymentKey, { status: 'DONE' }));
    expect(await look()).toEqual(before);
    await work();
    const waiting = await look();
    double.requests.length = 0;
    for (const status of ['DONE', 'CANCELED', 'EXPIRED', 'PARTIAL_CANCELED']) {
      expect(await tell(double.depositWebhook(paymentKey, { status }))).toMatchObject(received);
      const cancels = [{ transactionKey: 't', cancelAmount: 15_000, cancelStatus: 'DONE', cancelReason: '' }];
      const lie = { status, cancels, approvedAt: '2026-11-29T10:00:00+09:00', paymentKey: 'tgen_of_mine' };
      expect(await tell(double.webhook(paymentKey, lie))).toMatchObject(received);
    }
    expect(double.requests).toEqual(Array.from({ length: 8 }, () => `GET /v1/payments/${paymentKey}`));
    expect(await look()).toEqual(waiting);
  });

  it('of orders that are none of ours, and of other kinds, are acknowledged, and nothing is asked', async () => {
    const { paymentKey } = await bought('card');
    double.requests.length = 0;
    const event = (body: object) => ({ headers: {}, body: JSON.stringify(body) });
    const others = [
      double.webhook(paymentKey, { orderId: newId() }),
      double.webhook(paymentKey, { orderId: 'order-of-the-other-shop' }),
      event({ eventType: 'BILLING_DELETED', createdAt: '2026-11-29T10:00:00', data: { billingKey: 'b' } }),
    ];
    for (const one of others) expect(await tell(one)).toMatchObject(received);
    expect(double.requests).toEqual([]);
  });

  it.each([
    ['no JSON', 'eventType=DONE'],
    ['of no form of Toss', '{"orderId":"x"}'],
    ['a purchase in the form of another provider', '{"type":"payment.captured","data":{}}'],
  ])('with no signature that are %s are refused', async (_, body) => {
    expect(await tell({ headers: {}, body })).toMatchObject({ status: 401, body: { code: 'invalid_signature' } });
  });

  it('are sent again while Toss cannot be asked, and refused if one payment has too many', async () => {
    const { purchaseId, paymentKey, work, look } = await bought('account');
    await work();
    double.deposit(paymentKey);
    double.faults = [{ status: 500 }];
    expect(await tell(double.webhook(paymentKey))).toMatchObject({ status: 503, body: { code: 'status_unknown' } });
    expect(await look()).toMatchObject({ state: 'requires_action' });
    expect(await tell(double.depositWebhook(paymentKey))).toMatchObject(received);
    expect(await look()).toMatchObject({ state: 'captured' });
    const bucket = looksAt(purchaseId as PurchaseId);
    let answer: Answer;
    do {
      await Promise.all(Array.from({ length: 2 * bucket.rate.burst }, () => takeTokens(deps, [bucket])));
      answer = await tell(double.webhook(paymentKey));
    } while (answer.status === 200);
    expect(answer).toMatchObject({ status: 429, body: { code: 'too_many_requests' } });
  });
});

describe('webhooks that anybody invents', () => {
  /** An environment that counts what webhooks make it look up, and what it answers to one that names this order. */
  function hearing() {
    const asked = { times: 0 };
    const rows: Deps['db']['rows'] = (sql, values) => {
      asked.times++;
      return deps.db.rows(sql, values);
    };
    const environment = withDeps(deps, { db: { ...deps.db, rows } });
    const hear = async (orderId: string, address: string) => {
      const rawBody = JSON.stringify({ eventType: 'PAYMENT_STATUS_CHANGED', data: { orderId } });
      const heard = await receiveWebhook(environment, { headers: {}, rawBody }, address);
      return isRefusal(heard) ? heard.refused : 'received';
    };
    return { asked, hear };
  }

  it('have MySQL asked for a bounded number of orders for each address, and hold up no other', async () => {
    const { paymentKey, purchaseId, work } = await bought('account');
    await work();
    const { asked, hear } = hearing();
    for (let n = 0; n < missesAtMost; n++) expect(await hear(newId(), '192.0.2.1')).toBe('received');
    expect(asked.times).toBe(missesAtMost);
    double.requests.length = 0;
    for (const orderId of [newId(), purchaseId]) expect(await hear(orderId, '192.0.2.1')).toBe('too_many_requests');
    expect([asked.times, double.requests]).toEqual([missesAtMost, []]);
    expect(await hear(purchaseId, '192.0.2.2')).toBe('received');
    expect(double.requests).toEqual([`GET /v1/payments/${paymentKey}`]);
  });

  it('have it asked for a purchase of another provider no more often than for one of Toss', async () => {
    const { purchaseId } = await bought('card', 'sandbox');
    const { asked, hear } = hearing();
    const { burst, perMinute } = looksAt(purchaseId as PurchaseId).rate;
    const startedAt = Date.now();
    const answers = new Set<string>();
    for (let n = 0; n < 3 * burst; n++) answers.add(await hear(purchaseId, `192.0.2.${n}`));
    const refilled = Math.ceil(((Date.now() - startedAt) / 60_000) * perMinute);
    expect(answers).toEqual(new Set(['received', 'too_many_requests']));
    expect(asked.times).toBeLessThanOrEqual(burst + refilled);
  });
});

describe('a sale names its provider', () => {
  const create = async (json: object) => api.call('POST /sales', { token: await operator(), json });
  const change = async (saleId: string, json: object) =>
    api.call(`PATCH /sales/${saleId}`, { token: await operator(), json });

  it('which is shown, can be changed and taken back, and counts for purchases from then on', async () => {
    const { sale, work, row } = await bought('card', null);
    // By its currency it would be the sandbox's, which is not there.
    expect(sale.paymentProvider).toBeNull();
    await work();
    expect(await row()).toMatchObject({ provider: 'sandbox', state: 'unknown' });
    for (const paymentProvider of ['toss', 'sandbox', null]) {
      const changed = await change(sale.saleId, { paymentProvider });
      expect(changed).toMatchObject({ status: 200, body: { paymentProvider } });
    }
    expect((await change(sale.saleId, { name: 'Another' })).body).toMatchObject({ paymentProvider: null });
    expect(await row()).toMatchObject({ provider: 'sandbox' });
  });

  it('and a purchase keeps the one it was requested with, whatever the sale says then', async () => {
    const { sale, work, row } = await bought('card');
    expect(await row()).toMatchObject({ provider: 'toss', state: 'requested' });
    await change(sale.saleId, { paymentProvider: 'sandbox' });
    await work();
    expect(await row()).toMatchObject({ provider: 'toss', state: 'captured' });
  });

  it.each([
    ['one that there is not', { paymentProvider: 'paypal' }, 400, 'invalid_input'],
    ['one that is not in use here', { paymentProvider: 'stripe' }, 422, 'unprocessable'],
    ['one that does not take its currency', { paymentProvider: 'toss' }, 422, 'unprocessable'],
  ])('but not %s, and nothing is changed', async (_, named, status, code) => {
    const productId = await productOf({ amountMinor: 1_250, currency: 'EUR' });
    const terms = termsOf(productId, null);
    expect(await create({ ...terms, ...named })).toMatchObject({ status, body: { code } });
    const sale = await createSale(deps, terms);
    if (isRefusal(sale)) throw new Error(sale.detail);
    expect(await change(sale.saleId, { name: 'Other', ...named })).toMatchObject({ status, body: { code } });
    expect((await api.call(`GET /sales/${sale.saleId}`)).body).toMatchObject({ name: 'A sale', paymentProvider: null });
  });

  it('sales with different ones cannot be paid together', async () => {
    const customerId = newId();
    const sales = [await saleOf(won(7_500), 'toss'), await saleOf(won(7_500), null)];
    const reservationIds = [];
    for (const { saleId } of sales) reservationIds.push(await setAside(saleId, customerId));
    const token = await tokens.issue({ customerId, role: 'customer' });
    const json = { reservationIds, paymentToken: 'tgen_x' };
    expect(await api.call('POST /purchases', { token, key: newId(), json })).toMatchObject({
      ...{ status: 422, body: { code: 'mixed_providers', paymentProviders: ['toss', null] } },
    });
    const count = await deps.db.rows('SELECT id FROM purchases WHERE customer_id = ?', [toBytes(customerId)]);
    expect(count).toEqual([]);
  });
});
