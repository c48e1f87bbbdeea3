/**
 * I13, the money of what is called off and refunded: what was captured is what was ordered, what was refunded is what was
 * asked for, each once and never more than was captured, and nothing is kept for a sale that was called off with refunds.
 *
 * The provider's books are the truth about money; the rows of refunds are held against them, from both sides.
 */
import type { Books } from './provider.ts';
import type { CancellationRow, PurchaseRow, RefundRow, ReservationRow } from './store.ts';
import type { Tally } from './tally.ts';

/** Purchases that wait for an operator, who has been alarmed: their money is neither kept nor refunded yet. */
const waitForOperator = ['disputed', 'refund_failed'];

export class RefundCheck {
  readonly #purchases: Map<string, PurchaseRow>;
  readonly #refunds: Map<string, RefundRow[]>;
  readonly #cancellations: Map<string, CancellationRow>;
  /** Bought reservations of sales that were called off. */
  readonly #bought: ReservationRow[] = [];

  constructor(
    purchases: Map<string, PurchaseRow>,
    refunds: Map<string, RefundRow[]>,
    cancellations: Map<string, CancellationRow>,
  ) {
    this.#purchases = purchases;
    this.#refunds = refunds;
    this.#cancellations = cancellations;
  }

  /** Notes a reservation that was bought in a sale that was called off. */
  add(row: ReservationRow): void {
    if (row.state === 'purchased' && this.#cancellations.has(row.saleId)) this.#bought.push(row);
  }

  /** Compares with the provider's books. */
  finish({ charges, refunds }: Books, tally: Tally): void {
    const given = Map.groupBy(refunds, (refund) => refund.chargeId);
    for (const charge of charges.filter(({ status }) => status === 'captured')) {
      const purchase = this.#purchases.get(charge.idempotencyKey);
      const own = this.#refunds.get(charge.idempotencyKey) ?? [];
      const atProvider = amounts(given.get(charge.id) ?? []);
      tally.expect(
        purchase?.state === 'disputed' ||
          atProvider.reduce((sum, amount) => sum + amount, 0) === charge.amountMinor ||
          (purchase?.amountMinor === charge.amountMinor && purchase.currency === charge.currency),
        () => `charge ${charge.id} is not what purchase ${charge.idempotencyKey} ordered`,
      );
      const recorded = amounts(own.filter(({ state }) => state === 'refunded'));
      tally.expect(
        atProvider.join() === recorded.join(),
        () => `the provider refunded ${atProvider} of charge ${charge.id}, and the books say ${recorded}`,
      );
      const promised = own.filter(({ state }) => state !== 'failed');
      tally.expect(
        promised.reduce((sum, refund) => sum + refund.amountMinor, 0) <= charge.amountMinor,
        () => `more than the ${charge.amountMinor} of charge ${charge.id} is refunded or to be`,
      );
      tally.expect(
        own.every(({ state }) => state !== 'pending'),
        () => `a refund of purchase ${charge.idempotencyKey} is still pending`,
      );
    }
    for (const row of this.#bought) this.#judgeBought(row, charges, tally);
  }

  /** What was bought in a sale that was called off is kept only if the operator said so, and only from before. */
  #judgeBought(row: ReservationRow, charges: Books['charges'], tally: Tally): void {
    const cancellation = this.#cancellations.get(row.saleId);
    const purchase = this.#purchases.get(row.purchaseId ?? '');
    const charge = charges.find((one) => one.id === purchase?.chargeId);
    const isLate = Date.parse(charge?.createdAt ?? '') > (cancellation?.calledOffAtMs ?? 0) + clockSkewMs;
    tally.expect(
      (cancellation?.refunds === 'keep' && !isLate) || waitForOperator.includes(purchase?.state ?? ''),
      () => `reservation ${row.id} is bought, and its sale was called off`,
    );
  }
}

/** A capture may have been made at the provider just before and be told just after. */
const clockSkewMs = 1_000;

function amounts(rows: readonly { amountMinor: number }[]): number[] {
  return rows.map(({ amountMinor }) => amountMinor).sort((one, other) => one - other);
}
