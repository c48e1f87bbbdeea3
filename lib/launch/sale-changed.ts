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

/** The committed change of a sale. */
export interface SaleCommitted extends Committed {
  readonly sale: SaleRow;
}

/** Reads a sale as this transaction has written it, and records its event. */
export async function recordSale(tx: Tx, saleId: SaleId, nowMs: number): Promise<SaleCommitted> {
  const sale = (await readSales(tx, [saleId])).get(saleId);
  if (!sale) throw new Error('a sale that was just written cannot be read');
  const event = saleChanged(sale, nowMs);
  await recordEvents(tx, [event], nowMs);
  return { sale, stocks: [sale], reservations: [], events: [event], terms: [sale] };
}

/** The event of a sale's new terms or phase. */
export function saleChanged(sale: SaleRow, nowMs: number) {
  const { saleId, epoch, version, allotment, available, allocated, sold, waitlisted, status } = sale;
  const stock = { saleId, epoch, version, allotment, available, allocated, sold, waitlisted };
  return newEvent('sale.changed', { saleId, phase: phaseAt(sale, nowMs), status, stock }, nowMs);
}
