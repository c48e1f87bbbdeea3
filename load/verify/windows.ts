/**
 * I8, windows: accepted only if opensAt ≤ acceptance < closesAt, for reserving as for buying, and only once the sale was
 * public; and no request is refused as too early or too late while the window is open. A window is what was announced at the time: sales are moved, paused
 * and called off.
 *
 * The rows say when the servers think they accepted. The clients' log says it independently: an acceptance lies between
 * sending and answer, so an answer before the opening or a request after the close proves a wrong one.
 */
import type { ClientView, RefusedForTime } from './clients.ts';
import { mayBeWithin, type SaleHistory, windowOf } from './history.ts';
import type { ItemRow, PurchaseRow, ReservationRow, SaleRow } from './store.ts';
import type { Tally } from './tally.ts';

type Histories = ReadonlyMap<string, SaleHistory>;

const outsideReasons = new Set(['sale_not_open', 'sale_closed']);

/** A reservation was accepted within its sale's times or rejected; rejected as too early or too late only if it was. */
export function checkAcceptedInWindow(row: ReservationRow, history: SaleHistory | undefined, tally: Tally): void {
  if (history && !history.isWhole) return;
  const { acceptedAtMs } = row;
  if (row.state !== 'rejected') {
    tally.expect(
      history !== undefined && mayBeWithin(history, { fromMs: acceptedAtMs, toMs: acceptedAtMs }, 'reserve'),
      () => `reservation ${row.id} was accepted at ${acceptedAtMs}, outside its window`,
    );
  } else if (outsideReasons.has(row.reason ?? '')) {
    const held = history?.between(acceptedAtMs, acceptedAtMs) ?? [];
    tally.expect(
      held.length === 0 || !held.every((terms) => within(acceptedAtMs, windowOf(terms, 'reserve'))),
      () => `reservation ${row.id} was rejected as ${row.reason} within its window`,
    );
  }
}

/** A reservation was accepted once its sale was public, or rejected. */
export function checkAcceptedInPublic(row: ReservationRow, sale: SaleRow | undefined, tally: Tally): void {
  if (row.state === 'rejected') return;
  const publicFromMs = sale?.publicFromMs ?? null;
  tally.expect(
    publicFromMs !== null && row.acceptedAtMs >= publicFromMs,
    () => `reservation ${row.id} was accepted at ${row.acceptedAtMs}, before its sale was public`,
  );
}

/** Every purchase was ordered within the purchase windows of all its sales, with none paused or called off. */
export function checkOrderedInWindow(
  purchases: Map<string, PurchaseRow>,
  items: Map<string, ItemRow[]>,
  histories: Histories,
  tally: Tally,
): void {
  for (const { id, createdAtMs } of purchases.values()) {
    for (const { saleId } of items.get(id) ?? []) {
      const history = histories.get(saleId);
      if (history && !history.isWhole) continue;
      tally.expect(
        history !== undefined && mayBeWithin(history, { fromMs: createdAtMs, toMs: createdAtMs }, 'purchase'),
        () => `purchase ${id} was ordered at ${createdAtMs}, outside the window of sale ${saleId}`,
      );
      const stopped = [...(history?.stretches('paused') ?? []), ...(history?.stretches('cancelled') ?? [])];
      tally.expect(
        !stopped.some(({ fromMs, toMs }) => createdAtMs > fromMs && createdAtMs < toMs),
        () => `purchase ${id} was ordered at ${createdAtMs}, when sale ${saleId} was paused or called off`,
      );
    }
  }
}

/** What the clients were answered, against the times of the sales. */
export class WindowCheck {
  readonly #histories: Histories;
  readonly #rejectedForTime = new Set<string>();
  readonly #saleOf = new Map<string, string>();

  constructor(histories: Histories) {
    this.#histories = histories;
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
      for (const history of this.#historyOf(promise.saleId)) {
        expectWithin(promise, history, 'reserve', promise.reservationId, tally);
      }
    }
    for (const promise of clients.purchases.values()) {
      for (const history of this.#historiesOf(promise.reservationIds)) {
        expectWithin(promise, history, 'purchase', promise.purchaseId, tally);
      }
    }
    for (const refused of clients.refusedForTime) {
      // Whether an offer had ended is judged by what its owner was told (clock.ts).
      if (refused.code === 'deadline_passed') continue;
      const isBuy = refused.op === 'buy';
      const histories = isBuy ? this.#historiesOf(refused.reservationIds ?? []) : this.#historyOf(refused.saleId);
      if (histories.length > 0) judgeRefusal(refused, histories, isBuy ? 'purchase' : 'reserve', tally);
    }
  }

  #historyOf(saleId: string | undefined): SaleHistory[] {
    const history = this.#histories.get(saleId ?? '');
    return history?.isWhole ? [history] : [];
  }

  /** Of all the sales of an order; none unless all are known. */
  #historiesOf(reservationIds: string[]): SaleHistory[] {
    const saleIds = [...new Set(reservationIds.map((id) => this.#saleOf.get(id)))];
    const histories = saleIds.flatMap((id) => this.#historyOf(id));
    return histories.length === saleIds.length ? histories : [];
  }
}

/** An acceptance lies between the first sending and the first answer. */
function expectWithin(
  { firstSentMs, firstAnsweredMs }: { firstSentMs: number; firstAnsweredMs: number },
  history: SaleHistory,
  window: 'reserve' | 'purchase',
  id: string,
  tally: Tally,
): void {
  tally.expect(
    mayBeWithin(history, { fromMs: firstSentMs, toMs: firstAnsweredMs }, window),
    () => `${id} was accepted between ${firstSentMs} and ${firstAnsweredMs}, outside its window`,
  );
}

/** A request refused as too early was sent before some window opened, one as too late after some window closed. */
function judgeRefusal(
  { op, sentMs, answeredMs, code }: RefusedForTime,
  histories: readonly SaleHistory[],
  window: 'reserve' | 'purchase',
  tally: Tally,
): void {
  const held = histories.flatMap((history) => history.between(sentMs, answeredMs));
  const early = code === 'sale_not_open' || code === 'window_not_open';
  const holds = held.some((terms) => {
    const { opensAtMs, closesAtMs } = windowOf(terms, window);
    return early ? sentMs < opensAtMs : answeredMs >= closesAtMs;
  });
  tally.expect(holds, () => `${op} was refused as ${code} between ${sentMs} and ${answeredMs}, within its window`);
}

function within(timeMs: number, { opensAtMs, closesAtMs }: { opensAtMs: number; closesAtMs: number }): boolean {
  return timeMs >= opensAtMs && timeMs < closesAtMs;
}
