/** The curves of a sale: what its own record says of the time before, and what this page has seen since. Pure. */
import type { SaleOverview, SaleReport, SaleView } from '../types.ts';

/** What was seen of a sale at a moment. */
export interface Sample {
  /** In seconds since the epoch. */
  readonly at: number;
  readonly requested: number;
  readonly decided: number;
  readonly refused: number | null;
  readonly available: number;
  readonly sold: number;
  readonly waiting: number | null;
  /** How long the oldest request has waited, in seconds. */
  readonly age: number | null;
  /** How many breakers cut a part off, or try it again. */
  readonly cutOff: number | null;
}

/** How many samples a page keeps; older ones are thinned out, so that a page may stay open for days. */
const keptSamples = 2_000;

/** What an overview says of the moment at which it was read. */
export function sampleOf(overview: SaleOverview, atMs: number): Sample {
  const { breakers, gate, reservations, stock, queues } = overview;
  const { requested: _, ...others } = reservations;
  const decided = Object.values(others).reduce((sum, count) => sum + count, 0);
  const oldestMs = queues.reservations?.oldestMessageMs ?? null;
  return {
    ...{ at: atMs / 1_000, decided, requested: Math.max(gate.requests, decided) },
    refused: Object.values(gate.refused).reduce((sum, count) => sum + count, 0),
    ...{ available: stock.available, sold: stock.sold, waiting: stock.waitlisted },
    age: oldestMs === null ? 0 : oldestMs / 1_000,
    cutOff: Object.values(breakers).filter((state) => state !== 'closed').length,
  };
}

/** One more sample; with too many, each second of the older half goes. */
export function withSample(samples: readonly Sample[], sample: Sample): Sample[] {
  if (samples.length < keptSamples) return [...samples, sample];
  const half = keptSamples / 2;
  return [...samples.slice(0, half).filter((_, index) => index % 2 === 0), ...samples.slice(half), sample];
}

/** What the sale's record says of the time up to a moment, as samples: counts add up, units that came back are free again. */
export function samplesOf(
  { points, stepSeconds }: Pick<SaleReport, 'points' | 'stepSeconds'>,
  { allotment }: Pick<SaleView['stock'], 'allotment'>,
  untilSeconds: number,
): Sample[] {
  const samples: Sample[] = [];
  let [requested, decided, allocated, sold, released] = [0, 0, 0, 0, 0];
  for (const point of points) {
    const begin = Date.parse(point.at) / 1_000;
    // A curve begins with nothing, not with what has happened in its first step.
    if (samples.length === 0) samples.push(empty(begin, allotment));
    requested += point.requested;
    decided += point.decided;
    allocated += point.allocated;
    sold += point.sold;
    released += point.released;
    const at = begin + stepSeconds;
    if (at > untilSeconds) break;
    const available = Math.max(0, allotment - allocated + released);
    samples.push({ ...empty(at, allotment), requested, decided, available, sold });
  }
  return samples;
}

const empty = (at: number, allotment: number): Sample => ({
  ...{ at, requested: 0, decided: 0, refused: null, available: allotment, sold: 0, waiting: null, age: null },
  cutOff: null,
});

/** The steps between times on an axis that people think in, in seconds. */
const timeSteps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400];

/**
 * The times at which an axis is marked, in seconds: at most `most`, even, and at full steps of the reader's clock, which is
 * `aheadSeconds` ahead of UTC. Never fewer than two, or nobody could tell how long it is: the ends then.
 */
export function timeTicks(from: number, to: number, most: number, aheadSeconds: number): number[] {
  const length = to - from;
  const ticksOf = (step: number) => {
    const first = Math.ceil((from + aheadSeconds) / step) * step - aheadSeconds;
    return Array.from({ length: Math.max(0, Math.floor((to - first) / step) + 1) }, (_, n) => first + n * step);
  };
  const steps = length > 86_400 * most ? [Math.ceil(length / most / 86_400) * 86_400] : timeSteps;
  const fitting = steps.filter((step) => length / step <= most + 1).map(ticksOf);
  const ticks = fitting.find((some) => some.length <= most) ?? [];
  return ticks.length >= 2 ? ticks : [from, to];
}

/** How many requests came in each second lately, from the latest samples. */
export function rateOf(samples: readonly Sample[], overSeconds = 10): number {
  const last = samples.at(-1);
  if (!last) return 0;
  const first = samples.findLast(({ at }) => at <= last.at - overSeconds) ?? samples[0];
  const seconds = first ? last.at - first.at : 0;
  return first && seconds > 0 ? Math.max(0, (last.requested - first.requested) / seconds) : 0;
}
