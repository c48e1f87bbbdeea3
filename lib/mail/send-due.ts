/**
 * A turn of the mail worker at a channel: sends what is due, a few messages at once, for a bounded time.
 *
 * Invariants. An attempt is counted and committed before the mail is sent, and its outcome after it: a worker that dies in
 * between leaves the mail due again, so it may be sent twice, under the same Message-ID, and none is lost. Who decides what a
 * mail says is asked at each attempt, so no mail is sent for which there is no reason any more. A channel that does not
 * answer costs one call in half a minute, by a breaker that all processes share, and a message nothing but time: attempts that the
 * breaker refuses are not counted against it. Each channel has rows, a breaker and a turn of its own, so one that fails, refuses or never
 * settles holds up no other.
 */
import pLimit from 'p-limit';
import type { Needs } from '#platform/environment/deps.ts';
import { log } from '#platform/kernel/log.ts';
import { measure } from '#platform/kernel/metrics.ts';
import { mailCallTimeoutMs } from '#platform/kernel/time-limits.ts';
import { type ChannelRun, MessageRefused } from '#platform/mail/channel.ts';
import { sharedBreaker } from '#platform/redis/shared-circuit-breaker.ts';
import { type Breaker, BreakerOpen } from '#platform/resilience/circuit-breaker.ts';
import { claimDueMails, type DueMail, deleteMailsBefore, type MailState, noteMail } from './mail.store.ts';
import { wakeMailer } from './request-mail.ts';

export type MailNeeds = Needs<'db' | 'redis' | 'queue' | 'clock' | 'random' | 'breakers' | 'registry' | 'once'>;

/**
 * The port of a channel: a way by which messages reach people. Whatever it does, an attempt counts as failed when the time limit of a mail
 * is over.
 */
export interface Channel<Message, N = MailNeeds> {
  /** Names it in rows, at its breaker and in the log. It is never changed: what waits is found by it. 16 letters at most. */
  readonly name: string;
  /** How many messages are on their way at once. */
  readonly atOnce: number;
  /** What a message says to who is to read it now; undefined if there is no reason for it any more. */
  compose(deps: N, due: DueMail): Promise<Message | undefined>;
  /** Opens a run of messages. */
  open(deps: N): ChannelRun<Message>;
}

/** How many messages are claimed at a time: what the connections send within some seconds. */
export const mailsPerPage = 20;
/** After so long an attempt without an outcome is taken to have died: longer than any invocation. */
export const attemptDiesAfterMs = 60_000;
/** Time kept back after the last mail, to write its outcome. */
const settleReserveMs = 700;
/** How much longer than its time limit a channel is waited for. */
const silenceMs = 250;
const breakerResetMs = 30_000;
/** A mail that could not be sent for so long is given up. */
export const givenUpAfterMs = 86_400_000;
const firstRetryMs = 30_000;
const longestRetryMs = 3_600_000;
/** How long the row of a mail is kept. */
export const mailsKeptMs = 30 * 86_400_000;
const rowsForgotten = 1_000;

/** Sends what is due until nothing is, the breaker opens, or time is up; then it asks for another turn. */
export async function sendDue<Message, N extends MailNeeds>(
  deps: N,
  channel: Channel<Message, N>,
  deadlineMs: number,
): Promise<void> {
  const guard = sharedBreaker(deps, channel.name, {
    resetTimeoutMs: breakerResetMs,
    volumeThreshold: channel.atOnce,
    isRefusal: (error) => error instanceof MessageRefused,
  });
  const run = channel.open(deps);
  try {
    for (;;) {
      if (!hasTime(deps, deadlineMs)) {
        await wakeMailer(deps);
        return;
      }
      const nowMs = deps.clock();
      const page = { nowMs, diesAtMs: nowMs + attemptDiesAfterMs, limit: mailsPerPage };
      const due = await deps.db.transaction((tx) => claimDueMails(tx, channel.name, page));
      if (due.length === 0) return;
      const outcomes = await pLimit(channel.atOnce).map(due, (mail) =>
        sendOne(deps, { channel, run, guard, deadlineMs }, mail),
      );
      if (outcomes.includes('postponed')) return;
    }
  } finally {
    run.close();
  }
}

/** Deletes what was sent, or given up, long ago. */
export function forgetOldMails({ db, clock }: Needs<'db' | 'clock'>): Promise<number> {
  return deleteMailsBefore(db, clock() - mailsKeptMs, rowsForgotten);
}

function hasTime({ clock }: Needs<'clock'>, deadlineMs: number): boolean {
  return clock() + mailCallTimeoutMs + settleReserveMs <= deadlineMs;
}

interface Turn<Message, N> {
  readonly channel: Channel<Message, N>;
  readonly run: ChannelRun<Message>;
  readonly guard: Breaker;
  readonly deadlineMs: number;
}

type Outcome = MailState | 'postponed';

async function sendOne<Message, N extends MailNeeds>(
  deps: N,
  { channel, run, guard, deadlineMs }: Turn<Message, N>,
  mail: DueMail,
): Promise<Outcome> {
  const nowMs = deps.clock();
  if (!hasTime(deps, deadlineMs)) {
    await noteMail(deps.db, { id: mail.id, state: 'due', dueAtMs: nowMs, error: null });
    return 'due';
  }
  try {
    const written = await channel.compose(deps, mail);
    if (!written) return await settled(deps, mail, 'dropped', null);
    await guard.run(() => inTime(run.send(written, mail.id)));
    measure({ MailsSent: 1 });
    return await settled(deps, mail, 'sent', null);
  } catch (error) {
    if (error instanceof BreakerOpen) {
      await noteMail(deps.db, { id: mail.id, state: 'due', dueAtMs: nowMs + breakerResetMs, error: 'breaker_open' });
      return 'postponed';
    }
    if (error instanceof MessageRefused || nowMs - mail.createdAtMs >= givenUpAfterMs) {
      const { id: mailId, kind, attempts } = mail;
      log.error('a mail was given up', { error, channel: channel.name, mailId, kind, attempts });
      measure({ MailsGivenUp: 1 });
      return settled(deps, mail, 'given_up', error);
    }
    const { id: mailId, kind } = mail;
    log.warn('a mail was not sent; it is tried again', { error, channel: channel.name, mailId, kind });
    measure({ MailsDelayed: 1 });
    const dueAtMs = deps.clock() + retryDelayMs(mail.attempts, deps.random);
    await noteMail(deps.db, { id: mail.id, state: 'due', dueAtMs, error: reasonOf(error) });
    return 'due';
  }
}

/** What is sent, or an error when the time limit is over. A little later than the channel's own, which says more. */
async function inTime(sending: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new ChannelSilent()), mailCallTimeoutMs + silenceMs);
  try {
    await Promise.race([sending, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The channel did not settle in time. */
class ChannelSilent extends Error {
  readonly code = 'no_answer_in_time';
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
