/**
 * What follows every change of a sale's terms or phase: its event is committed with it, and after the commit the mirror
 * gets the new terms, so that the gate applies them at once and a late writer cannot restore the old ones (I6).
 */

import { newEvent, recordEvents } from '#events/outbox.ts';
import type { Committed } from '#mirror/write-through.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { phaseAt } from '#sale/phase.ts';
import { readSales, type SaleRow } from '#sale/sale.store.ts';
import { salePublished } from './publication.ts';

/** The committed change of a sale. */
export interface SaleCommitted extends Committed {
  readonly sale: SaleRow;
}

/** What a change of a sale means to those who look at it. */
export interface Sight {
  /** Whether it becomes public with this change. */
  readonly publishes?: boolean;
  /** Whether it is hidden from some who could find it (`isHiddenBy`). */
  readonly hides?: boolean;
}

/** Reads a sale as this transaction has written it, and records its events. */
export async function recordSale(
  tx: Tx,
  saleId: SaleId,
  nowMs: number,
  { publishes = false, hides = false }: Sight = {},
): Promise<SaleCommitted> {
  const sale = (await readSales(tx, [saleId])).get(saleId);
  if (!sale) throw new Error('a sale that was just written cannot be read');
  const events = [saleChanged(sale, nowMs, hides), ...(publishes ? [salePublished(sale, nowMs)] : [])];
  await recordEvents(tx, events, nowMs);
  return { sale, stocks: [sale], reservations: [], events, terms: [sale] };
}

/** The event of a sale's new terms or phase. */
export function saleChanged(sale: SaleRow, nowMs: number, hides = false) {
  const { saleId, epoch, version, allotment, available, allocated, sold, waitlisted, status } = sale;
  const stock = { saleId, epoch, version, allotment, available, allocated, sold, waitlisted };
  const hidden = hides ? { hidden: true } : {};
  return newEvent('sale.changed', { saleId, phase: phaseAt(sale, nowMs), status, stock, ...hidden }, nowMs);
}
