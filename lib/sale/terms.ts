/**
 * The terms of a sale as they are kept in the mirror: what the gate judges by, and what readers see beside live stock.
 */
import type { StockLevel } from '#events/catalogue.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { fromBytes, toBytes } from '#platform/kernel/ids.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import { phaseAt, type SaleTimes } from './phase.ts';
import type { SaleTermsView, SaleView } from './sale.shapes.ts';

/** A sale's row in full, with its id as text. */
export interface SaleRecord extends StockLevel {
  readonly productId: string;
  readonly name: string;
  readonly status: 'active' | 'paused' | 'cancelled';
  readonly priceMinor: number;
  readonly currency: string;
  readonly capPerCustomer: number;
  readonly waitlistSize: number;
  readonly offerLifeMs: number;
  readonly reserveOpensAtMs: number;
  readonly reserveClosesAtMs: number;
  readonly purchaseOpensAtMs: number;
  readonly purchaseClosesAtMs: number;
}

/** What the mirror keeps of a sale's terms. */
export interface MirroredTerms {
  readonly reserveOpensAtMs: number;
  readonly reserveClosesAtMs: number;
  readonly status: string;
  readonly capPerCustomer: number;
  readonly waitlistSize: number;
  /** A `SaleTermsView` as JSON. */
  readonly json: string;
}

const columns = `id, product_id AS productId, name, status, price_minor AS priceMinor, currency,
  cap_per_customer AS capPerCustomer, waitlist_size AS waitlistSize, offer_life_ms AS offerLifeMs,
  reserve_opens_at_ms AS reserveOpensAtMs, reserve_closes_at_ms AS reserveClosesAtMs,
  purchase_opens_at_ms AS purchaseOpensAtMs, purchase_closes_at_ms AS purchaseClosesAtMs,
  epoch, version, allotment, available, allocated, sold, waitlisted`;

/** Sales whose ids come after `afterId`, in order of their ids; the latest first with `descending`. */
export async function selectSaleRecords(sql: Sql, where: string, values: unknown[]): Promise<SaleRecord[]> {
  type Stored = Omit<SaleRecord, 'saleId' | 'productId'> & { id: Buffer; productId: Buffer };
  const rows = await sql.rows<Stored>(`SELECT ${columns} FROM sales ${where}`, values);
  return rows.map(({ id, productId, ...row }) => ({ ...row, saleId: fromBytes(id), productId: fromBytes(productId) }));
}

/** The sales with these ids, by id. */
export async function readSaleRecords(sql: Sql, saleIds: string[]): Promise<Map<string, SaleRecord>> {
  if (saleIds.length === 0) return new Map();
  const records = await selectSaleRecords(sql, 'WHERE id IN (?)', [saleIds.map(toBytes)]);
  return new Map(records.map((record) => [record.saleId, record]));
}

/** The terms to be mirrored of these sales, by sale id. */
export async function loadTerms(sql: Sql, saleIds: string[]): Promise<Map<string, MirroredTerms>> {
  const records = await readSaleRecords(sql, saleIds);
  return new Map([...records].map(([saleId, record]) => [saleId, mirroredTerms(record)]));
}

/** What the mirror keeps of a sale. */
export function mirroredTerms(record: SaleRecord): MirroredTerms {
  const { reserveOpensAtMs, reserveClosesAtMs, status, capPerCustomer, waitlistSize } = record;
  const json = JSON.stringify(termsView(record));
  return { reserveOpensAtMs, reserveClosesAtMs, status, capPerCustomer, waitlistSize, json };
}

/** A sale's terms as everyone sees them. */
export function termsView(record: SaleRecord): SaleTermsView {
  return {
    saleId: record.saleId,
    productId: record.productId,
    name: record.name,
    status: record.status,
    price: { amountMinor: record.priceMinor, currency: record.currency },
    capPerCustomer: record.capPerCustomer,
    waitlistSize: record.waitlistSize,
    offerLifeSeconds: record.offerLifeMs / 1000,
    reserveOpensAt: toIso(record.reserveOpensAtMs),
    reserveClosesAt: toIso(record.reserveClosesAtMs),
    purchaseOpensAt: toIso(record.purchaseOpensAtMs),
    purchaseClosesAt: toIso(record.purchaseClosesAtMs),
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

/** Terms and stock together, with the phase that the clock says. */
export function saleView(terms: SaleTermsView, stock: Omit<StockLevel, 'saleId'>, nowMs: number): SaleView {
  const phase = phaseAt(timesOf(terms), nowMs);
  const { allotment, available, allocated, sold, waitlisted, version, epoch } = stock;
  return { ...terms, phase, stock: { allotment, available, allocated, sold, waitlisted, version, epoch } };
}
