/**
 * What a sale announces to those who hold or await its units: that the window opened or closes soon, that its times have
 * moved, that it was paused or resumed, and that the line moved up by an operator's act.
 *
 * The transaction that makes it true tells the first page of the sale's reservations. If there are more, it leaves a job
 * (`jobs.ts`) that tells the others in steps. A step moves the job's cursor with the events that it records, so each
 * reservation is told once, however often a step is repeated. A step tells times, units and deadlines as they are at that
 * moment.
 *
 * Invariant I12: an announcement belongs to the version that the sale got with it. So an announcement for new times is
 * another notice, and an event that is delivered again is the same one. The announcements of a sale are told in their order.
 * A newer one replaces those that are under way (`supersedes`): the reservations that they had not reached hear only the
 * newer one, which says all that is true by then. Whose own time to buy was over by the sale's clock hears of that end only.
 * Where times got shorter, nothing expires before all have been told (`endsWait` of the sale), also if the sale is over by then.
 */
import type { EventDetail } from '#events/catalog.ts';
import { changesPerEvent, newEvent, type RecordedEvent, recordEvents } from '#events/outbox.ts';
import { nothingChanged } from '#mirror/write-through.ts';
import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { isOver as isSaleOver } from '#reservation/expire.ts';
import { mayOffer } from '#reservation/offer.ts';
import {
  byPlace,
  canServeLine,
  isFarBack,
  type Placed,
  type ReservationRow,
  readPage,
  readPlaces,
  readReservations,
} from '#reservation/reservation.store.ts';
import { readSales, type SaleRow } from '#sale/sale.store.ts';
import { deadlineAtMs, saleNowMs } from '#sale/sale-clock.ts';
import {
  insertJob,
  type JobStep,
  type LineSeen,
  lockJob,
  newJob,
  readOpenJobs,
  type SaleJob,
  updateJob,
} from './job.store.ts';
import type { announcements } from './job.table.ts';

export type Announcement = (typeof announcements)[number];

/** How many reservations one step looks at. */
export function rowsPerStep(): number {
  return changesPerEvent;
}

/**
 * How far the clocks of two processes may be apart. What is decided by the old terms is committed before the announcement
 * holds the sale: a decision that read its terms before is refused when it moves stock (`moveGuards.terms`). So only such a
 * difference can make it look later. A reservation decided within this time after the announcement is told as well; the
 * decision of a later one already says it.
 */
const clockDifferenceMs = 10_000;

/** What one step tells, and the reservations that it looked at. */
interface Page {
  readonly rows: readonly { readonly reservationId: ReservationId }[];
  readonly events: RecordedEvent[];
  readonly told: number;
  readonly line?: LineSeen;
}

/** What one transaction tells, and the job for the rest. */
interface Announced {
  readonly events: RecordedEvent[];
  readonly job?: SaleJob | undefined;
}

/**
 * Announces to the first page of a sale's reservations, and writes the job for the rest if there are more. `sale` is as it
 * will be after the transaction, which holds it, `before` as it was, and `nowMs` a time at which it was held: every customer who
 * was decided before is told, however long the transaction waited for the sale. The opening and the close are told to those
 * who can buy, a change to all holders and waiters. The caller records the events, and sends the job's message
 * after the commit.
 */
export async function announce(
  tx: Tx,
  { sale, before }: { sale: SaleRow; before: SaleRow },
  kind: Announcement,
  nowMs: number,
): Promise<Announced> {
  const rows = await readPage(tx, sale.saleId, undefined, rowsPerStep());
  const key = { saleId: sale.saleId, kind, round: sale.version };
  // With the sale held, every reservation that this reads was decided before.
  const { events, told } = tell(sale, { ...key, startedAtMs: nowMs }, rows, nowMs, before);
  const last = rows.at(-1);
  if (!last || rows.length < rowsPerStep()) return { events };
  await supersede(tx, sale.saleId, kind, nowMs);
  const job = newJob(key, last.reservationId, told, nowMs);
  await insertJob(tx, job);
  return { events, job };
}

