/**
 * I11, the line: earlier requests are served before later ones.
 *
 * Everybody who was given units is compared with those who waited at that moment, before and after it by more than a
 * transaction takes: if one of them came earlier and would have taken as much or less, the line was passed. The one
 * exception is an operator's grant, which is recorded: it may pass the line, and must have given what it says. At rest nobody
 * waits whom the units of a running sale can serve.
 */

import type { Stop } from './read-by-reservation.ts';
import type { ReservationRow, SaleRow } from './store.ts';
import type { Tally } from './tally.ts';

/** Rows carry the time at which their transaction began; it may have waited so long for the sale before its commit. */
const transactionMs = 2_000;

interface Waited {
  readonly id: string;
  readonly ticket: number;
  readonly atLeast: number;
  readonly fromMs: number;
  readonly toMs: number;
}

interface Given {
  readonly id: string;
  readonly ticket: number;
  readonly units: number;
  readonly atMs: number;
}

interface Line {
  readonly waited: Waited[];
  readonly given: Given[];
  /** The smallest demand among those who still wait. */
  leastWaiting: number;
}

export class LineCheck {
  readonly #lines = new Map<string, Line>();
  /** Units that an operator granted out of turn, by reservation; those that were found are taken out. */
  readonly #granted: Map<string, number>;

  constructor(granted: ReadonlyMap<string, number>) {
    this.#granted = new Map(granted);
  }

  /** Adds when a reservation waited, and when it was given units. */
  add({ row, movements }: Stop): void {
    if (!row) return;
    const line = this.#lineOf(row.saleId);
    const given = movements.find((movement) => movement.kind === 'ALLOCATE');
    const atMs = given?.atMs;
    const isGrant = given !== undefined && this.#granted.get(row.id) === given.units;
    if (isGrant) this.#granted.delete(row.id);
    else if (given) line.given.push({ id: row.id, ticket: row.ticket, units: given.units, atMs: given.atMs });
    if (row.state === 'waitlisted') line.leastWaiting = Math.min(line.leastWaiting, row.atLeast);
    const toMs = waitedUntilMs(row, atMs);
    if (toMs === undefined) return;
    const { id, ticket, decidedAtMs } = row;
    // When it was reduced is not known, so only what it would have taken from the first can be held against others.
    const atLeast = row.askedAtLeast ?? row.atLeast;
    line.waited.push({ id, ticket, atLeast, fromMs: decidedAtMs + transactionMs, toMs: toMs - transactionMs });
  }

  /** Compares everybody who was given units with those who waited then. */
  finish(sales: Map<string, SaleRow>, nowMs: number, tally: Tally): void {
    for (const [id, units] of this.#granted) {
      tally.expect(false, () => `reservation ${id} is said to have been granted ${units} units, and was not`);
    }
    for (const [saleId, line] of this.#lines) {
      checkOrder(line, tally);
      const sale = sales.get(saleId);
      if (sale?.status !== 'active' || nowMs >= sale.purchaseClosesAtMs) continue;
      tally.expect(
        line.leastWaiting > sale.available,
        () => `sale ${saleId} has ${sale.available} units, and somebody waits who would take ${line.leastWaiting}`,
      );
    }
  }

  #lineOf(saleId: string): Line {
    const known = this.#lines.get(saleId) ?? { waited: [], given: [], leastWaiting: Number.POSITIVE_INFINITY };
    this.#lines.set(saleId, known);
    return known;
  }
}

/** Until when a reservation waited; undefined if it did not, or if it left the line, which leaves no time behind. */
function waitedUntilMs(row: ReservationRow, givenAtMs: number | undefined): number | undefined {
  if (row.state === 'waitlisted') return Number.POSITIVE_INFINITY;
  return givenAtMs !== undefined && givenAtMs > row.decidedAtMs ? givenAtMs : undefined;
}

/** Replays time: people join the line and leave it, and each who is given units is compared with those before. */
function checkOrder({ waited, given }: Line, tally: Tally): void {
  const joining = waited.filter((one) => one.fromMs < one.toMs).sort((a, b) => a.fromMs - b.fromMs);
  /** Those who wait, by demand, the first in front. */
  const standing = new Map<number, Waited[]>();
  let next = 0;
  for (const one of [...given].sort((a, b) => a.atMs - b.atMs)) {
    for (let other = joining[next]; other && other.fromMs < one.atMs; other = joining[++next]) {
      insert(standing, other);
    }
    let passed: Waited | undefined;
    for (const [atLeast, queue] of standing) {
      // Nobody comes back: time only goes on.
      while (queue[0] && queue[0].toMs <= one.atMs) queue.shift();
      const first = atLeast <= one.units ? queue.find((other) => other.toMs > one.atMs) : undefined;
      if (first && first.ticket < one.ticket) passed = first;
    }
    tally.expect(passed === undefined, () => `reservation ${one.id} was given units before ${passed?.id}, who waited`);
  }
}

/** Inserts somebody at the position of the ticket, usually the last. */
function insert(standing: Map<number, Waited[]>, one: Waited): void {
  const queue = standing.get(one.atLeast) ?? [];
  standing.set(one.atLeast, queue);
  const at = queue.findLastIndex((other) => other.ticket < one.ticket);
  queue.splice(at + 1, 0, one);
}
