/**
 * The absence of Redis in the log: one line when it goes and one when it is back, however many calls fail meanwhile. Whoever
 * goes on without it need not say so again.
 */
import { log } from '#platform/kernel/log.ts';
import { isOutage } from '#platform/resilience/outage.ts';

/** For how long no call must have failed before Redis counts as back: while it comes and goes, it is away. */
const quietMs = 1_000;

/** What one client has seen of it. */
export class Absence {
  #sinceMs: number | undefined;
  #failedMs = 0;
  #failures = 0;

  /** A call failed because Redis is away. */
  failed(error: unknown): void {
    this.#failedMs = performance.now();
    this.#failures++;
    if (this.#sinceMs !== undefined) return;
    this.#sinceMs = this.#failedMs;
    log.warn('Redis is away; work goes on without it', { error });
  }

  /** A call was answered. */
  answered(): void {
    if (this.#sinceMs === undefined) return;
    const nowMs = performance.now();
    if (nowMs - this.#failedMs < quietMs) return;
    log.warn('Redis is back', { failedCalls: this.#failures, awayMs: Math.round(this.#failedMs - this.#sinceMs) });
    this.#sinceMs = undefined;
    this.#failures = 0;
  }
}

/** Logs what could not be done, unless it is for an outage: that has its own line. */
export function warnUnlessOutage(error: unknown, message: string, fields: Record<string, unknown> = {}): void {
  log[isOutage(error) ? 'debug' : 'warn'](message, { error, ...fields });
}
