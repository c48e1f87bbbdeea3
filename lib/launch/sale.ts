/**
 * Sales, as operators run them and everyone sees them. Terms are changed here; stock only by `lib/inventory`.
 *
 * Every change raises the row's version and is mirrored after its commit, so that the gate judges by the new terms at
 * once and a late writer cannot bring the old ones back (invariant I6).
 */
import * as z from 'zod';
import type { StockLevel } from '#events/catalogue.ts';
import { newEvent, publishEvents, type RecordedEvent, recordEvents } from '#events/outbox.ts';
import { readLiveSale } from '#mirror/live-sale.ts';
import { writeMirror } from '#mirror/mirror.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { type Page, type PageQuery, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { newSaleId, toBytes } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { adjustment } from '#reservation/release.ts';
import { phaseAt } from '#sale/phase.ts';
import type { CreateSale, SaleView, UpdateSale } from '#sale/sale.shapes.ts';
import { recordMovements } from '#sale/stock.ts';
import {
  mirroredTerms,
  readSaleRecords,
  type SaleRecord,
  saleView,
  selectSaleRecords,
  termsView,
} from '#sale/terms.ts';
import { scheduleBoundaries } from './boundaries.ts';

type SaleDeps = Pick<Deps, 'db' | 'redis' | 'bus' | 'clock' | 'queue'>;

/** Every new sale starts here; only a restore from a backup raises it. */
const firstEpoch = 1;

/** Creates a sale at the product's present price. Refuses an unknown product and times out of order. */
export async function createSale(deps: SaleDeps, request: CreateSale): Promise<SaleView | Refusal> {
  const nowMs = deps.clock();
  const times = readTimes(request);
  const disorder = refuseDisorder(times);
  if (disorder) return disorder;
  if (times.reserveClosesAtMs <= nowMs) {
    return refuse('invalid_input', 'The reservation period would be over before it began.');
  }
  const saleId = newSaleId(request.allotment + request.waitlistSize, nowMs);
  const result = await deps.db.transaction(async (tx): Promise<Changed | Refusal> => {
    const [product] = await tx.rows<{ price_minor: number; currency: string }>(
      'SELECT price_minor, currency FROM products WHERE id = ?',
      [toBytes(request.productId)],
    );
    if (!product) return refuse('not_found', 'There is no such product.');
    await tx.change('INSERT INTO sales SET ?', [
      {
        id: toBytes(saleId),
        product_id: toBytes(request.productId),
        name: request.name,
        mode: 'fifo',
        status: 'active',
        phase: 'scheduled',
        price_minor: product.price_minor,
        currency: product.currency,
        cap_per_customer: request.capPerCustomer,
        waitlist_size: request.waitlistSize,
        offer_life_ms: request.offerLifeSeconds * 1000,
        reserve_opens_at_ms: times.reserveOpensAtMs,
        reserve_closes_at_ms: times.reserveClosesAtMs,
        purchase_opens_at_ms: times.purchaseOpensAtMs,
        purchase_closes_at_ms: times.purchaseClosesAtMs,
        allotment: request.allotment,
        available: request.allotment,
        allocated: 0,
        sold: 0,
        waitlisted: 0,
        epoch: firstEpoch,
        version: 1,
        fence: 0,
        created_at_ms: nowMs,
      },
    ]);
    await recordMovements(tx, [adjustment(saleId, request.allotment, nowMs)], nowMs);
    return recordChange(tx, saleId, nowMs);
  });
  if ('refused' in result) return result;
  await announce(deps, result, nowMs);
  return viewOf(result.record, nowMs);
}

