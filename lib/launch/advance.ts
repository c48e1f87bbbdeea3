/**
 * Advancing sales: the side effects of time. Announces the phase that the clock says, reminds before the close, ends what
 * is over, offers what is free, and sends the next boundaries ahead.
 *
 * Harmless early, late, twice, at once with itself, or never (invariant I8 does not depend on it): each effect is claimed
 * by a conditional write before it is carried out, and events are committed with that write.
 */
import * as z from 'zod';
import { catalogue, type EventDetail, type StockLevel } from '#events/catalogue.ts';
import { changesPerEvent, newEvent, publishEvents, type RecordedEvent, recordEvents } from '#events/outbox.ts';
import { writeMirror } from '#mirror/mirror.ts';
import type { Deps } from '#platform/environment/deps.ts';
import type { Delivered, MustRepeat } from '#platform/handlers/queue.ts';
import { fromBytes, toBytes } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import { offerDeadlineMs } from '#reservation/offer.ts';
import { firstIdOf } from '#reservation/release.store.ts';
import { expireSale, type InventoryPorts } from '#reservation/release.ts';
import { boundariesAfter, phaseAt, remindBeforeMs } from '#sale/phase.ts';
import { lockSales, type SaleRow } from '#sale/stock.ts';
import { AdvanceCommand, sendBoundaries } from './boundaries.ts';
import { saleChanged } from './sale.ts';

type AdvanceDeps = Pick<Deps, 'db' | 'redis' | 'bus' | 'clock' | 'queue'>;

/** The rule fires once a minute; boundaries are sent ahead for a little longer, so that a late tick leaves no gap. */
const boundaryHorizonMs = 150_000;

/** What may fire: the minute's rule, a boundary of one sale, or the news that units were released. */
export const AdvanceTrigger = z.union([
  AdvanceCommand,
  z.object({ 'detail-type': z.literal('Scheduled Event') }),
  z.object({
    'detail-type': z.literal('reservations.changed'),
    detail: catalogue['reservations.changed'].detail.pick({ stocks: true }),
  }),
]);
export type AdvanceTrigger = z.infer<typeof AdvanceTrigger>;

/** Advances the sales that a batch of triggers speaks of, each once. Returns the messages whose sales failed. */
export async function advance(
  deps: AdvanceDeps,
  ports: InventoryPorts,
  batch: Delivered<AdvanceTrigger>[],
  deadlineMs: number,
): Promise<MustRepeat> {
  const done = new Map<string, Promise<boolean>>();
  const succeeds = (key: string, run: () => Promise<void>): Promise<boolean> => {
    const known = done.get(key);
    if (known) return known;
    const outcome = run().then(
      () => true,
      (error) => {
        log.error('advancing failed; it will be tried again', { error, what: key });
        return false;
      },
    );
    done.set(key, outcome);
    return outcome;
  };
  const mustRepeat: string[] = [];
  for (const { messageId, message } of batch) {
    const saleIds =
      'saleId' in message ? [message.saleId] : 'detail' in message ? message.detail.stocks.map((s) => s.saleId) : [];
    const runs =
      saleIds.length > 0
        ? await Promise.all(
            saleIds.map((id) => succeeds(id, () => advanceSale(deps, ports, id, deadlineMs, 'new offers'))),
          )
        : [await succeeds('every sale', () => advanceAll(deps, ports, deadlineMs))];
    if (runs.includes(false)) mustRepeat.push(messageId);
  }
  return mustRepeat;
}

/** Advances every sale in which something can still happen. One that fails does not keep the others waiting. */
export async function advanceAll(deps: AdvanceDeps, ports: InventoryPorts, deadlineMs: number): Promise<void> {
  const rows = await deps.db.rows<{ id: Buffer }>(
    `SELECT id FROM sales WHERE phase <> 'closed' OR allocated > 0 OR waitlisted > 0 ORDER BY purchase_closes_at_ms`,
  );
  const failed: unknown[] = [];
  for (const { id } of rows) {
    if (Date.now() >= deadlineMs) break;
    await advanceSale(deps, ports, fromBytes(id), deadlineMs, 'everything').catch((error) => failed.push(error));
  }
  // What was not reached or failed is found again by the redelivered trigger, or by the next one.
  if (failed.length > 0) throw new Error(`${failed.length} sales could not be advanced`, { cause: failed[0] });
}

/**
 * Advances one sale to where the clock says it is, and sends ahead what comes next. Only the minute's rule sends
 * everything that is near; whoever was sent for a boundary or a release sends only the ends of offers made meanwhile.
 * Were each such message to send all that follow it, their number would double from one boundary to the next.
 */
