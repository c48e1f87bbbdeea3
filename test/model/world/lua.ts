/**
 * Runs the shipped Lua scripts in this process: compiles the part of Lua 5.1 that they use into JavaScript.
 *
 * Invariant: a script either means here what it means in Redis, or does not compile. Anything this compiler does not
 * support is an error, never a guess; `real-servers.test.ts` compares the shipped scripts with a real Redis, call by call.
 * Called by `redis.ts`.
 */

/** Thrown for Lua that this compiler does not support. It is a gap of the model, not an answer of Redis. */
export class NotUnderstood extends Error {}

/** What a script can hold in a variable. */
export type LuaValue = undefined | boolean | number | string | LuaTable | LuaFunction;
type LuaFunction = (...args: LuaValue[]) => LuaValue[];

/** A table: a list that grows at its end, fields by name, or both. */
export class LuaTable {
  readonly list: LuaValue[];
  readonly fields: Map<string, LuaValue>;

  constructor(list: LuaValue[], fields: Map<string, LuaValue> = new Map()) {
    this.list = list;
    this.fields = fields;
  }

  get(key: LuaValue): LuaValue {
    if (typeof key === 'number') return this.list[key - 1];
    if (typeof key === 'string') return this.fields.get(key);
    throw new NotUnderstood(`a table's key that is a ${typeof key}`);
  }

  set(key: LuaValue, value: LuaValue): void {
    if (typeof key === 'string') {
      if (value === undefined) this.fields.delete(key);
      else this.fields.set(key, value);
    } else if (typeof key === 'number' && key >= 1 && key <= this.list.length + 1 && value !== undefined) {
      this.list[key - 1] = value;
    } else {
      throw new NotUnderstood('a list with holes');
    }
  }
}

/** Runs a Redis command for a script. */
export type RedisCall = (command: string, args: string[]) => LuaValue;

/** A compiled script. Returns what the script returned, as Redis would answer it. */
export type CompiledScript = (call: RedisCall, keys: string[], args: string[]) => unknown;

const compiled = new Map<string, CompiledScript>();

/** Compiles a script, once however often it is asked for. Throws if it uses anything this compiler does not know. */
export function compileLua(source: string): CompiledScript {
  const known = compiled.get(source);
  if (known) return known;
  let body: string;
  try {
    body = new Parser(tokenize(source)).chunk();
  } catch (error) {
    throw new NotUnderstood(`Lua: ${(error as Error).message}`);
  }
  const run = new Function('L', 'redis_call', 'KEYS', 'ARGV', body) as (
    builtins: object,
    call: (args: LuaValue[]) => LuaValue,
    keys: LuaTable,
    args: LuaTable,
  ) => LuaValue[];
  const script: CompiledScript = (call, keys, args) => {
    const redisCall = ([command, ...rest]: LuaValue[]) =>
      call(String(command).toLowerCase(), rest.map(commandArgument));
    return reply(run(library, redisCall, new LuaTable(keys), new LuaTable(args))[0]);
  };
  compiled.set(source, script);
  return script;
}

/** A Lua value as an argument of a command: strings as they are, numbers without loss. */
function commandArgument(value: LuaValue): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' && Number.isInteger(value) && Math.abs(value) < 1e17) return String(value);
  throw new Error(`Lua redis() command arguments must be strings or integers, not ${typeof value}`);
}

/** A Lua value as Redis answers it: numbers lose their fraction, false is nil, a list ends at its first nil. */
function reply(value: LuaValue): unknown {
  if (value === undefined || value === false) return null;
  if (value === true) return 1;
  if (typeof value === 'number') return Math.trunc(value);
  if (value instanceof LuaTable) {
    const end = value.list.indexOf(undefined);
    return (end < 0 ? value.list : value.list.slice(0, end)).map(reply);
  }
  if (typeof value === 'function') throw new Error('a script cannot return a function');
  return value;
}

