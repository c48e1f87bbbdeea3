/**
 * The pace of long work: after each step it rests for as long as the step took, or a multiple of it, so that it keeps the
 * databases busy for half of the time at most. What people wait for, such as purchases in other sales, has the rest.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '#platform/kernel/clock.ts';

/** A step that waited for something else, such as a lock, says nothing about how much work there is. */
const longestRestMs = 250;

/** Rests of what need not be done at once: reconcile, and an announcement, whose last customer may hear it minutes after the first. */
export const withTimeToSpare = 2;

/**
 * Begins the first step of some work. What it returns ends a step and begins the next one: it rests `times` as long as the
 * step took, but not beyond `untilMs`. A single step is never followed by a rest unless the caller asks for it.
 */
export function beginPaced(clock: Clock, times = 1): (untilMs: number) => Promise<void> {
  let beganAtMs = clock();
  return async (untilMs) => {
    const nowMs = clock();
    const restMs = Math.min(times * (nowMs - beganAtMs), longestRestMs, untilMs - nowMs);
    if (restMs > 0) await sleep(restMs);
    beganAtMs = clock();
  };
}
