/**
 * I13, the books: what was captured is what was ordered, what was refunded is what was asked for, each once and never more
 * than was captured, and nothing is kept for a sale that was called off with refunds.
 *
 * The provider's books are the truth about money; the rows of refunds are compared with them in both directions.
 */
import type { Books, Charge } from './provider.ts';
import type { CancellationRow, ItemRow, PurchaseRow, RefundRow, ReservationRow } from './store.ts';
import type { Tally } from './tally.ts';

/** Purchases that wait for an operator, for whom an alarm is raised: their money is neither kept nor refunded yet. */
const waitForOperator = ['disputed', 'refund_failed'];

export class RefundCheck {
  readonly #purchases: Map<string, PurchaseRow>;
  readonly #items: Map<string, ItemRow[]>;
  readonly #refunds: Map<string, RefundRow[]>;
  readonly #cancellations: Map<string, CancellationRow>;
  /** Bought reservations of sales that were called off. */
  readonly #bought: ReservationRow[] = [];

  constructor(
    purchases: Map<string, PurchaseRow>,
    items: Map<string, ItemRow[]>,
    refunds: Map<string, RefundRow[]>,
    cancellations: Map<string, CancellationRow>,
  ) {
    this.#purchases = purchases;
    this.#items = items;
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
      // A refund of nothing only returns units; the provider knows nothing of it.
      const recorded = amounts(own.filter(({ state, amountMinor }) => state === 'refunded' && amountMinor > 0));
      tally.expect(
        atProvider.join() === recorded.join(),
        () => `the provider refunded ${atProvider} of charge ${charge.id}, and the books say ${recorded}`,
      );
      const isForeign = (given.get(charge.id) ?? []).some(({ currency }) => currency !== charge.currency);
      tally.expect(!isForeign, () => `charge ${charge.id} was refunded in another currency than ${charge.currency}`);
      this.#judgeShares(charge, sumOf(atProvider), tally);
      const promised = own.filter(({ state }) => state !== 'failed');
      tally.expect(
        sumOf(promised.map(({ amountMinor }) => amountMinor)) <= charge.amountMinor,
        () => `more than the ${charge.amountMinor} of charge ${charge.id} is refunded or to be`,
      );
      tally.expect(
        own.every(({ state }) => state !== 'pending'),
        () => `a refund of purchase ${charge.idempotencyKey} is still pending`,
      );
    }
    for (const row of this.#bought) this.#judgeBought(row, charges, tally);
  }

  /** At least the exact shares of called-off sales were refunded, but for what an operator has waived of them. */
  #judgeShares(charge: Charge, given: number, tally: Tally): void {
    const purchase = this.#purchases.get(charge.idempotencyKey);
    if (!purchase || waitForOperator.includes(purchase.state)) return;
    const owed = (this.#items.get(purchase.id) ?? []).filter(({ saleId }) => this.#isOwed(charge, saleId));
    if (owed.length === 0) return;
    const shares = sumOf(owed.map(({ units, priceMinor }) => units * priceMinor));
    const waived = this.#waivedOf(purchase.id, owed);
    tally.expect(
      given + waived >= Math.min(shares, charge.amountMinor),
      () =>
        `of charge ${charge.id}, ${given} was given back and ${waived} waived, and ${shares} was paid in sales that were called off`,
    );
  }

  /** What the books say was waived of what these items cost; goodwill, for no sale in particular, is none of it. */
  #waivedOf(purchaseId: string, items: readonly ItemRow[]): number {
    const isOfThem = ({ saleId, releases }: RefundRow) => {
      if (saleId !== null) return items.some((item) => item.saleId === saleId);
      if (releases === '*') return true;
      const named = (JSON.parse(releases) as (string | [string, number])[]).map((one) => [one].flat()[0]);
      return named.length > 0 && named.every((id) => items.some(({ reservationId }) => reservationId === id));
    };
    const waived = (this.#refunds.get(purchaseId) ?? []).filter((one) => one.state === 'refunded' && isOfThem(one));
    return sumOf(waived.map(({ waivedMinor }) => waivedMinor));
  }

  /** Whether what a charge paid in a sale is to be given back, because it was called off. */
  #isOwed({ createdAt = '' }: Charge, saleId: string): boolean {
    const cancellation = this.#cancellations.get(saleId);
    if (!cancellation) return false;
    return cancellation.refunds === 'refund' || Date.parse(createdAt) > cancellation.calledOffAtMs + clockSkewMs;
  }

  /** A purchase in a called-off sale is kept only if the operator said so, and only from before. */
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

/** A capture may be made at the provider just before the cancellation and reported just after. */
const clockSkewMs = 1_000;

function sumOf(amounts: readonly number[]): number {
  return amounts.reduce((sum, amount) => sum + amount, 0);
}

function amounts(rows: readonly { amountMinor: number }[]): number[] {
  return rows.map(({ amountMinor }) => amountMinor).sort((one, other) => one - other);
}