/** A number as Lua 5.1 prints it, with `%.14g`. */
function numberText(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e14) return String(value);
  if (!Number.isFinite(value)) throw new Error('numbers must be finite');
  const exponent = Math.floor(Math.log10(Math.abs(value)));
  if (exponent >= -5 && exponent < 14) return String(Number(value.toPrecision(14)));
  const [mantissa = '', power = ''] = value.toExponential(13).split('e');
  const sign = power.startsWith('-') ? '-' : '+';
  return `${mantissa.replace(/\.?0+$/, '')}e${sign}${power.replace(/^[+-]/, '').padStart(2, '0')}`;
}

function textOf(value: LuaValue): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return numberText(value);
  throw new Error(`attempt to concatenate a ${typeof value}`);
}

function toNumber(value: LuaValue): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  return /^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : undefined;
}

const patterns = new Map<string, string>();

/** A Lua pattern as the source of a JavaScript one. */
function patternSource(pattern: string): string {
  const known = patterns.get(pattern);
  if (known !== undefined) return known;
  const classes: Record<string, string> = {
    d: '\\d',
    a: 'A-Za-z',
    w: 'A-Za-z0-9',
    x: '0-9a-fA-F',
    s: '\\s',
    S: '\\S',
    D: '\\D',
  };
  let source = '';
  let inSet = false;
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern[i] ?? '';
    if (char === '%') {
      const next = pattern[++i] ?? '';
      const known = classes[next];
      if (known === undefined && /[A-Za-z0-9]/.test(next)) throw new NotUnderstood(`pattern class %${next}`);
      source += known === undefined ? `\\${next}` : inSet || known.startsWith('\\') ? known : `[${known}]`;
    } else if (char === '[') {
      inSet = true;
      source += pattern[i + 1] === '^' ? '[^' : '[';
      if (pattern[i + 1] === '^') i++;
    } else if (char === ']') {
      inSet = false;
      source += ']';
    } else if (!inSet && char === '-') {
      throw new NotUnderstood('lazy repetition in a pattern');
    } else if (!inSet && /[{}|/\\]/.test(char)) {
      source += `\\${char}`;
    } else {
      source += char;
    }
  }
  patterns.set(pattern, source);
  return source;
}

const expressions = new Map<string, RegExp>();
function expression(pattern: LuaValue, flags: string): RegExp {
  const key = `${flags}${pattern}`;
  const known = expressions.get(key) ?? new RegExp(patternSource(String(pattern)), `${flags}s`);
  expressions.set(key, known);
  known.lastIndex = 0;
  return known;
}

function fromJson(value: unknown): LuaValue {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  if (Array.isArray(value)) return new LuaTable(value.map(fromJson));
  if (typeof value === 'object' && value !== null) {
    return new LuaTable([], new Map(Object.entries(value).map(([name, one]) => [name, fromJson(one)])));
  }
  throw new NotUnderstood('null in JSON');
}

