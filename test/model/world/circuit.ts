/** A circuit that never opens, in place of opossum. A model fails calls by its own choice. */
export default class Circuit {
  readonly opened = false;
  readonly halfOpen = false;
  readonly #action: (...args: unknown[]) => Promise<unknown>;

  constructor(action: (...args: unknown[]) => Promise<unknown>) {
    this.#action = action;
  }

  /** Nothing ever happens to it that could be told. */
  on(): this {
    return this;
  }

  fire(...args: unknown[]): Promise<unknown> {
    return this.#action(...args);
  }
}
