/**
 * I1, no oversell: Σ units allocated or sold + available = allotment, nothing negative.
 *
 * Three accounts of each sale are drawn up independently and must agree: its own row, the sum of its reservations, and
 * the sum of the ledger. What clients were shown in between is judged while their log is read.
 */

import type { Stop } from './read-by-reservation.ts';
import type { MovementRow, ReservationRow, SaleRow } from './store.ts';
import type { Tally } from './tally.ts';

interface Account {
  allocated: number;
  sold: number;
  waitlisted: number;
  ledger: { adjusted: number; allocated: number; sold: number };
}

export class StockCheck {
  readonly #accounts = new Map<string, Account>();

  /** Adds what a reservation holds and how its units moved, or a change of the allotment. */
  add({ row, movements }: Stop): void {
    if (row) this.#addRow(row);
    // Refunded units were sold under the id of the reservation that they were split from.
    const sold = row?.state === 'refunded' || movements.some((movement) => movement.kind === 'SELL');
    for (const movement of movements) this.#addMovement(movement, sold);
  }

  /** Compares the three accounts. */
  finish(sales: Map<string, SaleRow>, tally: Tally): void {
    for (const sale of sales.values()) {
      const rows = this.#accountOf(sale.id);
      const { ledger } = rows;
      const equal = (what: string, one: number, other: number) =>
        tally.expect(one === other, () => `sale ${sale.id}: ${what}: ${one} and ${other}`);
      equal('available + allocated + sold, and allotment', sale.available + sale.allocated + sale.sold, sale.allotment);
      tally.expect(
        Math.min(sale.available, sale.allocated, sale.sold, sale.waitlisted) >= 0,
        () => `sale ${sale.id} has a negative counter`,
      );
      equal('allocated units of the sale and of its reservations', sale.allocated, rows.allocated);
      equal('sold units of the sale and of its reservations', sale.sold, rows.sold);
      equal('waitlisted of the sale and its reservations', sale.waitlisted, rows.waitlisted);
      equal('allotment and the adjustments of the ledger', sale.allotment, ledger.adjusted);
      equal('allocated units of the sale and of the ledger', sale.allocated, ledger.allocated);
      equal('sold units of the sale and of the ledger', sale.sold, ledger.sold);
      equal('available, and what the ledger leaves', sale.available, ledger.adjusted - ledger.allocated - ledger.sold);
    }
    for (const [saleId, account] of this.#accounts) {
      if (sales.has(saleId)) continue;
      const held = account.allocated + account.sold + Math.abs(account.ledger.adjusted);
      tally.expect(held === 0, () => `units of sale ${saleId} are held, and there is no such sale`);
    }
  }

  #addRow({ saleId, state, units }: ReservationRow): void {
    const account = this.#accountOf(saleId);
    if (state === 'allocated') account.allocated += units;
    if (state === 'purchased') account.sold += units;
    if (state === 'waitlisted') account.waitlisted += 1;
  }

  /** A release gives back what was sold if the reservation was sold before, and otherwise what was allocated. */
  #addMovement({ saleId, kind, units }: MovementRow, sold: boolean): void {
    const { ledger } = this.#accountOf(saleId);
    if (kind === 'ADJUST') ledger.adjusted += units;
    if (kind === 'ALLOCATE') ledger.allocated += units;
    if (kind === 'SELL') {
      ledger.allocated -= units;
      ledger.sold += units;
    }
    if (kind === 'RELEASE') ledger[sold ? 'sold' : 'allocated'] -= units;
  }

  #accountOf(saleId: string): Account {
    const known = this.#accounts.get(saleId);
    if (known) return known;
    const made = { allocated: 0, sold: 0, waitlisted: 0, ledger: { adjusted: 0, allocated: 0, sold: 0 } };
    this.#accounts.set(saleId, made);
    return made;
  }
}
