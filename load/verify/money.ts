/**
 * I7, money: at most one capture for each purchase at all providers together, every capture is a purchase or was refunded, every
 * unit that counts as bought was paid for at its sale's price, and each purchase was charged by its own provider, which is the one
 * that its sale names.
 *
 * The providers' books are the truth about money; MySQL is compared with them, from both sides.
 */
import type { ClientView } from './clients.ts';
import type { Books, Charge } from './provider.ts';
import type { ItemRow, PurchaseRow, RefundRow, ReservationRow, SaleRow } from './store.ts';
import type { Tally } from './tally.ts';

/** A purchase may have read its sale so long after it was requested, or before a change that was under way was committed. */
const changesUnderWayMs = 10_000;

export class MoneyCheck {
  readonly #purchases: Map<string, PurchaseRow>;
  readonly #items: Map<string, ItemRow[]>;
  readonly #sales: Map<string, SaleRow>;
  readonly #refunds: Map<string, RefundRow[]>;
  /** For each bought or refunded reservation, the purchase that it names. */
  readonly #bought = new Map<string, ReservationRow>();
  /** Those that were reduced or split, by the purchase and the reservation that was requested. */
  readonly #split = new Map<string, ReservationRow[]>();

  constructor(
    purchases: Map<string, PurchaseRow>,
    items: Map<string, ItemRow[]>,
    sales: Map<string, SaleRow>,
    refunds: Map<string, RefundRow[]>,
  ) {
    this.#refunds = refunds;
    this.#purchases = purchases;
    this.#items = items;
    this.#sales = sales;
  }

  /** A reservation that counts as bought has a captured purchase which lists it. */
  add(row: ReservationRow, tally: Tally): void {
    if (row.state !== 'purchased' && row.state !== 'refunded') return;
    this.#bought.set(row.id, row);
    if (row.partOf !== null || row.askedQuantity !== null) {
      const name = `${row.purchaseId}/${row.partOf ?? row.id}`;
      this.#split.set(name, [...(this.#split.get(name) ?? []), row]);
      return;
    }
    const purchase = this.#purchases.get(row.purchaseId ?? '');
    const item = this.#items.get(row.purchaseId ?? '')?.find((one) => one.reservationId === row.id);
    const released = this.#isReleased(row);
    // After a partial refund the purchase is captured, and its other units stay with their buyer.
    const fits = row.state === 'purchased' ? ['captured', 'refunding', 'refund_failed'] : ['refunded'];
    const fitsInPart = row.state === 'purchased' ? ['refunded'] : ['captured', 'refund_failed'];
    tally.expect(
      purchase !== undefined &&
        (fits.includes(purchase.state) ||
          (fitsInPart.includes(purchase.state) && released === (row.state === 'refunded'))),
      () => `reservation ${row.id} is ${row.state}, and its purchase is ${purchase?.state ?? 'missing'}`,
    );
    tally.expect(
      item !== undefined && item.units === row.units,
      () => `reservation ${row.id} was bought with ${row.units} units, and its purchase lists ${item?.units ?? 'none'}`,
    );
    tally.expect(purchase?.customerId === row.customerId, () => `reservation ${row.id} was bought by another customer`);
  }

