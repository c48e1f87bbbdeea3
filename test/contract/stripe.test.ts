/**
 * What is sent to Stripe is what Stripe's description of its API allows, what is read is in its answers, and our double of it
 * has no field that Stripe has not: held against `stripe-mock`, where it can be had.
 */
import { systemClock } from '#platform/kernel/clock.ts';
import { openStripe } from '#platform/payments/stripe.ts';
import type { RedisClient } from '#platform/redis/redis.ts';
import { openBreakers } from '#platform/resilience/circuit-breaker.ts';
import { Intent, openStripePayments, Refund } from '#purchase/stripe-payments.ts';
import { newId } from '../support/ids.ts';
import { StripeDouble } from '../support/stripe-double.ts';
import { startStripeMock } from '../support/stripe-mock.ts';

const installLimitMs = 300_000;
const redis = { guarded: () => Promise.reject(new Error('Redis is unavailable')) } as unknown as RedisClient;
const double = new StripeDouble();
let mock: Awaited<ReturnType<typeof startStripeMock>>;
let doubleAt: URL;

beforeAll(async () => {
  mock = await startStripeMock();
  doubleAt = await double.start();
}, installLimitMs);

afterAll(async () => {
  await mock?.stop();
  await double.stop();
});

function payments(address: URL) {
  const shared = { redis, clock: systemClock, breakers: openBreakers() };
  const options = { returnUrl: 'https://shop.example/', callTimeoutMs: 20_000 };
  return openStripePayments({ api: openStripe(address), shared, ...options });
}

const order = { amountMinor: 1_250, currency: 'EUR', paymentToken: 'pm_card_visa' };

test('the mock refuses what the API does not describe', async () => {
  if (!mock) return;
  const made = openStripe(mock.address).paymentIntents.create({ amount: 1, currency: 'eur', ...{ surprise: 1 } });
  await expect(made).rejects.toThrow('additional properties are not allowed');
});

test('every call is one that the API describes, and its answer is understood', async () => {
  if (!mock) return;
  const client = payments(mock.address);
  const purchaseId = newId();
  // It keeps nothing: each intent of its is one whose payment has failed, and each refund is another one that was made.
  const declined = { outcome: 'declined', reason: 'declined' };
  expect(await client.charge({ purchaseId, ...order })).toEqual(declined);
  expect(await client.charge({ purchaseId: newId(), ...order, paymentToken: 'ctoken_1' })).toEqual(declined);
  expect(await client.find(purchaseId)).toEqual(declined);
  expect(await client.find(purchaseId, 'pi_1')).toEqual(declined);
  expect(await client.cancel(purchaseId, 'given_up')).toMatchObject({ outcome: 'declined' });
  expect(await client.cancel(purchaseId, 'action_expired', 'pi_1')).toMatchObject({ outcome: 'declined' });
  const refund = { purchaseId, chargeId: 'pi_1', refundKey: 'part-1', amountMinor: 500, currency: 'USD', refusals: 0 };
  const refunded = { outcome: 'refunded', chargeId: 'pi_1', refundKey: 'part-1', amountMinor: 500 };
  expect(await client.refund(refund)).toMatchObject(refunded);
});

test('the double has the fields of the API, and no others', async () => {
  if (!mock) return;
  const purchaseId = newId();
  await payments(doubleAt).charge({ purchaseId, ...order });
  const made = double.refundByHand(double.intentOf(purchaseId), 1);
  const real = openStripe(mock.address);
  const intent = await real.paymentIntents.retrieve('pi_1');
  const refund = await real.refunds.retrieve('re_1');
  const fieldsOf = (one: object) => Object.keys(one);
  expect(fieldsOf(intent)).toEqual(expect.arrayContaining(fieldsOf(double.intentOf(purchaseId))));
  // A refund says why it failed only if it did; the description has the field, the mock's example has not.
  expect([...fieldsOf(refund), 'failure_reason']).toEqual(expect.arrayContaining(fieldsOf(made)));
  expect(Intent.safeParse(intent).success).toBe(true);
  expect(Refund.safeParse(refund).success).toBe(true);
});