const library = {
  truthy: (value: LuaValue) => value !== undefined && value !== false,
  number(value: LuaValue): number {
    const number = toNumber(value);
    if (number === undefined) throw new Error(`attempt to perform arithmetic on a ${typeof value}`);
    return number;
  },
  less(a: LuaValue, b: LuaValue): boolean {
    if (typeof a === 'number' && typeof b === 'number') return a < b;
    throw new Error(`attempt to compare ${typeof a} with ${typeof b}`);
  },
  lessOrEqual(a: LuaValue, b: LuaValue): boolean {
    if (typeof a === 'number' && typeof b === 'number') return a <= b;
    throw new Error(`attempt to compare ${typeof a} with ${typeof b}`);
  },
  concat: (a: LuaValue, b: LuaValue) => textOf(a) + textOf(b),
  length(value: LuaValue): number {
    if (value instanceof LuaTable) return value.list.length;
    if (typeof value === 'string') return Buffer.byteLength(value);
    throw new Error(`attempt to get the length of a ${typeof value}`);
  },
  index(table: LuaValue, key: LuaValue): LuaValue {
    if (table instanceof LuaTable) return table.get(key);
    throw new Error(`attempt to index a ${typeof table}`);
  },
  assign(table: LuaValue, key: LuaValue, value: LuaValue): void {
    if (!(table instanceof LuaTable)) throw new Error(`attempt to index a ${typeof table}`);
    table.set(key, value);
  },
  table: (list: LuaValue[]) => new LuaTable(list),
  'cjson.decode': ([text]: LuaValue[]): LuaValue[] => [fromJson(JSON.parse(String(text)))],
  tonumber: ([value, base]: LuaValue[]): LuaValue[] => {
    if (base === undefined) return [toNumber(value)];
    if (base !== 16 || typeof value !== 'string') throw new NotUnderstood('tonumber with a base other than 16 of text');
    return [/^[0-9a-fA-F]+$/.test(value) ? Number.parseInt(value, 16) : undefined];
  },
  tostring: ([value]: LuaValue[]): LuaValue[] => [
    typeof value === 'boolean' || value === undefined ? String(value ?? 'nil') : textOf(value),
  ],
  'string.format': ([format, value]: LuaValue[]): LuaValue[] => {
    if (typeof value === 'number' && (format === '%.0f' || format === '%d')) return [value.toFixed(0)];
    if (typeof value === 'number' && value >= 0 && format === '%x') return [Math.trunc(value).toString(16)];
    throw new NotUnderstood('string.format other than %.0f, %d or %x of a number');
  },
  'string.match': ([text, pattern]: LuaValue[]): LuaValue[] => {
    const found = expression(pattern, '').exec(String(text));
    if (!found) return [undefined];
    return found.length > 1 ? found.slice(1) : [found[0]];
  },
  'string.sub': ([text, from, to]: LuaValue[]): LuaValue[] => {
    if (typeof text !== 'string' || typeof from !== 'number') throw new NotUnderstood('string.sub of other than text');
    const place = (at: number) => (at < 0 ? Math.max(text.length + at + 1, 0) : at);
    return [text.slice(Math.max(place(from), 1) - 1, place(typeof to === 'number' ? to : -1))];
  },
  'string.byte': ([text]: LuaValue[]): LuaValue[] => [text === '' ? undefined : String(text).charCodeAt(0)],
  'math.ceil': ([value]: LuaValue[]): LuaValue[] => [Math.ceil(Number(value))],
  'math.floor': ([value]: LuaValue[]): LuaValue[] => [Math.floor(Number(value))],
  'math.min': (values: LuaValue[]): LuaValue[] => [Math.min(...values.map(Number))],
  'math.max': (values: LuaValue[]): LuaValue[] => [Math.max(...values.map(Number))],
  'string.gsub': ([text, pattern, replacement]: LuaValue[]): LuaValue[] => {
    if (typeof replacement !== 'string' || replacement.includes('%'))
      throw new NotUnderstood('string.gsub other than with plain text');
    let count = 0;
    const replaced = String(text).replace(expression(pattern, 'g'), () => {
      count++;
      return replacement;
    });
    return [replaced, count];
  },
  /** Reads texts that end with a zero byte each, and says where the next one begins. */
  'struct.unpack': ([format, text, from]: LuaValue[]): LuaValue[] => {
    if (typeof format !== 'string' || !/^s+$/.test(format))
      throw new NotUnderstood('struct.unpack of other than texts');
    if (typeof text !== 'string' || typeof from !== 'number') throw new NotUnderstood('struct.unpack without a place');
    const texts = text.slice(from - 1).split('\0', format.length + 1);
    if (texts.length <= format.length) throw new Error('unfinished string in data');
    const read = texts.slice(0, format.length);
    return [...read, read.reduce((at, one) => at + one.length + 1, from)];
  },
  'table.concat': ([table, separator]: LuaValue[]): LuaValue[] => {
    if (!(table instanceof LuaTable)) throw new Error('table.concat wants a list');
    return [table.list.map(textOf).join(String(separator ?? ''))];
  },
};

export interface Token {
  readonly kind: 'name' | 'number' | 'string' | 'symbol' | 'end';
  readonly text: string;
  /** Where it begins in the source. */
  readonly at: number;
}

const keywords = new Set(
  'and break do else elseif end false for function if in local nil not or repeat return then true until while'.split(
    ' ',
  ),
);

