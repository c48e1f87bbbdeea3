/** What `record.ts` writes down of an episode, a line each, for `real-servers.test.ts` to ask of real servers. Bytes are `{ hex }`. */
export type Recorded =
  /** A row that was there from the beginning. */
  | { readonly is: 'row'; readonly table: string; readonly columns: readonly string[]; readonly values: unknown[] }
  /** A hash that was there from the beginning. */
  | { readonly is: 'hash'; readonly key: string; readonly fields: readonly (readonly [string, string])[] }
  | {
      readonly is: 'statement';
      readonly transaction: number;
      readonly text: string;
      readonly values: unknown[];
      readonly rows: Record<string, unknown>[];
      readonly changed: number;
      /** The number of the error that it ended with; 0 for none. */
      readonly errno: number;
    }
  | { readonly is: 'commit' | 'rollback'; readonly transaction: number }
  /** A command, or a script by its source, and the time at which Redis did it. */
  | {
      readonly is: 'redis';
      readonly name?: string;
      readonly script?: string;
      readonly keys: readonly string[];
      readonly args: readonly string[];
      readonly nowUs: number;
      readonly reply: unknown;
    }
  /** A row that was there in the end. */
  | { readonly is: 'end'; readonly table: string; readonly columns: readonly string[]; readonly values: unknown[] };

/** A value as it is written down. */
export function written(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return { hex: value.toString('hex') };
  if (Array.isArray(value)) return value.map(written);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, written(one)]));
  }
  return value;
}

/** A value that was written down. */
export function read(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(read);
  if (typeof value !== 'object' || value === null) return value;
  const { hex } = value as { hex?: unknown };
  if (typeof hex === 'string') return Buffer.from(hex, 'hex');
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, read(one)]));
}
