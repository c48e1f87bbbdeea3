/**
 * Makes this process deterministic: ids, jitter, the clock and timers come from the model that is running.
 *
 * Invariant: between two steps of a model no code is left to run. V8's own checkpoint empties the microtask queue, so a
 * step ends when every piece of shipped code waits for the model, and not a turn of the event loop later.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';
import v8 from 'node:v8';
import type { Random } from './choice.ts';

/** What the shipped code gets instead of the machine's own. */
export interface Surroundings {
  /** Milliseconds since the epoch. */
  nowMs(): number;
  /** Numbers for ids and jitter. */
  random(): Random;
  /** Does something after a while. */
  later(work: () => void, afterMs: number): void;
}

v8.setFlagsFromString('--allow-natives-syntax');
const checkpoint = new Function('%PerformMicrotaskCheckpoint()') as () => void;

let surroundings: Surroundings | undefined;

/** What shipped code wants done once nothing else is left to run. */
const soon: (() => void)[] = [];

/** Lets every promise that can go on do so. Must be called from outside of all promises. */
export function settle(): void {
  checkpoint();
  for (let work = soon.shift(); work; work = soon.shift()) {
    work();
    checkpoint();
  }
}

/** From now on all code runs in these surroundings. */
export function surround(by: Surroundings): void {
  surroundings = by;
}

/** Replaces the machine's clock, timers and randomness, once per process. Until a model runs, they stay real. */
export function removeChance(): void {
  const { randomFillSync, randomBytes } = crypto;
  const [now, random, timer, sleep] = [Date.now, Math.random, globalThis.setTimeout, timers.setTimeout];
  const immediate = globalThis.setImmediate;
  const fill = <Bytes extends Uint8Array>(bytes: Bytes): Bytes => {
    if (!surroundings) return randomFillSync(bytes);
    const own = surroundings.random();
    for (let i = 0; i < bytes.length; i++) bytes[i] = own.below(256);
    return bytes;
  };
  Object.assign(crypto, {
    randomFillSync: fill,
    randomBytes: (size: number) => (surroundings ? fill(Buffer.alloc(size)) : randomBytes(size)),
  });
  Object.assign(timers, {
    setTimeout: (afterMs = 0) =>
      surroundings ? new Promise<void>((resolve) => surroundings?.later(resolve, afterMs)) : sleep(afterMs),
  });
  syncBuiltinESMExports();
  Date.now = () => surroundings?.nowMs() ?? now();
  Math.random = () => surroundings?.random().next() ?? random();
  globalThis.setTimeout = ((work: () => void, afterMs = 0) =>
    surroundings ? surroundings.later(work, afterMs) : timer(work, afterMs)) as typeof setTimeout;
  globalThis.setImmediate = ((work: () => void) =>
    surroundings ? soon.push(work) : immediate(work)) as typeof setImmediate;
  // Stack traces are formatted only when they are read; formatting costs more than a step.
  Error.stackTraceLimit = 0;
}
