/**
 * Reads SQL: the statements that the shipped stores send, and the migrations that make their tables.
 *
 * Invariant: what this does not understand is an error and never skipped, so that no guard of a statement is lost on
 * the way. Pure; `mysql.ts` carries out what it reads.
 */

export type Expr =
  | { readonly is: 'value'; readonly value: number | string | null }
  | { readonly is: 'parameter'; readonly index: number }
  | { readonly is: 'column'; readonly table: string | undefined; readonly name: string }
  | { readonly is: 'binary'; readonly operator: string; readonly left: Expr; readonly right: Expr }
  | { readonly is: 'not'; readonly operand: Expr }
  | { readonly is: 'null'; readonly operand: Expr; readonly negated: boolean }
  | { readonly is: 'in'; readonly operand: Expr; readonly list: readonly Expr[] }
  | { readonly is: 'between'; readonly operand: Expr; readonly low: Expr; readonly high: Expr }
  | { readonly is: 'call'; readonly name: string; readonly args: readonly Expr[] }
  | { readonly is: 'case'; readonly operand: Expr; readonly when: readonly [Expr, Expr][]; readonly otherwise: Expr }
  | { readonly is: 'tuple'; readonly items: readonly Expr[] }
  | { readonly is: 'select'; readonly select: Select };

export interface Source {
  readonly alias: string;
  readonly table: string | undefined;
  /** Rows that the statement brings itself, as in `(SELECT ? AS id UNION ALL …)`. */
  readonly rows: readonly (readonly { readonly name: string; readonly value: Expr }[])[] | undefined;
  readonly on: Expr | undefined;
}

export interface Select {
  readonly is: 'select';
  readonly distinct: boolean;
  readonly items: readonly { readonly name: string; readonly value: Expr }[];
  readonly from: readonly Source[];
  readonly where: Expr | undefined;
  readonly groupBy: readonly Expr[];
  readonly having: Expr | undefined;
  readonly orderBy: readonly { readonly by: Expr; readonly descending: boolean }[];
  readonly limit: Expr | undefined;
  readonly lock: 'none' | 'wait' | 'skip';
}

export interface Assignment {
  /** Absent where a parameter holds columns and their values. */
  readonly column: string | undefined;
  readonly value: Expr;
}

export type Statement =
  | Select
  | {
      readonly is: 'insert';
      readonly table: string;
      readonly columns: readonly string[] | undefined;
      /** A parameter with one row, a list of rows, or columns and their values; or rows that are written out. */
      readonly values:
        | { readonly index: number; readonly shape: 'rows' | 'row' | 'object' }
        | { readonly shape: 'written'; readonly rows: readonly (readonly Expr[])[] };
      readonly onDuplicate: readonly Assignment[] | undefined;
    }
  | {
      readonly is: 'update';
      readonly target: string;
      readonly from: readonly Source[];
      readonly set: readonly Assignment[];
      readonly where: Expr | undefined;
    }
  | {
      readonly is: 'delete';
      readonly target: string;
      readonly from: readonly Source[];
      readonly where: Expr | undefined;
    };

export interface Column {
  readonly name: string;
  readonly type: string;
  /** Bytes or characters that fit; the values of an enum. */
  readonly size: number | undefined;
  readonly values: readonly string[] | undefined;
  readonly nullable: boolean;
  /** What a row has that does not name the column. */
  readonly byDefault: number | string | null;
}

export interface TableDefinition {
  readonly name: string;
  readonly columns: readonly Column[];
  readonly primaryKey: readonly string[];
  readonly uniqueKeys: readonly { readonly name: string; readonly columns: readonly string[] }[];
  readonly indexes: (readonly string[])[];
  readonly checks: readonly { readonly name: string; readonly condition: Expr }[];
}

/** Thrown for SQL that the model does not support. It is a gap of the model, not an answer of MySQL. */
export class NotUnderstood extends Error {}

/** Reads a statement. Throws if it is not understood to its end. */
export function parseStatement(text: string): Statement {
  const parser = new SqlParser(text);
  const statement = parser.statement();
  parser.end();
  return statement;
}