/**
 * Makes one step of the oldest announcement of a sale that is under way. Of two concurrent calls the second waits for the
 * first and continues after it. It does not lock the sale: a change of the sale's times waits for the step, then supersedes
 * the job. `seen` is what the step before has left, if this process made it.
 */
export async function announceSome(tx: Tx, saleId: SaleId, nowMs: number, seen?: LineSeen): Promise<JobStep> {
  const open = await readOpenJobs(tx, saleId);
  // The places come last: they are told when the line has been served, and nothing else depends on them.
  const oldest = open.find(({ kind }) => isAnnouncement(kind)) ?? open.find(({ kind }) => kind === movedUp);
  if (!oldest) return { ...nothingChanged, next: undefined };
  const job = await lockJob(tx, oldest);
  if (!job) throw new Error('an announcement that was just read is gone');
  if (job.finishedAtMs !== null) return { ...nothingChanged, next: job };
  const sale = (await readSales(tx, [saleId])).get(saleId);
  // Reservations that are still open when a sale is over are told of its end instead, but for a shorter time: of that first.
  const comesFirst = sale?.status === 'active' && sale.endsWait && isOfTimes(job.kind);
  if (!sale || (isSaleOver(sale, nowMs) && !comesFirst)) {
    const ended = { ...job, steppedAtMs: nowMs, finishedAtMs: nowMs, superseded: true };
    await updateJob(tx, ended);
    return { ...nothingChanged, next: ended };
  }
  if (!isAnnouncement(job.kind) && (await isBeingServed(tx, sale, nowMs))) {
    const waiting = { ...job, steppedAtMs: nowMs };
    await updateJob(tx, waiting);
    return { ...nothingChanged, next: waiting, isWaiting: true };
  }
  const { rows, events, told, line } = isAnnouncement(job.kind)
    ? await tellPage(tx, sale, { ...job, kind: job.kind }, nowMs)
    : await tellPlaces(tx, sale, job, nowMs, 'in time', seen);
  await recordEvents(tx, events, nowMs);
  const next: SaleJob = {
    ...job,
    afterId: rows.at(-1)?.reservationId ?? job.afterId,
    handled: job.handled + told,
    steppedAtMs: nowMs,
    finishedAtMs: rows.length < rowsPerStep() ? nowMs : null,
  };
  await updateJob(tx, next);
  return { ...nothingChanged, events, next, ...(line ? { line } : {}) };
}

/** Ends the announcements of a locked sale that a newer one replaces. */
async function supersede(tx: Tx, saleId: SaleId, by: Announcement, nowMs: number): Promise<void> {
  for (const open of await readOpenJobs(tx, saleId)) {
    if (isAnnouncement(open.kind) && supersedes(by, open.kind)) await endEarly(tx, open, nowMs);
  }
}

/** Ends a job that is not over, since a newer one takes its place. Returns how far it has come, or undefined if it is over. */
async function endEarly(tx: Tx, open: SaleJob, nowMs: number): Promise<SaleJob | undefined> {
  const job = await lockJob(tx, open);
  if (!job || job.finishedAtMs !== null) return undefined;
  await updateJob(tx, { ...job, finishedAtMs: nowMs, superseded: true });
  return job;
}

/** The kind of the job that tells those who wait their new places. */
const movedUp = 'moved-up';

function isAnnouncement(kind: SaleJob['kind']): kind is Announcement {
  return kind !== 'ending' && kind !== movedUp;
}

/** A place in the line. */
type Place = Pick<Placed, 'ticket' | 'reservationId'>;

/**
 * Tells those who wait behind the first of `offered` that they have moved up, and to which position: the first page of them
 * in this transaction, the others by the job. Those of an earlier such change who have not been told yet hear only of this
 * one. While the line is still being served, no places are told, and the job waits for the end of it. Where more wait before
 * them than is counted at once, all is left to the job, which does not hold the sale. `sale` is as it will be
 * after the transaction, which holds it. The caller records the events, and sends the job's message after the commit.
 */
