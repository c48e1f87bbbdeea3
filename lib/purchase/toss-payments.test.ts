import { systemClock } from '#platform/kernel/clock.ts';
import type { RedisClient } from '#platform/redis/redis.ts';
import { openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { newId } from '#test/support/ids.ts';
import { type Method, TossDouble } from '#test/support/toss-double.ts';
import type { ChargeOrder, RefundOrder } from './provider.ts';
import { openTossPayments } from './toss-payments.ts';

/** Every test here also shows that payments do not need Redis. */
const redis = { guarded: () => Promise.reject(new Error('Redis is unavailable')) } as unknown as RedisClient;

const double = new TossDouble();
let address: URL;

beforeAll(async () => {
  address = await double.start();
});

afterAll(() => double.stop());

afterEach(() => {
  double.faults = [];
  double.refusesCancels = undefined;
  double.dueDate = '2100-01-01T00:00:00+09:00';
});

function payments({ at = address, callTimeoutMs = 10_000 } = {}) {
  const shared = { redis, clock: systemClock, breakers: openBreakers() };
  return openTossPayments({ address: at, shared, callTimeoutMs, resetTimeoutMs: 60_000 });
}

/** A purchase whose customer has allowed its payment. */
function order(method: Method = 'card', change: Partial<ChargeOrder> = {}): ChargeOrder {
  const purchaseId = newId();
  const paymentToken = double.allow(purchaseId, 15_000, method);
  return { purchaseId, amountMinor: 15_000, currency: 'KRW', paymentToken, ...change };
}

/** A paid purchase, and an order to give some of it back. */
async function paid(method: Method = 'card', change: Partial<RefundOrder> = {}): Promise<RefundOrder> {
  const sent = order(method);
  const { purchaseId, paymentToken: chargeId } = sent;
  await payments().charge(sent);
  if (method !== 'card') double.deposit(chargeId);
  const refund = { refundKey: 'part-1', amountMinor: 5_000, refusals: 0, currency: 'KRW' };
  return { purchaseId, chargeId, ...refund, ...change };
}

const unknownTo = async (sent: ChargeOrder) => payments().find(sent.purchaseId, null, sent.paymentToken);

describe('payments through Toss', () => {
  it('a card is captured by one confirmation, and found again by its key, its token or its order', async () => {
    const sent = order();
    const { purchaseId: reference, paymentToken: chargeId, amountMinor, currency } = sent;
    double.requests.length = 0;
    const answer = await payments().charge(sent);
    expect(double.requests).toEqual(['POST /v1/payments/confirm']);
    expect(answer).toEqual({ outcome: 'captured', chargeId, amountMinor, currency, reference });
    expect(await payments().find(reference, chargeId)).toEqual(answer);
    expect(await payments().find(reference, null, chargeId)).toEqual(answer);
    expect(await payments().find(reference)).toEqual(answer);
  });

  it('what was captured is read back as it is: amount, currency and reference', async () => {
    const sent = order();
    await payments().charge(sent);
    Object.assign(double.payment(sent.paymentToken), { totalAmount: 15_001, currency: 'USD', orderId: 'other' });
    const told = { chargeId: sent.paymentToken, amountMinor: 15_001, currency: 'USD', reference: 'other' };
    expect(await payments().find(sent.purchaseId, sent.paymentToken)).toEqual({ outcome: 'captured', ...told });
  });

  it('a card that is refused is declined with the code of Toss, however it is asked', async () => {
    const sent = order('bad card');
    const declined = { outcome: 'declined', reason: 'REJECT_CARD_PAYMENT' };
    expect(await payments().charge(sent)).toEqual(declined);
    expect(await payments().charge(sent)).toEqual(declined);
    expect(await unknownTo(sent)).toEqual(declined);
  });

  it.each([
    ['of another currency', { currency: 'USD' }, 'amount_not_chargeable'],
    ['with something that is no key', { paymentToken: '../confirm' }, 'no_payment_key'],
  ])('a charge %s is declined, and nothing is sent', async (_, change, reason) => {
    double.requests.length = 0;
    expect(await payments().charge(order('card', change))).toEqual({ outcome: 'declined', reason });
    expect(double.requests).toEqual([]);
  });

  it.each([
    ['a key that Toss does not know', { paymentToken: 'tgen_of_nobody' }, 'NOT_FOUND_PAYMENT_SESSION'],
    ['an amount that the customer has not allowed', { amountMinor: 14_999 }, 'INVALID_REQUEST'],
  ])('%s is declined', async (_, change, reason) => {
    expect(await payments().charge(order('card', change))).toEqual({ outcome: 'declined', reason });
  });

  it('I7: the payment of one purchase pays for no other, before it is confirmed and after', async () => {
    const [mine, other] = [order(), order()];
    const stolen = { ...other, paymentToken: mine.paymentToken };
    expect(await payments().charge(stolen)).toEqual({ outcome: 'declined', reason: 'INVALID_REQUEST' });
    await payments().charge(mine);
    double.forgetKeys();
    expect(await payments().charge(stolen)).toEqual({ outcome: 'declined', reason: 'payment_of_another_order' });
    expect(await unknownTo(stolen)).toEqual({ outcome: 'absent' });
  });

  it('I7: a lost answer is found, and is never a second charge', async () => {
    const sent = order();
    double.faults = ['lose the answer'];
    expect(await payments().charge(sent)).toMatchObject({ outcome: 'unknown' });
    const captured = { outcome: 'captured', chargeId: sent.paymentToken };
    expect(await unknownTo(sent)).toMatchObject(captured);
    // Also if it is sent again, while Toss knows the key and after that.
    expect(await payments().charge(sent)).toMatchObject(captured);
    double.forgetKeys();
    double.requests.length = 0;
    expect(await payments().charge(sent)).toMatchObject(captured);
    expect(double.requests).toEqual(['POST /v1/payments/confirm', `GET /v1/payments/${sent.paymentToken}`]);
  });

  it('a payment that was not confirmed is absent, so that it is confirmed next; one that is over is declined', async () => {
    const sent = order();
    expect(await unknownTo(sent)).toEqual({ outcome: 'absent' });
    double.expire(sent.paymentToken);
    expect(await unknownTo(sent)).toEqual({ outcome: 'declined', reason: 'EXPIRED' });
  });

  it.each([
    [400, 'PROVIDER_ERROR', 'unknown'],
    [403, 'FORBIDDEN_REQUEST', 'unknown'],
    [401, 'UNAUTHORIZED_KEY', 'unknown'],
    [409, 'IDEMPOTENT_REQUEST_PROCESSING', 'unknown'],
    [403, 'REJECT_CARD_COMPANY', 'declined'],
    [400, 'INVALID_STOPPED_CARD', 'declined'],
  ])('%i %s is %s: its code says it, not its status', async (status, code, outcome) => {
    double.faults = [{ status, code }];
    expect(await payments().charge(order())).toMatchObject({ outcome });
  });
});

describe('virtual accounts', () => {
  it('wait for their deposit, and say where and until when', async () => {
    double.dueDate = '2030-05-01T18:00:00';
    const sent = order('account');
    const chargeId = sent.paymentToken;
    const waits = {
      ...{ outcome: 'requires_action', url: `https://dashboard.tosspayments.com/receipt/${chargeId}` },
      ...{ deadlineMs: Date.parse('2030-05-01T18:00:00+09:00'), chargeId },
      transferTo: { bankCode: '20', accountNumber: 'X6505636518308', holderName: '박토스' },
    };
    expect(await payments().charge(sent)).toEqual(waits);
    expect(await payments().find(sent.purchaseId, chargeId)).toEqual(waits);
    double.deposit(chargeId);
    expect(await payments().find(sent.purchaseId, chargeId)).toMatchObject({
      outcome: 'captured',
      amountMinor: 15_000,
    });
  });

  it('are closed once, however often that is asked; the customer may be faster', async () => {
    const [stopped, faster] = [order('account'), order('account')];
    await payments().charge(stopped);
    for (const known of [stopped.paymentToken, undefined]) {
      const answer = await payments().cancel(stopped.purchaseId, 'given_up', known);
      expect(answer).toEqual({ outcome: 'declined', reason: 'canceled' });
    }
    await payments().charge(faster);
    double.deposit(faster.paymentToken);
    const { purchaseId, paymentToken } = faster;
    expect(await payments().cancel(purchaseId, 'action_expired', paymentToken)).toMatchObject({ outcome: 'captured' });
    expect(double.payment(paymentToken).cancels).toBeNull();
    expect(await payments().cancel(newId(), 'given_up')).toEqual({ outcome: 'absent' });
  });

  it('that are not closed because Toss refuses are asked about again', async () => {
    const sent = order('account');
    await payments().charge(sent);
    double.refusesCancels = 'NOT_CANCELABLE_PAYMENT';
    const answer = await payments().cancel(sent.purchaseId, 'given_up', sent.paymentToken);
    expect(answer).toMatchObject({ outcome: 'unknown' });
  });
});

describe('refunds through Toss', () => {
  it('parts go back once each, and no more than there is', async () => {
    const first = await paid();
    const { chargeId, purchaseId } = first;
    const back = {
      outcome: 'refunded',
      chargeId,
      amountMinor: 5_000,
      refundKey: 'part-1',
      refundId: expect.any(String),
    };
    expect(await payments().refund(first)).toEqual(back);
    expect(await payments().refund({ ...first, refundKey: 'part-2' })).toEqual({ ...back, refundKey: 'part-2' });
    expect(await payments().refund({ ...first, refundKey: 'part-3', amountMinor: 5_001 })).toEqual({
      ...{ outcome: 'refused', refundKey: 'part-3', reason: 'NOT_CANCELABLE_AMOUNT' },
    });
    expect(double.payment(chargeId).cancels).toMatchObject([
      { cancelAmount: 5_000, cancelReason: `${purchaseId}:part-1` },
      { cancelAmount: 5_000, cancelReason: `${purchaseId}:part-2` },
    ]);
  });

  it.each(['with its key', 'after its key is forgotten'])(
    'I13: one whose answer was lost is made once, %s',
    async (when) => {
      const asked = await paid();
      // The payment is looked at, the refund is made, its answer is lost.
      const answers = [undefined, 'lose the answer'] as const;
      double.faults = [...answers];
      expect(await payments().refund(asked)).toMatchObject({ outcome: 'unknown' });
      if (when !== 'with its key') double.forgetKeys();
      expect(await payments().refund(asked)).toMatchObject({ outcome: 'refunded', amountMinor: 5_000 });
      expect(double.payment(asked.chargeId).cancels).toHaveLength(1);
    },
  );

  it('one that is refused says why, and is tried again under another key', async () => {
    const asked = await paid();
    double.refusesCancels = 'EXCEED_MAX_REFUND_DUE';
    const refused = { outcome: 'refused', refundKey: 'part-1', reason: 'EXCEED_MAX_REFUND_DUE' };
    expect(await payments().refund(asked)).toEqual(refused);
    double.refusesCancels = undefined;
    expect(await payments().refund({ ...asked, refusals: 1 })).toMatchObject({ outcome: 'refunded' });
  });

  it('one of a virtual account goes where its customer said; without that it is refused, and nothing is sent', async () => {
    const asked = await paid('account with refund account');
    expect(await payments().refund(asked)).toMatchObject({ outcome: 'refunded' });
    expect(double.cancelled.at(-1)).toMatchObject({
      refundReceiveAccount: { bank: '20', accountNumber: '1002123456789', holderName: '김토스' },
    });
    // An operator may say another one; a card's money goes back where it came from, whatever is said.
    const account = { bankCode: '88', accountNumber: '110123456789', holderName: '김고객' };
    const other = await paid('account', { account });
    expect(await payments().refund(other)).toMatchObject({ outcome: 'refunded' });
    const { bankCode: bank, ...rest } = account;
    expect(double.cancelled.at(-1)).toMatchObject({ refundReceiveAccount: { bank, ...rest } });
    expect(await payments().refund(await paid('card', { account }))).toMatchObject({ outcome: 'refunded' });
    expect(double.cancelled.at(-1)).not.toHaveProperty('refundReceiveAccount');
    const without = await paid('account');
    const count = double.cancelled.length;
    expect(await payments().refund(without)).toMatchObject({ outcome: 'refused', reason: 'refund_account_missing' });
    expect(double.cancelled).toHaveLength(count);
  });

  it('a payment that was given back before it was known is refunded', async () => {
    const { purchaseId, chargeId } = await paid();
    double.cancelByHand(chargeId, 15_000);
    expect(await payments().find(purchaseId, chargeId)).toEqual({ outcome: 'refunded', chargeId, amountMinor: null });
  });

  it('the history has what became of a payment that is not known yet, and every refund, with the keys of ours', async () => {
    const asked = await paid();
    const { purchaseId, chargeId } = asked;
    await payments().refund(asked);
    double.cancelByHand(chargeId, 1_000);
    const of = { outcome: 'refunded', chargeId, currency: 'KRW', reference: purchaseId, refundId: expect.any(String) };
    const refunds = [
      { ...of, amountMinor: 5_000, refundKey: 'part-1' },
      { ...of, amountMinor: 1_000, refundKey: null },
    ];
    const known = { chargeId, paymentToken: null, isCaptured: true };
    expect(await payments().history(purchaseId, known)).toEqual(refunds);
    const [first, ...others] = await payments().history(purchaseId, { ...known, chargeId: null, isCaptured: false });
    expect(first).toMatchObject({ outcome: 'captured', amountMinor: 15_000 });
    expect(others).toEqual(refunds);
  });
});

describe('M4: what a failure of Toss means', () => {
  it('4xx are answers and open no breaker, however often they come', async () => {
    const client = payments();
    double.requests.length = 0;
    const wrong = new URL(address);
    wrong.username = 'test_sk_wrong';
    const stranger = payments({ at: wrong });
    for (let call = 0; call < 15; call++) {
      expect(await client.charge(order('bad card'))).toMatchObject({ outcome: 'declined' });
      expect(await client.find(newId(), 'tgen_of_nobody')).toEqual({ outcome: 'absent' });
      expect(await stranger.charge(order())).toMatchObject({ outcome: 'unknown' });
    }
    expect(double.requests).toHaveLength(45);
  });

  it.each([
    [500, 'unknown'],
    [503, 'unknown'],
    [429, 'unsent'],
  ])('%i is %s, whatever was asked', async (status, outcome) => {
    const asked = await paid();
    double.faults = [{ status }, { status }, { status }, { status }];
    expect(await payments().charge(order())).toMatchObject({ outcome });
    expect(await payments().find(newId())).toMatchObject({ outcome });
    expect(await payments().refund(asked)).toMatchObject({ outcome });
    const known = { chargeId: asked.chargeId, paymentToken: null, isCaptured: true };
    expect(await payments().history(asked.purchaseId, known)).toMatchObject([{ outcome }]);
  });

  it.each([500, 429])('%i opens the breaker, and then nothing is sent', async (status) => {
    const client = payments();
    double.faults = Array.from({ length: 20 }, () => ({ status }));
    for (let call = 0; call < 20; call++) await client.charge(order());
    double.requests.length = 0;
    expect(await client.charge(order())).toMatchObject({
      ...{ outcome: 'unsent', reason: expect.stringContaining('breaker') },
    });
    expect(double.requests).toEqual([]);
  });

  it('no answer in time is unknown', async () => {
    double.faults = ['say nothing'];
    const answer = await payments({ callTimeoutMs: 200 }).charge(order());
    expect(answer).toMatchObject({ outcome: 'unknown', reason: expect.stringContaining('in time') });
  });

  it('nobody there: nothing was sent', async () => {
    const gone = new TossDouble();
    const at = await gone.start();
    await gone.stop();
    expect(await payments({ at }).charge(order())).toMatchObject({ outcome: 'unsent' });
  });
});
