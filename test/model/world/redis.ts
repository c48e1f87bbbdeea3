/**
 * Redis in memory: the commands that the shipped code and its scripts use, one at a time, as the real one does it.
 *
 * Invariant: every command does what Redis 7 does with it or throws; `real-servers.test.ts` holds it against a real server.
 * A script runs as one step. Keys expire by the model's clock. Called by `deps.ts`, and by scripts through `lua.ts`.
 */
import { Digest, Sum } from './choice.ts';
import { compileLua, LuaTable, type LuaValue, NotUnderstood } from './lua.ts';

type Entry =
  | { readonly kind: 'string'; value: string; expiresAtMs: number }
  | { readonly kind: 'hash'; readonly fields: Map<string, string>; expiresAtMs: number }
  | { readonly kind: 'sorted'; readonly scores: Map<string, number>; expiresAtMs: number };

/** An answer: text, a number, nothing, or a list of answers. */
export type RedisReply = string | number | null | RedisReply[];

/** Hears of every field that a hash gets, before it is written. */
export type HashListener = (key: string, field: string, before: string | undefined, after: string | undefined) => void;

const never = Number.POSITIVE_INFINITY;

export class RedisServer {
  #entries = new Map<string, Entry>();
  readonly #nowUs: () => number;
  readonly #digests: boolean;
  #sum = new Sum();
  /** Told of every change of a hash. */
  onHash: HashListener = () => undefined;

  /** With `digests`, what is in it can be told from what was. */
  constructor(nowUs: () => number, digests: boolean) {
    this.#nowUs = nowUs;
    this.#digests = digests;
  }

