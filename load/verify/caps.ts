/**
 * I4, cap: what one customer holds, has bought and waits for in a sale stays within the sale's cap; and where a sale counts by
 * contact, nobody has anything whose contact was not theirs alone.
 */
import type { ContactHolder, ReservationRow, SaleRow } from './store.ts';
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

/** The life of an access token: for so long an account that is gone may still reserve. */
const tokenLifeMs = 600_000;

/** A contact belongs to one account at a time, so two accounts of a person are two holders of it one after the other. */
export async function checkContacts(holders: AsyncIterable<ContactHolder>, tally: Tally): Promise<void> {
  for await (const { saleId, customerId, saleCreatedAtMs, contactSinceMs: sinceMs } of holders) {
    tally.expect(
      sinceMs !== null && (sinceMs === 0 || sinceMs + tokenLifeMs <= saleCreatedAtMs),
      () =>
        `customer ${customerId} has something of sale ${saleId}, which counts by contact, with a contact since ${sinceMs}`,
    );
  }
}