/** Divides a script into its words and signs. Throws for a character that Lua does not know. */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  const pattern =
    /\s+|--[^\n]*|([A-Za-z_]\w*)|(\d+(?:\.\d+)?)|'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|(\.\.\.|\.\.|==|~=|<=|>=|[-+*/%^#<>=(){}[\];:,.])|([\s\S])/g;
  for (const match of source.matchAll(pattern)) {
    const [, name, number, single, double, symbol, other] = match;
    const at = match.index;
    if (other !== undefined) throw new Error(`unexpected character ${JSON.stringify(other)}`);
    if (name !== undefined) tokens.push({ kind: 'name', text: name, at });
    else if (number !== undefined) tokens.push({ kind: 'number', text: number, at });
    else if (symbol !== undefined) tokens.push({ kind: 'symbol', text: symbol, at });
    else if (single !== undefined || double !== undefined) {
      const text = single ?? double ?? '';
      const unescaped = text.replaceAll('\\n', '\n');
      if (unescaped.includes('\\')) throw new Error(`an escape that is not known in '${text}'`);
      tokens.push({ kind: 'string', text: unescaped, at });
    }
  }
  tokens.push({ kind: 'end', text: 'end of file', at: source.length });
  return tokens;
}

/** Precedence of the binary operators, as in the Lua manual. */
const precedence: Record<string, number> = {
  or: 1,
  and: 2,
  '<': 3,
  '>': 3,
  '<=': 3,
  '>=': 3,
  '~=': 3,
  '==': 3,
  '..': 4,
  '+': 5,
  '-': 5,
  '*': 6,
  '/': 6,
};
const unaryPrecedence = 7;

/** Functions that a script may call by name. */
const builtins = new Set([
  'tonumber',
  'tostring',
  'string.format',
  'string.match',
  'string.gsub',
  'string.byte',
  'string.sub',
  'struct.unpack',
  'math.ceil',
  'math.floor',
  'math.min',
  'math.max',
  'table.concat',
  'cjson.decode',
  'redis.call',
]);

/** One expression as JavaScript; `many` if it is a call, which may give several values. */
interface Code {
  readonly single: string;
  readonly many?: string;
  /** The table and key that it names, if it does. */
  readonly table?: string;
  readonly key?: string;
}

class Parser {
  readonly #tokens: Token[];
  #at = 0;
  #temporaries = 0;
  readonly #scopes: Set<string>[] = [new Set(['KEYS', 'ARGV'])];

  constructor(tokens: Token[]) {
    this.#tokens = tokens;
  }

  chunk(): string {
    const body = this.#block(['end of file']);
    return `'use strict'; ${body} return [];`;
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? { kind: 'end', text: 'end of file', at: Number.POSITIVE_INFINITY };
  }

