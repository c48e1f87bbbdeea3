/**
 * A bounded cache in place of lru-cache, which reserves room for all of its entries at once: too much for a model, in which
 * every process has one.
 */
export class LRUCache<Key, Value> {
  readonly #entries = new Map<Key, Value>();
  readonly #max: number;

  constructor({ max }: { max: number }) {
    this.#max = max;
  }

  has(key: Key): boolean {
    return this.#entries.has(key);
  }

  get(key: Key): Value | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  /** Makes it the newest entry, and forgets the oldest if there are too many. */
  set(key: Key, value: Value): this {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    const [oldest] = this.#entries.size > this.#max ? this.#entries.keys() : [];
    if (oldest !== undefined) this.#entries.delete(oldest);
    return this;
  }

  delete(key: Key): boolean {
    return this.#entries.delete(key);
  }
}