export async function announceMoves(
  tx: Tx,
  sale: SaleRow,
  offered: readonly Place[],
  nowMs: number,
): Promise<Announced> {
  const [first] = [...offered].sort(byPlace);
  if (!first) return { events: [] };
  const untold: Place[] = [];
  for (const open of await readOpenJobs(tx, sale.saleId)) {
    const job = open.kind === movedUp ? await endEarly(tx, open, nowMs) : undefined;
    if (job) untold.push(await placeOf(tx, job));
  }
  const [behind = first] = [first, ...untold].sort(byPlace);
  const key = { saleId: sale.saleId, kind: movedUp, round: sale.version, startedAtMs: nowMs } as const;
  const isLater = (await isFarBack(tx, sale.saleId, behind.ticket)) || (await isBeingServed(tx, sale, nowMs));
  const { rows, events, told } = isLater
    ? { rows: [], events: [], told: 0 }
    : await tellPlaces(tx, sale, { ...key, afterId: behind.reservationId }, nowMs, 'all');
  if (!isLater && rows.length < rowsPerStep()) return { events };
  const job = newJob(key, rows.at(-1)?.reservationId ?? behind.reservationId, told, nowMs);
  await insertJob(tx, job);
  return { events, job };
}

/** The place up to which a job has told those who wait; that reservation itself may have left the line. */
async function placeOf(tx: Tx, { afterId }: Pick<SaleJob, 'afterId'>): Promise<Place> {
  const row = afterId === null ? undefined : (await readReservations(tx, [afterId])).get(afterId);
  if (!row) throw new Error('a reservation up to which places were told is gone');
  return row;
}

/** Whether more offers will follow at once: one transaction makes a limited number of them. */
async function isBeingServed(tx: Tx, sale: SaleRow, nowMs: number): Promise<boolean> {
  return mayOffer(sale, nowMs) && sale.available > 0 && (await canServeLine(tx, sale.saleId, sale.available));
}

/** A step of an announcement by reservation: its page, and the events that tell it. */
async function tellPage(
  tx: Tx,
  sale: SaleRow,
  job: Pick<SaleJob, 'round' | 'startedAtMs' | 'afterId'> & { kind: Announcement },
  nowMs: number,
): Promise<Page> {
  const rows = await readPage(tx, sale.saleId, job.afterId ?? undefined, rowsPerStep());
  return { rows, ...tell(sale, job, rows, nowMs) };
}

/** A step along the line: those who wait next, and the events that tell them their places. Those who came later did not move. */
async function tellPlaces(
  tx: Tx,
  sale: SaleRow,
  job: Pick<SaleJob, 'round' | 'startedAtMs' | 'afterId'>,
  nowMs: number,
  decided: 'all' | 'in time' = 'in time',
  seen?: LineSeen,
): Promise<Page> {
  const behind = await placeOf(tx, job);
  const isCurrent = seen !== undefined && seen.afterId === job.afterId && seen.version === sale.version;
  const rows = await readPlaces(tx, sale.saleId, behind, rowsPerStep(), isCurrent ? seen.ahead : undefined);
  const [first, last] = [rows[0], rows.at(-1)];
  const page: Pick<Page, 'rows' | 'line'> =
    first && last && first.ticket > behind.ticket
      ? { rows, line: { afterId: last.reservationId, version: sale.version, ahead: first.position - 1 + rows.length } }
      : { rows };
  const recipients = rows
    .filter(({ decidedAtMs }) => decided === 'all' || decidedAtMs <= job.startedAtMs)
    .map(({ reservationId, customerId, units, version, position }) => {
      return { reservationId, customerId, units, version, position };
    });
  if (recipients.length === 0) return { ...page, events: [], told: 0 };
  const { saleId } = sale;
  const { round, startedAtMs: announcedAtMs } = job;
  const detail = { saleId, reason: movedUp, round, announcedAtMs, recipients } as const;
  return { ...page, events: [newEvent('reservations.reminded', detail, nowMs)], told: recipients.length };
}

/**
 * Whether a newer announcement says all that matters to reservations that the older one has not reached. A change says until
 * when they can buy, or that the sale is paused; then the end of the pause will say it. Two exceptions: new times set during
 * a pause do not announce the pause, and a reminder replaces no change, because those who wait do not get it. Pure.
 */
