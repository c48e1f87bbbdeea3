/**
 * The outbox: events are committed with the change they report, then published, then deleted.
 *
 * `recordEvents` runs inside the transaction of the change, so an event exists if and only if its change does.
 * `publishEvents` runs after the commit and deletes what the bus accepted; the scheduled `sweepOutbox` publishes what the
 * bus did not accept or a crash left behind. So delivery is at least once (invariants I2 and I5).
 */
import type { Bus } from '#platform/aws/eventbridge.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { fromBytes, newId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { correlationId } from '#platform/kernel/log.ts';
import { measure } from '#platform/kernel/metrics.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { catalog, type EventDetail, type EventName } from './catalog.ts';
import { groupChanges, type ReservationChange } from './changes.ts';

/** An event that is committed and waits to be published. */
export interface RecordedEvent {
  readonly id: string;
  readonly detailType: EventName;
  /** The event's JSON, envelope included: written once, for the table and for the bus. */
  readonly detail: string;
}

/** The most changes in one event: an entry of EventBridge holds 256 KiB; a change takes less than 150 bytes. */
export const changesPerEvent = 500;

/** How old a row must be before the sweep publishes it: newer ones are being published by the process that wrote them. */
const sweepAfterMs = 5_000;
const rowsPerSweep = 50;
/** After so many pages in a row of which the bus accepts nothing it is taken to be unavailable; the next sweep continues. */
const pagesRefusedBeforeGivingUp = 3;

/** Builds an event with its envelope. */
export function newEvent<Name extends EventName>(name: Name, detail: EventDetail<Name>, nowMs: number): RecordedEvent {
  const eventId = newId(nowMs);
  return {
    id: eventId,
    detailType: name,
    detail: JSON.stringify({
      eventId,
      schemaVersion: catalog[name].version,
      occurredAtMs: nowMs,
      correlationId: correlationId(),
      ...detail,
    }),
  };
}

/**
 * The events of the changes that one transaction makes, with the stock right after it: once for each sale, so that a batch
 * of many sales fits into an entry. A change of stock alone is also published, for those who watch the sale; without any
 * change there is no event.
 */
export function changeEvents(
  changes: readonly ReservationChange[],
  stocks: readonly StockLevel[],
  released: boolean,
  nowMs: number,
): RecordedEvent[] {
  if (changes.length === 0 && stocks.length === 0) return [];
  const events: RecordedEvent[] = [];
  const untold = new Map(stocks.map((stock) => [stock.saleId, stock]));
  const take = (saleId: SaleId): StockLevel[] => {
    const stock = untold.get(saleId);
    untold.delete(saleId);
    return stock ? [stock] : [];
  };
  for (let start = 0; start === 0 || start < changes.length; start += changesPerEvent) {
    const part = groupChanges(changes.slice(start, start + changesPerEvent));
    const isLast = start + changesPerEvent >= changes.length;
    const told = isLast ? [...untold.values()] : part.flatMap(({ saleId }) => take(saleId));
    events.push(newEvent('reservations.changed', { changes: part, stocks: told, released }, nowMs));
  }
  return events;
}

/** Writes events into the outbox, in one statement, as part of the transaction that makes them true. */
export async function recordEvents(tx: Tx, events: readonly RecordedEvent[], nowMs: number): Promise<void> {
  if (events.length === 0) return;
  const rows = events.map((event) => [toBytes(event.id), event.detailType, event.detail, nowMs]);
  await tx.change('INSERT INTO outbox (id, detail_type, detail, created_at_ms) VALUES ?', [rows]);
}

/**
 * Publishes committed events and deletes the rows of those that the bus accepted. Never throws: the sweep publishes the
 * rest later.
 */
export async function publishEvents({ db, bus }: Needs<'db' | 'bus'>, events: readonly RecordedEvent[]): Promise<void> {
  if (events.length === 0) return;
  const taken = await bus.publish([...events]);
  const published = events.filter((_, index) => taken[index]);
  await forget(db, published).catch(() => undefined);
}

/**
 * The sweep: publishes what has waited for more than a few seconds, oldest first, until every row was tried once or the
 * deadline is near. Concurrent sweeps skip each other's rows. An event that the bus refuses stays and does not hold up
 * others. Returns how many events the bus accepted.
 */
export async function sweepOutbox(deps: Needs<'db' | 'bus' | 'clock'>, deadlineMs: number): Promise<number> {
  const { db, bus, clock } = deps;
  const createdBeforeMs = clock() - sweepAfterMs;
  let published = 0;
  let refusedInARow = 0;
  let after: Buffer = Buffer.alloc(16);
  while (clock() < deadlineMs && refusedInARow < pagesRefusedBeforeGivingUp) {
    const { last, found, taken } = await db.transaction((tx) => sweepPage(tx, bus, createdBeforeMs, after));
    published += taken;
    refusedInARow = taken === 0 ? refusedInARow + 1 : 0;
    if (!last || found < rowsPerSweep) break;
    after = last;
  }
  return published;
}

/** Publishes one page of the rows after `after`, and deletes those that the bus accepted, in the same transaction. */
async function sweepPage(
  tx: Tx,
  bus: Bus,
  createdBeforeMs: number,
  after: Buffer,
): Promise<{ last: Buffer | undefined; found: number; taken: number }> {
  const rows = await tx.rows<{ id: Buffer; detail_type: EventName; detail: string }>(
    `SELECT id, detail_type, detail FROM outbox WHERE id > ? AND created_at_ms <= ?
     ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED`,
    [after, createdBeforeMs, rowsPerSweep],
  );
  const events = rows.map((row) => ({ id: fromBytes(row.id), detailType: row.detail_type, detail: row.detail }));
  const accepted = await bus.publish(events);
  const gone = events.filter((_, index) => accepted[index]);
  await forget(tx, gone);
  return { last: rows.at(-1)?.id, found: rows.length, taken: gone.length };
}

/** Records the number of waiting events and the age of the oldest as metrics, for the alarm on the age. */
export async function measureOutbox({ db, clock }: Needs<'db' | 'clock'>): Promise<void> {
  const { events, oldestAtMs } = await readBacklog(db);
  const nowMs = clock();
  measure({ OutboxEvents: events, OutboxOldestMs: oldestAtMs === null ? 0 : Math.max(0, nowMs - oldestAtMs) });
}

/** The number of waiting events, and the time of the oldest; for the operator's page and the metrics. */
export async function readBacklog(sql: Sql): Promise<{ events: number; oldestAtMs: number | null }> {
  const [row] = await sql.rows<{ events: number; oldest: number | null }>(
    'SELECT COUNT(*) AS events, MIN(created_at_ms) AS oldest FROM outbox',
  );
  return { events: row?.events ?? 0, oldestAtMs: row?.oldest ?? null };
}

/**
 * Deletes each row by its key. Given `id IN (…)`, the optimizer scans a small table, and the DELETE then waits for every
 * row in it that another transaction has locked, so two of them would deadlock.
 */
async function forget(sql: Sql, events: RecordedEvent[]): Promise<void> {
  if (events.length === 0) return;
  const ids = events.map(() => 'SELECT ? AS id').join(' UNION ALL ');
  await sql.change(
    `DELETE outbox FROM (${ids}) AS gone STRAIGHT_JOIN outbox ON outbox.id = gone.id`,
    events.map((event) => toBytes(event.id)),
  );
}
