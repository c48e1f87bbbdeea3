/**
 * Jobs that go over all reservations of a sale: steps of a bounded size, each one transaction that moves the job's cursor
 * with its effects. Dying between two steps, or repeating one, changes nothing.
 *
 * A job continues by messages of its own in the queue `advance`. Each works on it only for a short time, so that the
 * boundaries of other sales do not wait for it. If the message is lost, the minute's rule finds the job idle. A message from
 * before a job's last step is dropped while another worker processes the job, so that repeated messages do not add up.
 */
import * as z from 'zod';
import { type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { idOf, Time } from '#platform/kernel/shapes.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import { beginPaced, withTimeToSpare } from '#platform/resilience/pace.ts';
import { announceSome, isOfTimes } from './announce.ts';
import { sendBoundaries } from './boundaries.ts';
import { endSome } from './ending.ts';
import {
  findJob,
  idleAfterMs,
  isIdle,
  type JobStep,
  type LineSeen,
  listIdleJobs,
  listJobs,
  type SaleJob,
} from './job.store.ts';
import { jobKinds } from './job.table.ts';

/**
 * The command in the queue `advance` that continues a job. A build that does not know jobs reads it as “advance this sale”.
 */
export const JobCommand = z.object({
  saleId: idOf<SaleId>(),
  job: z.object({
    kind: z.enum(jobKinds),
    round: z.int(),
    /** The sender's progress; the row is right if another worker was faster. */
    afterId: z.string().nullable(),
  }),
});
export type JobCommand = z.infer<typeof JobCommand>;

/** How far a job has come, for operators. */
export const JobView = z
  .object({
    kind: z.enum(jobKinds),
    startedAt: Time,
    steppedAt: Time.describe('When its last step was made'),
    finishedAt: Time.nullable().describe('Null while it is under way'),
    handled: z.int().describe('How many reservations it has told, or ended'),
    superseded: z
      .boolean()
      .describe('Whether a newer announcement has taken its place for those whom it had not reached'),
  })
  .meta({ id: 'SaleJob' });
export type JobView = z.infer<typeof JobView>;

/** After how long a job that has to wait looks again. */
const lookAgainSeconds = 1;
/** For how long one message works on a job before the next one goes on. */
export const sliceMs = 2_000;
/** Time kept back for the step under way. */
const stepReserveMs = 1_000;
const jobsPerTick = 100;
const jobsShown = 20;

/** Until when an invocation with this deadline works on one job. */
export function sliceEndMs(nowMs: number, deadlineMs: number): number {
  return Math.min(deadlineMs - stepReserveMs, nowMs + sliceMs);
}

/** Sends the message that continues a job. Never throws: the minute's rule makes up for a lost one. */
export async function sendJob(
  deps: Needs<'queue'>,
  { saleId, kind, round, afterId }: SaleJob,
  delaySeconds = 0,
): Promise<void> {
  const body: JobCommand = { saleId, job: { kind, round, afterId } };
  await deps
    .queue('advance')
    .send({ body, delaySeconds })
    .catch((error) => log.warn('the next tick will continue a job', { error, saleId, kind }));
}

/** Continues a job because of a message, and sends the next message if something is left. Safe at any time. */
export async function runJob(
  deps: WriteNeeds,
  { saleId, job: { kind, round, afterId } }: JobCommand,
  deadlineMs: number,
): Promise<void> {
  const job = await findJob(deps.db, { saleId, round, kind });
  if (!job || job.finishedAtMs !== null) return;
  if (job.afterId === afterId || isIdle(job, deps.clock())) await continueJob(deps, job, deadlineMs);
}

/** Continues the jobs that are idle: their own messages were lost. */
export async function runIdleJobs(deps: WriteNeeds, deadlineMs: number): Promise<void> {
  for (const job of await listIdleJobs(deps.db, deps.clock() - idleAfterMs, jobsPerTick)) {
    if (deps.clock() + stepReserveMs >= deadlineMs) return;
    await continueJob(deps, job, deadlineMs);
  }
}

/** Makes steps of a job, or of earlier jobs of its sale, for a while; sends the message for the rest. */
async function continueJob(deps: WriteNeeds, { saleId, kind }: SaleJob, deadlineMs: number): Promise<void> {
  const endsMs = sliceEndMs(deps.clock(), deadlineMs);
  const rest = beginPaced(deps.clock, kind === 'ending' ? 1 : withTimeToSpare);
  for (let seen: LineSeen | undefined; ; ) {
    const before = seen;
    const { next, isWaiting, line } = await writeThrough<JobStep>(deps, (tx, nowMs) =>
      kind === 'ending' ? endSome(tx, saleId, nowMs) : announceSome(tx, saleId, nowMs, before),
    );
    seen = line;
    if (!next) return;
    if (next.finishedAtMs !== null && isOfTimes(next.kind)) {
      await sendBoundaries(deps, saleId, [deps.clock()], 0).catch((error) =>
        log.warn('the next tick will end what waited for an announcement', { error, saleId }),
      );
    }
    if (isWaiting) return sendJob(deps, next, lookAgainSeconds);
    if (next.finishedAtMs === null && deps.clock() >= endsMs) return sendJob(deps, next);
    await rest(endsMs);
  }
}

/** The latest jobs of a sale, those under way among them, the newest first. */
export async function readJobs(sql: Sql, saleId: SaleId): Promise<JobView[]> {
  const jobs = await listJobs(sql, saleId, jobsShown);
  return jobs.map(({ kind, startedAtMs, steppedAtMs, finishedAtMs, handled, superseded }) => ({
    kind,
    startedAt: toIso(startedAtMs),
    steppedAt: toIso(steppedAtMs),
    finishedAt: finishedAtMs === null ? null : toIso(finishedAtMs),
    handled,
    superseded,
  }));
}
