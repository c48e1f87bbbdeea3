/**
 * When a webhook that was not taken is sent again, when it is given up, and when its endpoint is switched off. Pure.
 */
import type { Delivery } from './delivery.store.ts';

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** The time between one attempt of a round and the next; later ones keep the last. */
export const retryDelaysMs: readonly number[] = [
  ...[10 * secondMs, minuteMs, 5 * minuteMs, 15 * minuteMs, 45 * minuteMs],
  ...[2 * hourMs, 4 * hourMs, 8 * hourMs, 12 * hourMs],
];
/** A message is given up when its next attempt would be later than this after its first. */
export const retriedForMs = 3 * dayMs;
/** An endpoint that has taken nothing for so long is switched off. */
export const failingAtMostMs = 5 * dayMs;
/** The share of a delay by which chance shortens it, so that what failed together does not come back together. */
const jitter = 0.1;

/** What came of an attempt. */
export type Outcome =
  | { readonly kind: 'taken'; readonly status: number; readonly tookMs: number }
  | { readonly kind: 'not-taken'; readonly status: number | null; readonly error: string; readonly tookMs: number }
  /** Nothing was sent: the endpoint's breaker is open, or there was no time left. */
  | { readonly kind: 'postponed'; readonly delayMs: number }
  /** There is nothing to send any more. */
  | { readonly kind: 'impossible'; readonly error: string };

/** What an attempt changes of its delivery. */
export type Changed = Pick<
  Delivery,
  'state' | 'attempts' | 'firstAttemptAtMs' | 'dueAtMs' | 'lastAttemptAtMs' | 'lastStatus' | 'lastError' | 'lastTookMs'
>;

/** The delivery after an attempt that was counted before it was made. */
export function afterAttempt(delivery: Delivery, outcome: Outcome, nowMs: number, random: () => number): Changed {
  const { attempts, firstAttemptAtMs } = delivery;
  if (outcome.kind === 'postponed') {
    // It was not made, so it does not count.
    const isFirst = attempts <= 1;
    const dueAtMs = nowMs + outcome.delayMs;
    return { ...delivery, attempts: attempts - 1, firstAttemptAtMs: isFirst ? null : firstAttemptAtMs, dueAtMs };
  }
  if (outcome.kind === 'impossible') return { ...delivery, state: 'failed', lastError: outcome.error };
  const last = { lastAttemptAtMs: nowMs, lastStatus: outcome.status, lastTookMs: outcome.tookMs };
  if (outcome.kind === 'taken') {
    return { state: 'delivered', attempts, firstAttemptAtMs, dueAtMs: delivery.dueAtMs, ...last, lastError: null };
  }
  const dueAtMs = nowMs + delayAfter(attempts, random);
  const isOver = dueAtMs - (firstAttemptAtMs ?? nowMs) > retriedForMs;
  return {
    ...{ state: isOver ? 'failed' : 'pending', attempts, firstAttemptAtMs, dueAtMs },
    ...{ ...last, lastError: outcome.error },
  };
}

function delayAfter(attempts: number, random: () => number): number {
  const delayMs = retryDelaysMs[Math.min(Math.max(attempts, 1), retryDelaysMs.length) - 1] ?? 0;
  return Math.round(delayMs * (1 - jitter * random()));
}

/** Whether an endpoint that has just failed has done nothing else for days. */
export function isHopeless(failingSinceMs: number, nowMs: number): boolean {
  return nowMs - failingSinceMs >= failingAtMostMs;
}

/** Whether a status says that the endpoint has the message. */
export function isTaken(status: number): boolean {
  return status >= 200 && status < 300;
}

/** Whether a status says that the endpoint works, though it did not take this message. */
export function isAlive(status: number): boolean {
  return status < 500 && status !== 408 && status !== 429;
}

/** The status by which an endpoint asks for no more webhooks. */
export const goneStatus = 410;
