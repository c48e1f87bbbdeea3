/**
 * I13, the money, in the model: what a purchase cost is what was captured; a refund is asked for once, keeps its amount unless
 * it was refused and an operator decides about it, and all of them never exceed what was captured; and nothing is kept for a
 * sale that was called off, unless the operator said so and it had been paid before, or has waived it.
 */
import { Digest, Sum } from '../world/choice.ts';
import type { Row } from '../world/mysql.ts';
import { givenBack, isPaid } from '../world/provider.ts';
import type { World } from '../world/world.ts';
import { Columns } from './columns.ts';

/** The states in which a purchase is not paid yet. */
const unpaid = new Set(['requested', 'unknown', 'requires_action', 'disputed', 'declined']);
/** What pays for a purchase for the first time, if its sales are still on. */
const awaited = new Set(['requested', 'unknown', 'requires_action']);

export class MoneyCheck {
  readonly #world: World;
  readonly #fail: (invariant: string, detail: string) => void;
  readonly #sales: Columns;
  readonly #purchases: Columns;
  readonly #items: Columns;
  readonly #refunds: Columns;
  readonly #reservations: Columns;
  readonly #cancellations: Columns;
  /** Purchases that were paid for a sale after it had been called off: the purchase and the sale, as they are stored. */
  readonly #paidTooLate = new Set<string>();

  constructor(world: World, fail: (invariant: string, detail: string) => void) {
    const columns = (name: string) => new Columns(world.mysql.table(name));
    this.#world = world;
    this.#fail = fail;
    this.#sales = columns('sales');
    this.#purchases = columns('purchases');
    this.#items = columns('purchase_items');
    this.#refunds = columns('refunds');
    this.#reservations = columns('reservations');
    this.#cancellations = columns('cancellations');
  }

  reset(): void {
    this.#paidTooLate.clear();
  }

