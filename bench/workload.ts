/**
 * The workload: the same number and kind of requests for every contender of a scenario.
 *
 * Invariants: requests follow from their plan alone, so the main process and the worker processes need not send them to
 * each other. Every run has a plan of its own, with new sales and customers, as a launch has. One request in a hundred is
 * delivered twice, as in a standard queue. Called by worker processes, which build deliveries, and by environment.ts,
 * which creates the sales.
 */
import { randomInt } from 'node:crypto';
import { type CustomerId, fromBytes, type ReservationId, type SaleId } from '#platform/kernel/ids.ts';
import { deriveReservationId } from '#reservation/reservation-id.ts';
import { newSaleId } from '#sale/sale-id.ts';

/** Which sales the requests are for. */
export type Scenario = 'hot' | 'hundred' | 'zipf';

/** How many sales each scenario has, and how the requests spread over them. */
export const scenarios: Record<Scenario, { sales: number; zipf: boolean; title: string }> = {
  hot: { sales: 1, zipf: false, title: 'one hot sale' },
  hundred: { sales: 100, zipf: false, title: '100 sales' },
  zipf: { sales: 1_000, zipf: true, title: '1,000 sales, Zipf 1.0' },
};

/** Everything that determines a run's requests. */
export interface Plan {
  readonly scenario: Scenario;
  readonly saleIds: readonly SaleId[];
  /** How many distinct reservations. */
  readonly count: number;
  readonly seed: number;
  /** The ticket of the first request, microseconds since the epoch. */
  readonly firstTicket: number;
}

/** One request as the queue delivers it. */
export interface Request {
  /** Its place among the plan's requests, from zero; a repeated delivery has that of the first. */
  readonly number: number;
  readonly reservationId: ReservationId;
  readonly saleId: SaleId;
  readonly customerId: CustomerId;
  readonly quantity: number;
  readonly atLeast: number;
  readonly ticket: number;
  /** True for the second delivery of a request that was delivered before. */
  readonly repeated: boolean;
}

/** Every how many requests one earlier request is delivered again: 1 %. */
const repeatEvery = 100;
/** How far back the repeated one lies at most. */
const repeatReach = 1_000;
/** Each customer asks once, for one or two units, and may have this many. */
export const capPerCustomer = 4;
export const mostUnits = 2;

/** Seeds are 32 bits. */
const seeds = 2 ** 32;

/** A plan for one run of a scenario, with fresh sales and customers. */
export function planFor(
  scenario: Scenario,
  count: number,
  nowMs: number = Date.now(),
  seed: number = randomInt(seeds),
): Plan {
  const { sales, zipf } = scenarios[scenario];
  const weights = weightsOf(sales, zipf);
  const saleIds = weights.map((weight) => newSaleId(Math.ceil(count * weight), nowMs));
  return { scenario, saleIds, count, seed, firstTicket: nowMs * 1000 };
}

/** The plan's deliveries, repeats included, one after the other. */
export function* deliveriesOf(plan: Plan): Generator<Request> {
  const random = randomFrom(plan.seed);
  const pick = pickerOf(plan);
  /** The latest requests, of which one is repeated now and then. */
  const latest: Request[] = [];
  for (let index = 0; index < plan.count; index++) {
    const saleId = pick(random());
    const customerId = customerOf(random);
    const quantity = 1 + Math.floor(random() * mostUnits);
    const request: Request = {
      number: index,
      reservationId: deriveReservationId(saleId, customerId, 'bench'),
      saleId,
      customerId,
      quantity,
      atLeast: quantity,
      ticket: plan.firstTicket + index,
      repeated: false,
    };
    latest[index % repeatReach] = request;
    yield request;
    if (index % repeatEvery === repeatEvery - 1) {
      const earlier = latest[Math.floor(random() * latest.length)];
      if (earlier) yield { ...earlier, repeated: true };
    }
  }
}

/** The same as a list. */
export function requestsOf(plan: Plan): Request[] {
  return [...deliveriesOf(plan)];
}

/** How many deliveries a plan of so many requests has. */
export function deliveryCount(requests: number): number {
  return requests + Math.floor(requests / repeatEvery);
}

/**
 * The most requests whose deliveries, repeats included, fill batches of this size for so many workers without a rest, each
 * worker as many; one batch for each at least. So all workers are busy until the end.
 */
export function requestsFillingBatches(atMost: number, batch: number, workers: number): number {
  const all = batch * workers;
  const deliveries = Math.max(1, Math.floor(deliveryCount(atMost) / all)) * all;
  let requests = Math.ceil((deliveries * repeatEvery) / (repeatEvery + 1));
  while (deliveryCount(requests) > deliveries) requests--;
  return requests;
}

/** Units that are enough for every request of the plan, whichever sale it is for. */
export function allotmentOf(plan: Plan): number {
  return plan.count * mostUnits + 1;
}

function weightsOf(sales: number, zipf: boolean): number[] {
  const raw = Array.from({ length: sales }, (_, rank) => (zipf ? 1 / (rank + 1) : 1));
  const sum = raw.reduce((total, weight) => total + weight, 0);
  return raw.map((weight) => weight / sum);
}

function pickerOf(plan: Plan): (at: number) => SaleId {
  const cumulative: number[] = [];
  let sum = 0;
  for (const weight of weightsOf(plan.saleIds.length, scenarios[plan.scenario].zipf)) {
    sum += weight;
    cumulative.push(sum);
  }
  return (at) => {
    let low = 0;
    let high = cumulative.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((cumulative[middle] ?? 1) > at) high = middle;
      else low = middle + 1;
    }
    const saleId = plan.saleIds[low];
    if (saleId === undefined) throw new Error('the plan has no sales');
    return saleId;
  };
}

/** Mulberry32: small, fast, and the same everywhere. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A customer's id: those who registered over the years lie anywhere in the index. */
function customerOf(random: () => number): CustomerId {
  const word = () =>
    Math.floor(random() * 0x1_0000_0000)
      .toString(16)
      .padStart(8, '0');
  const hex = word() + word() + word() + word();
  return fromBytes(Buffer.from(`${hex.slice(0, 12)}7${hex.slice(13, 16)}a${hex.slice(17)}`, 'hex'));
}
