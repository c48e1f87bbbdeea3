/**
 * What a row of the fault matrix is, and what it is given to run with.
 */
import type { InvariantName } from '#load/verify/tally.ts';
import type { Load } from './load.ts';
import type { ChaosOrders } from './steps.ts';
import type { World } from './world.ts';

/** One run of one row. */
export interface Run {
  readonly world: World;
  readonly load: Load;
  /** A number from 0 up to 1 that depends on the seed. */
  readonly random: () => number;
  /** What every process is told that a row starts itself: which fault is planted in it, if one is. */
  readonly orders: ChaosOrders;
  /** How much longer than its shortest the row should run. */
  readonly scale: number;
  /** The time limit for something that must happen; shorter for code with a fault in it, where it may never happen. */
  readonly patienceMs: number;
  /** Where the steps note what they did. */
  readonly trace: string;
  /** Counts something that the row's line of the report shows. */
  count(name: string, by?: number): void;
  /** Notes a duration that the report shows. */
  measure(name: string, ms: number): void;
  /** What the row expects beside the invariants; what does not hold is a violation of the row's own count. */
  expect(holds: boolean, otherwise: string): void;
}

/** A row of the matrix. */
export interface Fault {
  readonly number: number;
  readonly name: string;
  readonly title: string;
  /** The invariants at stake, beside I1 to I3. */
  readonly also: InvariantName[];
  /** True if the mirror may be behind afterwards until the reconcile job ran. */
  readonly mendsMirror?: boolean;
  /** True if a sender can die, or be cut off, between gate and queue, so that a claim without a message may be left. */
  readonly losesSenders?: boolean;
  /** Why it cannot run here, if so. */
  unavailable?(): string | undefined;
  run(run: Run): Promise<void>;
}
