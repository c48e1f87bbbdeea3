/**
 * What a buyer may do and what to do next, from what the API says and the server's time. Pure; the server judges.
 */
import type { PurchaseView, ReservationView, SaleView } from '../types.ts';

export type Phase = SaleView['phase'];
type Times = Pick<SaleView, 'reserveOpensAt' | 'reserveClosesAt' | 'purchaseOpensAt' | 'purchaseClosesAt'>;

/** The phase of a sale at a time; where the periods overlap, purchasing comes first, as on the server. */
export function phaseOf(sale: Times, nowMs: number): Phase {
  const after = (time: string) => nowMs >= Date.parse(time);
  if (after(sale.purchaseClosesAt)) return 'closed';
  if (after(sale.purchaseOpensAt)) return 'purchasing';
  if (after(sale.reserveClosesAt)) return 'reserved';
  if (after(sale.reserveOpensAt)) return 'reserving';
  return 'scheduled';
}

/** What ends a phase, and when; nothing ends a sale that is over, paused or called off. */
export function boundaryOf(sale: SaleView, nowMs: number): { phase: Exclude<Phase, 'closed'>; at: string } | undefined {
  if (sale.status !== 'active') return undefined;
  const phase = phaseOf(sale, nowMs);
  const at = {
    scheduled: sale.reserveOpensAt,
    reserving: sale.reserveClosesAt,
    reserved: sale.purchaseOpensAt,
    purchasing: sale.purchaseClosesAt,
  };
  return phase === 'closed' ? undefined : { phase, at: at[phase] };
}

/** Whether a sale is behind us: over or called off. */
export function isPast(sale: SaleView, nowMs: number): boolean {
  return sale.status === 'cancelled' || (sale.status === 'active' && phaseOf(sale, nowMs) === 'closed');
}

/** Whether the time to reserve is over: what is free then is for nobody who comes now. */
export function isReservingOver({ reserveClosesAt, purchaseClosesAt }: Times, nowMs: number): boolean {
  return nowMs >= Math.min(Date.parse(reserveClosesAt), Date.parse(purchaseClosesAt));
}

/** For so long a watch may be unconfirmed on a connection that is live, before a sale is said not to be. */
export const confirmMs = 2_000;

/** Whether a sale stands still though somebody looks at it; its watch may have been asked for this very moment. */
export function isStill(
  link: { isLive: boolean; isWatched: boolean; askedAtMs: number | undefined },
  nowMs: number,
): boolean {
  const { isLive, isWatched, askedAtMs } = link;
  if (!isLive) return true;
  return !isWatched && (askedAtMs === undefined || nowMs - askedAtMs >= confirmMs);
}

/** Whether requests are taken now, and what becomes of them. */
export type Taking = 'no' | 'units' | 'some' | 'waitlist' | 'full';

/** How a sale takes a request for this many: `some` if fewer are free, `full` if it would be turned down. */
export function takingOf(sale: SaleView, quantity: number, nowMs: number): Taking {
  const { status, reserveOpensAt, reserveClosesAt, waitlistSize, stock } = sale;
  if (status !== 'active' || nowMs < Date.parse(reserveOpensAt) || nowMs >= Date.parse(reserveClosesAt)) return 'no';
  if (stock.waitlisted === 0 && stock.available >= quantity) return 'units';
  if (stock.waitlisted === 0 && stock.available > 0) return 'some';
  return stock.waitlisted < waitlistSize ? 'waitlist' : 'full';
}

/** How many more one customer may ask for in a sale. */
export function leftOfCap(sale: SaleView, mine: readonly ReservationView[]): number {
  const counted = mine.reduce((sum, { saleId, state, quantity, units }) => {
    if (saleId !== sale.saleId) return sum;
    if (state === 'requested' || state === 'waitlisted') return sum + quantity;
    return state === 'allocated' || state === 'purchased' ? sum + units : sum;
  }, 0);
  return Math.max(0, sale.capPerCustomer - counted);
}

const openPurchases: ReadonlySet<PurchaseView['state']> = new Set(['requested', 'unknown', 'requires_action']);

/** Whether it is not known yet what the bank says. */
export const isOpen = ({ state }: Pick<PurchaseView, 'state'>): boolean => openPurchases.has(state);