/** Reads the tables and indexes that migrations make. */
export function parseTables(migrations: string): TableDefinition[] {
  const tables = new Map<string, TableDefinition>();
  for (const text of migrations.split('--> statement-breakpoint')) {
    // A trigger of ours refuses what no shipped statement does.
    if (/^CREATE TRIGGER\b/.test(text.trim())) continue;
    const parser = new SqlParser(text.trim().replace(/;$/, ''));
    const made = parser.altered(tables) ?? parser.definition();
    parser.end();
    if ('name' in made) tables.set(made.name, made);
    else if (made.index) tables.get(made.table)?.indexes.push(made.index);
  }
  return [...tables.values()];
}

/** What a statement about an index makes. One that goes is still an index of the model's, which has no need of any. */
interface IndexChange {
  readonly table: string;
  readonly index?: string[];
}

interface Token {
  readonly kind: 'word' | 'number' | 'string' | 'symbol' | 'end';
  readonly text: string;
  /** For words: as written in capitals, unless it was quoted. */
  readonly keyword: string;
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const pattern = /\s+|`([^`]+)`|([A-Za-z_]\w*)|(\d+)|'((?:[^'\\]|'')*)'|(<=|>=|<>|!=|[-+*/=<>(),.?])|([\s\S])/g;
  for (const [, quoted, word, number, string, symbol, other] of text.matchAll(pattern)) {
    if (other !== undefined) throw new NotUnderstood(`SQL: unexpected ${other} in ${text}`);
    if (quoted !== undefined) tokens.push({ kind: 'word', text: quoted, keyword: '' });
    else if (word !== undefined) tokens.push({ kind: 'word', text: word, keyword: word.toUpperCase() });
    else if (number !== undefined) tokens.push({ kind: 'number', text: number, keyword: '' });
    else if (string !== undefined) tokens.push({ kind: 'string', text: string.replaceAll("''", "'"), keyword: '' });
    else if (symbol !== undefined) tokens.push({ kind: 'symbol', text: symbol, keyword: symbol });
  }
  tokens.push({ kind: 'end', text: 'end of statement', keyword: '' });
  return tokens;
}

/** Words that end an expression or a source, so that they are no alias. */
const reserved = new Set(
  `AND AS ASC BETWEEN BY CASE DESC DISTINCT ELSE END FOR FORCE FROM GROUP HAVING IN INNER INTO IS JOIN LEFT LIMIT NOT NULL ON OR ORDER
   SELECT SET SKIP STRAIGHT_JOIN THEN UNION UPDATE VALUES WHEN WHERE`.split(/\s+/),
);

class SqlParser {
  readonly #text: string;
  readonly #tokens: Token[];
  #at = 0;
  #parameters = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = tokenize(text);
  }

  end(): void {
    if (this.#peek().kind !== 'end') throw this.#unexpected();
  }

  statement(): Statement {
    if (this.#is('SELECT')) return this.#select();
    if (this.#accept('INSERT')) return this.#insert();
    if (this.#accept('UPDATE')) return this.#update();
    if (this.#accept('DELETE')) return this.#delete();
    throw this.#unexpected();
  }

  /** What an ALTER TABLE makes of a table that an earlier statement made; undefined if this is none. */
  altered(tables: ReadonlyMap<string, TableDefinition>): TableDefinition | undefined {
    if (!this.#accept('ALTER', 'TABLE')) return undefined;
    const name = this.#word();
    const before = tables.get(name);
    if (!before) throw new NotUnderstood(`SQL: there is no table ${name} to be altered`);
    let { columns, uniqueKeys, checks } = before;
    do {
      if (this.#accept('DROP')) {
        if (!this.#accept('INDEX')) this.#expect('CONSTRAINT');
        const dropped = this.#word();
        uniqueKeys = uniqueKeys.filter((one) => one.name !== dropped);
        checks = checks.filter((one) => one.name !== dropped);
        continue;
      }
      if (this.#accept('MODIFY')) {
        this.#accept('COLUMN');
        const column = this.#column();
        columns = columns.map((one) => (one.name === column.name ? column : one));
        continue;
      }
      this.#expect('ADD');
      if (!this.#accept('CONSTRAINT')) {
        columns = [...columns, this.#column()];
        continue;
      }
      const constraint = this.#word();
      if (this.#accept('UNIQUE')) {
        uniqueKeys = [...uniqueKeys, { name: constraint, columns: this.#names() }];
        continue;
      }
      this.#expect('CHECK', '(');
      checks = [...checks, { name: constraint, condition: this.#expression() }];
      this.#expect(')');
    } while (this.#accept(','));
    return { ...before, columns, uniqueKeys, checks };
  }

  definition(): TableDefinition | IndexChange {
    if (this.#accept('DROP', 'INDEX')) {
      this.#word();
      this.#expect('ON');
      return { table: this.#word() };
    }
    this.#expect('CREATE');
    if (this.#accept('INDEX')) {
      this.#word();
      this.#expect('ON');
      return { table: this.#word(), index: this.#names() };
    }
    this.#expect('TABLE');
    const name = this.#word();
    const columns: Column[] = [];
    const uniqueKeys: { name: string; columns: string[] }[] = [];
    const checks: { name: string; condition: Expr }[] = [];
    let primaryKey: string[] = [];
    this.#expect('(');
    do {
      if (!this.#accept('CONSTRAINT')) {
        columns.push(this.#column());
        continue;
      }
      const constraint = this.#word();
      if (this.#accept('PRIMARY', 'KEY')) primaryKey = this.#names();
      else if (this.#accept('UNIQUE')) uniqueKeys.push({ name: constraint, columns: this.#names() });
      else {
        this.#expect('CHECK', '(');
        checks.push({ name: constraint, condition: this.#expression() });
        this.#expect(')');
      }
    } while (this.#accept(','));
    this.#expect(')');
    return { name, columns, primaryKey, uniqueKeys, indexes: [], checks };
  }

  #column(): Column {
    const name = this.#word();
    const type = this.#word().toLowerCase();
    let size: number | undefined;
    let values: string[] | undefined;
    if (this.#accept('(')) {
      const token = this.#next();
      if (token.kind === 'number') size = Number(token.text);
      else values = [token.text];
      while (this.#accept(',')) values?.push(this.#next().text);
      this.#expect(')');
    }
    const byDefault = this.#default();
    return { name, type, size, values, byDefault, nullable: !this.#accept('NOT', 'NULL') };
  }

  #default(): Column['byDefault'] {
    if (!this.#accept('DEFAULT')) return null;
    const negative = this.#accept('-');
    const { kind, text } = this.#next();
    if (kind === 'number') return negative ? -Number(text) : Number(text);
    if (kind === 'string') return text;
    if (/^(true|false)$/i.test(text)) return Number(/^true$/i.test(text));
    throw new NotUnderstood(`SQL: the default ${text} is not known here`);
  }

  #select(): Select {
    this.#expect('SELECT');
    const distinct = this.#accept('DISTINCT');
    const items = this.#items();
    const from = this.#accept('FROM') ? this.#sources() : [];
    const where = this.#accept('WHERE') ? this.#expression() : undefined;
    const groupBy: Expr[] = [];
    if (this.#accept('GROUP', 'BY')) {
      do groupBy.push(this.#expression());
      while (this.#accept(','));
    }
    const having = this.#accept('HAVING') ? this.#expression() : undefined;
    const orderBy: { by: Expr; descending: boolean }[] = [];
    if (this.#accept('ORDER', 'BY')) {
      do {
        const by = this.#expression();
        orderBy.push({ by, descending: this.#accept('DESC') });
        this.#accept('ASC');
      } while (this.#accept(','));
    }
    const limit = this.#accept('LIMIT') ? this.#expression() : undefined;
    const locks = this.#accept('FOR', 'UPDATE');
    const lock = locks ? (this.#accept('SKIP', 'LOCKED') ? 'skip' : 'wait') : 'none';
    return { is: 'select', distinct, items, from, where, groupBy, having, orderBy, limit, lock };
  }

  #items(): { name: string; value: Expr }[] {
    const items: { name: string; value: Expr }[] = [];
    do {
      const value = this.#expression();
      const own = value.is === 'column' ? value.name : `item${items.length}`;
      items.push({ value, name: this.#accept('AS') ? this.#word() : own });
    } while (this.#accept(','));
    return items;
  }

  #sources(): Source[] {
    const sources = [this.#source()];
    for (;;) {
      if (!this.#accept('JOIN') && !this.#accept('STRAIGHT_JOIN')) return sources;
      const source = this.#source();
      this.#expect('ON');
      sources.push({ ...source, on: this.#expression() });
    }
  }

  /** A hint says how to read, never what: the model has no optimizer to advise. */
  #indexHint(): void {
    if (!this.#accept('FORCE', 'INDEX')) return;
    this.#expect('(');
    this.#word();
    this.#expect(')');
  }

  #source(): Source {
    if (!this.#accept('(')) {
      const table = this.#word();
      const alias = this.#alias() ?? table;
      this.#indexHint();
      return { table, alias, rows: undefined, on: undefined };
    }
    const rows: { name: string; value: Expr }[][] = [];
    do {
      this.#expect('SELECT');
      const items = this.#items();
      // As in SQL, the first SELECT of a UNION names the columns.
      rows.push(items.map((item, index) => ({ value: item.value, name: rows[0]?.[index]?.name ?? item.name })));
    } while (this.#accept('UNION', 'ALL'));
    this.#expect(')');
    return { table: undefined, alias: this.#alias() ?? '', rows, on: undefined };
  }

  #alias(): string | undefined {
    if (this.#accept('AS')) return this.#word();
    const { kind, keyword } = this.#peek();
    return kind === 'word' && !reserved.has(keyword) ? this.#word() : undefined;
  }

  #insert(): Statement {
    this.#expect('INTO');
    const table = this.#word();
    const columns = this.#is('(') ? this.#names() : undefined;
    this.#expect(columns ? 'VALUES' : 'SET');
    const values = this.#values(columns === undefined);
    const updates = this.#accept('ON', 'DUPLICATE', 'KEY', 'UPDATE');
    return { is: 'insert', table, columns, values, onDuplicate: updates ? this.#assignments() : undefined };
  }

  #values(isObject: boolean): Extract<Statement, { is: 'insert' }>['values'] {
    if (this.#accept('?')) return { index: this.#parameters++, shape: isObject ? 'object' : 'rows' };
    if (this.#accept('(', '?', ')')) return { index: this.#parameters++, shape: 'row' };
    const rows: Expr[][] = [];
    do {
      this.#expect('(');
      const row = [this.#expression()];
      while (this.#accept(',')) row.push(this.#expression());
      this.#expect(')');
      rows.push(row);
    } while (this.#accept(','));
    return { shape: 'written', rows };
  }

  #update(): Statement {
    const from = this.#sources();
    this.#expect('SET');
    const set = this.#assignments();
    const where = this.#accept('WHERE') ? this.#expression() : undefined;
    // Of several sources one is a table, and that is what changes.
    const tables = from.filter((source) => source.table !== undefined);
    if (tables.length !== 1) throw new NotUnderstood(`SQL: which table changes in ${this.#text}`);
    return { is: 'update', target: tables[0]?.alias ?? '', from, set, where };
  }

  #delete(): Statement {
    const named = this.#is('FROM') ? undefined : this.#word();
    this.#expect('FROM');
    const from = this.#sources();
    const where = this.#accept('WHERE') ? this.#expression() : undefined;
    return { is: 'delete', target: named ?? from[0]?.alias ?? '', from, where };
  }

  #assignments(): Assignment[] {
    const assignments: Assignment[] = [];
    do {
      if (this.#accept('?')) {
        assignments.push({ column: undefined, value: { is: 'parameter', index: this.#parameters++ } });
        continue;
      }
      const first = this.#word();
      const column = this.#accept('.') ? this.#word() : first;
      this.#expect('=');
      assignments.push({ column, value: this.#expression() });
    } while (this.#accept(','));
    return assignments;
  }

  #expression(): Expr {
    let left = this.#conjunction();
    while (this.#accept('OR')) left = { is: 'binary', operator: 'OR', left, right: this.#conjunction() };
    return left;
  }

  #conjunction(): Expr {
    let left = this.#negation();
    while (this.#accept('AND')) left = { is: 'binary', operator: 'AND', left, right: this.#negation() };
    return left;
  }

  #negation(): Expr {
    return this.#accept('NOT') ? { is: 'not', operand: this.#negation() } : this.#comparison();
  }

  #comparison(): Expr {
    const left = this.#sum();
    for (const operator of ['=', '<=', '>=', '<>', '!=', '<', '>']) {
      if (this.#accept(operator)) {
        return { is: 'binary', operator: operator === '!=' ? '<>' : operator, left, right: this.#sum() };
      }
    }
    if (this.#accept('IS')) {
      const negated = this.#accept('NOT');
      this.#expect('NULL');
      return { is: 'null', operand: left, negated };
    }
    const negated = this.#accept('NOT');
    const test = this.#membership(left);
    if (!test) {
      if (negated) throw this.#unexpected();
      return left;
    }
    return negated ? { is: 'not', operand: test } : test;
  }

  #membership(operand: Expr): Expr | undefined {
    if (this.#accept('IN')) {
      this.#expect('(');
      const list: Expr[] = [];
      do list.push(this.#is('SELECT') ? { is: 'select', select: this.#select() } : this.#expression());
      while (this.#accept(','));
      this.#expect(')');
      return { is: 'in', operand, list };
    }
    if (!this.#accept('BETWEEN')) return undefined;
    const low = this.#sum();
    this.#expect('AND');
    return { is: 'between', operand, low, high: this.#sum() };
  }

  #sum(): Expr {
    let left = this.#primary();
    for (;;) {
      const operator = this.#accept('+') ? '+' : this.#accept('-') ? '-' : undefined;
      if (!operator) return left;
      left = { is: 'binary', operator, left, right: this.#primary() };
    }
  }

  #primary(): Expr {
    if (this.#accept('?')) return { is: 'parameter', index: this.#parameters++ };
    if (this.#accept('NULL')) return { is: 'value', value: null };
    if (this.#accept('-')) {
      return { is: 'binary', operator: '-', left: { is: 'value', value: 0 }, right: this.#primary() };
    }
    if (this.#accept('CASE')) return this.#case();
    if (this.#accept('(')) {
      if (this.#is('SELECT')) {
        const select = this.#select();
        this.#expect(')');
        return { is: 'select', select };
      }
      const items = [this.#expression()];
      while (this.#accept(',')) items.push(this.#expression());
      this.#expect(')');
      const [only] = items;
      return items.length === 1 && only ? only : { is: 'tuple', items };
    }
    const token = this.#next();
    if (token.kind === 'number') return { is: 'value', value: Number(token.text) };
    if (token.kind === 'string') return { is: 'value', value: token.text };
    // A hexadecimal literal, of which the driver may be yet to write the digits.
    if (token.text === 'X' && (this.#peek().kind === 'string' || this.#is('?'))) {
      return { is: 'call', name: 'X', args: [this.#primary()] };
    }
    const isFunction = token.keyword === 'LEFT' && this.#is('(');
    if (token.kind !== 'word' || (reserved.has(token.keyword) && !isFunction)) throw this.#unexpected(token);
    if (this.#accept('(')) {
      const args: Expr[] = [];
      if (this.#accept('*')) args.push({ is: 'value', value: 1 });
      else {
        do args.push(this.#expression());
        while (this.#accept(','));
      }
      this.#expect(')');
      return { is: 'call', name: token.keyword, args };
    }
    if (this.#accept('.')) return { is: 'column', table: token.text, name: this.#word() };
    return { is: 'column', table: undefined, name: token.text };
  }

  #case(): Expr {
    const operand = this.#expression();
    const when: [Expr, Expr][] = [];
    while (this.#accept('WHEN')) {
      const value = this.#expression();
      this.#expect('THEN');
      when.push([value, this.#expression()]);
    }
    const otherwise: Expr = this.#accept('ELSE') ? this.#expression() : { is: 'value', value: null };
    this.#expect('END');
    return { is: 'case', operand, when, otherwise };
  }

  #names(): string[] {
    this.#expect('(');
    const names = [this.#word()];
    while (this.#accept(',')) names.push(this.#word());
    this.#expect(')');
    return names;
  }

  #word(): string {
    const token = this.#next();
    if (token.kind !== 'word') throw this.#unexpected(token);
    return token.text;
  }

  #peek(ahead = 0): Token {
    return this.#tokens[this.#at + ahead] ?? { kind: 'end', text: 'end of statement', keyword: '' };
  }

  #next(): Token {
    const token = this.#peek();
    this.#at++;
    return token;
  }

  #is(...words: string[]): boolean {
    return words.every((word, index) => this.#peek(index).keyword === word);
  }

  #accept(...words: string[]): boolean {
    if (!this.#is(...words)) return false;
    this.#at += words.length;
    return true;
  }

  #expect(...words: string[]): void {
    if (!this.#accept(...words)) throw this.#unexpected();
  }

  #unexpected(token = this.#peek()): NotUnderstood {
    return new NotUnderstood(`SQL: unexpected ${token.text} in ${this.#text}`);
  }
}
