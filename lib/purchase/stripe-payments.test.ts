import { systemClock } from '#platform/kernel/clock.ts';
import { openStripe } from '#platform/payments/stripe.ts';
import type { RedisClient } from '#platform/redis/redis.ts';
import { openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { newId } from '#test/support/ids.ts';
import { StripeDouble } from '#test/support/stripe-double.ts';
import type { ChargeOrder, RefundOrder } from './provider.ts';
import { openStripePayments } from './stripe-payments.ts';

/** Every test here also shows that payments do not need Redis. */
const redis = { guarded: () => Promise.reject(new Error('Redis is unavailable')) } as unknown as RedisClient;

const double = new StripeDouble();
let address: URL;

beforeAll(async () => {
  address = await double.start();
});

afterAll(() => double.stop());

afterEach(() => {
  double.faults = [];
  double.searchIsCurrent = true;
  double.refundsAre = { status: 'succeeded' };
});

function payments({ at = address, callTimeoutMs = 10_000, returnUrl = 'https://shop.example/bought' } = {}) {
  const shared = { redis, clock: systemClock, breakers: openBreakers() };
  return openStripePayments({ api: openStripe(at), returnUrl, shared, callTimeoutMs, resetTimeoutMs: 60_000 });
}

const order = (paymentToken: string, change: Partial<ChargeOrder> = {}): ChargeOrder => ({
  ...{ purchaseId: newId(), amountMinor: 1_250, currency: 'EUR', paymentToken },
  ...change,
});

/** A paid purchase, and an order to give some of it back. */
async function paid(change: Partial<RefundOrder> = {}): Promise<RefundOrder> {
  const { purchaseId, currency } = order('pm_card_visa');
  await payments().charge({ purchaseId, currency, amountMinor: 1_250, paymentToken: 'pm_card_visa' });
  const chargeId = double.intentOf(purchaseId).id;
  return { purchaseId, chargeId, currency, refundKey: 'part-1', amountMinor: 500, refusals: 0, ...change };
}

describe('payments through Stripe', () => {
  it.each(['pm_card_visa', 'ctoken_visa'])('%s is captured in one call, and found again', async (token) => {
    const sent = order(token);
    const { purchaseId: reference, amountMinor, currency } = sent;
    double.requests.length = 0;
    const answer = await payments().charge(sent);
    expect(double.requests).toEqual(['POST /v1/payment_intents']);
    const chargeId = double.intentOf(reference).id;
    expect(answer).toEqual({ outcome: 'captured', chargeId, amountMinor, currency, reference });
    expect(await payments().find(reference)).toEqual(answer);
    expect(await payments().find(reference, chargeId)).toEqual(answer);
  });

  it('a charge sent twice is one intent', async () => {
    const sent = order('pm_card_visa');
    expect(await payments().charge(sent)).toEqual(await payments().charge(sent));
    expect(double.intentOf(sent.purchaseId)).toBeDefined();
  });

  it('what was captured is read back as it is: amount, currency and reference', async () => {
    const sent = order('pm_card_visa');
    await payments().charge(sent);
    const intent = double.intentOf(sent.purchaseId);
    const other = { amount_received: 1_251, currency: 'usd', metadata: { reference: 'other' } };
    Object.assign(intent, other);
    const told = { chargeId: intent.id, amountMinor: 1_251, currency: 'USD', reference: 'other' };
    expect(await payments().find(sent.purchaseId, intent.id)).toEqual({ outcome: 'captured', ...told });
  });

  it.each([
    ['pm_card_visa_chargeDeclinedInsufficientFunds', 'insufficient_funds'],
    ['pm_of_nobody', 'resource_missing'],
  ])('%s is declined: %s', async (token, reason) => {
    const sent = order(token);
    expect(await payments().charge(sent)).toEqual({ outcome: 'declined', reason });
  });

  it('M7: króna are written with the digits of Stripe, and read with ours', async () => {
    const sent = order('pm_card_visa', { amountMinor: 5, currency: 'ISK' });
    expect(await payments().charge(sent)).toMatchObject({ outcome: 'captured', amountMinor: 5, currency: 'ISK' });
    expect(double.intentOf(sent.purchaseId).amount).toBe(500);
  });

  it('M7: what cannot be charged to the unit is declined, and nothing is sent', async () => {
    double.requests.length = 0;
    const answer = await payments().charge(order('pm_card_visa', { amountMinor: 5_124, currency: 'KWD' }));
    expect(answer).toEqual({ outcome: 'declined', reason: 'amount_not_chargeable' });
    expect(double.requests).toEqual([]);
  });

  it('a payment that waits for its customer says where, and is stopped once; the customer may be faster', async () => {
    const [stopped, confirmed] = [order('pm_card_threeDSecure2Required'), order('pm_card_threeDSecure2Required')];
    const asked = await payments().charge(stopped);
    const chargeId = double.intentOf(stopped.purchaseId).id;
    const url = `https://hooks.stripe.com/3d_secure_2/${chargeId}`;
    expect(asked).toEqual({ outcome: 'requires_action', url, deadlineMs: null, chargeId });
    expect(await payments().find(stopped.purchaseId, chargeId)).toEqual(asked);
    for (const known of [chargeId, undefined]) {
      const answer = await payments().cancel(stopped.purchaseId, 'given_up', known);
      expect(answer).toEqual({ outcome: 'declined', reason: 'requested_by_customer' });
    }
    await payments().charge(confirmed);
    double.act(double.intentOf(confirmed.purchaseId), true);
    expect(await payments().cancel(confirmed.purchaseId, 'action_expired')).toMatchObject({ outcome: 'captured' });
    expect(await payments().cancel(newId(), 'given_up')).toEqual({ outcome: 'absent' });
  });

  it('a customer who fails at the action is declined', async () => {
    const sent = order('pm_card_threeDSecure2Required');
    await payments().charge(sent);
    double.act(double.intentOf(sent.purchaseId), false);
    const reason = 'payment_intent_authentication_failure';
    expect(await payments().find(sent.purchaseId)).toEqual({ outcome: 'declined', reason });
  });

  it('a voucher to be paid in a shop says until when', async () => {
    const answer = await payments().charge(order('pm_konbini'));
    const url = expect.stringMatching(/^https:\/\/payments\.stripe\.com\/konbini\//);
    expect(answer).toMatchObject({ outcome: 'requires_action', url, deadlineMs: 4_102_444_800_000 });
  });

  it('an action that has no address is stopped at once: nobody could take it', async () => {
    const sent = order('pm_blik');
    expect(await payments().charge(sent)).toEqual({ outcome: 'declined', reason: 'abandoned' });
    expect(double.intentOf(sent.purchaseId).status).toBe('canceled');
  });

  it('a payment that is still processed is unknown, also to who wants to stop it', async () => {
    const sent = order('pm_usBankAccount_success');
    const { purchaseId } = sent;
    for (const answer of [await payments().charge(sent), await payments().find(purchaseId)]) {
      expect(answer).toMatchObject({ outcome: 'unknown' });
    }
    expect(await payments().cancel(purchaseId, 'given_up')).toMatchObject({ outcome: 'unknown' });
  });

  it('charged, but the answer was lost: unknown, and a look finds it', async () => {
    const sent = order('pm_card_visa');
    double.faults = ['lose the answer'];
    expect(await payments().charge(sent)).toMatchObject({ outcome: 'unknown' });
    expect(await payments().find(sent.purchaseId)).toMatchObject({ outcome: 'captured' });
  });

  it('I7: while the search knows nothing of it yet, charging again is the same charge', async () => {
    const sent = order('pm_card_visa');
    double.faults = ['lose the answer'];
    double.searchIsCurrent = false;
    await payments().charge(sent);
    expect(await payments().find(sent.purchaseId)).toEqual({ outcome: 'absent' });
    const { id: chargeId } = double.intentOf(sent.purchaseId);
    expect(await payments().charge(sent)).toMatchObject({ outcome: 'captured', chargeId });
    expect(double.intentOf(sent.purchaseId).id).toBe(chargeId);
  });

  it('I7: before a purchase is ended because nothing is found, its key is spent', async () => {
    const [made, never] = [order('pm_card_visa'), order('pm_card_visa')];
    double.faults = ['lose the answer'];
    double.searchIsCurrent = false;
    await payments().charge(made);
    expect(await payments().find(made.purchaseId)).toEqual({ outcome: 'absent' });
    // It was charged: that the search does not know it yet ends nothing.
    expect(await payments().preclude?.(made)).toMatchObject({ outcome: 'unknown' });
    double.searchIsCurrent = true;
    expect(await payments().find(made.purchaseId)).toMatchObject({ outcome: 'captured' });
    for (let times = 0; times < 2; times++) {
      expect(await payments().preclude?.(never)).toEqual({ outcome: 'absent' });
    }
    // A charge that was still on its way comes too late.
    expect(await payments().charge(never)).toMatchObject({ outcome: 'unknown' });
    expect(double.intentOf(never.purchaseId)).toMatchObject({ status: 'canceled', amount_received: 0 });
    expect(await payments().find(never.purchaseId)).toMatchObject({ outcome: 'declined' });
  });

  it('another request under the key of a charge says nothing of that charge', async () => {
    const sent = order('pm_card_visa');
    await payments().charge(sent);
    expect(await payments().charge({ ...sent, amountMinor: 1 })).toMatchObject({ outcome: 'unknown' });
  });

  it('a payment that was given back before it was known is refunded', async () => {
    const { purchaseId, chargeId } = await paid();
    const intent = double.intentOf(purchaseId);
    double.refundByHand(intent, intent.amount);
    expect(await payments().find(purchaseId)).toEqual({ outcome: 'refunded', chargeId, amountMinor: null });
  });
});

describe('refunds through Stripe', () => {
  it('parts go back once each, and no more than there is', async () => {
    const first = await paid();
    const { chargeId, purchaseId } = first;
    const back = { outcome: 'refunded', chargeId, amountMinor: 500, refundKey: 'part-1', refundId: expect.any(String) };
    expect(await payments().refund(first)).toEqual(back);
    expect(await payments().refund({ ...first, refundKey: 'part-2' })).toEqual({ ...back, refundKey: 'part-2' });
    expect(await payments().refund({ ...first, refundKey: 'part-3' })).toEqual({
      ...{ outcome: 'refused', refundKey: 'part-3', reason: 'http_400' },
    });
    expect(double.refunds.filter((one) => one.payment_intent === chargeId)).toMatchObject([
      { amount: 500, metadata: { reference: purchaseId, refund_key: 'part-1', refusals: '0' } },
      { amount: 500, metadata: { reference: purchaseId, refund_key: 'part-2', refusals: '0' } },
    ]);
  });

  it('I13: a refund is made once, also after its key is forgotten', async () => {
    const asked = await paid();
    // The list of refunds is answered, the refund is not.
    const answers = [undefined, 'lose the answer'] as const;
    double.faults = [...answers];
    expect(await payments().refund(asked)).toMatchObject({ outcome: 'unknown' });
    double.forgetKeys();
    expect(await payments().refund(asked)).toMatchObject({ outcome: 'refunded', amountMinor: 500 });
    expect(double.refunds.filter((one) => one.payment_intent === asked.chargeId)).toHaveLength(1);
  });

  it('one that the bank has not taken yet is unknown until it has', async () => {
    const asked = await paid();
    double.refundsAre = { status: 'pending' };
    for (let times = 0; times < 2; times++) {
      expect(await payments().refund(asked)).toMatchObject({ outcome: 'unknown' });
    }
    const [pending, ...others] = double.refunds.filter((one) => one.payment_intent === asked.chargeId);
    expect(others).toEqual([]);
    if (pending) double.finishRefund(pending);
    expect(await payments().refund(asked)).toMatchObject({ outcome: 'refunded', amountMinor: 500 });
  });

  it('one that is refused says why, and is tried again under another key', async () => {
    const asked = await paid();
    double.refundsAre = { refused: 'balance_insufficient' };
    const refused = { outcome: 'refused', refundKey: 'part-1' };
    expect(await payments().refund(asked)).toEqual({ ...refused, reason: 'balance_insufficient' });
    double.refundsAre = { status: 'failed' };
    for (let times = 0; times < 2; times++) {
      const answer = await payments().refund({ ...asked, refusals: 1 });
      expect(answer).toEqual({ ...refused, reason: 'expired_or_canceled_card' });
    }
    double.refundsAre = { status: 'succeeded' };
    expect(await payments().refund({ ...asked, refusals: 2 })).toMatchObject({ outcome: 'refunded' });
  });
});

describe('M4: what a failure of Stripe means', () => {
  it('4xx are answers and open no breaker, however often they come', async () => {
    const client = payments();
    double.requests.length = 0;
    const wrong = new URL(address);
    wrong.username = 'sk_test_wrong';
    const stranger = payments({ at: wrong });
    for (let call = 0; call < 15; call++) {
      expect(await client.charge(order('pm_of_nobody'))).toMatchObject({ outcome: 'declined' });
      expect(await client.find(newId(), 'pi_of_nobody')).toEqual({ outcome: 'absent' });
      expect(await stranger.charge(order('pm_card_visa'))).toMatchObject({ outcome: 'unknown' });
    }
    expect(double.requests).toHaveLength(45);
  });

  it.each([
    [409, 'unknown'],
    [403, 'unknown'],
    [500, 'unknown'],
    [503, 'unknown'],
    [429, 'unsent'],
  ])('%i is %s, whatever was asked', async (status, outcome) => {
    const asked = await paid();
    double.faults = [status, status, status];
    expect(await payments().charge(order('pm_card_visa'))).toMatchObject({ outcome });
    expect(await payments().find(newId())).toMatchObject({ outcome });
    expect(await payments().refund(asked)).toMatchObject({ outcome });
  });

  it.each([500, 429])('%i opens the breaker, and then nothing is sent', async (status) => {
    const client = payments();
    double.faults = Array.from({ length: 20 }, () => status);
    for (let call = 0; call < 20; call++) await client.charge(order('pm_card_visa'));
    double.requests.length = 0;
    expect(await client.charge(order('pm_card_visa'))).toMatchObject({
      ...{ outcome: 'unsent', reason: expect.stringContaining('breaker') },
    });
    expect(double.requests).toEqual([]);
  });

  it('no answer in time is unknown', async () => {
    double.faults = ['say nothing'];
    const answer = await payments({ callTimeoutMs: 200 }).charge(order('pm_card_visa'));
    expect(answer).toMatchObject({ outcome: 'unknown', reason: expect.stringContaining('timeout') });
  });

  it('nobody there: nothing was sent', async () => {
    const gone = new StripeDouble();
    const at = await gone.start();
    await gone.stop();
    expect(await payments({ at }).charge(order('pm_card_visa'))).toMatchObject({ outcome: 'unsent' });
  });
});