/** Changes a sale's terms. A sale that has closed or was cancelled stays as it was. */
export async function updateSale(deps: SaleDeps, saleId: string, change: UpdateSale): Promise<SaleView | Refusal> {
  return changeSale(deps, saleId, (record, nowMs) => {
    if (record.status === 'cancelled') return refuse('sale_cancelled', 'A cancelled sale cannot be changed.');
    if (nowMs >= record.purchaseClosesAtMs) return refuse('illegal_state', 'A closed sale cannot be changed.');
    const times = { ...record, ...readTimes(change) };
    const disorder = refuseDisorder(times);
    if (disorder) return disorder;
    const waitlistSize = change.waitlistSize ?? record.waitlistSize;
    if (waitlistSize < record.waitlisted) {
      return refuse('illegal_state', `${record.waitlisted} reservations are waiting; the waitlist cannot be smaller.`);
    }
    return {
      name: change.name ?? record.name,
      cap_per_customer: change.capPerCustomer ?? record.capPerCustomer,
      waitlist_size: waitlistSize,
      offer_life_ms: change.offerLifeSeconds === undefined ? record.offerLifeMs : change.offerLifeSeconds * 1000,
      reserve_opens_at_ms: times.reserveOpensAtMs,
      reserve_closes_at_ms: times.reserveClosesAtMs,
      purchase_opens_at_ms: times.purchaseOpensAtMs,
      purchase_closes_at_ms: times.purchaseClosesAtMs,
    };
  });
}

/** Pauses a sale: nothing can be reserved or bought and nothing expires until it is resumed. Pausing twice is once. */
export async function pauseSale(deps: SaleDeps, saleId: string): Promise<SaleView | Refusal> {
  return changeSale(deps, saleId, (record) =>
    record.status === 'cancelled'
      ? refuse('sale_cancelled', 'A cancelled sale cannot be paused.')
      : { status: 'paused' },
  );
}

/** Resumes a paused sale. */
export async function resumeSale(deps: SaleDeps, saleId: string): Promise<SaleView | Refusal> {
  return changeSale(deps, saleId, (record) =>
    record.status === 'cancelled'
      ? refuse('sale_cancelled', 'A cancelled sale cannot be resumed.')
      : { status: 'active' },
  );
}

/** Calls a sale off for good; what customers hold or wait for is cancelled right after. Cancelling twice is once. */
export async function cancelSale(deps: SaleDeps, saleId: string): Promise<SaleView | Refusal> {
  const cancelled = await changeSale(deps, saleId, () => ({ status: 'cancelled' }));
  if (!('refused' in cancelled)) await deps.queue('advance').send({ body: { saleId } });
  return cancelled;
}

/** A sale with live stock, for everyone. */
export async function getSale(deps: SaleDeps, saleId: string): Promise<SaleView | Refusal> {
  return (await readLiveSale(deps, saleId, deps.clock())) ?? refuse('not_found', 'There is no such sale.');
}

/** A sale with its stock as committed, for an operator who has just changed it. */
export async function viewSale(deps: SaleDeps, saleId: string): Promise<SaleView | Refusal> {
  const record = (await readSaleRecords(deps.db, [saleId])).get(saleId);
  return record ? viewOf(record, deps.clock()) : refuse('not_found', 'There is no such sale.');
}

/** All sales, newest first. */
export async function listSales(deps: SaleDeps, page: PageQuery): Promise<Page<SaleView> | Refusal> {
  const nowMs = deps.clock();
  const position = readCursor('sales', page.cursor, z.tuple([z.uuid()]));
  if (position && 'refused' in position) return position;
  const where = position ? 'WHERE id < ?' : '';
  const values = position ? [toBytes(position[0])] : [];
  const records = await selectSaleRecords(deps.db, `${where} ORDER BY id DESC LIMIT ?`, [...values, page.limit + 1]);
  return toPage(
    'sales',
    records,
    page.limit,
    (record) => [record.saleId],
    (record) => viewOf(record, nowMs),
  );
}

type Change = Record<string, string | number>;

interface Changed {
  readonly record: SaleRecord;
  readonly event: RecordedEvent;
}

