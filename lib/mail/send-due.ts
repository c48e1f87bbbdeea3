/**
 * A turn of the mail worker: sends what is due, a few mails at once, for a bounded time.
 *
 * Invariants. An attempt is counted and committed before the mail is sent, and its outcome after it: a worker that dies in
 * between leaves the mail due again, so it may be sent twice, under the same Message-ID, and none is lost. Who decides what a
 * mail says is asked at each attempt, so no mail is sent for which there is no reason any more. A server that does not
 * answer costs one call in half a minute, by a breaker that all processes share, and a mail nothing but time: attempts that the
 * breaker refuses are not counted against it.
 */
import pLimit from 'p-limit';
import type { Needs } from '#platform/environment/deps.ts';
import { log } from '#platform/kernel/log.ts';
import { measure } from '#platform/kernel/metrics.ts';
import { locate } from '#platform/kernel/registry.ts';
import { mailCallTimeoutMs } from '#platform/kernel/time-limits.ts';
import { connectionsAtOnce, type Mail, MailRefused, type MailRun, openMailer } from '#platform/mail/smtp.ts';
import { sharedBreaker } from '#platform/redis/shared-circuit-breaker.ts';
import { type Breaker, BreakerOpen } from '#platform/resilience/circuit-breaker.ts';
import { claimDueMails, type DueMail, deleteMailsBefore, type MailState, noteMail } from './mail.store.ts';
import { wakeMailer } from './request-mail.ts';

export type MailNeeds = Needs<'db' | 'redis' | 'queue' | 'clock' | 'random' | 'breakers' | 'registry' | 'once'>;

/** Writes a mail; undefined if there is no reason for it any more. */
export type Compose = (mail: DueMail) => Promise<Omit<Mail, 'messageId'> | undefined>;

/** How many mails are claimed at a time: what the connections send within some seconds. */
const mailsPerPage = 20;
/** After so long an attempt without an outcome is taken to have died: longer than any invocation. */
export const attemptDiesAfterMs = 60_000;
/** Time kept back after the last mail, to write its outcome. */
const settleReserveMs = 700;
const breakerResetMs = 30_000;
/** A mail that could not be sent for so long is given up. */
export const givenUpAfterMs = 86_400_000;
const firstRetryMs = 30_000;
const longestRetryMs = 3_600_000;
/** How long the row of a mail is kept. */
export const mailsKeptMs = 30 * 86_400_000;
const rowsForgotten = 1_000;

/** Sends what is due until nothing is, the breaker opens, or time is up; then it asks for another turn. */
export async function sendDueMails(deps: MailNeeds, compose: Compose, deadlineMs: number): Promise<void> {
  const guard = sharedBreaker(deps, 'mail', {
    resetTimeoutMs: breakerResetMs,
    volumeThreshold: connectionsAtOnce,
    isRefusal: (error) => error instanceof MailRefused,
  });
  const run = deps.once(mailerOf).open();
  try {
    for (;;) {
      if (!hasTime(deps, deadlineMs)) {
        await wakeMailer(deps);
        return;
      }
      const nowMs = deps.clock();
      const due = await deps.db.transaction((tx) => claimDueMails(tx, nowMs, nowMs + attemptDiesAfterMs, mailsPerPage));
      if (due.length === 0) return;
      const outcomes = await pLimit(connectionsAtOnce).map(due, (mail) =>
        sendOne(deps, { run, guard, compose, deadlineMs }, mail),
      );
      if (outcomes.includes('postponed')) return;
    }
  } finally {
    run.close();
  }
}

/** Only the mail worker's bundle has what speaks SMTP, so it is no part of all dependencies. */
const mailerOf = ({ registry }: Needs<'registry'>) => openMailer(locate(registry, 'secret/mail-url'));

/** Deletes what was sent, or given up, long ago. */
export function forgetOldMails({ db, clock }: Needs<'db' | 'clock'>): Promise<number> {
  return deleteMailsBefore(db, clock() - mailsKeptMs, rowsForgotten);
}

function hasTime({ clock }: Needs<'clock'>, deadlineMs: number): boolean {
  return clock() + mailCallTimeoutMs + settleReserveMs <= deadlineMs;
}

interface Turn {
  readonly run: MailRun;
  readonly guard: Breaker;
  readonly compose: Compose;
  readonly deadlineMs: number;
}

type Outcome = MailState | 'postponed';

async function sendOne(deps: MailNeeds, turn: Turn, mail: DueMail): Promise<Outcome> {
  const nowMs = deps.clock();
  if (!hasTime(deps, turn.deadlineMs)) {
    await noteMail(deps.db, { id: mail.id, state: 'due', dueAtMs: nowMs, error: null });
    return 'due';
  }
  try {
    const written = await turn.compose(mail);
    if (!written) return await settled(deps, mail, 'dropped', null);
    await turn.guard.run(() => turn.run.send({ ...written, messageId: `${mail.id}@holdfast` }));
    measure({ MailsSent: 1 });
    return await settled(deps, mail, 'sent', null);
  } catch (error) {
    if (error instanceof BreakerOpen) {
      await noteMail(deps.db, { id: mail.id, state: 'due', dueAtMs: nowMs + breakerResetMs, error: 'breaker_open' });
      return 'postponed';
    }
    if (error instanceof MailRefused || nowMs - mail.createdAtMs >= givenUpAfterMs) {
      log.error('a mail was given up', { error, mailId: mail.id, kind: mail.kind, attempts: mail.attempts });
      measure({ MailsGivenUp: 1 });
      return settled(deps, mail, 'given_up', error);
    }
    log.warn('a mail was not sent; it is tried again', { error, mailId: mail.id, kind: mail.kind });
    measure({ MailsDelayed: 1 });
    const dueAtMs = deps.clock() + retryDelayMs(mail.attempts, deps.random);
    await noteMail(deps.db, { id: mail.id, state: 'due', dueAtMs, error: reasonOf(error) });
    return 'due';
  }
}

async function settled(deps: MailNeeds, { id }: DueMail, state: MailState, error: unknown): Promise<Outcome> {
  await noteMail(deps.db, { id, state, dueAtMs: deps.clock(), error: error === null ? null : reasonOf(error) });
  return state;
}

/** Half a minute, then twice as long each time, an hour at most; less up to a half of jitter. */
export function retryDelayMs(attempts: number, random: () => number): number {
  return Math.ceil(Math.min(firstRetryMs * 2 ** (attempts - 1), longestRetryMs) * (0.5 + random() / 2));
}

/** Why, in a word for the row. */
function reasonOf(error: unknown): string {
  const { cause = error } = error as { cause?: unknown };
  const { name, code } = cause as { name?: unknown; code?: unknown };
  return String(code ?? name).slice(0, 64);
}
