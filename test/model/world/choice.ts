/**
 * Who decides what happens next. Everything nondeterministic in the model asks a `Chooser`, so a run is
 * known by its choices alone: the same choices give the same run, to the last id.
 */

/**
 * What may go wrong with a call, or with who makes it.
 *   fail   nothing was done, and the caller gets an error
 *   lost   it was done, and the caller gets an error
 *   late   the caller gets an error now, and it is done later
 *   part   some of it was done, and the answer says so
 *   twice  a message is delivered, and still there for another delivery
 *   crash  the caller dies; what it asked for is never done
 *   grave  the caller dies; what it asked for is done later
 *   stall  the call is held up for so long that others believe the caller dead, and then goes on
 */
export type Fault = 'fail' | 'lost' | 'late' | 'part' | 'twice' | 'crash' | 'grave' | 'stall';

export interface Chooser {
  /** One of `count` possibilities; 0 is the default. */
  pick(count: number): number;
  /** One of these faults, or none. */
  fault(possible: readonly Fault[]): Fault | undefined;
  /** True if something that happens with this probability happens now. */
  happens(chance: number): boolean;
}

/** A generator of numbers that depends on its seed alone (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** A whole number from 0 up to `count`. */
  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  /** A whole number between two, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  of<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to choose from');
    return item;
  }
}

const firstPrime = 0x01000193;
const secondPrime = 0x85ebca6b;

const half = 2 ** 26;

/** A digest of 52 bits of what is added to it, in any order. */
export class Sum {
  #high = 0;
  #low = 0;

  add(digest: number): this {
    const high = Math.floor(digest / half);
    const [highest, lowest] = [this.#high + high, this.#low + (digest - high * half)];
    this.#high = highest < half ? highest : highest - half;
    this.#low = lowest < half ? lowest : lowest - half;
    return this;
  }

  /** Takes back what was added. */
  remove(digest: number): this {
    const high = Math.floor(digest / half);
    const [highest, lowest] = [this.#high - high, this.#low - (digest - high * half)];
    this.#high = highest < 0 ? highest + half : highest;
    this.#low = lowest < 0 ? lowest + half : lowest;
    return this;
  }

  value(): number {
    return this.#high * half + this.#low;
  }
}

/** A digest of 52 bits of what is fed to it, in order. */
export class Digest {
  #one = 0x811c9dc5;
  #two = 0x9e3779b9;

  add(value: unknown): this {
    if (typeof value === 'string') return this.text(value);
    if (typeof value === 'number') return this.number(value);
    if (value === null || value === undefined) return this.number(7);
    if (typeof value === 'boolean') return this.number(value ? 3 : 5);
    if (Buffer.isBuffer(value)) return this.text(value.toString('latin1'));
    if (value instanceof Error) return this.text(`${value.name}:${value.message}`);
    if (Array.isArray(value)) {
      this.number(value.length);
      for (const one of value) this.add(one);
      return this;
    }
    if (value instanceof Map) return this.add([...value]);
    if (typeof value === 'object') {
      for (const [key, one] of Object.entries(value)) this.text(key).add(one);
      return this;
    }
    throw new Error(`a ${typeof value} has no digest`);
  }

  text(text: string): this {
    let [one, two] = [this.#one, this.#two];
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      one = Math.imul(one ^ code, firstPrime);
      two = Math.imul(two + code, secondPrime) ^ (two >>> 13);
    }
    this.#one = one ^ text.length;
    this.#two = two;
    return this;
  }

  number(value: number): this {
    const low = value | 0;
    const high = Math.floor(value / 4_294_967_296) | 0;
    this.#one = Math.imul(this.#one ^ low, firstPrime) ^ high;
    this.#two = (Math.imul(this.#two + low, secondPrime) + high) ^ (this.#two >>> 15);
    return this;
  }

  value(): number {
    return (this.#one >>> 0) * 1_048_576 + ((Math.imul(this.#two ^ (this.#two >>> 16), secondPrime) >>> 12) & 0xfffff);
  }
}
