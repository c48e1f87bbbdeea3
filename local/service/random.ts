/**
 * Seeded random numbers for the faults that the local services can be told to show.
 *
 * The same seed gives the same faults in the same order, so a failing chaos run can be repeated. Not for secrets.
 * Called by the events server and the payment provider.
 */

/** Returns a generator of numbers in [0, 1) that depends on `seed` alone (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