/** Changes a sale's row while holding it, then mirrors and announces the result. */
async function changeSale(
  deps: SaleDeps,
  saleId: string,
  decideChange: (record: SaleRecord, nowMs: number) => Change | Refusal,
): Promise<SaleView | Refusal> {
  const nowMs = deps.clock();
  const result = await deps.db.transaction(async (tx): Promise<Changed | Refusal> => {
    const [record] = await selectSaleRecords(tx, 'WHERE id = ? FOR UPDATE', [toBytes(saleId)]);
    if (!record) return refuse('not_found', 'There is no such sale.');
    const change = decideChange(record, nowMs);
    if (isRefused(change)) return change;
    await tx.change('UPDATE sales SET version = version + 1, ? WHERE id = ?', [change, toBytes(saleId)]);
    return recordChange(tx, saleId, nowMs);
  });
  if ('refused' in result) return result;
  await announce(deps, result, nowMs);
  return viewOf(result.record, nowMs);
}

function isRefused(change: Change | Refusal): change is Refusal {
  return 'refused' in change;
}

/** What follows a commit: the gate learns the terms, and the next boundaries are sent ahead. Neither may fail the call. */
async function announce(deps: SaleDeps, { record, event }: Changed, nowMs: number): Promise<void> {
  const mirrored = writeMirror(deps.redis, [record], [], new Map([[record.saleId, mirroredTerms(record)]]));
  const results = await Promise.allSettled([mirrored, scheduleBoundaries(deps.queue('advance'), record, nowMs)]);
  for (const result of results) {
    if (result.status === 'rejected') {
      log.warn('the next tick will catch up with a changed sale', { error: result.reason, saleId: record.saleId });
    }
  }
  await publishEvents(deps.db, deps.bus, [event]);
}

/** The event that tells of a sale's new terms or phase. */
export function saleChanged(
  record: StockLevel & Pick<SaleRecord, 'status'> & Parameters<typeof phaseAt>[0],
  nowMs: number,
) {
  const { saleId, epoch, version, allotment, available, allocated, sold, waitlisted, status } = record;
  const stock = { saleId, epoch, version, allotment, available, allocated, sold, waitlisted };
  return newEvent('sale.changed', { saleId, phase: phaseAt(record, nowMs), status, stock }, nowMs);
}

/** Reads what was just written, and commits with it the event that tells of it. */
async function recordChange(tx: Tx, saleId: string, nowMs: number): Promise<Changed> {
  const record = (await readSaleRecords(tx, [saleId])).get(saleId);
  if (!record) throw new Error('a sale that was just written cannot be read');
  const event = saleChanged(record, nowMs);
  await recordEvents(tx, [event], nowMs);
  return { record, event };
}

function viewOf(record: SaleRecord, nowMs: number): SaleView {
  return saleView(termsView(record), record, nowMs);
}

type Instants = Partial<Record<'reserveOpensAt' | 'reserveClosesAt' | 'purchaseOpensAt' | 'purchaseClosesAt', string>>;
type Times = Pick<SaleRecord, 'reserveOpensAtMs' | 'reserveClosesAtMs' | 'purchaseOpensAtMs' | 'purchaseClosesAtMs'>;

function readTimes(request: Required<Instants>): Times;
function readTimes(request: Instants): Partial<Times>;
function readTimes(request: Instants): Partial<Times> {
  const read = (name: keyof Times, text: string | undefined) =>
    text === undefined ? {} : { [name]: Date.parse(text) };
  return {
    ...read('reserveOpensAtMs', request.reserveOpensAt),
    ...read('reserveClosesAtMs', request.reserveClosesAt),
    ...read('purchaseOpensAtMs', request.purchaseOpensAt),
    ...read('purchaseClosesAtMs', request.purchaseClosesAt),
  };
}

function refuseDisorder(times: Times): Refusal | undefined {
  if (times.reserveOpensAtMs >= times.reserveClosesAtMs) {
    return refuse('invalid_input', 'reserveOpensAt must be before reserveClosesAt.');
  }
  if (times.purchaseOpensAtMs >= times.purchaseClosesAtMs) {
    return refuse('invalid_input', 'purchaseOpensAt must be before purchaseClosesAt.');
  }
  if (times.reserveOpensAtMs > times.purchaseOpensAtMs) {
    return refuse('invalid_input', 'reserveOpensAt must not be after purchaseOpensAt.');
  }
  return undefined;
}
