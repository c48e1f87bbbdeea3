/**
 * Outages of Redis in the log: one line when it becomes unavailable and one when it is back, however many calls fail
 * meanwhile. Callers that go on without Redis need not log it again.
 */
import { log } from '#platform/kernel/log.ts';
import { isOutage } from '#platform/resilience/outage.ts';

/** How long no call may have failed before Redis counts as back. */
const quietMs = 1_000;

/** The outages that one client has met. */
export class OutageLog {
  #sinceMs: number | undefined;
  #failedMs = 0;
  #failures = 0;

  /** A call failed because Redis is unavailable. */
  failed(error: unknown): void {
    this.#failedMs = performance.now();
    this.#failures++;
    if (this.#sinceMs !== undefined) return;
    this.#sinceMs = this.#failedMs;
    log.warn('Redis is unavailable; work goes on without it', { error });
  }

  /** A call was answered. */
  answered(): void {
    if (this.#sinceMs === undefined) return;
    const nowMs = performance.now();
    if (nowMs - this.#failedMs < quietMs) return;
    log.warn('Redis is back', { failedCalls: this.#failures, outageMs: Math.round(this.#failedMs - this.#sinceMs) });
    this.#sinceMs = undefined;
    this.#failures = 0;
  }
}

/** Logs a failure, unless it is due to an outage, which has a line of its own. */
export function warnUnlessOutage(error: unknown, message: string, fields: Record<string, unknown> = {}): void {
  log[isOutage(error) ? 'debug' : 'warn'](message, { error, ...fields });
}