/** The purchase that is under way for a reservation. */
export function payingFor(reservationId: string, purchases: Iterable<PurchaseView>): PurchaseView | undefined {
  for (const purchase of purchases) {
    if (isOpen(purchase) && purchase.items.some((item) => item.reservationId === reservationId)) return purchase;
  }
  return undefined;
}

/** Until when units that are set aside can be bought. */
export function buyableUntil(reservation: ReservationView, sale: SaleView): string {
  const { deadline } = reservation;
  return deadline !== null && deadline < sale.purchaseClosesAt ? deadline : sale.purchaseClosesAt;
}

/** What comes next for a reservation. */
export type Next =
  | { kind: 'deciding' | 'waiting'; place: number | null }
  | { kind: 'buy'; until: string }
  | { kind: 'later'; from: string }
  | { kind: 'confirm'; purchase: PurchaseView; until: string; url: string }
  | { kind: 'paying'; purchase: PurchaseView }
  | { kind: 'paused' | 'over' | 'done' | 'ended' };

/** What its owner has to do next, or what to wait for. */
export function nextOf(
  reservation: ReservationView,
  sale: SaleView | undefined,
  purchases: Iterable<PurchaseView>,
  nowMs: number,
): Next {
  const { state, position } = reservation;
  if (state === 'requested') return { kind: 'deciding', place: position };
  if (state === 'waitlisted') return { kind: 'waiting', place: position };
  if (state === 'purchased') return { kind: 'done' };
  if (state !== 'allocated') return { kind: 'ended' };
  const purchase = payingFor(reservation.reservationId, purchases);
  if (purchase?.action) {
    return { kind: 'confirm', purchase, until: purchase.action.deadline, url: purchase.action.url };
  }
  if (purchase) return { kind: 'paying', purchase };
  if (!sale) return { kind: 'over' };
  if (sale.status === 'paused') return { kind: 'paused' };
  if (sale.status === 'cancelled') return { kind: 'over' };
  if (nowMs < Date.parse(sale.purchaseOpensAt)) return { kind: 'later', from: sale.purchaseOpensAt };
  const until = buyableUntil(reservation, sale);
  return nowMs < Date.parse(until) ? { kind: 'buy', until } : { kind: 'over' };
}

const urgency: Record<Next['kind'], number> = {
  ...{ confirm: 0, buy: 1, paying: 2, over: 3, paused: 4, later: 5, deciding: 6, waiting: 7, done: 8, ended: 9 },
};

/** Orders what is one's own: what must be done first comes first, then what was accepted last. */
export function byUrgency(
  one: { next: Next; reservation: ReservationView },
  other: { next: Next; reservation: ReservationView },
): number {
  const deadline = ({ next }: { next: Next }) => ('until' in next ? Date.parse(next.until) : 0);
  return (
    urgency[one.next.kind] - urgency[other.next.kind] ||
    deadline(one) - deadline(other) ||
    (other.reservation.acceptedAt ?? '').localeCompare(one.reservation.acceptedAt ?? '')
  );
}

/** Whether a reservation still matters to its owner: something can come of it. */
export const isCurrent = ({ state }: Pick<ReservationView, 'state'>): boolean =>
  state === 'requested' || state === 'waitlisted' || state === 'allocated';

/** Sums by currency of what the reservations cost. */
export function sumsOf(items: readonly { units: number; price: { amountMinor: number; currency: string } }[]) {
  const sums = new Map<string, number>();
  for (const { units, price } of items) {
    sums.set(price.currency, (sums.get(price.currency) ?? 0) + units * price.amountMinor);
  }
  return [...sums].map(([currency, amountMinor]) => ({ currency, amountMinor }));
}

/** The newer of two levels of stock: a higher epoch, then a higher version. */
export function newerStock<Stock extends { epoch: number; version: number }>(one: Stock, other: Stock): Stock {
  return one.epoch > other.epoch || (one.epoch === other.epoch && one.version > other.version) ? one : other;
}

/** Whether an answer about a sale is older than one that was read before: answers overtake each other. */
export function isOvertaken<Stock extends { epoch: number; version: number }>(
  read: Stock | undefined,
  answer: Stock,
): boolean {
  return read !== undefined && read !== answer && newerStock(read, answer) === read;
}
