/**
 * The allocation decision: which requests get units. Pure; it reads nothing and writes nothing.
 *
 * Requests are taken in ticket order. Each gets units if enough are available for its fill policy, a place on the
 * waitlist if there is one, and a refusal with a reason otherwise. Where a customer waits whom the available units can
 * serve, a request gets none of them, however few it asks for (invariant I11). The sums it returns are exactly the stock
 * moves that the decisions stand for, so code that carries them out cannot disagree with them (invariants I1, I4 and I8).
 */

import type { Code } from '#platform/kernel/errors.ts';
import type { CustomerId, SaleId } from '#platform/kernel/ids.ts';
import { isEntitled } from '#sale/eligibility.ts';
import type { SaleRow, StockMove } from '#sale/sale.store.ts';
import { saleNowMs, toSaleTime } from '#sale/sale-clock.ts';
import { isThereFor, visibilityOf } from '#sale/visibility.ts';
import { unitsAgainstCap } from '#state/reservation-state.ts';
import type { ReserveCommand } from './reservation.shapes.ts';
import { asRequested, type DecidedReservation, type Holding, type Holdings } from './reservation.store.ts';

/** A request as it was delivered, with its ticket. */
export interface Claim extends Omit<ReserveCommand, 'ticket' | 'correlationId'> {
  readonly ticket: number;
  /** When it was accepted: by the gate's clock, or by the queue's when the gate was unavailable. */
  readonly acceptedAtMs: number;
  /** Whether the gate admitted it; if not, everything is checked here. */
  readonly gated: boolean;
}

/** The version of a reservation that was just decided; each later move adds one. */
export const firstVersion = 1;

export interface Decisions {
  readonly decisions: DecidedReservation[];
  /** One move for each sale whose stock or waitlist changes. */
  readonly moves: StockMove[];
  /** True if slightly more or less available stock would change no decision, and the waitlist is empty. */
  readonly independentOfStock: boolean;
}

/** A sale while a batch is decided: the stock that is left, and what each customer has so far. */
interface Book {
  readonly sale: SaleRow | undefined;
  available: number;
  waitlisted: number;
  readonly holdings: Map<CustomerId, Holding>;
}

const nothing: Holding = { units: 0, reservations: 0 };

/**
 * Decides a batch of distinct claims on any mix of sales. `held` says what their customers have already, `lineFirst` in
 * which sales a customer waits whom the available units can serve.
 */
export function decide(
  claims: readonly Claim[],
  salesById: ReadonlyMap<SaleId, SaleRow>,
  held: Holdings,
  nowMs: number,
  lineFirst: ReadonlySet<SaleId> = new Set(),
): Decisions {
  const books = new Map<SaleId, Book>();
  let independentOfStock = true;

  const openBook = (saleId: SaleId): Book => {
    const sale = salesById.get(saleId);
    const { available = 0, waitlisted = 0 } = sale ?? {};
    const book: Book = { sale, available, waitlisted, holdings: new Map(held.get(saleId)) };
    books.set(saleId, book);
    return book;
  };

  const judge = (claim: Claim): DecidedReservation => {
    const book = books.get(claim.saleId) ?? openBook(claim.saleId);
    const { sale, holdings } = book;
    const before = holdings.get(claim.customerId) ?? nothing;
    const nth = before.reservations;
    const decided = (
      state: DecidedReservation['state'],
      units: number,
      reason: Code | null,
      deadlineMs: number | null = null,
    ): DecidedReservation => {
      const counted = unitsAgainstCap({ state, units, quantity: claim.quantity });
      holdings.set(claim.customerId, { units: before.units + counted, reservations: nth + 1 });
      const { reservationId, saleId, customerId, ticket, quantity, atLeast, acceptedAtMs, keyId } = claim;
      return {
        reservationId,
        saleId,
        customerId,
        ticket,
        quantity,
        atLeast,
        state,
        units,
        reason,
        deadlineMs,
        purchaseId: null,
        version: firstVersion,
        acceptedAtMs,
        decidedAtMs: nowMs,
        ...asRequested,
        nth,
        keyId,
      };
    };

    const refusal = sale ? refusalByTerms(claim, sale, nowMs) : 'not_found';
    if (!sale || refusal) return decided('rejected', 0, refusal ?? 'not_found');
    // No customer waits for units that cannot come, unless an operator adds some; the customer learns of it at once.
    if (claim.atLeast > sale.allotment) return decided('rejected', 0, 'over_allotment');
    if (!isEntitled(claim.standing, sale)) return decided('rejected', 0, 'not_entitled');
    if (isOverCap(before, claim, sale)) return decided('rejected', 0, 'over_cap');

    const free = lineFirst.has(claim.saleId) ? 0 : book.available;
    const units = Math.min(claim.quantity, free);
    if (units < claim.quantity || book.waitlisted > 0) independentOfStock = false;
    if (units >= claim.atLeast) {
      book.available -= units;
      return decided('allocated', units, null, payUntil(sale, nowMs));
    }
    if (book.waitlisted < sale.waitlistSize) {
      book.waitlisted += 1;
      return decided('waitlisted', 0, null);
    }
    return decided('rejected', 0, 'sold_out');
  };

  const decisions = [...claims].sort(byTicket).map(judge);
  const moves: StockMove[] = [];
  for (const [saleId, { sale, available, waitlisted }] of books) {
    const taken = (sale?.available ?? 0) - available;
    const waiting = waitlisted - (sale?.waitlisted ?? 0);
    if (taken > 0 || waiting > 0) moves.push({ saleId, available: 0 - taken, allocated: taken, waitlisted: waiting });
  }
  return { decisions, moves, independentOfStock };
}

/** Until when an allocation made now must be paid, in the sale's own time; null if only the close ends it. */
function payUntil(sale: SaleRow, nowMs: number): number | null {
  if (sale.payWithinMs === null) return null;
  const fromMs = Math.max(saleNowMs(sale, nowMs), sale.purchaseOpensAtMs);
  return toSaleTime(sale, fromMs + sale.payWithinMs);
}

/** The cap (invariant I4): whether a claim would give its customer more than one may have of the sale. */
export function isOverCap(before: Holding, claim: Claim, sale: Pick<SaleRow, 'capPerCustomer'>): boolean {
  return before.units + claim.quantity > sale.capPerCustomer;
}

/** Ticket order; requests of the same microsecond are ordered by id, so that every worker sorts alike. */
export function byTicket(a: Claim, b: Claim): number {
  return a.ticket - b.ticket || (a.reservationId < b.reservationId ? -1 : 1);
}

/** Why the sale's terms forbid a claim, if they do, at the time when it was accepted (invariant I8). */
export function refusalByTerms(claim: Claim, sale: SaleRow, nowMs: number): Code | undefined {
  // The gate has compared the code of a request that passed it; the code may be another one since.
  const visibility = visibilityOf(sale);
  const shown = claim.gated ? visibility.access : (claim.access ?? '');
  if (!isThereFor(visibility, shown, claim.acceptedAtMs)) return 'not_found';
  if (sale.status === 'cancelled') return 'sale_cancelled';
  // The gate refuses while a sale is paused, so a request that passed it was made before the pause.
  if (sale.status === 'paused' && !claim.gated) return 'sale_paused';
  if (claim.acceptedAtMs < sale.reserveOpensAtMs) return 'sale_not_open';
  if (claim.acceptedAtMs >= sale.reserveClosesAtMs) return 'sale_closed';
  if (saleNowMs(sale, nowMs) >= sale.purchaseClosesAtMs) return 'window_closed';
  return undefined;
}