export async function advanceSale(
  deps: AdvanceDeps,
  ports: InventoryPorts,
  saleId: string,
  deadlineMs: number,
  ahead: 'everything' | 'new offers',
): Promise<void> {
  const nowMs = deps.clock();
  const { sale, events, stock } = await deps.db.transaction((tx) => announcePhase(tx, saleId, nowMs));
  if (!sale) return;
  if (stock) {
    await writeMirror(deps.redis, [stock], []).catch((error) => log.warn('the mirror will be repaired', { error }));
  }
  await publishEvents(deps.db, deps.bus, events);
  await expireSale(ports, saleId, deadlineMs);
  const fromMs = ahead === 'everything' ? nowMs + 1 : offerDeadlineMs(sale, nowMs);
  const offersMs = await nextOfferDeadlines(deps.db, saleId, fromMs, nowMs + boundaryHorizonMs);
  const dueMs = ahead === 'everything' ? [...boundariesAfter(sale, nowMs), ...offersMs] : offersMs;
  await sendBoundaries(deps.queue('advance'), saleId, dueMs, deps.clock(), boundaryHorizonMs);
}

interface Announced {
  sale?: SaleRow;
  events: RecordedEvent[];
  /** The sale's stock, if its version rose. */
  stock?: StockLevel;
}

/** Moves the stored phase to what the clock says and records the events of that, once however many try. */
async function announcePhase(tx: Tx, saleId: string, nowMs: number): Promise<Announced> {
  const sale = (await lockSales(tx, [saleId])).get(saleId);
  if (!sale) return { events: [] };
  const phase = phaseAt(sale, nowMs);
  const entered = phase !== sale.phase;
  const remindAtMs = sale.purchaseClosesAtMs - remindBeforeMs(sale);
  const remind =
    phase === 'purchasing' && sale.status === 'active' && sale.remindedAtMs === null && nowMs >= remindAtMs;
  if (!entered && !remind) return { sale, events: [] };

  const stock = { ...sale, version: sale.version + 1 };
  await tx.change('UPDATE sales SET phase = ?, reminded_at_ms = ?, version = version + 1 WHERE id = ?', [
    phase,
    remind ? nowMs : sale.remindedAtMs,
    toBytes(saleId),
  ]);
  const events: RecordedEvent[] = entered ? [saleChanged(stock, nowMs)] : [];
  const reasons: EventDetail<'reservations.reminded'>['reason'][] = [];
  if (entered && phase === 'purchasing' && sale.status === 'active') reasons.push('purchase-opened');
  if (remind) reasons.push('closing-soon');
  for (const reason of reasons) {
    for await (const recipients of holders(tx, sale)) {
      events.push(newEvent('reservations.reminded', { saleId, reason, recipients }, nowMs));
    }
  }
  await recordEvents(tx, events, nowMs);
  return { sale, events, stock };
}

/** Customers who have units set aside and have not bought them, a page at a time. */
async function* holders(tx: Tx, sale: SaleRow): AsyncGenerator<EventDetail<'reservations.reminded'>['recipients']> {
  type Row = { id: Buffer; customerId: Buffer; units: number; version: number; deadlineMs: number | null };
  let afterId = toBytes(firstIdOf(sale.saleId));
  for (;;) {
    const rows = await tx.rows<Row>(
      `SELECT id, customer_id AS customerId, units, version, deadline_ms AS deadlineMs FROM reservations
       WHERE id > ? AND sale_id = ? AND state = 'allocated' AND purchase_id IS NULL ORDER BY id LIMIT ?`,
      [afterId, toBytes(sale.saleId), changesPerEvent],
    );
    const last = rows.at(-1);
    if (!last) return;
    yield rows.map((row) => ({
      reservationId: fromBytes(row.id),
      customerId: fromBytes(row.customerId),
      units: row.units,
      version: row.version,
      deadlineMs: row.deadlineMs ?? sale.purchaseClosesAtMs,
    }));
    if (rows.length < changesPerEvent) return;
    afterId = last.id;
  }
}

/** When offers of a sale end, from one time to another, both included. */
async function nextOfferDeadlines(sql: Sql, saleId: string, fromMs: number, toMs: number): Promise<number[]> {
  const rows = await sql.rows<{ deadlineMs: number }>(
    `SELECT DISTINCT deadline_ms AS deadlineMs FROM waitlist WHERE sale_id = ? AND deadline_ms >= ? AND deadline_ms <= ?
     ORDER BY deadline_ms LIMIT 100`,
    [toBytes(saleId), fromMs, toMs],
  );
  return rows.map((row) => row.deadlineMs);
}
