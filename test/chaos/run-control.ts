/** Runs a control: its row against code with its fault in it, which the row must notice. */
import type { InvariantName } from '#load/verify/tally.ts';
import type { Control } from './controls.ts';
import { matrix } from './matrix.ts';
import { runRow } from './runner.ts';
import type { World } from './world.ts';

export interface ControlResult {
  name: string;
  row: string;
  caught: boolean;
  /** The invariants and counts that noticed, and how often. */
  violations: Partial<Record<InvariantName | 'count' | 'rest', number>>;
  requests: number;
  seconds: number;
  /** Why its row could not be played here, if so. */
  unavailable?: string;
  /** Why the fault could not be planted, if so. */
  lost?: string;
  examples: string[];
}

/** A control's world comes to rest at once or never. */
const restMs = 9_000;

/** Runs a control's row against its planted fault, or with nothing planted and otherwise the same. */
export async function runControl(
  world: World,
  control: Control,
  seed: number,
  { planted = true } = {},
): Promise<ControlResult> {
  const fault = matrix.find(({ name }) => name === control.row);
  if (!fault) throw new Error(`no row is called ${control.row}`);
  const { http = false, without } = control;
  if (planted && without) await world.pool.query(`ALTER TABLE ${without.table} DROP CONSTRAINT ${without.constraint}`);
  const result = await runRow(world, fault, { seed, planted: planted ? control.name : 'placebo', http, restMs });
  if (planted && without) {
    await world.pool.query(`DELETE FROM ${without.table}`);
    const { table, constraint, check } = without;
    await world.pool.query(`ALTER TABLE ${table} ADD CONSTRAINT ${constraint} CHECK (${check})`);
  }
  // A process that does not even start has lost the place where its fault is planted, and so has a row none of whose
  // processes loads it: neither proves anything.
  const ended = result.examples.find((example) => example.includes('ended while starting'));
  const [unplanted] = result.unplanted;
  const lost = ended ?? (unplanted === undefined ? undefined : `never loaded: ${unplanted}`);
  const { violations, requests, seconds, examples, unavailable } = result;
  const caught = lost === undefined && !result.holds;
  const { name, row } = control;
  return {
    ...{ name, row, caught, violations, requests, seconds, examples },
    ...(unavailable === undefined ? {} : { unavailable }),
    ...(lost === undefined ? {} : { lost }),
  };
}
