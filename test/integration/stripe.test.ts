/**
 * Purchases through Stripe on real MySQL, Redis and SQS, against a double of Stripe's API, beside a provider in the sandbox's
 * protocol that takes the other currencies and is not there.
 */

import { createHmac } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createProduct } from '#catalog/product.ts';
import { handler as pay } from '#functions/queue/pay.ts';
import { createSale } from '#launch/create-sale.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { toBytes } from '#platform/kernel/ids.ts';
import { locate } from '#platform/kernel/registry.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { openTokens, type Tokens } from '#platform/security/access-token.ts';
import { actionLifeAtMostMs } from '#purchase/action.ts';
import { payPurchases } from '#purchase/pay.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { deriveReservationId } from '#reservation/reservation-id.ts';
import { newId } from '#test/support/ids.ts';
import { type Answer, type Api, openApi } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { type TestBed, testBed } from '../support/stack.ts';
import { StripeDouble } from '../support/stripe-double.ts';

const double = new StripeDouble();
let bed: TestBed;
let api: Api;
let deps: Deps;
let tokens: Tokens;
let registry: Record<string, string>;

beforeAll(async () => {
  bed = await testBed();
  const address = await double.start();
  address.search = new URLSearchParams({ currencies: 'EUR,ISK', return: 'https://shop.example/' }).toString();
  registry = {
    ...bed.registry,
    'provider/payments': 'http://127.0.0.1:1',
    'provider/stripe': address.href,
    'secret/stripe-webhook': double.webhookSecret,
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
  double.searchIsCurrent = true;
  double.refundsAre = { status: 'succeeded' };
});

const minutes = (count: number) => count * 60_000;

/** Somebody with two units set aside at this price, who has just asked to buy them. */
async function bought(paymentToken: string, price = { amountMinor: 1_250, currency: 'EUR' }) {
  const nowMs = Date.now();
  const product = await createProduct(deps, { sku: newId(), name: 'A thing', description: '', price });
  if (isRefusal(product)) throw new Error(product.detail);
  const sale = await createSale(deps, {
    productId: product.productId,
    name: 'A sale',
    requiresCode: false,
    allotment: 2,
    ...{ capPerCustomer: 2, capPer: 'customer', requiresContact: false },
    waitlistSize: 0,
    offerLifeSeconds: 600,
    reserveOpensAt: toIso(nowMs - minutes(1)),
    reserveClosesAt: toIso(nowMs + minutes(60)),
    purchaseOpensAt: toIso(nowMs - minutes(1)),
    purchaseClosesAt: toIso(nowMs + minutes(120)),
  });
  if (isRefusal(sale)) throw new Error(sale.detail);
  const { saleId } = sale;
  const customerId = newId();
  const reservationId = deriveReservationId(saleId, customerId, 'reserve');
  const message = { reservationId, saleId, customerId, quantity: 2, atLeast: 2, ticket: nowMs * 1000 };
  await allocateBatch(deps, [{ messageId: '1', message, sentAtMs: nowMs, deliveries: 1 }], nowMs + 10_000);
  const token = await tokens.issue({ customerId, role: 'customer' });
  const json = { reservationIds: [reservationId], paymentToken };
  const accepted = await api.call('POST /purchases', { token, key: newId(), json });
  expect(accepted.status).toBe(202);
  const { purchaseId } = accepted.body;
  return {
    purchaseId: purchaseId as string,
    token,
    /** The purchase, as its customer sees it. */
    look: async () => (await api.call(`GET /purchases/${purchaseId}`, { token })).body,
    /** What MySQL has of it. */
    row: async () => {
      const [row] = await deps.db.rows<{ provider: string | null; chargeId: string | null; state: string }>(
        'SELECT provider, charge_id AS chargeId, state FROM purchases WHERE id = ?',
        [toBytes(purchaseId)],
      );
      return row;
    },
    /** One attempt of the pay worker. */
    work: () => deliver(pay, [{ messageId: '1', body: JSON.stringify({ purchaseId }), deliveries: 2 }]),
  };
}

const operator = () => tokens.issue({ customerId: newId(), role: 'operator' });

const refund = async (purchaseId: string, json: object): Promise<Answer> =>
  api.call(`POST /purchases/${purchaseId}/refund`, { token: await operator(), key: newId(), json });

const tell = ({ headers, body }: { headers: Record<string, string>; body: string }): Promise<Answer> =>
  api.call('POST /webhooks/payments', { headers, text: body });

describe('a purchase goes to the provider of its currency', () => {
  it('and remembers it with the first attempt', async () => {
    const euros = await bought('pm_card_visa');
    const dollars = await bought('tok_approve', { amountMinor: 1_250, currency: 'USD' });
    expect(await euros.row()).toMatchObject({ provider: null, state: 'requested' });
    await euros.work();
    await dollars.work();
    const chargeId = double.intentOf(euros.purchaseId).id;
    expect(await euros.row()).toEqual({ provider: 'stripe', chargeId, state: 'captured' });
    // Its provider cannot be asked; it is not charged elsewhere.
    expect(await dollars.row()).toEqual({ provider: 'sandbox', chargeId: null, state: 'unknown' });
  });

  it('where its refund goes too, whatever is configured then', async () => {
    const { purchaseId, row, work, look } = await bought('pm_card_visa');
    await work();
    expect((await refund(purchaseId, { amountMinor: 500 })).status).toBe(202);
    const elsewhere = new URL(registry['provider/stripe'] ?? '');
    elsewhere.searchParams.set('currencies', '');
    const changed = { ...registry, 'provider/stripe': elsewhere.href };
    const later = Object.create(deps, { registry: { value: changed } }) as Deps;
    const command = { messageId: '1', message: { purchaseId: purchaseId as never }, sentAtMs: 0, deliveries: 2 };
    expect(await payPurchases(later, [command], deps.clock() + 10_000)).toEqual([]);
    expect(await row()).toMatchObject({ provider: 'stripe', state: 'captured' });
    const { id: payment_intent } = double.intentOf(purchaseId);
    expect(double.refunds.filter((one) => one.payment_intent === payment_intent)).toMatchObject([{ amount: 500 }]);
    expect((await look()).refunds).toMatchObject([{ state: 'refunded', amount: { amountMinor: 500 } }]);
  });

  it('M7: in the digits of that provider, and back', async () => {
    const { purchaseId, work, look } = await bought('pm_card_visa', { amountMinor: 5, currency: 'ISK' });
    await work();
    expect(double.intentOf(purchaseId).amount).toBe(1_000);
    expect(await look()).toMatchObject({ state: 'captured', amount: { amountMinor: 10, currency: 'ISK' } });
  });
});

describe('a payment that waits for its customer', () => {
  it('says where, until our deadline, and is bought by the webhook', async () => {
    const { purchaseId, work, look, row } = await bought('pm_card_threeDSecure2Required');
    await work();
    const intent = double.intentOf(purchaseId);
    const asked = await look();
    expect(asked).toMatchObject({
      state: 'requires_action',
      action: { url: `https://hooks.stripe.com/3d_secure_2/${intent.id}` },
    });
    expect(Date.parse(asked.action.deadline)).toBeLessThanOrEqual(Date.now() + actionLifeAtMostMs);
    expect(await row()).toMatchObject({ chargeId: intent.id });
    double.act(intent, true);
    for (let times = 0; times < 2; times++) {
      expect((await tell(double.webhook('payment_intent.succeeded'))).body).toEqual({ received: true });
    }
    expect(await look()).toMatchObject({ state: 'captured' });
  });

  it('is stopped at Stripe when it is given up', async () => {
    const { purchaseId, token, work, look } = await bought('pm_card_threeDSecure2Required');
    await work();
    expect((await api.call(`DELETE /purchases/${purchaseId}`, { token })).status).toBe(202);
    await work();
    expect(double.intentOf(purchaseId)).toMatchObject({
      ...{ status: 'canceled', cancellation_reason: 'requested_by_customer' },
    });
    expect(await look()).toMatchObject({ state: 'declined', reason: 'given_up' });
  });

  it('is declined by the webhook when the customer fails', async () => {
    const { purchaseId, work, look } = await bought('pm_card_threeDSecure2Required');
    await work();
    double.act(double.intentOf(purchaseId), false);
    await tell(double.webhook('payment_intent.payment_failed'));
    expect(await look()).toMatchObject({ state: 'declined', reason: 'payment_intent_authentication_failure' });
  });
});

describe('I7: an answer that was lost', () => {
  it('is found, and nothing is charged twice, also while the search knows nothing of it', async () => {
    const { purchaseId, work, row } = await bought('pm_card_visa');
    double.faults = ['lose the answer'];
    double.searchIsCurrent = false;
    await work();
    expect(await row()).toMatchObject({ provider: 'stripe', state: 'unknown' });
    await work();
    expect(await row()).toEqual({ provider: 'stripe', state: 'captured', chargeId: double.intentOf(purchaseId).id });
  });

  it('I13: a capture of another amount is disputed', async () => {
    const { purchaseId, work, row } = await bought('pm_card_visa');
    double.faults = ['lose the answer'];
    await work();
    double.intentOf(purchaseId).amount_received += 1;
    await work();
    expect(await row()).toMatchObject({ state: 'disputed' });
  });
});

describe('refunds at Stripe', () => {
  it('one that is refused is refund_failed with the reason of Stripe, until it is ordered again', async () => {
    const { purchaseId, work, look } = await bought('pm_card_visa');
    await work();
    double.refundsAre = { refused: 'balance_insufficient' };
    await refund(purchaseId, { amountMinor: 700 });
    await work();
    expect(await look()).toMatchObject({
      ...{ state: 'refund_failed', refunds: [{ state: 'failed', failure: 'balance_insufficient' }] },
    });
    double.refundsAre = { status: 'succeeded' };
    await refund(purchaseId, { retryFailed: true });
    await work();
    expect(await look()).toMatchObject({ state: 'captured', refunds: [{ state: 'refunded' }] });
    const { id: payment_intent } = double.intentOf(purchaseId);
    expect(double.refunds.filter((one) => one.payment_intent === payment_intent)).toMatchObject([{ amount: 700 }]);
  });

  it('one that is pending is done when the webhook says so', async () => {
    const { purchaseId, work, look } = await bought('pm_card_visa');
    await work();
    double.refundsAre = { status: 'pending' };
    await refund(purchaseId, { amountMinor: 700 });
    await work();
    expect(await look()).toMatchObject({ state: 'refunding' });
    const pending = double.refunds.at(-1);
    if (pending) double.finishRefund(pending);
    await tell(double.webhook('refund.updated'));
    expect(await look()).toMatchObject({ state: 'captured', refunds: [{ state: 'refunded' }] });
  });

  it('one that was made in the dashboard is recorded; one that failed afterwards is disputed', async () => {
    const { purchaseId, work, look } = await bought('pm_card_visa');
    await work();
    const made = double.refundByHand(double.intentOf(purchaseId), 400);
    await tell(double.webhook('refund.created'));
    expect(await look()).toMatchObject({
      ...{ state: 'captured', refunds: [{ state: 'refunded', amount: { amountMinor: 400 } }] },
    });
    double.failRefund(made, 'lost_or_stolen_card');
    await tell(double.webhook('refund.failed'));
    const { body } = await api.call('GET /ops/disputes', { token: await operator() });
    expect(JSON.stringify(body)).toContain(purchaseId);
  });
});

describe('webhooks', () => {
  it('with a wrong, missing or old signature change nothing', async () => {
    const { purchaseId, work, look } = await bought('pm_card_threeDSecure2Required');
    await work();
    double.act(double.intentOf(purchaseId), true);
    const genuine = double.webhook('payment_intent.succeeded');
    const forged: { headers: Record<string, string>; body: string }[] = [
      double.webhook('payment_intent.succeeded', { secret: 'whsec_other' }),
      double.webhook('payment_intent.succeeded', { atMs: Date.now() - minutes(6) }),
      { ...genuine, body: genuine.body.replace('succeeded', 'canceled') },
      { ...genuine, headers: { 'stripe-signature': '' } },
      { ...genuine, headers: {} },
    ];
    for (const one of forged) {
      expect(await tell(one)).toMatchObject({ status: 401, body: { code: 'invalid_signature' } });
    }
    expect(await look()).toMatchObject({ state: 'requires_action' });
  });

  it('of another provider are not believed: one secret opens no other payments', async () => {
    const { purchaseId, work, look } = await bought('pm_card_threeDSecure2Required');
    await work();
    const { id: chargeId, amount: amountMinor } = double.intentOf(purchaseId);
    const data = { chargeId, idempotencyKey: purchaseId, reference: purchaseId, amountMinor, currency: 'EUR' };
    const text = JSON.stringify({ type: 'payment.captured', data });
    const [id, sentAt] = [`msg_${newId()}`, String(Math.floor(Date.now() / 1000))];
    const key = Buffer.from(locate(registry, 'secret/payment-webhook').replace('whsec_', ''), 'base64');
    const signature = createHmac('sha256', key).update(`${id}.${sentAt}.${text}`).digest('base64');
    const headers = { 'webhook-id': id, 'webhook-timestamp': sentAt, 'webhook-signature': `v1,${signature}` };
    expect((await tell({ headers, body: text })).body).toEqual({ received: true });
    expect(await look()).toMatchObject({ state: 'requires_action' });
  });

  it('of other kinds, and of payments that are none of ours, are acknowledged', async () => {
    const { purchaseId, work, look } = await bought('pm_card_visa');
    await work();
    const intent = double.intentOf(purchaseId);
    double.events.push(
      { type: 'customer.created', data: { object: {} } },
      { type: 'payment_intent.canceled', data: { object: { ...intent, status: 'canceled', metadata: {} } } },
    );
    for (const type of ['payment_intent.created', 'customer.created', 'payment_intent.canceled']) {
      expect((await tell(double.webhook(type))).body).toEqual({ received: true });
    }
    expect(await look()).toMatchObject({ state: 'captured' });
  });
});
