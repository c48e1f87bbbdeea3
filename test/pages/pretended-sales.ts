/** Sales, products and all that the console reads of a sale, as the API would answer. */
import { gateRefusals } from '#mirror/gate.ts';
import type { Product, ReservationView, SaleOverview, SaleReport, SaleView } from '#web/types.ts';

/** An id that is a number in disguise; the higher, the newer. */
const idOf = (n: number) => `01998c1e-7d00-7000-8000-${String(n).padStart(12, '0')}`;

export const productOf = (n: number): Product => ({
  ...{ productId: idOf(n) as Product['productId'], sku: `SKU-${n}`, name: `Thing ${n}` },
  ...{ description: 'A thing to have.', price: { amountMinor: 4_900, currency: 'EUR' }, pictures: [] },
});

export function saleOf(n: number, change: Partial<SaleView> = {}): SaleView {
  const at = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
  return {
    ...{
      saleId: idOf(n) as SaleView['saleId'],
      productId: productOf(n).productId,
      name: `Sale ${n}`,
      status: 'active',
    },
    ...{
      price: { amountMinor: 4_900, currency: 'EUR' },
      capPerCustomer: 4,
      capPer: 'customer',
      requiresContact: false,
    },
    ...{ waitlistSize: 10, offerLifeSeconds: 600, payWithinSeconds: null, offerCutoffSeconds: 60, pausedAt: null },
    paymentProvider: null,
    ...{ clockStandsAt: null, reserveOpensAt: at(-1), reserveClosesAt: at(1), purchaseOpensAt: at(2) },
    ...{ purchaseClosesAt: at(3), phase: 'reserving', publishAt: at(-2), requiresCode: false },
    stock: { epoch: 1, version: 1, allotment: 10, available: 10, allocated: 0, sold: 0, waitlisted: 0 },
    ...change,
  };
}

/** Two units that are set aside in a sale. */
export const reservationOf = ({ saleId }: SaleView): ReservationView => ({
  ...{ reservationId: idOf(1) as ReservationView['reservationId'], saleId, state: 'allocated', quantity: 2, units: 2 },
  ...{ fill: 'all', ticket: 1, position: null, reason: null, deadline: null, purchaseId: null, partOf: null },
  ...{ version: 1, acceptedAt: new Date().toISOString(), decidedAt: new Date().toISOString() },
});

/** A sale from the inside in which nothing has happened. */
export function overviewOf(sale: SaleView): SaleOverview {
  const { saleId, stock } = sale;
  return {
    ...{ sale, accessCode: null },
    ...{ saleId, stock, mirror: stock, drift: { versions: 0, available: 0 }, jobs: [], breakers: { mysql: 'closed' } },
    gate: {
      ...{ requests: 0, pendingUnits: 0, pendingBeyondStock: 0 },
      refused: Object.fromEntries(gateRefusals.map((reason) => [reason, 0])) as SaleOverview['gate']['refused'],
    },
    reservations: {
      ...{ requested: 0, allocated: 0, waitlisted: 0, rejected: 0, purchased: 0, cancelled: 0, expired: 0 },
      refunded: 0,
    },
    queues: { reservations: { waiting: 0, inFlight: 0, delayed: 0, deadLetters: 0, oldestMessageMs: null } },
    outbox: { events: 0, oldestMs: 0 },
  };
}

/** The report of a sale in which nothing has happened. */
export function reportOf({ price }: SaleView): SaleReport {
  const none = { refunds: 0, amountMinor: 0 };
  return {
    ...{ stepSeconds: 1, points: [], turnedDown: {}, turns: [], granted: 0, nextCursor: null },
    money: {
      ...{ currency: price.currency, purchases: 0, paidMinor: 0 },
      refunds: { pending: none, refunded: none, failed: none },
    },
  };
}

/** A list as the API pages it: `limit` items from where the cursor says. */
export function pageOf<T>(all: readonly T[], query: URLSearchParams): { items: T[]; nextCursor: string | null } {
  const from = Number(query.get('cursor') ?? 0);
  const until = from + Number(query.get('limit') ?? 20);
  return { items: all.slice(from, until), nextCursor: until < all.length ? String(until) : null };
}
