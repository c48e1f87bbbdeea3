/**
 * I4, cap: what one customer holds, has bought and waits for in a sale stays within the sale's cap.
 */
import type { ReservationRow, SaleRow } from './store.ts';
import type { Tally } from './tally.ts';

export class CapCheck {
  readonly #units = new Map<string, Map<string, number>>();

  add({ saleId, customerId, state, units, quantity }: ReservationRow): void {
    const counted = state === 'allocated' || state === 'purchased' ? units : state === 'waitlisted' ? quantity : 0;
    const ofSale = this.#units.get(saleId) ?? new Map<string, number>();
    this.#units.set(saleId, ofSale);
    // Zero counts too: a customer who holds nothing was checked as well.
    ofSale.set(customerId, (ofSale.get(customerId) ?? 0) + counted);
  }

  finish(sales: Map<string, SaleRow>, tally: Tally): void {
    for (const [saleId, customers] of this.#units) {
      const cap = sales.get(saleId)?.cap ?? 0;
      for (const [customerId, units] of customers) {
        tally.expect(
          units <= cap,
          () => `customer ${customerId} has ${units} units of sale ${saleId}; the cap is ${cap}`,
        );
      }
    }
  }
}
