/**
 * The ledger's store: the only code that writes `ledger`. It only appends.
 *
 * Invariant I3: the key is (what moved, kind of movement), so a movement that happened once cannot be recorded twice.
 */
import { newId, type SaleId } from '#platform/kernel/ids.ts';
import { insertRows } from '#platform/mysql/insert-rows.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import type { MovementKind } from './ledger.table.ts';
import { saleTag } from './sale-id.ts';

/** One line of the ledger. */
export interface Movement {
  readonly subjectId: string;
  readonly kind: MovementKind;
  readonly saleId: SaleId;
  readonly units: number;
}

const ledgerColumns = { ids: ['subject_id', 'sale_id'], others: ['kind', 'units', 'at_ms'] };

/** Appends movements to the ledger in one statement. Throws if a movement is already recorded. */
export async function recordMovements(tx: Tx, movements: readonly Movement[], nowMs: number): Promise<void> {
  if (movements.length === 0) return;
  const rows = movements.map(({ subjectId, kind, saleId, units }) => [subjectId, saleId, kind, units, nowMs]);
  await insertRows(tx, 'INSERT INTO ledger', ledgerColumns, rows);
}

/** The movement that brings units into a sale or takes them out. Its id carries the sale's tag, as reservations' do. */
export function adjustment(saleId: SaleId, units: number, nowMs: number): Movement {
  const tag = saleTag(saleId);
  const subjectId = `${tag.slice(0, 8)}-${tag.slice(8)}-${newId(nowMs).slice(14)}`;
  return { subjectId, kind: 'ADJUST', saleId, units };
}
