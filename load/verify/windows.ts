/**
 * I8, windows: accepted only if opensAt ≤ acceptance < closesAt, for reserving as for buying; and no request is refused
 * as too early or too late while the window is open.
 *
 * The rows say when the servers think they accepted. The clients' log says it independently: an acceptance lies between
 * sending and answer, so an answer before the opening or a request after the close proves a wrong one.
 */
import type { ClientView, RefusedForTime } from './clients.ts';
import type { ItemRow, PurchaseRow, ReservationRow, SaleRow } from './store.ts';
import type { Tally } from './tally.ts';

const outsideReasons = new Set(['sale_not_open', 'sale_closed']);

/** A reservation was accepted within its sale's times or rejected; rejected as too early or too late only if it was. */
export function checkAcceptedInWindow(row: ReservationRow, sale: SaleRow | undefined, tally: Tally): void {
  const inside = sale !== undefined && within(row.acceptedAtMs, sale.reserveOpensAtMs, sale.reserveClosesAtMs);
  if (row.state !== 'rejected') {
    tally.expect(inside, () => `reservation ${row.id} was accepted at ${row.acceptedAtMs}, outside its window`);
  } else if (outsideReasons.has(row.reason ?? '')) {
    tally.expect(!inside, () => `reservation ${row.id} was rejected as ${row.reason} within its window`);
  }
}

/** Every purchase was ordered within the purchase windows of all its sales. */
export function checkOrderedInWindow(
  purchases: Map<string, PurchaseRow>,
  items: Map<string, ItemRow[]>,
  sales: Map<string, SaleRow>,
  tally: Tally,
): void {
  for (const purchase of purchases.values()) {
    for (const item of items.get(purchase.id) ?? []) {
      const sale = sales.get(item.saleId);
      tally.expect(
        sale !== undefined && within(purchase.createdAtMs, sale.purchaseOpensAtMs, sale.purchaseClosesAtMs),
        () =>
          `purchase ${purchase.id} was ordered at ${purchase.createdAtMs}, outside the window of sale ${item.saleId}`,
      );
    }
  }
}

/** What the clients were answered, against the times of the sales. */
export class WindowCheck {
  readonly #sales: Map<string, SaleRow>;
  readonly #rejectedForTime = new Set<string>();
  readonly #saleOf = new Map<string, string>();

  constructor(sales: Map<string, SaleRow>) {
    this.#sales = sales;
  }

  /** Remembers what the answers must be compared with. */
  add({ id, saleId, state, reason }: ReservationRow): void {
    this.#saleOf.set(id, saleId);
    if (state === 'rejected' && outsideReasons.has(reason ?? '')) this.#rejectedForTime.add(id);
  }

  finish(clients: ClientView, tally: Tally): void {
    for (const promise of clients.promised.values()) {
      // Accepted by the queue while the gate was unavailable, and rejected by the worker: its answer came later.
      if (this.#rejectedForTime.has(promise.reservationId)) continue;
      const sale = this.#sales.get(promise.saleId);
      if (sale) expectWithin(promise, sale.reserveOpensAtMs, sale.reserveClosesAtMs, promise.reservationId, tally);
    }
    for (const promise of clients.purchases.values()) {
      for (const sale of this.#salesOf(promise.reservationIds)) {
        expectWithin(promise, sale.purchaseOpensAtMs, sale.purchaseClosesAtMs, promise.purchaseId, tally);
      }
    }
    for (const refused of clients.refusedForTime) {
      const sales =
        refused.op === 'buy' ? this.#salesOf(refused.reservationIds ?? []) : this.#saleNamed(refused.saleId);
      if (sales.length > 0) judgeRefusal(refused, sales, tally);
    }
  }

  #saleNamed(saleId: string | undefined): SaleRow[] {
    const sale = this.#sales.get(saleId ?? '');
    return sale ? [sale] : [];
  }

  #salesOf(reservationIds: string[]): SaleRow[] {
    const saleIds = new Set(reservationIds.map((id) => this.#saleOf.get(id)));
    return [...saleIds].flatMap((id) => this.#saleNamed(id));
  }
}

/** An acceptance lies between the first sending and the first answer. */
function expectWithin(
  { firstSentMs, firstAnsweredMs }: { firstSentMs: number; firstAnsweredMs: number },
  opensAtMs: number,
  closesAtMs: number,
  id: string,
  tally: Tally,
): void {
  tally.expect(
    firstAnsweredMs >= opensAtMs && firstSentMs < closesAtMs,
    () =>
      `${id} was accepted between ${firstSentMs} and ${firstAnsweredMs}; the window is ${opensAtMs} to ${closesAtMs}`,
  );
}

/** A request refused as too early was sent before some window opened, one as too late after some window closed. */
function judgeRefusal({ op, sentMs, answeredMs, code }: RefusedForTime, sales: SaleRow[], tally: Tally): void {
  const opens = sales.map((sale) => (op === 'buy' ? sale.purchaseOpensAtMs : sale.reserveOpensAtMs));
  const closes = sales.map((sale) => (op === 'buy' ? sale.purchaseClosesAtMs : sale.reserveClosesAtMs));
  const early = code === 'sale_not_open' || code === 'window_not_open';
  const holds = early ? sentMs < Math.max(...opens) : answeredMs >= Math.min(...closes);
  tally.expect(holds, () => `${op} was refused as ${code} between ${sentMs} and ${answeredMs}, within its window`);
}

function within(timeMs: number, opensAtMs: number, closesAtMs: number): boolean {
  return timeMs >= opensAtMs && timeMs < closesAtMs;
}
