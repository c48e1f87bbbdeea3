/**
 * The public view of a sale's terms, and of the whole sale.
 */
import { toIso } from '#platform/kernel/clock.ts';
import { phaseAt, type SaleTimes } from './phase.ts';
import type { SaleTermsView, SaleView, StockLevel } from './sale.shapes.ts';
import type { SaleRow } from './sale.store.ts';
import { saleNowMs } from './sale-clock.ts';
import { publicSinceMs } from './visibility.ts';

/** The public view of a sale's terms. */
export function termsView(sale: SaleRow): SaleTermsView {
  const publicAtMs = publicSinceMs(sale);
  return {
    saleId: sale.saleId,
    productId: sale.productId,
    name: sale.name,
    status: sale.status,
    price: { amountMinor: sale.priceMinor, currency: sale.currency },
    capPerCustomer: sale.capPerCustomer,
    capPer: sale.capPer,
    requiresContact: sale.requiresContact,
    paymentProvider: sale.paymentProvider,
    waitlistSize: sale.waitlistSize,
    offerLifeSeconds: sale.offerLifeMs / 1000,
    payWithinSeconds: sale.payWithinMs === null ? null : sale.payWithinMs / 1000,
    offerCutoffSeconds: sale.offerCutoffMs / 1000,
    pausedAt: sale.pausedAtMs === null ? null : toIso(sale.pauseBeganMs ?? sale.pausedAtMs),
    clockStandsAt: sale.pausedAtMs === null ? null : toIso(sale.pausedAtMs),
    reserveOpensAt: toIso(sale.reserveOpensAtMs),
    reserveClosesAt: toIso(sale.reserveClosesAtMs),
    purchaseOpensAt: toIso(sale.purchaseOpensAtMs),
    purchaseClosesAt: toIso(sale.purchaseClosesAtMs),
    publishAt: publicAtMs === null ? null : toIso(publicAtMs),
    requiresCode: sale.accessCode !== null,
  };
}

/** The times of a sale. */
export function timesOf(terms: SaleTermsView): SaleTimes {
  return {
    reserveOpensAtMs: Date.parse(terms.reserveOpensAt),
    reserveClosesAtMs: Date.parse(terms.reserveClosesAt),
    purchaseOpensAtMs: Date.parse(terms.purchaseOpensAt),
    purchaseClosesAtMs: Date.parse(terms.purchaseClosesAt),
  };
}

/** Terms and stock together, with the phase by the clock. */
export function saleView(terms: SaleTermsView, stock: Omit<StockLevel, 'saleId'>, nowMs: number): SaleView {
  // Terms that an older build mirrored lack these fields.
  const { pausedAt = null, clockStandsAt = pausedAt, payWithinSeconds = null, offerCutoffSeconds = 0 } = terms;
  const { capPer = 'customer', requiresContact = false, publishAt = null, requiresCode = false } = terms;
  const { paymentProvider = null } = terms;
  const pausedAtMs = clockStandsAt === null ? null : Date.parse(clockStandsAt);
  const phase = phaseAt(timesOf(terms), saleNowMs({ status: terms.status, pausedAtMs }, nowMs));
  const { allotment, available, allocated, sold, waitlisted, version, epoch } = stock;
  return {
    ...terms,
    capPer,
    requiresContact,
    paymentProvider,
    payWithinSeconds,
    offerCutoffSeconds,
    pausedAt,
    clockStandsAt,
    publishAt,
    requiresCode,
    phase,
    stock: { allotment, available, allocated, sold, waitlisted, version, epoch },
  };
}

/** The public view of a row. */
export function viewOfRow(row: SaleRow, nowMs: number): SaleView {
  return saleView(termsView(row), row, nowMs);
}
