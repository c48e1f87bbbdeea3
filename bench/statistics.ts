/**
 * Statistics: medians with ranges, and comparisons with their bounds.
 */

/** What a series of rounds showed. */
export interface Series {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  /** One value for each round that counts, in order. */
  readonly values: readonly number[];
  readonly median: number;
  readonly low: number;
  readonly high: number;
  /** How it was run, such as the number of workers. */
  readonly settings?: string;
}

/** One line of the report: ours against something else, and whether that is enough. */
export interface Measure {
  readonly name: string;
  readonly ours: number;
  readonly against: number;
  /** How many times better ours is; a share of 1 where ours cannot be better than what it is compared with. */
  readonly ratio: number;
  readonly must: number;
  readonly aim: number;
  readonly holds: boolean;
  readonly unit: string;
  /** Lowest and highest ratio of a round. */
  readonly range: readonly [number, number];
  readonly rounds: number;
  readonly note?: string;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** The value below which a share of all values lies; `share` between 0 and 1. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function series(
  name: string,
  values: readonly number[],
  about: { title: string; unit: string; settings?: string },
): Series {
  return { name, ...about, values, median: median(values), low: Math.min(...values), high: Math.max(...values) };
}

/** How two series are compared. */
export interface Comparison {
  readonly name: string;
  readonly must: number;
  readonly aim: number;
  /** Set where less is better, such as a latency. */
  readonly lessIsBetter?: boolean;
  readonly note?: string;
}

/**
 * Compares ours with another series, round by round, since what disturbs the machine in a round disturbs both. The ratio
 * is the median of the rounds' ratios.
 */
export function compare(ours: Series, against: Series, comparison: Comparison): Measure {
  const { name, must, aim, lessIsBetter = false, note } = comparison;
  const rounds = Math.min(ours.values.length, against.values.length);
  const ratios = Array.from({ length: rounds }, (_, round) => {
    const mine = ours.values[round] ?? Number.NaN;
    const theirs = against.values[round] ?? Number.NaN;
    return lessIsBetter ? theirs / mine : mine / theirs;
  });
  const ratio = median(ratios);
  return {
    name,
    ours: rounded(ours.median),
    against: rounded(against.median),
    ratio: rounded(ratio),
    must,
    aim,
    holds: ratio >= must,
    unit: ours.unit,
    range: [rounded(Math.min(...ratios)), rounded(Math.max(...ratios))],
    rounds,
    ...(note ? { note } : {}),
  };
}

/** Three significant digits, or whole numbers where there are more. */
export function rounded(value: number): number {
  if (!Number.isFinite(value)) return value;
  return Math.abs(value) >= 1_000 ? Math.round(value) : Number(value.toPrecision(3));
}

/** A number, formatted for people. */
export function shown(value: number): string {
  return Number.isFinite(value) ? rounded(value).toLocaleString('en-US') : 'none';
}
