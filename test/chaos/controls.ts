/**
 * The controls: code with one fault planted in it, and the row that must notice.
 *
 * Invariant: each plants exactly one fault, by replacing a text of the shipped code while it is loaded; a control that is
 * not caught means that its row proves nothing.
 */

import { matrix } from './matrix.ts';
import type { RowResult } from './runner.ts';
import { runRow } from './runner.ts';
import type { Edit } from './steps.ts';
import type { World } from './world.ts';

export interface Control {
  name: string;
  /** The row that must fail. */
  row: string;
  edits: Edit[];
}

export interface ControlResult {
  name: string;
  row: string;
  caught: boolean;
  /** The invariants and counts that noticed. */
  by: string[];
  examples: string[];
}

export const controls: Control[] = [
  {
    name: 'no-inbox',
    row: 'crash-points',
    edits: [
      {
        file: 'lib/reservation/allocate.ts',
        find: 'const fresh = claims.filter((claim) => !decided.has(claim.reservationId));',
        replace: 'const fresh = claims;',
      },
    ],
  },
];

/** Runs a control's row against its planted fault. */
export async function runControl(world: World, control: Control, seed: number): Promise<ControlResult> {
  const fault = matrix.find(({ name }) => name === control.row);
  if (!fault) throw new Error(`no row is called ${control.row}`);
  const result: RowResult = await runRow(world, fault, { seed, edits: control.edits, restMs: 9_000 });
  const by = Object.keys(result.violations);
  return { name: control.name, row: control.row, caught: by.length > 0, by, examples: result.examples };
}
