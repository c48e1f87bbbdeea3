/**
 * A suite: measures that belong together, and the rounds in which they are taken.
 *
 * Invariant: in each round every entry is run once, one after the other, between two readings of the yardsticks. What is
 * compared was therefore measured under the same conditions or not at all.
 */
import { performance } from 'node:perf_hooks';
import type { BenchEnvironment } from './environment.ts';
import type { Runner } from './runner.ts';
import type { Measure, Series } from './statistics.ts';
import { type Reading, readYardsticks, steady } from './yardsticks.ts';

/** What a suite is given. */
export interface Context {
  readonly environment: BenchEnvironment;
  readonly runner: Runner;
  /** Less time, fewer rounds, fewer rivals. */
  readonly quick: boolean;
  /** When a quick run should be done with this suite, by `performance.now()`; a full run takes the time it needs. */
  readonly dueMs: number;
  /** The sizes and verbs that were asked for, for the suite `scale`. */
  readonly sizes?: readonly number[] | undefined;
  readonly verbs?: readonly string[] | undefined;
  readonly report: (line: string) => void;
  /** Keeps what a long suite has shown so far, if it was asked to keep it. */
  readonly keep?: ((soFar: SuiteResult) => Promise<void>) | undefined;
}

/** What a suite shows. */
export interface SuiteResult {
  readonly measures: Measure[];
  readonly series: Series[];
  /** Sentences that belong to the figures: what limits them, and what was different from a full run. */
  readonly notes: string[];
  /** Anything else worth keeping, such as the surface of the scaling chart. */
  readonly details?: Record<string, unknown>;
}

export interface Suite {
  readonly name: string;
  readonly title: string;
  /** Its share of the three minutes that a quick run has. */
  readonly quickSeconds: number;
  run(context: Context): Promise<SuiteResult>;
}

/** Something that is run once in each round; it returns one figure. */
export interface Entry {
  readonly name: string;
  run(round: number): Promise<number>;
}

export interface Rounds {
  /** The figures of each entry, in the rounds that count. */
  readonly values: ReadonlyMap<string, number[]>;
  readonly readings: readonly Reading[];
  readonly discarded: number;
  /** True if the machine was never steady for long enough, so that unsteady rounds had to count. */
  readonly unsteady: boolean;
}

/** Runs all entries in rounds until enough rounds count. Gives up on a steady machine after twice as many. */
export async function inRounds(context: Context, wanted: number, entries: readonly Entry[]): Promise<Rounds> {
  const readingMs = context.quick ? 60 : 250;
  const rounds: { figures: Map<string, number>; steady: boolean; reading: Reading }[] = [];
  const startedMs = performance.now();
  const steadyOnes = () => rounds.filter((round) => round.steady);
  const isOver = (): boolean => {
    if (!context.quick) return rounds.length >= 2 * wanted;
    // The next round will take about as long as the rounds so far took each.
    const eachMs = (performance.now() - startedMs) / Math.max(1, rounds.length);
    return rounds.length >= wanted || (rounds.length > 0 && performance.now() + eachMs > context.dueMs);
  };
  while (steadyOnes().length < wanted && !isOver()) {
    const before = await readYardsticks(context.environment, readingMs);
    const figures = new Map<string, number>();
    // Every other round goes backwards, so that no entry always follows the same neighbour.
    const order = rounds.length % 2 === 0 ? entries : [...entries].reverse();
    for (const entry of order) figures.set(entry.name, await entry.run(rounds.length));
    const after = await readYardsticks(context.environment, readingMs);
    rounds.push({ figures, steady: steady(before, after), reading: before });
    const line = entries.map(({ name }) => `${name} ${Math.round(figures.get(name) ?? 0).toLocaleString('en-US')}`);
    context.report(
      `  round ${rounds.length} of ${wanted}${rounds.at(-1)?.steady ? '' : ' (the machine drifted)'}: ${line.join(', ')}`,
    );
  }
  const enough = steadyOnes().length >= wanted;
  const counted = enough ? steadyOnes() : rounds;
  return {
    values: new Map(entries.map(({ name }) => [name, counted.map(({ figures }) => figures.get(name) ?? Number.NaN)])),
    readings: rounds.map(({ reading }) => reading),
    discarded: rounds.length - counted.length,
    unsteady: !enough,
  };
}

/** What to say about rounds that were not as they should be. */
export function notesOf(name: string, rounds: Rounds): string[] {
  const notes: string[] = [];
  if (rounds.discarded > 0) notes.push(`${name}: ${rounds.discarded} rounds were discarded, the machine had drifted.`);
  if (rounds.unsteady) notes.push(`${name}: the machine was not steady for long enough; all rounds were counted.`);
  return notes;
}