  /** What can change later verdicts. */
  digest(): number {
    const sum = new Sum();
    for (const one of this.#paidTooLate) sum.add(new Digest().text(one).value());
    return sum.value();
  }

  /** Notes a purchase that is paid though a sale of it was called off before. */
  notePayment(before: Row | undefined, after: Row): void {
    const c = this.#purchases;
    if (!before || !unpaid.has(c.text(before, 'state')) || unpaid.has(c.text(after, 'state'))) return;
    for (const item of this.#itemsOf(c.text(after, 'id'))) {
      if (this.#statusOf(this.#items.text(item, 'sale_id')) !== 'cancelled') continue;
      this.#paidTooLate.add(`${c.text(after, 'id')}${this.#items.text(item, 'sale_id')}`);
    }
  }

  /** A purchase has moved. */
  purchaseChanged(before: Row | undefined, after: Row): void {
    const c = this.#purchases;
    const [from, to] = [before ? c.text(before, 'state') : 'new', c.text(after, 'state')];
    const id = c.id(after, 'id');
    const charge = this.#world.provider.charges.get(id);
    if (awaited.has(from) && to === 'captured' && charge && charge.amountMinor !== c.number(after, 'amount_minor'))
      this.#fail('I13', `${charge.amountMinor} was captured for purchase ${id}, which costs another amount`);
  }

  /** A refund was ordered, or has got on. */
  refundChanged(before: Row | undefined, after: Row | undefined): void {
    const c = this.#refunds;
    if (!after) {
      this.#fail('I13', 'a refund was deleted');
      return;
    }
    const key = `${c.id(after, 'purchase_id')} ${c.text(after, 'refund_key')}`;
    if (before && !this.#keepsItsAmount(before, after)) this.#fail('I13', `the amount of refund ${key} has changed`);
    if (before && c.text(before, 'state') === 'refunded' && c.text(after, 'state') !== 'refunded')
      this.#fail('I13', `refund ${key} was given back and is ${c.text(after, 'state')}`);
    const ordered = this.#refundsOf(c.text(after, 'purchase_id')).reduce(
      (sum, row) => sum + (c.text(row, 'state') === 'failed' ? 0 : c.number(row, 'amount_minor')),
      0,
    );
    const charge = this.#world.provider.charges.get(c.id(after, 'purchase_id'));
    if (charge && ordered > charge.amountMinor)
      this.#fail('I13', `${ordered} was ordered back of ${key}, of which ${charge.amountMinor} was captured`);
  }

  /** Whether a refund is as much as before: one that was refused may become less when it is asked for again, or be waived. */
  #keepsItsAmount(before: Row, after: Row): boolean {
    const c = this.#refunds;
    const [was, is] = [c.number(before, 'amount_minor'), c.number(after, 'amount_minor')];
    const [wasWaived, isWaived] = [c.number(before, 'waived_minor'), c.number(after, 'waived_minor')];
    if (was === is && wasWaived === isWaived) return true;
    if (c.text(before, 'state') !== 'failed' || c.text(after, 'state') !== 'pending') return false;
    return isWaived === wasWaived ? is < was : is === 0 && isWaived === was;
  }

  /** Everything that had to be given back has been. */
  atRest(): void {
    const { mysql, provider } = this.#world;
    const refunding = new Set(
      [...mysql.table('cancellations').rows()]
        .filter((row) => this.#cancellations.text(row, 'refunds') === 'refund')
        .map((row) => this.#cancellations.text(row, 'sale_id')),
    );
    for (const row of mysql.table('cancellations').rows()) {
      if (this.#cancellations.value(row, 'swept_at_ms') === null)
        this.#fail('I9', `the sweep of sale ${this.#cancellations.id(row, 'sale_id')} is not over`);
    }
    for (const purchase of mysql.table('purchases').rows()) {
      const stored = this.#purchases.text(purchase, 'id');
      const charge = provider.charges.get(this.#purchases.id(purchase, 'id'));
      if (!charge || !isPaid(charge)) continue;
      if (givenBack(charge) === charge.amountMinor) continue;
      const bySale = Map.groupBy(this.#itemsOf(stored), (item) => this.#items.text(item, 'sale_id'));
      for (const [sale, items] of bySale) {
        if (!refunding.has(sale) && !this.#paidTooLate.has(`${stored}${sale}`)) continue;
        const owed = items.reduce((sum, item) => sum + this.#priceOf(item, this.#items.number(item, 'units')), 0);
        const settled = this.#settledFor(stored, sale, items);
        if (settled < owed)
          this.#fail('I13', `${owed} of ${charge.key} was paid for a sale that is called off, ${settled} is settled`);
      }
    }
  }

  #priceOf(item: Row, units: number): number {
    return units * this.#items.number(item, 'price_minor');
  }

  /** What was given back or waived of a sale's items, or waits for an operator since it was refused. */
  #settledFor(purchase: string, sale: string, items: readonly Row[]): number {
    const c = this.#refunds;
    const ids = new Map<string, Row>(items.map((item) => [this.#items.id(item, 'reservation_id'), item]));
    let settled = 0;
    for (const refund of this.#refundsOf(purchase)) {
      const waived = c.number(refund, 'waived_minor');
      const amount = c.number(refund, 'amount_minor') + waived;
      const releases = c.text(refund, 'releases');
      if (c.value(refund, 'sale_id') !== null) settled += c.text(refund, 'sale_id') === sale ? amount : 0;
      else if (c.value(refund, 'for_items') !== null) {
        const own = (JSON.parse(c.text(refund, 'for_items')) as [string, number][]).reduce((sum, [id, units]) => {
          const item = ids.get(id);
          return sum + (item ? this.#priceOf(item, units) : 0);
        }, 0);
        settled += Math.min(own, amount);
      } else if (releases === '*') settled += waived > 0 ? Number.POSITIVE_INFINITY : 0;
      else {
        const named = (JSON.parse(releases) as (string | [string, number])[]).map((one) => [one].flat()[0]);
        if (named.length > 0 && named.every((id) => ids.has(String(id)))) settled += amount;
      }
    }
    return settled;
  }

  /** Whether all units of a reservation had to return with refunds that were given back. */
  releases(reservation: Row): boolean {
    return this.#itemsOf(this.#reservations.text(reservation, 'purchase_id')).some(
      (item) =>
        this.#items.value(item, 'reservation_id') === this.#reservations.value(reservation, 'id') &&
        this.#unitsLeft(item) === 0,
    );
  }

  /** Of each bought reservation so many units have returned as refunds that were given back have named. */
  unitsAtRest(): void {
    for (const item of this.#world.mysql.table('purchase_items').rows()) {
      const stored = this.#world.mysql.table('reservations').stored.get(this.#items.text(item, 'reservation_id'));
      const row = stored?.committed;
      const isOwn = row && this.#reservations.value(row, 'purchase_id') === this.#items.value(item, 'purchase_id');
      if (!isOwn || this.#reservations.text(row, 'state') !== 'purchased') continue;
      const [units, left] = [this.#reservations.number(row, 'units'), this.#unitsLeft(item)];
      if (left > 0 && units !== left)
        this.#fail('I13', `${units} units of ${this.#reservations.id(row, 'id')} are bought, ${left} should be`);
    }
  }

  /** How many units of an item have not returned with refunds that were given back. */
  #unitsLeft(item: Row): number {
    const id = this.#items.id(item, 'reservation_id');
    let left = this.#items.number(item, 'units');
    for (const refund of this.#refundsOf(this.#items.text(item, 'purchase_id'))) {
      if (this.#refunds.text(refund, 'state') !== 'refunded') continue;
      const named = this.#refunds.text(refund, 'releases');
      if (named === '*') return 0;
      for (const entry of JSON.parse(named) as (string | [string, number])[]) {
        if (entry === id) return 0;
        if (entry[0] === id) left -= Number(entry[1]);
      }
    }
    return Math.max(0, left);
  }

  #statusOf(sale: string): string {
    const row = this.#world.mysql.table('sales').stored.get(sale)?.committed;
    return row ? this.#sales.text(row, 'status') : '';
  }

  #itemsOf(purchase: string): Row[] {
    return this.#rowsOf('purchase_items', purchase);
  }

  #refundsOf(purchase: string): Row[] {
    return this.#rowsOf('refunds', purchase);
  }

  #rowsOf(name: string, purchase: string): Row[] {
    const table = this.#world.mysql.table(name);
    const found = table.lookup(table.column('purchase_id'), [purchase]);
    return [...found].flatMap(({ committed }) => (committed ? [committed] : []));
  }
}
