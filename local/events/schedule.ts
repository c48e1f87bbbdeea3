/**
 * Schedule expressions of EventBridge rules: `rate(5 minutes)`, the only kind that infra/bus.yml uses. Everything else
 * is refused when the rule is put. Called by registry.ts (validation) and scheduler.ts (the next firing).
 */

/** EventBridge does not accept the expression, or it is not emulated. */
export class ScheduleError extends Error {
  override name = 'ScheduleError';
  constructor(reason: string) {
    super(`Parameter ScheduleExpression is not valid. Reason: ${reason}`);
  }
}

export interface Schedule {
  /**
   * The first firing later than `nowMs` (ms since epoch). It keeps the phase of `previousMs`, the last firing or the
   * time when the rule was made.
   */
  next(previousMs: number, nowMs: number): number;
}

const unitMs: Record<string, number> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };

/** Reads a schedule expression. Throws ScheduleError. */
export function parseSchedule(expression: string): Schedule {
  const [, digits, unit = '', plural] = /^rate\(([1-9]\d*) (minute|hour|day)(s?)\)$/.exec(expression) ?? [];
  const count = Number(digits);
  if (!unitMs[unit]) throw new ScheduleError(`only rate(value unit) is emulated locally, not ${expression}`);
  if ((plural === 's') !== count > 1) throw new ScheduleError(`write rate(1 ${unit}) or rate(n ${unit}s)`);
  const intervalMs = count * unitMs[unit];
  return {
    next(previousMs, nowMs) {
      const elapsedIntervals = Math.max(0, Math.floor((nowMs - previousMs) / intervalMs));
      return previousMs + (elapsedIntervals + 1) * intervalMs;
    },
  };
}