  /** Whether a refund that was made had to return the units of this reservation. */
  #isReleased({ id, purchaseId }: ReservationRow): boolean {
    return (this.#refunds.get(purchaseId ?? '') ?? []).some(
      ({ state, releases }) => state === 'refunded' && (releases === '*' || releases.includes(id)),
    );
  }

  /** Compares purchases with the provider's books and with what clients were told. */
  finish(books: Books, clients: ClientView, tally: Tally): void {
    for (const rows of this.#split.values()) this.#judgeSplit(rows, tally);
    const captures = Map.groupBy(
      books.charges.filter((charge) => charge.status === 'captured'),
      (charge) => charge.idempotencyKey,
    );
    const refunds = Map.groupBy(books.refunds, (refund) => refund.chargeId);
    for (const [purchaseId, charges] of captures) {
      tally.expect(charges.length === 1, () => `purchase ${purchaseId} was captured ${charges.length} times`);
      for (const charge of charges) this.#judgeCapture(charge, sumOf(refunds.get(charge.id) ?? []), tally);
    }
    for (const [chargeId, given] of refunds) {
      const charge = books.charges.find((one) => one.id === chargeId);
      const total = sumOf(given);
      tally.expect(
        charge !== undefined && total <= charge.amountMinor,
        () => `of charge ${chargeId}, ${total} of ${charge?.amountMinor} was refunded`,
      );
    }
    for (const purchase of this.#purchases.values()) this.#judgePurchase(purchase, captures, clients, tally);
  }

  /** The parts of a split reservation together are what the purchase lists, and as many have returned as refunds say. */
  #judgeSplit(rows: ReservationRow[], tally: Tally): void {
    const [first] = rows;
    if (!first) return;
    const wholeOf = (id: string) => this.#bought.get(id)?.partOf ?? id;
    const purchaseId = first.purchaseId ?? '';
    const purchase = this.#purchases.get(purchaseId);
    const items = (this.#items.get(purchaseId) ?? []).filter(
      (item) => wholeOf(item.reservationId) === wholeOf(first.id),
    );
    const units = (of: readonly { units: number }[]) => of.reduce((sum, one) => sum + one.units, 0);
    tally.expect(
      purchase !== undefined && ['captured', 'refunding', 'refund_failed', 'refunded'].includes(purchase.state),
      () => `reservation ${first.id} is ${first.state}, and its purchase is ${purchase?.state ?? 'missing'}`,
    );
    tally.expect(
      units(items) === units(rows),
      () =>
        `of reservation ${wholeOf(first.id)} ${units(rows)} units were bought, and purchase ${purchaseId} lists ${units(items)}`,
    );
    const done = (this.#refunds.get(purchaseId) ?? []).filter(({ state }) => state === 'refunded');
    const due = units(
      items.map((item) => ({
        units: Math.min(item.units, units(done.map(({ releases }) => ({ units: releasedOf(item, releases) })))),
      })),
    );
    const returned = units(rows.filter(({ state }) => state === 'refunded'));
    tally.expect(
      due === returned,
      () => `of reservation ${wholeOf(first.id)} ${returned} units have returned, and refunds say ${due}`,
    );
    const strangers = rows.filter(({ customerId }) => customerId !== purchase?.customerId);
    tally.expect(strangers.length === 0, () => `reservation ${first.id} was bought by another customer`);
  }

  #judgeCapture(charge: Charge, refunded: number, tally: Tally): void {
    const purchase = this.#purchases.get(charge.idempotencyKey);
    // What was attempted before purchases remembered their provider is the sandbox's.
    const provider = purchase?.provider ?? 'sandbox';
    tally.expect(
      provider === charge.provider,
      () => `charge ${charge.id} is at ${charge.provider}, its purchase ${charge.idempotencyKey} at ${provider}`,
    );
    const kept = ['captured', 'refund_failed', 'disputed'].includes(purchase?.state ?? '');
    const isWhole = refunded === charge.amountMinor;
    tally.expect(
      kept || isWhole,
      () =>
        `charge ${charge.id} was captured for purchase ${charge.idempotencyKey}, which is ${purchase?.state ?? 'missing'}, and was not given back`,
    );
    // A capture that differs from the order is no purchase: an operator decides, or it was given back.
    tally.expect(
      // A capture of another amount may only be disputed or, after a decision against it, given back as a whole.
      purchase?.state === 'disputed' ||
        isWhole ||
        (purchase?.amountMinor === charge.amountMinor && purchase.currency === charge.currency),
      () =>
        `charge ${charge.id} is ${charge.amountMinor} ${charge.currency}, its purchase ${purchase?.amountMinor} ${purchase?.currency}`,
    );
    tally.expect(
      purchase?.state === 'declined' || purchase?.chargeId === charge.id,
      () => `purchase ${charge.idempotencyKey} names charge ${purchase?.chargeId} instead of ${charge.id}`,
    );
    tally.expect(
      !isWhole || purchase?.state !== 'captured',
      () => `charge ${charge.id} was given back, and its purchase counts as captured`,
    );
  }

  #judgePurchase(purchase: PurchaseRow, captures: Map<string, Charge[]>, clients: ClientView, tally: Tally): void {
    const items = this.#items.get(purchase.id) ?? [];
    const amount = items.reduce((sum, item) => sum + item.units * item.priceMinor, 0);
    const currencies = items.map((item) => this.#sales.get(item.saleId)?.currency);
    tally.expect(
      items.length > 0 && amount === purchase.amountMinor && currencies.every((one) => one === purchase.currency),
      () => `purchase ${purchase.id} is ${purchase.amountMinor} ${purchase.currency}, its items come to ${amount}`,
    );
    const paid = captures.has(purchase.id);
    tally.expect(
      paid || (purchase.state !== 'captured' && purchase.state !== 'refunded'),
      () => `purchase ${purchase.id} is ${purchase.state}, and the provider captured nothing`,
    );
    for (const item of items) this.#judgeItem(purchase, item, tally);
    this.#judgeProvider(purchase, items, tally);
    const promise = clients.purchases.get(purchase.id);
    if (!promise) return;
    const listed = items.map((item) => item.reservationId).sort();
    tally.expect(
      promise.amountMinor === purchase.amountMinor &&
        promise.currency === purchase.currency &&
        promise.customerId === purchase.customerId &&
        [...promise.reservationIds].sort().join() === listed.join(),
      () => `purchase ${purchase.id} is not what its client ordered`,
    );
  }

  /** A sale that names a provider is charged by it; after it was given another one, what was requested then. */
  #judgeProvider(purchase: PurchaseRow, items: readonly ItemRow[], tally: Tally): void {
    for (const { saleId } of items) {
      const { paymentProvider = null, patchedAtMs = null } = this.#sales.get(saleId) ?? {};
      if (paymentProvider === null) continue;
      if (patchedAtMs !== null && purchase.createdAtMs <= patchedAtMs + changesUnderWayMs) continue;
      tally.expect(
        purchase.provider === paymentProvider,
        () =>
          `purchase ${purchase.id} is charged by ${purchase.provider}, and its sale ${saleId} names ${paymentProvider}`,
      );
    }
  }

  #judgeItem(purchase: PurchaseRow, item: ItemRow, tally: Tally): void {
    const price = this.#sales.get(item.saleId)?.priceMinor;
    tally.expect(
      price === item.priceMinor,
      () => `purchase ${purchase.id} has a unit of sale ${item.saleId} at ${item.priceMinor} instead of ${price}`,
    );
    if (purchase.state !== 'captured') return;
    const row = this.#bought.get(item.reservationId);
    // In a partly refunded purchase, a line may have been refunded, or never have been bought.
    const isOff = (this.#refunds.get(purchase.id) ?? []).some(({ refundKey }) => refundKey === `sale:${item.saleId}`);
    tally.expect(
      isOff || (row?.purchaseId === purchase.id && (row.state === 'purchased' || this.#isReleased(row))),
      () =>
        `purchase ${purchase.id} was captured, and its reservation ${item.reservationId} is ${row?.state ?? 'not bought'}`,
    );
  }
}

/** How many units of an item a refund returns. */
function releasedOf({ reservationId, units }: ItemRow, releases: string): number {
  if (releases === '*') return units;
  const entries = JSON.parse(releases) as (string | [string, number])[];
  return entries.reduce<number>((sum, entry) => {
    const [id, count] = typeof entry === 'string' ? [entry, units] : entry;
    return id === reservationId ? sum + count : sum;
  }, 0);
}

function sumOf(refunds: readonly { amountMinor: number }[]): number {
  return refunds.reduce((sum, refund) => sum + refund.amountMinor, 0);
}
