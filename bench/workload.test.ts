/** The workload is the same for every contender, holds what it says, and repeats one delivery in a hundred. */
import { deliveryCount, planFor, requestsFillingBatches, requestsOf } from './workload.ts';

const nowMs = 1_800_000_000_000;

test('the same plan makes the same deliveries', () => {
  const plan = planFor('zipf', 2_000, nowMs, 7);
  expect(requestsOf(plan)).toEqual(requestsOf(plan));
});

test('another plan has other sales and other customers', () => {
  const [one, other] = [planFor('hot', 1_000), planFor('hot', 1_000)].map(requestsOf);
  const seen = new Set(one?.flatMap(({ saleId, customerId }) => [saleId, customerId]));
  expect(other?.filter(({ saleId, customerId }) => seen.has(saleId) || seen.has(customerId))).toEqual([]);
});

test('one delivery in a hundred repeats an earlier one, which is the same but for that', () => {
  const requests = requestsOf(planFor('hot', 5_000, nowMs, 1));
  const first = new Map<string, object>();
  let repeats = 0;
  for (const { repeated, ...request } of requests) {
    if (repeated) {
      repeats++;
      expect(first.get(request.reservationId)).toEqual(request);
    } else {
      expect(first.has(request.reservationId)).toBe(false);
      first.set(request.reservationId, request);
    }
  }
  expect(first.size).toBe(5_000);
  expect(repeats).toBe(50);
  expect(requests).toHaveLength(deliveryCount(5_000));
});

test('Zipf gives the first of a thousand sales about a seventh of all requests', () => {
  const plan = planFor('zipf', 20_000, nowMs, 3);
  const requests = requestsOf(plan);
  const first = requests.filter(({ saleId }) => saleId === plan.saleIds[0]).length / requests.length;
  expect(first).toBeGreaterThan(0.12);
  expect(first).toBeLessThan(0.15);
});

test.each([
  [10, 1],
  [250, 4],
  [500, 3],
])('requests are cut so that deliveries fill batches of %i for %i workers', (batch, workers) => {
  const requests = requestsFillingBatches(7_777, batch, workers);
  expect(deliveryCount(requests) % (batch * workers)).toBe(0);
  expect(deliveryCount(requests)).toBeLessThanOrEqual(deliveryCount(7_777));
  expect(deliveryCount(requests)).toBeGreaterThan(deliveryCount(7_777) - batch * workers);
});
