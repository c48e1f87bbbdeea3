/**
 * I4, cap: what one customer holds, has bought and waits for in a sale stays within the sale's cap. Where a sale counts by person,
 * so does what all accounts of a person have together, and nobody has anything by a contact or an external id that was not theirs.
 */
import type { PersonHolder, ReservationRow, SaleRow } from './store.ts';
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

/** The life of an access token: for so long what an account could show may still be used. */
const tokenLifeMs = 600_000;

/**
 * What tells a person from others belongs to one account at a time, so two accounts of a person are two holders of it one after the
 * other, or two accounts that show the same. An account whose external id an operator has changed since it reserved shows
 * another person than the one who reserved, so it cannot be judged by it.
 */
export async function checkPersons(holders: AsyncIterable<PersonHolder>, tally: Tally): Promise<void> {
  const persons = new Map<string, { units: number; cap: number; accounts: string[] }>();
  for await (const { saleId, customerId, capPer, cap, units, ...holder } of holders) {
    const { sinceMs, acceptedAtMs, changedAtMs, saleCreatedAtMs } = holder;
    if (capPer === 'externalId' && changedAtMs !== null && changedAtMs + tokenLifeMs >= acceptedAtMs) continue;
    tally.expect(
      sinceMs !== null && (sinceMs === 0 || sinceMs + tokenLifeMs <= saleCreatedAtMs),
      () =>
        `customer ${customerId} has something of sale ${saleId}, which counts by ${capPer}, with one since ${sinceMs}`,
    );
    const name = `${saleId}/${capPer === 'contact' ? mailboxOf(holder.email) : holder.externalId}`;
    const person = persons.get(name) ?? { units: 0, cap, accounts: [] };
    persons.set(name, { units: person.units + units, cap, accounts: [...person.accounts, customerId] });
  }
  for (const [name, { units, cap, accounts }] of persons) {
    tally.expect(
      units <= cap,
      () => `${accounts.length} accounts of one person have ${units} units of sale ${name}; the cap is ${cap}`,
    );
  }
}

/** The mailbox that an address reaches, whatever tag was written into it. */
function mailboxOf(email: string): string {
  const [, name = '', domain = ''] = /^(.*)@([^@]*)$/.exec(email) ?? [];
  return `${name.startsWith('"') ? name : name.replace(/(?<=.)\+.*$/, '')}@${domain}`;
}
