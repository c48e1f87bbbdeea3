/** What an episode is made of, by its seed. Nothing here depends on shipped code, so that it can be planned without. */
import { type Fault, Random } from './world/choice.ts';

/** What an episode is made of, beside its seed. */
export interface Plan {
  readonly requests: number;
  readonly customers: number;
  readonly sales: number;
  /** Units of each sale. */
  readonly allotment: number;
  readonly capPerCustomer: number;
  readonly waitlistSize: number;
  /** Messages that a function gets at most. */
  readonly batch: number;
  readonly workers: number;
  /** In how many environments the workers of a queue run; with 0, each batch has one of its own. */
  readonly environments: number;
  /** How likely each fault is, for each call. */
  readonly rates: Readonly<Partial<Record<Fault, number>>>;
  readonly purchases: boolean;
  readonly cancellations: boolean;
  /** Whether customers take fewer units than they asked for, or buy fewer than they have. */
  readonly reductions: boolean;
  readonly operators: boolean;
  /** How many reservations one step of a long job looks at. */
  readonly page: number;
  /** How often Redis loses its memory, comes back with an old one, or MySQL restarts. */
  readonly disasters: number;
  /** How many unreadable messages come. */
  readonly poison: number;
}

/** How many requests the episode of a seed has. Most are crowds; small ones are where many things meet at one row. */
export function sizeOf(seed: number): number {
  return new Random(seed ^ 0x512e).of([12, 40, 150, 600, 1_000, 1_500]);
}

/** The plan that belongs to a seed. */
export function planOf(seed: number, requests: number): Plan {
  const random = new Random(seed ^ 0x5eed);
  const intensity = random.of([0, 0.002, 0.01, 0.04]);
  const kinds: Fault[] = ['fail', 'lost', 'late', 'part', 'twice', 'crash', 'grave', 'stall'];
  const rates = Object.fromEntries(kinds.map((kind) => [kind, random.next() < 0.3 ? 0 : intensity * random.next()]));
  const sales = random.of([1, 1, 1, 2, 3]);
  return {
    requests,
    customers: Math.max(1, Math.ceil(requests * random.of([0.3, 0.7, 0.9]))),
    sales,
    allotment: Math.max(1, Math.ceil((requests / sales) * random.of([0.05, 0.2, 0.5, 1.2]))),
    capPerCustomer: random.between(1, 6),
    waitlistSize: random.of([0, 3, Math.ceil(requests / 8)]),
    batch: random.of([1, 5, 10, 10, 10, 10]),
    workers: random.between(1, 4),
    rates,
    purchases: random.next() < 0.4,
    cancellations: random.next() < 0.5,
    reductions: random.next() < 0.5,
    operators: random.next() < 0.5,
    disasters: random.next() < 0.25 ? random.between(1, 3) : 0,
    poison: random.next() < 0.25 ? random.between(1, 3) : 0,
    page: random.of([requests > 150 ? 40 : 3, 20, 500]),
    environments: random.of([0, 1, 2, 4]),
  };
}
