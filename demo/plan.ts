/**
 * The script of the demo: which sales there are, who asks for what and when, and how each customer behaves afterwards.
 *
 * Pure and seeded: the same options always give the same script. Demand is exactly five times the allotment of each
 * sale, one request in ten is repeated under its key, and there are requests over the cap, before the opening, after the
 * close, and garbage.
 */
import { seededRandom } from '#local/service/random.ts';
import type { DemoOptions } from './arguments.ts';

/** What a sale offers; its times are fixed when it starts. */
export interface PlannedSale {
  allotment: number;
  cap: number;
  waitlistSize: number;
  /** What is asked for in all, without repeats. */
  demandUnits: number;
  requests: number;
}

/** One reservation request. `atMs` counts from the opening; for late ones from the close. */
export interface PlannedRequest {
  customer: number;
  sale: number;
  quantity: number;
  atLeast: number;
  key: string;
  atMs: number;
  /** Sent again under the same key this much later, the quantity other than before if `otherBody`. */
  repeat?: { afterMs: number; otherBody: boolean };
}

/** How a customer behaves once units are set aside. */
export type Behaviour =
  /** Buys everything with one payment. */
  | 'buys'
  /** Buys each reservation by itself. */
  | 'buys one by one'
  /** Cancels everything before the window opens. */
  | 'cancels'
  /** Lets everything expire. */
  | 'lets expire';

export interface PlannedCustomer {
  behaviour: Behaviour;
  paymentToken: string;
  /** Whether an offer from the waitlist is taken. */
  takesOffers: boolean;
  /** Whether the customer keeps a WebSocket open. */
  listens: boolean;
}

export const garbageKinds = [
  'no body',
  'broken json',
  'quantity zero',
  'quantity negative',
  'quantity fraction',
  'quantity text',
  'quantity huge',
  'least above quantity',
  'unknown field',
  'no key',
  'key too long',
  'no token',
  'token tampered',
  'sale unknown',
  'sale no id',
  'content type',
  'too large',
] as const;
export type GarbageKind = (typeof garbageKinds)[number];

export interface PlannedGarbage {
  kind: GarbageKind;
  customer: number;
  sale: number;
  atMs: number;
}

export interface Plan {
  sales: PlannedSale[];
  customers: PlannedCustomer[];
  /** In order of time. */
  rush: PlannedRequest[];
  early: PlannedRequest[];
  late: PlannedRequest[];
  garbage: PlannedGarbage[];
  /** Over how long the rush is spread; most of it comes at the beginning. */
  rushMs: number;
}

/** How many requests a second the rush averages, clients, servers and databases sharing two cores. */
const rushPerSecond = 450;
const demandPerUnit = 5;
/** Most customers want one or two units; a few want ten. Weights of quantities 1 to 10. */
const quantityWeights = [22, 24, 14, 10, 8, 6, 5, 4, 3, 4];
const behaviours: [Behaviour, number][] = [
  ['buys', 62],
  ['buys one by one', 10],
  ['cancels', 12],
  ['lets expire', 16],
];
const paymentTokens: [string, number][] = [
  ['tok_approve', 70],
  ['tok_decline_insufficient_funds', 9],
  ['tok_flaky_1', 7],
  ['tok_slow_800', 8],
  ['tok_charged_timeout', 6],
];

/** Writes the script. */
export function planDemo(options: DemoOptions): Plan {
  const random = seededRandom(options.seed);
  const between = (least: number, most: number) => least + Math.floor(random() * (most - least + 1));
  const chance = (share: number) => random() < share;
  const rushMs = Math.max(2_000, Math.round((options.reservations / rushPerSecond) * 1_000));

  const customers = Array.from(
    { length: options.customers },
    (_, index): PlannedCustomer => ({
      behaviour: pick(behaviours, random),
      paymentToken: pick(paymentTokens, random),
      takesOffers: chance(0.65),
      // One in five, and enough of them even in a small demo.
      listens: index % 5 === 0,
    }),
  );

  // The first sale is the most wanted one.
  const saleWeights = Array.from({ length: options.sales }, (_, index): [number, number] => [index, 1 / (index + 1)]);
  const request = (atMs: number, key: string): PlannedRequest => {
    const quantity = 1 + pickIndex(quantityWeights, random);
    return {
      customer: between(0, options.customers - 1),
      sale: pick(saleWeights, random),
      quantity,
      atLeast: chance(0.6) ? quantity : between(1, quantity),
      key: `${key}-${options.seed}-${between(0, 2 ** 31)}`,
      atMs,
    };
  };

  const rush = Array.from({ length: options.reservations }, (_, index): PlannedRequest => {
    const one = request(Math.round(rushMs * random() ** 1.6), `demo-${index}`);
    if (index % 10 !== 0) return one;
    // Some repeats overtake the first answer, as an impatient second click does.
    return { ...one, repeat: { afterMs: chance(0.4) ? between(0, 5) : between(50, 1_500), otherBody: chance(0.08) } };
  }).sort((one, other) => one.atMs - other.atMs);

  const few = Math.max(20, Math.round(options.reservations / 100));
  const early = Array.from({ length: few }, (_, index) => request(-between(300, 2_000), `early-${index}`));
  const late = Array.from({ length: few }, (_, index) => request(between(20, 2_000), `late-${index}`));
  const garbage = Array.from(
    { length: Math.max(few, garbageKinds.length) },
    (_, index): PlannedGarbage => ({
      kind: garbageKinds[index % garbageKinds.length] ?? 'no body',
      customer: between(0, options.customers - 1),
      sale: between(0, options.sales - 1),
      atMs: between(0, rushMs),
    }),
  );

  const sales = saleWeights.map(([index]): PlannedSale => {
    const requests = rush.filter((one) => one.sale === index);
    const demandUnits = requests.reduce((sum, one) => sum + one.quantity, 0);
    // The waitlist of the first sale is short, so that it sells out; that of the last is long enough for all.
    const share = options.sales === 1 ? 0.3 : 0.15 + (0.85 * index) / (options.sales - 1);
    return {
      allotment: Math.max(1, Math.round(demandUnits / demandPerUnit)),
      cap: 10 + 2 * (index % 3),
      waitlistSize: Math.round(requests.length * share),
      demandUnits,
      requests: requests.length,
    };
  });
  return { sales, customers, rush, early, late, garbage, rushMs };
}

function pick<Item>(weighted: [Item, number][], random: () => number): Item {
  const index = pickIndex(
    weighted.map(([, weight]) => weight),
    random,
  );
  const chosen = weighted[index];
  if (!chosen) throw new Error('nothing to choose from');
  return chosen[0];
}

function pickIndex(weights: number[], random: () => number): number {
  let left = random() * weights.reduce((sum, weight) => sum + weight, 0);
  const index = weights.findIndex((weight) => {
    left -= weight;
    return left < 0;
  });
  return index < 0 ? weights.length - 1 : index;
}