export function supersedes(newer: Announcement, older: Announcement): boolean {
  if (isReminder(newer)) return isReminder(older);
  return !(newer === 'rescheduled' && older === 'paused');
}

/**
 * The events that tell an announcement to a page of reservations; `sale` is as it is now, and `before`, in the transaction
 * that announces, as it was until then.
 */
function tell(
  sale: SaleRow,
  { kind, round, startedAtMs }: Pick<SaleJob, 'round' | 'startedAtMs'> & { kind: Announcement },
  rows: readonly ReservationRow[],
  nowMs: number,
  before?: SaleRow,
): { events: RecordedEvent[]; told: number } {
  const { saleId, reserveClosesAtMs, purchaseOpensAtMs, purchaseClosesAtMs } = sale;
  const recipients = rows
    .filter((row) => isConcerned(row, kind) && !isOver(sale, { kind, startedAtMs }, row, nowMs, before))
    .filter((row) => before !== undefined || row.decidedAtMs <= startedAtMs + clockDifferenceMs)
    .map((row) => ({
      reservationId: row.reservationId,
      customerId: row.customerId,
      units: row.units,
      version: row.version,
      ...(row.state === 'allocated' ? { deadlineMs: deadlineAtMs(sale, row.deadlineMs) } : {}),
    }));
  if (recipients.length === 0) return { events: [], told: 0 };
  const detail: EventDetail<'reservations.reminded'> = {
    saleId,
    reason: kind,
    round,
    announcedAtMs: startedAtMs,
    times: { reserveClosesAtMs, purchaseOpensAtMs, purchaseClosesAtMs },
    recipients,
  };
  return { events: [newEvent('reservations.reminded', detail, nowMs)], told: recipients.length };
}

/** Whether an announcement concerns a reservation: units that a purchase pays for need no reminder. */
function isConcerned({ state, purchaseId }: ReservationRow, kind: Announcement): boolean {
  if (isReminder(kind)) return state === 'allocated' && purchaseId === null;
  return state === 'allocated' || state === 'waitlisted';
}

/**
 * Whether the time to buy a reservation's units was over by the sale's clock before the change, though it has not been ended
 * yet. Its end is told, and no announcement, which would speak as if that time went on. What the change itself has ended is
 * told of it. `before` is the sale before the change, where that is known. In a later step a time that is over may have been
 * ended by the new times, so it is told of them; but one that has run out since, though no time got shorter, is not. Pure.
 */
export function isOver(
  sale: SaleRow,
  { kind, startedAtMs }: Pick<SaleJob, 'kind' | 'startedAtMs'>,
  row: Pick<ReservationRow, 'state' | 'deadlineMs'>,
  nowMs: number,
  before?: SaleRow,
): boolean {
  const isOverIn = (one: SaleRow, atMs: number) => deadlineAtMs(one, row.deadlineMs) <= saleNowMs(one, atMs);
  if (row.state !== 'allocated' || !isOverIn(sale, nowMs)) return false;
  if (before) return isOverIn(before, nowMs);
  if (isOfTimes(kind) && sale.endsWait) return false;
  if (!isOverIn(sale, startedAtMs)) return true;
  if (isOfTimes(kind)) return false;
  return sale.status !== 'paused' || (sale.pausedAtMs !== null && sale.pausedAtMs <= startedAtMs);
}

/** Whether an announcement says new times, for which ends may wait. */
export function isOfTimes(kind: SaleJob['kind']): boolean {
  return kind === 'rescheduled' || kind === 'resumed';
}

/** Whether what is over in a locked sale need no longer stay as it is: all customers have been told the new times. */
export async function isToldOfTimes(tx: Tx, saleId: SaleId): Promise<boolean> {
  return !(await readOpenJobs(tx, saleId)).some(({ kind }) => isOfTimes(kind));
}

function isReminder(kind: Announcement): boolean {
  return kind === 'purchase-opened' || kind === 'closing-soon';
}
