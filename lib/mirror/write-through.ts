/**
 * Write-through: what follows a commit. Every change of stock or of a reservation goes through here: one transaction in
 * MySQL, then the mirror and the bus at the same time.
 *
 * Invariants I2 and I6: nothing is mirrored or published before its commit, and a failure of either does not undo the
 * commit. A mirror that was not written is repaired; an event that was not published stays in the outbox.
 */
import { publishEvents, type RecordedEvent } from '#events/outbox.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal } from '#platform/kernel/errors.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import type { SaleRow } from '#sale/sale.store.ts';
import type { MirroredReservation } from './claims.ts';
import { type MirrorNeeds, refreshMirror } from './mirror.ts';

/** The changes of a transaction that must be mirrored and published. */
export interface Committed {
  /** The stock of each sale as of this commit. */
  readonly stocks: readonly StockLevel[];
  readonly reservations: readonly MirroredReservation[];
  /** Events that the transaction has recorded in the outbox. */
  readonly events: readonly RecordedEvent[];
  /** Sales whose terms have changed. */
  readonly terms?: readonly SaleRow[];
}

/** A transaction that changed nothing. */
export const nothingChanged: Committed = { stocks: [], reservations: [], events: [] };

/** What writing through needs. */
export type WriteNeeds = MirrorNeeds & Needs<'bus'>;

/**
 * Runs `work` in one transaction, then mirrors and publishes its changes. Resolves to the result of `work`; a refusal
 * changes nothing. `nowMs` is the time at which this attempt of the transaction began. `committed` is called right after
 * the commit; it must not throw. Throws if it was not committed, or may not have been.
 */
export async function writeThrough<T extends Committed | Refusal>(
  deps: WriteNeeds,
  work: (tx: Tx, nowMs: number) => Promise<T>,
  committed?: () => Promise<void>,
): Promise<T> {
  const result = await deps.db.transaction((tx) => work(tx, deps.clock()));
  await Promise.all([committed?.(), isRefusal(result) ? undefined : announce(deps, result)]);
  return result;
}

async function announce(deps: WriteNeeds, { stocks, reservations, events, terms }: Committed): Promise<void> {
  await Promise.all([
    stocks.length > 0 ? refreshMirror(deps, stocks, reservations, terms) : undefined,
    publishEvents(deps, events),
  ]);
}