  /** Runs a command. Throws for one it does not know. */
  command(name: string, args: readonly string[]): RedisReply {
    const [key = '', ...rest] = args;
    switch (name) {
      case 'time': {
        const nowUs = this.#nowUs();
        return [String(Math.floor(nowUs / 1_000_000)), String(nowUs % 1_000_000)];
      }
      case 'get': {
        const entry = this.#find(key);
        if (!entry) return null;
        if (entry.kind !== 'string') throw wrongType();
        return entry.value;
      }
      case 'set':
        return this.#set(key, rest);
      case 'del':
      case 'unlink':
        return args.reduce((count, one) => count + (this.#delete(one) ? 1 : 0), 0);
      case 'exists':
        return args.reduce((count, one) => count + (this.#find(one) ? 1 : 0), 0);
      case 'pexpire': {
        const entry = this.#find(key);
        if (!entry) return 0;
        entry.expiresAtMs = this.#nowMs() + integer(rest[0]);
        return 1;
      }
      case 'hget':
        return this.#hash(key)?.get(rest[0] ?? '') ?? null;
      case 'hmget': {
        const fields = this.#hash(key);
        return rest.map((field) => fields?.get(field) ?? null);
      }
      case 'hgetall':
        return [...(this.#hash(key) ?? [])].flat();
      case 'hlen':
        return this.#hash(key)?.size ?? 0;
      case 'hkeys':
        return [...(this.#hash(key)?.keys() ?? [])];
      case 'hset': {
        if (rest.length === 0 || rest.length % 2 !== 0) throw new Error('ERR wrong number of arguments for hset');
        let added = 0;
        for (let i = 0; i < rest.length; i += 2) added += this.#write(key, rest[i] ?? '', rest[i + 1] ?? '') ? 1 : 0;
        return added;
      }
      case 'hdel': {
        const fields = this.#hash(key);
        let removed = 0;
        for (const field of rest) {
          const before = fields?.get(field);
          if (before === undefined) continue;
          this.onHash(key, field, before, undefined);
          this.#note(`${key}.${field}`, before, undefined);
          fields?.delete(field);
          removed++;
        }
        if (fields?.size === 0) this.#entries.delete(key);
        return removed;
      }
      case 'hincrby': {
        const [field = '', by] = rest;
        const sum = integer(this.#hash(key)?.get(field) ?? '0') + integer(by);
        this.#write(key, field, String(sum));
        return sum;
      }
      case 'setbit': {
        const [at, bit = ''] = rest;
        const bits = this.#bits(key);
        const before = bits.has(integer(at)) ? 1 : 0;
        if (bit === '1') bits.add(integer(at));
        else bits.delete(integer(at));
        this.#set(key, [[...bits].sort((a, b) => a - b).join(' ')]);
        return before;
      }
      case 'getbit':
        return this.#bits(key).has(integer(rest[0])) ? 1 : 0;
      case 'getrange': {
        const [first, last] = rest;
        if (first !== last) throw new NotUnderstood('getrange of one byte only');
        const at = 8 * integer(first);
        const bits = this.#bits(key);
        const byte = [0, 1, 2, 3, 4, 5, 6, 7].reduce((sum, bit) => 2 * sum + (bits.has(at + bit) ? 1 : 0), 0);
        const isBehind = [...bits].every((bit) => bit < at);
        return isBehind ? '' : String.fromCharCode(byte);
      }
      case 'bitcount': {
        const [first = '0', last] = rest;
        const until = last === undefined ? never : 8 * (integer(last) + 1);
        return [...this.#bits(key)].filter((at) => at >= 8 * integer(first) && at < until).length;
      }
      case 'zadd': {
        const scores = this.#sorted(key, true);
        const [score, member = ''] = rest;
        if (rest.length !== 2) throw new Error('zadd of one member only');
        const isNew = !scores?.has(member);
        this.#note(`${key}.${member}`, isNew ? undefined : String(scores?.get(member)), String(score));
        scores?.set(member, integer(score));
        return isNew ? 1 : 0;
      }
      case 'zrangebyscore': {
        const members = [...(this.#sorted(key, false) ?? [])].sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1));
        return members.filter(([, score]) => within(score, rest[0] ?? '', rest[1] ?? '')).map(([member]) => member);
      }
      default:
        throw new NotUnderstood(`the model's Redis does not know ${name}`);
    }
  }

  /** Runs a script as one step. */
  script(source: string, keys: string[], args: string[]): RedisReply {
    return compileLua(source)((name, values) => toLua(this.command(name, values)), keys, args) as RedisReply;
  }

  /** Everything is gone. */
  flush(): void {
    this.#entries = new Map();
    this.#sum = new Sum();
  }

  /** A copy of everything, to come back to. */
  snapshot(): ReadonlyMap<string, Entry> {
    return copyOf(this.#entries);
  }

  restore(snapshot: ReadonlyMap<string, Entry>): void {
    this.#entries = copyOf(snapshot);
    this.#sum = new Sum();
    for (const [key, entry] of this.#entries) this.#noteAll(key, entry, true);
  }

  /** The content of a hash, for checks of the mirror. */
  hashAt(key: string): ReadonlyMap<string, string> | undefined {
    return this.#hash(key);
  }

  /** The bits of a string that are set, for checks of the mirror. */
  bitsAt(key: string): ReadonlySet<number> {
    return this.#bits(key);
  }

  /** A digest of everything in it. */
  digest(): number {
    return this.#sum.value();
  }

  #note(part: string, before: string | undefined, after: string | undefined): void {
    if (!this.#digests) return;
    if (before !== undefined) this.#sum.remove(digestOf(part, before));
    if (after !== undefined) this.#sum.add(digestOf(part, after));
  }

  #noteAll(key: string, entry: Entry, isThere: boolean): void {
    if (!this.#digests) return;
    const parts =
      entry.kind === 'string' ? [['', entry.value] as const] : entry.kind === 'hash' ? entry.fields : entry.scores;
    for (const [field, value] of parts) {
      const text = String(value);
      this.#note(`${key}.${field}`, isThere ? undefined : text, isThere ? text : undefined);
    }
  }

  #nowMs(): number {
    return Math.floor(this.#nowUs() / 1000);
  }

  #find(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry && entry.expiresAtMs !== never && entry.expiresAtMs <= this.#nowMs()) {
      this.#noteAll(key, entry, false);
      this.#entries.delete(key);
      return undefined;
    }
    return entry;
  }

  #delete(key: string): boolean {
    const entry = this.#find(key);
    if (entry) this.#noteAll(key, entry, false);
    return entry !== undefined && this.#entries.delete(key);
  }

  #hash(key: string): Map<string, string> | undefined {
    const entry = this.#find(key);
    if (entry && entry.kind !== 'hash') throw wrongType();
    return entry?.fields;
  }

  #sorted(key: string, make: boolean): Map<string, number> | undefined {
    const entry = this.#find(key);
    if (entry && entry.kind !== 'sorted') throw wrongType();
    if (entry || !make) return entry?.scores;
    const scores = new Map<string, number>();
    this.#entries.set(key, { kind: 'sorted', scores, expiresAtMs: never });
    return scores;
  }

  /** The bits of a string that are set. They are kept by their numbers: nothing reads such a string as text. */
  #bits(key: string): Set<number> {
    const entry = this.#find(key);
    if (entry && entry.kind !== 'string') throw wrongType();
    return new Set(entry?.value ? entry.value.split(' ').map(Number) : []);
  }

  #write(key: string, field: string, value: string): boolean {
    let fields = this.#hash(key);
    if (!fields) {
      fields = new Map();
      this.#entries.set(key, { kind: 'hash', fields, expiresAtMs: never });
    }
    const before = fields.get(field);
    this.onHash(key, field, before, value);
    this.#note(`${key}.${field}`, before, value);
    fields.set(field, value);
    return before === undefined;
  }

  #set(key: string, [value = '', ...options]: string[]): string | null {
    let expiresAtMs = never;
    for (let i = 0; i < options.length; i++) {
      const option = options[i]?.toUpperCase();
      if (option === 'PX') expiresAtMs = this.#nowMs() + integer(options[++i]);
      else if (option === 'EX') expiresAtMs = this.#nowMs() + 1000 * integer(options[++i]);
      else if (option !== 'NX') throw new NotUnderstood(`SET does not know ${option}`);
      else if (this.#find(key)) return null;
    }
    const before = this.#find(key);
    if (before) this.#noteAll(key, before, false);
    this.#note(`${key}.`, undefined, value);
    this.#entries.set(key, { kind: 'string', value, expiresAtMs });
    return 'OK';
  }
}

const digests = new Map<string, Map<string, number>>();

/** The same few values come again and again, so each is digested once. */
function digestOf(part: string, value: string): number {
  let known = digests.get(part);
  if (!known) {
    known = new Map();
    digests.set(part, known);
  }
  let digest = known.get(value);
  if (digest === undefined) {
    digest = new Digest().text(part).text(value).value();
    known.set(value, digest);
  }
  return digest;
}

function wrongType(): Error {
  return new Error('WRONGTYPE Operation against a key holding the wrong kind of value');
}

function integer(text: string | undefined): number {
  if (text === undefined || !/^-?\d+$/.test(text)) throw new Error('ERR value is not an integer or out of range');
  return Number(text);
}

function within(score: number, from: string, to: string): boolean {
  const above = from.startsWith('(') ? score > Number(from.slice(1)) : from === '-inf' || score >= Number(from);
  const below = to.startsWith('(') ? score < Number(to.slice(1)) : to === '+inf' || score <= Number(to);
  return above && below;
}

function copyOf(entries: ReadonlyMap<string, Entry>): Map<string, Entry> {
  const copy = new Map<string, Entry>();
  for (const [key, entry] of entries) {
    if (entry.kind === 'hash') copy.set(key, { ...entry, fields: new Map(entry.fields) });
    else if (entry.kind === 'sorted') copy.set(key, { ...entry, scores: new Map(entry.scores) });
    else copy.set(key, { ...entry });
  }
  return copy;
}

/** An answer as a script sees it: what is missing is false. */
function toLua(reply: RedisReply): LuaValue {
  if (reply === null) return false;
  return Array.isArray(reply) ? new LuaTable(reply.map(toLua)) : reply;
}