  #next(): Token {
    const token = this.#peek();
    this.#at++;
    return token;
  }

  #is(text: string): boolean {
    const token = this.#peek();
    return token.text === text && token.kind !== 'string';
  }

  #accept(text: string): boolean {
    if (!this.#is(text)) return false;
    this.#at++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#accept(text)) throw new Error(`expected ${text}, found ${this.#peek().text}`);
  }

  #name(): string {
    const token = this.#next();
    if (token.kind !== 'name' || keywords.has(token.text)) throw new Error(`expected a name, found ${token.text}`);
    return token.text;
  }

  #declare(name: string): string {
    this.#scopes.at(-1)?.add(name);
    return `v_${name}`;
  }

  #variable(name: string): string {
    if (!this.#scopes.some((scope) => scope.has(name))) throw new Error(`${name} is not a local variable`);
    return name === 'KEYS' || name === 'ARGV' ? name : `v_${name}`;
  }

  #scoped<T>(work: () => T): T {
    this.#scopes.push(new Set());
    const result = work();
    this.#scopes.pop();
    return result;
  }

  #block(ends: string[]): string {
    return this.#scoped(() => {
      let code = '';
      while (!ends.some((end) => this.#is(end))) code += this.#statement();
      return code;
    });
  }

  #statement(): string {
    if (this.#accept('local')) return this.#accept('function') ? this.#localFunction() : this.#local();
    if (this.#accept('if')) return this.#conditional();
    if (this.#accept('for')) return this.#loop();
    if (this.#accept('while')) return `while (L.truthy(${this.#expression().single})) {${this.#loopBody()}`;
    if (this.#accept('return')) {
      const values = ['end', 'else', 'elseif', 'end of file'].some((end) => this.#is(end)) ? [] : this.#list();
      return `return ${listOf(values)};`;
    }
    return this.#assignmentOrCall();
  }

  #local(): string {
    const names = [this.#name()];
    while (this.#accept(',')) names.push(this.#name());
    const values = this.#accept('=') ? this.#list() : [];
    const [only] = values;
    if (names.length === 1 && only) return `let ${this.#declare(names[0] ?? '')} = ${only.single};`;
    const list = listOf(values);
    return `let [${names.map((name) => this.#declare(name)).join(', ')}] = ${list};`;
  }

  #localFunction(): string {
    const name = this.#declare(this.#name());
    return this.#scoped(() => {
      this.#expect('(');
      const parameters: string[] = [];
      while (!this.#accept(')')) {
        parameters.push(this.#declare(this.#name()));
        this.#accept(',');
      }
      const body = this.#block(['end']);
      this.#expect('end');
      return `const ${name} = ([${parameters.join(', ')}]) => { ${body} return []; };`;
    });
  }

  #conditional(): string {
    let code = `if (L.truthy(${this.#expression().single})) {`;
    this.#expect('then');
    code += `${this.#block(['elseif', 'else', 'end'])}}`;
    for (;;) {
      if (this.#accept('elseif')) {
        code += ` else if (L.truthy(${this.#expression().single})) {`;
        this.#expect('then');
        code += `${this.#block(['elseif', 'else', 'end'])}}`;
      } else if (this.#accept('else')) {
        code += ` else {${this.#block(['end'])}}`;
      } else {
        this.#expect('end');
        return code;
      }
    }
  }

  #loop(): string {
    const name = this.#name();
    this.#expect('=');
    const start = this.#expression().single;
    this.#expect(',');
    const limit = this.#expression().single;
    const step = this.#accept(',') ? this.#expression().single : '1';
    if (!/^\d+$/.test(step)) throw new Error('a loop must have a constant step upwards');
    return this.#scoped(() => {
      const [counter, end] = [this.#temporary(), this.#temporary()];
      const head = `for (let ${counter} = L.number(${start}), ${end} = L.number(${limit}); ${counter} <= ${end}; ${counter} += ${step}) {`;
      return `${head} let ${this.#declare(name)} = ${counter}; ${this.#loopBody()}`;
    });
  }

  #loopBody(): string {
    this.#expect('do');
    const body = this.#block(['end']);
    this.#expect('end');
    return `${body}}`;
  }

  #assignmentOrCall(): string {
    const targets = [this.#target()];
    const [first] = targets;
    if (first?.many && !this.#is(',') && !this.#is('=')) return `${first.many};`;
    while (this.#accept(',')) targets.push(this.#target());
    this.#expect('=');
    const values = this.#list();
    const assigned = targets.map(() => this.#temporary());
    const assignments = targets.map(({ assign }, index) => assign(assigned[index] ?? ''));
    return `{ const [${assigned.join(', ')}] = ${listOf(values)}; ${assignments.join(' ')} }`;
  }

  /** What stands to the left of an assignment, or a call that is a statement. */
  #target(): Code & { assign(value: string): string } {
    const name = this.#name();
    const code = this.#suffix(this.#named(name));
    const { table, key, single } = code;
    if (table !== undefined && key !== undefined) {
      return { ...code, assign: (value) => `L.assign(${table}, ${key}, ${value});` };
    }
    return { ...code, assign: (value) => `${single} = ${value};` };
  }

  #list(): Code[] {
    const values = [this.#expression()];
    while (this.#accept(',')) values.push(this.#expression());
    return values;
  }

  #expression(limit = 0): Code {
    let left = this.#unary();
    for (;;) {
      const operator = this.#peek().kind === 'string' ? '' : this.#peek().text;
      const own = precedence[operator] ?? 0;
      if (own <= limit) return left;
      this.#at++;
      // Concatenation groups to the right, everything else to the left.
      const right = this.#expression(operator === '..' ? own - 1 : own);
      left = { single: this.#binary(operator, left.single, right.single) };
    }
  }

  #binary(operator: string, left: string, right: string): string {
    switch (operator) {
      case 'and':
      case 'or': {
        const held = this.#temporary();
        const [whenTrue, whenFalse] = operator === 'and' ? [`(${right})`, held] : [held, `(${right})`];
        return `((${held}) => L.truthy(${held}) ? ${whenTrue} : ${whenFalse})(${left})`;
      }
      case '==':
        return `(${left} === ${right})`;
      case '~=':
        return `(${left} !== ${right})`;
      case '<':
        return `L.less(${left}, ${right})`;
      case '>':
        return `L.less(${right}, ${left})`;
      case '<=':
        return `L.lessOrEqual(${left}, ${right})`;
      case '>=':
        return `L.lessOrEqual(${right}, ${left})`;
      case '..':
        return `L.concat(${left}, ${right})`;
      default:
        return `(L.number(${left}) ${operator} L.number(${right}))`;
    }
  }

  #temporary(): string {
    return `t${this.#temporaries++}`;
  }

  #unary(): Code {
    if (this.#accept('not')) return { single: `!L.truthy(${this.#expression(unaryPrecedence).single})` };
    if (this.#accept('-')) return { single: `(-L.number(${this.#expression(unaryPrecedence).single}))` };
    if (this.#accept('#')) return { single: `L.length(${this.#expression(unaryPrecedence).single})` };
    return this.#primary();
  }

  #primary(): Code {
    const token = this.#next();
    if (token.kind === 'number') return { single: token.text };
    if (token.kind === 'string') return { single: JSON.stringify(token.text) };
    switch (token.text) {
      case 'nil':
        return { single: 'undefined' };
      case 'true':
      case 'false':
        return { single: token.text };
      case '(': {
        const { single } = this.#expression();
        this.#expect(')');
        return this.#suffix({ single: `(${single})` });
      }
      case '{': {
        const values = this.#is('}') ? [] : this.#list();
        this.#expect('}');
        return { single: `L.table(${listOf(values)})` };
      }
    }
    if (token.kind !== 'name' || keywords.has(token.text)) throw new Error(`unexpected ${token.text}`);
    return this.#suffix(this.#named(token.text));
  }

  /** A variable, or a call of one of the functions that Lua and Redis bring. */
  #named(name: string): Code {
    if (this.#scopes.some((scope) => scope.has(name))) return { single: this.#variable(name) };
    const full = this.#accept('.') ? `${name}.${this.#name()}` : name;
    if (!builtins.has(full)) throw new Error(`${full} is not known`);
    const args = this.#args();
    if (full === 'redis.call') return { single: `redis_call(${args})`, many: `[redis_call(${args})]` };
    return { single: `L['${full}'](${args})[0]`, many: `L['${full}'](${args})` };
  }

  #args(): string {
    this.#expect('(');
    const args = listOf(this.#is(')') ? [] : this.#list());
    this.#expect(')');
    return args;
  }

  #suffix(value: Code): Code {
    let code = value;
    for (;;) {
      if (this.#is('[') || this.#is('.')) {
        const table = code.single;
        const key = this.#accept('.') ? JSON.stringify(this.#name()) : this.#bracketed();
        code = { single: `L.index(${table}, ${key})`, table, key };
      } else if (this.#is('(')) {
        const call = `${code.single}(${this.#args()})`;
        code = { single: `${call}[0]`, many: call };
      } else {
        return code;
      }
    }
  }

  #bracketed(): string {
    this.#expect('[');
    const key = this.#expression().single;
    this.#expect(']');
    return key;
  }
}

/** A list of expressions, of which the last one gives all of its values. */
function listOf(values: Code[]): string {
  const parts = values.map(({ single, many }, index) =>
    index === values.length - 1 && many ? `...${many}` : `${single}`,
  );
  return `[${parts.join(', ')}]`;
}
