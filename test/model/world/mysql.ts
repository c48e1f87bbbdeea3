/**
 * MySQL in memory: carries out the statements that the shipped stores send, on the tables that the shipped migrations
 * make, with InnoDB's READ COMMITTED.
 *
 * What it keeps of the real one: a read sees what is committed, and its own transaction's changes; an update or a
 * locking read locks its rows until the transaction ends; others who want the row wait, keep the locks they have,
 * and then see the row as it is now; a deadlock ends with an error for the transaction that closed the cycle, and it
 * is rolled back; unique keys and CHECK constraints are enforced; a failing statement leaves nothing of itself.
 * `real-servers.test.ts` holds it against a real server, statement by statement. It leaves out gap locks, of which READ
 * COMMITTED knows few, and locks no row that a statement looked at and did not want. Called by `deps.ts`.
 */
import {
  type Assignment,
  type Expr,
  NotUnderstood,
  parseStatement,
  parseTables,
  type Select,
  type Source,
  type Statement,
  type TableDefinition,
} from './sql.ts';

/** What a column can hold. Bytes are kept as text of one character each. */
export type Value = number | string | null;
export type Row = readonly Value[];

/** A parameter: a value, a list of values or rows, or columns and their values. */
type Parameter = Value | Parameter[] | { readonly [column: string]: Parameter };

/** An error as the driver reports it. */
export class SqlError extends Error {
  readonly errno: number;

  constructor(errno: number, message: string) {
    super(message);
    this.name = 'SqlError';
    this.errno = errno;
  }
}

/** A statement's result, or the transaction that it must wait for. */
export type Outcome =
  | { readonly rows: Record<string, unknown>[]; readonly changed: number; readonly waitsFor?: undefined }
  | { readonly waitsFor: number };

/** A row that a commit changed; `before` or `after` is missing for one that it made or deleted. */
export interface RowChange {
  readonly table: string;
  readonly before: Row | undefined;
  readonly after: Row | undefined;
}

interface Stored {
  readonly table: Table;
  readonly key: string;
  committed: Row | undefined;
  /** What the owner made of it: a row, null for deleted, undefined for only locked. */
  pending: Row | null | undefined;
  owner: number;
  /** The versions that the indexes know, beside those that are over for good. */
  indexed: Row[];
}

/** What a statement that had to wait has done so far: the rows it has put in, and what was there before. */
export type Progress = Map<Stored, Row | null | undefined>;

interface Transaction {
  readonly touched: Set<Stored>;
  waitsFor: number | undefined;
}

interface Lookup {
  readonly column: number;
  readonly values: (context: Context) => Value[];
}

interface Context {
  readonly rows: (Row | undefined)[];
  readonly parameters: readonly Parameter[];
  readonly transaction: number;
}

type Compiled = (context: Context) => Value;
type Values = (context: Context) => (Value | Value[])[];

/** A statement that is ready to run. */
interface Plan {
  run(server: MysqlServer, parameters: readonly Parameter[], transaction: number, done: Progress): Outcome;
}

const definitions = new Map<string, TableDefinition[]>();

export class MysqlServer {
  readonly tables = new Map<string, Table>();
  readonly #transactions = new Map<number, Transaction>();
  #lastTransaction = 0;
  /** Told of every commit that changed something. */
  onCommit: (changes: RowChange[]) => void = () => undefined;
  /** Told when a transaction ends, so that those who wait for it go on. */
  onEnd: (transaction: number) => void = () => undefined;

  /** A server with the tables that these migrations make. */
  constructor(migrations: string) {
    const known = definitions.get(migrations) ?? parseTables(migrations);
    definitions.set(migrations, known);
    for (const definition of known) this.tables.set(definition.name, new Table(definition));
  }

  begin(): number {
    const id = ++this.#lastTransaction;
    this.#transactions.set(id, { touched: new Set(), waitsFor: undefined });
    return id;
  }

  /** False for a transaction that has ended, and for none at all. */
  isOpen(transaction: number): boolean {
    return this.#transactions.has(transaction);
  }

  /** How many transactions are open. */
  get open(): number {
    return this.#transactions.size;
  }

  /**
   * Runs a statement in a transaction. The same `done` must come with each attempt at the same statement after it had to
   * wait. Throws a `SqlError`; after a deadlock the transaction is gone.
   */
  run(text: string, values: readonly unknown[], transaction: number, done: Progress = new Map()): Outcome {
    const open = this.#transactions.get(transaction);
    if (!open) throw new SqlError(2013, 'Lost connection to MySQL server during query');
    open.waitsFor = undefined;
    const outcome = planFor(text, this).run(this, values.map(toParameter), transaction, done);
    if (outcome.waitsFor === undefined) return outcome;
    open.waitsFor = outcome.waitsFor;
    for (let next: number | undefined = outcome.waitsFor; next !== undefined; ) {
      if (next === transaction) {
        this.rollback(transaction);
        throw new SqlError(1213, 'Deadlock found when trying to get lock; try restarting transaction');
      }
      next = this.#transactions.get(next)?.waitsFor;
    }
    return outcome;
  }

  /** The waiting of a statement is over without the row. */
  stopWaiting(transaction: number): void {
    const open = this.#transactions.get(transaction);
    if (open) open.waitsFor = undefined;
  }

  /** Ends a transaction; false if it had ended before. */
  commit(transaction: number): boolean {
    const open = this.#transactions.get(transaction);
    if (!open) return false;
    const changes: RowChange[] = [];
    for (const stored of open.touched) {
      const { committed, pending, table } = stored;
      stored.owner = 0;
      stored.pending = undefined;
      if (pending !== undefined && (pending || committed)) {
        changes.push({ table: table.name, before: committed, after: pending ?? undefined });
        stored.committed = pending ?? undefined;
      }
      table.settle(stored);
    }
    this.#transactions.delete(transaction);
    if (changes.length > 0) this.onCommit(changes);
    this.onEnd(transaction);
    return true;
  }

  /** Undoes a transaction; harmless if it has ended. */
  rollback(transaction: number): void {
    const open = this.#transactions.get(transaction);
    if (!open) return;
    for (const stored of open.touched) {
      stored.owner = 0;
      stored.pending = undefined;
      stored.table.settle(stored);
    }
    this.#transactions.delete(transaction);
    this.onEnd(transaction);
  }

  /** The server restarts: what was not committed is gone. */
  restart(): void {
    for (const transaction of [...this.#transactions.keys()]) this.rollback(transaction);
  }

  /** Every committed row, to come back to. */
  snapshot(): ReadonlyMap<string, Row[]> {
    const rows = new Map<string, Row[]>();
    for (const [name, table] of this.tables) {
      const committed = [...table.rows()];
      if (committed.length > 0) rows.set(name, committed);
    }
    return rows;
  }

  /** Forgets everything, transactions included, and has these rows. */
  restore(snapshot: ReadonlyMap<string, Row[]>): void {
    this.#transactions.clear();
    this.#lastTransaction = 0;
    for (const [name, table] of this.tables) table.fill(snapshot.get(name) ?? []);
  }

  /** Puts a row in as if it had always been there, its columns by name. */
  seed(name: string, values: Readonly<Record<string, Value>>): void {
    const table = this.table(name);
    const row = table.definition.columns.map((column) => values[column.name] ?? column.byDefault);
    table.check(row);
    table.fill([...table.rows(), row]);
  }

  /** Gives a row to a transaction until it ends. */
  lock(stored: Stored, transaction: number): void {
    stored.owner = transaction;
    this.#transactions.get(transaction)?.touched.add(stored);
  }

  /** A table by name. */
  table(name: string): Table {
    const table = this.tables.get(name);
    if (!table) throw new NotUnderstood(`SQL: there is no table ${name}`);
    return table;
  }
}

export class Table {
  readonly name: string;
  readonly definition: TableDefinition;
  readonly columnIndex: ReadonlyMap<string, number>;
  readonly stored = new Map<string, Stored>();
  readonly #keyColumns: readonly number[];
  /** For each unique key beside the primary one, its name, its columns, and the rows by key. */
  readonly #uniques: {
    readonly name: string;
    readonly columns: readonly number[];
    readonly rows: Map<string, Stored>;
  }[];
  /** For the first column of each index, the rows by value. */
  readonly #indexes = new Map<number, Map<Value, Set<Stored>>>();
  readonly #checks: { readonly name: string; readonly holds: Compiled }[];

  constructor(definition: TableDefinition) {
    this.name = definition.name;
    this.definition = definition;
    this.columnIndex = new Map(definition.columns.map((column, index) => [column.name, index]));
    this.#keyColumns = definition.primaryKey.map((column) => this.column(column));
    this.#uniques = definition.uniqueKeys.map(({ name, columns }) => ({
      name,
      columns: columns.map((one) => this.column(one)),
      rows: new Map(),
    }));
    const uniqueColumns = definition.uniqueKeys.map(({ columns }) => columns);
    for (const [first = ''] of [definition.primaryKey, ...uniqueColumns, ...definition.indexes]) {
      this.#indexes.set(this.column(first), new Map());
    }
    const scope: Scope = [{ alias: this.name, columns: this.columnIndex, binary: new Set() }];
    this.#checks = definition.checks.map(({ name, condition }) => ({ name, holds: compile(condition, scope) }));
  }

  column(name: string): number {
    const index = this.columnIndex.get(name);
    if (index === undefined) throw new NotUnderstood(`SQL: ${this.name} has no column ${name}`);
    return index;
  }

  /** True if the column is the first of an index. */
  isIndexed(column: number): boolean {
    return this.#indexes.has(column);
  }

  /** True if the column alone is the primary key. */
  isKey(column: number): boolean {
    return this.#keyColumns.length === 1 && this.#keyColumns[0] === column;
  }

  /** Rows whose column has, or had, one of these values. */
  *lookup(column: number, values: readonly Value[]): Generator<Stored> {
    const index = this.#indexes.get(column);
    for (const value of values) yield* index?.get(value) ?? [];
  }

  keyOf(row: Row): string {
    return keyText(row, this.#keyColumns);
  }

  /** The rows that have one of the unique keys of this row, each with the name of the first such key. */
  *rivals(row: Row): Generator<{ readonly rival: Stored; readonly key: string }> {
    const same = this.stored.get(this.keyOf(row));
    if (same) yield { rival: same, key: 'PRIMARY' };
    for (const { name, columns, rows } of this.#uniques) {
      if (hasNull(row, columns)) continue;
      const rival = rows.get(keyText(row, columns));
      if (rival && rival !== same) yield { rival, key: name };
    }
  }

  /** The place of a row with this key, made if there is none. */
  place(row: Row): Stored {
    const key = this.keyOf(row);
    const known = this.stored.get(key);
    if (known) return known;
    const made: Stored = { table: this, key, committed: undefined, pending: undefined, owner: 0, indexed: [] };
    this.stored.set(key, made);
    return made;
  }

  /** The committed rows. */
  *rows(): Generator<Row> {
    for (const { committed } of this.stored.values()) if (committed) yield committed;
  }

  /** Has these rows and no others. */
  fill(rows: readonly Row[]): void {
    if (this.stored.size > 0) {
      this.stored.clear();
      for (const index of this.#indexes.values()) index.clear();
      for (const unique of this.#uniques) unique.rows.clear();
    }
    for (const row of rows) {
      const stored = this.place(row);
      this.write(stored, row);
      stored.pending = undefined;
      stored.committed = row;
    }
  }

  /** Notes what a transaction made of a row. */
  write(stored: Stored, pending: Row | null | undefined): void {
    stored.pending = pending;
    if (!pending) return;
    stored.indexed.push(pending);
    for (const [column, index] of this.#indexes) {
      const value = pending[column] ?? null;
      const rows = index.get(value);
      if (rows) rows.add(stored);
      else index.set(value, new Set([stored]));
    }
    for (const { columns, rows } of this.#uniques) {
      if (!hasNull(pending, columns)) rows.set(keyText(pending, columns), stored);
    }
  }

  /** A transaction is over: forgets the versions of a row that came to nothing, and the row if nothing is left of it. */
  settle(stored: Stored): void {
    const present = stored.committed;
    if (stored.indexed.length === 1 && stored.indexed[0] === present) return;
    for (const past of stored.indexed) {
      if (past === present) continue;
      for (const [column, index] of this.#indexes) {
        const value = past[column] ?? null;
        if (present && (present[column] ?? null) === value) continue;
        const rows = index.get(value);
        rows?.delete(stored);
        if (rows?.size === 0) index.delete(value);
      }
      for (const { columns, rows } of this.#uniques) {
        const key = keyText(past, columns);
        if ((!present || keyText(present, columns) !== key) && rows.get(key) === stored) rows.delete(key);
      }
    }
    stored.indexed = present ? [present] : [];
    if (!present) this.stored.delete(stored.key);
  }

  /** Throws if a row may not be in this table. */
  check(row: Row): void {
    this.definition.columns.forEach((column, index) => {
      const value = row[index] ?? null;
      if (value === null) {
        if (!column.nullable) throw new SqlError(1048, `Column '${column.name}' cannot be null`);
      } else if (column.values && !column.values.includes(String(value))) {
        throw new SqlError(1265, `Data truncated for column '${column.name}'`);
      } else if (typeof value === 'string' && column.size !== undefined && value.length > column.size) {
        throw new SqlError(1406, `Data too long for column '${column.name}'`);
      }
    });
    for (const { name, holds } of this.#checks) {
      if (holds({ rows: [row], parameters: [], transaction: 0 }) === 0) {
        throw new SqlError(4025, `CONSTRAINT ${name} failed`);
      }
    }
  }
}

/** A unique key allows any number of rows with NULL in one of its columns. */
function hasNull(row: Row, columns: readonly number[]): boolean {
  return columns.some((column) => row[column] === null || row[column] === undefined);
}

function keyText(row: Row, columns: readonly number[]): string {
  if (columns.length === 1) return String(row[columns[0] ?? 0]);
  return columns.map((column) => row[column]).join('\0');
}

function toParameter(value: unknown): Parameter {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string' || typeof value === 'number') return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (Buffer.isBuffer(value)) return value.toString('latin1');
  if (Array.isArray(value)) return value.map(toParameter);
  if (typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([column, one]) => [column, toParameter(one)]));
  }
  throw new NotUnderstood(`SQL: a ${typeof value} cannot be bound`);
}

function scalar(parameter: Parameter | undefined): Value {
  if (typeof parameter === 'object' && parameter !== null)
    throw new NotUnderstood('SQL: a list where a value is expected');
  return parameter ?? null;
}

/** What the names in a statement stand for. */
type Scope = { readonly alias: string; readonly columns: ReadonlyMap<string, number>; readonly binary: Set<number> }[];

function resolve(scope: Scope, table: string | undefined, name: string): { source: number; column: number } {
  const found = scope.flatMap(({ alias, columns }, source) => {
    const column = columns.get(name);
    return column !== undefined && (table === undefined || table === alias) ? [{ source, column }] : [];
  });
  const [only] = found;
  if (!only || found.length > 1) throw new NotUnderstood(`SQL: ${table ?? ''}.${name} is unknown or ambiguous`);
  return only;
}

function compare(left: Value, right: Value): number | undefined {
  if (left === null || right === null) return undefined;
  if (typeof left !== typeof right) throw new NotUnderstood(`SQL: ${typeof left} is compared with ${typeof right}`);
  return left < right ? -1 : left > right ? 1 : 0;
}

const comparisons: Record<string, (order: number) => boolean> = {
  '=': (order) => order === 0,
  '<>': (order) => order !== 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
};

function numeric(value: Value): number | null {
  if (value === null || typeof value === 'number') return value;
  throw new NotUnderstood('SQL: arithmetic on text');
}

function compile(expr: Expr, scope: Scope, server?: MysqlServer): Compiled {
  const sub = (one: Expr) => compile(one, scope, server);
  switch (expr.is) {
    case 'value': {
      const { value } = expr;
      return () => value;
    }
    case 'parameter': {
      const { index } = expr;
      return ({ parameters }) => scalar(parameters[index]);
    }
    case 'column': {
      const { source, column } = resolve(scope, expr.table, expr.name);
      return ({ rows }) => rows[source]?.[column] ?? null;
    }
    case 'binary':
      return compileBinary(expr.operator, sub(expr.left), sub(expr.right));
    case 'not': {
      const operand = sub(expr.operand);
      return (context) => {
        const value = operand(context);
        return value === null ? null : value === 0 ? 1 : 0;
      };
    }
    case 'null': {
      const operand = sub(expr.operand);
      return (context) => ((operand(context) === null) !== expr.negated ? 1 : 0);
    }
    case 'in':
      return compileIn(expr.operand, compileValues(expr.list, scope, server), scope, server);
    case 'between': {
      const [operand, low, high] = [sub(expr.operand), sub(expr.low), sub(expr.high)];
      const [above, below] = [compileBinary('>=', operand, low), compileBinary('<=', operand, high)];
      return compileBinary('AND', above, below);
    }
    case 'call':
      return compileCall(expr.name, expr.args.map(sub));
    case 'case': {
      const operand = sub(expr.operand);
      const when = expr.when.map(([value, result]) => [sub(value), sub(result)] as const);
      const otherwise = sub(expr.otherwise);
      return (context) => {
        const value = operand(context);
        const hit = when.find(([candidate]) => compare(candidate(context), value) === 0);
        return (hit ? hit[1] : otherwise)(context);
      };
    }
    case 'select': {
      if (!server) throw new NotUnderstood('SQL: no query is allowed here');
      const query = planSelect(expr.select, server);
      return (context) => {
        const [first] = query.values(server, context.parameters, context.transaction);
        return first?.[0] ?? null;
      };
    }
    case 'tuple':
      throw new NotUnderstood('SQL: a row where a value is expected');
  }
}

function compileBinary(operator: string, left: Compiled, right: Compiled): Compiled {
  if (operator === 'AND') {
    return (context) => {
      const one = left(context);
      if (one === 0) return 0;
      const other = right(context);
      if (other === 0) return 0;
      return one === null || other === null ? null : 1;
    };
  }
  if (operator === 'OR') {
    return (context) => {
      const one = left(context);
      if (one !== null && one !== 0) return 1;
      const other = right(context);
      if (other !== null && other !== 0) return 1;
      return one === null || other === null ? null : 0;
    };
  }
  if (operator === '+' || operator === '-') {
    const sign = operator === '+' ? 1 : -1;
    return (context) => {
      const [one, other] = [numeric(left(context)), numeric(right(context))];
      return one === null || other === null ? null : one + sign * other;
    };
  }
  const test = comparisons[operator];
  if (!test) throw new NotUnderstood(`SQL: the operator ${operator} is not known`);
  return (context) => {
    const order = compare(left(context), right(context));
    return order === undefined ? null : test(order) ? 1 : 0;
  };
}

function compileCall(name: string, args: Compiled[]): Compiled {
  const [first = () => null, second = () => null, third = () => null] = args;
  switch (name) {
    case 'IF':
      return (context) => {
        const condition = first(context);
        return condition !== null && condition !== 0 ? second(context) : third(context);
      };
    case 'COALESCE':
      return (context) => {
        for (const one of args) {
          const value = one(context);
          if (value !== null) return value;
        }
        return null;
      };
    case 'GREATEST':
      return (context) => {
        const values = args.map((one) => numeric(one(context)));
        return values.includes(null) ? null : Math.max(...values.map(Number));
      };
    case 'LEFT':
      return (context) => {
        const [text, length] = [first(context), numeric(second(context))];
        if (typeof text === 'number') throw new NotUnderstood('SQL: LEFT of a number');
        return text === null || length === null ? null : text.slice(0, length);
      };
    case 'X':
      return (context) => {
        const digits = first(context);
        if (typeof digits !== 'string' || !/^(?:[0-9a-f]{2})*$/i.test(digits)) throw new SqlError(1064, 'syntax error');
        return Buffer.from(digits, 'hex').toString('latin1');
      };
    default:
      throw new NotUnderstood(`SQL: the function ${name} is not known here`);
  }
}

/** The members of a list: each a value, or several for a row. A parameter may stand for all of them. */
function compileValues(list: readonly Expr[], scope: Scope, server?: MysqlServer): Values {
  const parts = list.map((one): Values => {
    if (one.is === 'parameter') {
      return ({ parameters }) => {
        const parameter = parameters[one.index];
        const members = Array.isArray(parameter) ? parameter : [parameter ?? null];
        return members.map((member) => (Array.isArray(member) ? member.map(scalar) : scalar(member)));
      };
    }
    if (one.is === 'select' && server) {
      const query = planSelect(one.select, server);
      return ({ parameters, transaction }) =>
        query.values(server, parameters, transaction).map((row) => row[0] ?? null);
    }
    const value = compile(one, scope, server);
    return (context) => [value(context)];
  });
  return (context) => parts.flatMap((part) => part(context));
}

function compileIn(operand: Expr, values: Values, scope: Scope, server?: MysqlServer): Compiled {
  const items = operand.is === 'tuple' ? operand.items : [operand];
  const compiled = items.map((one) => compile(one, scope, server));
  return (context) => {
    const own = compiled.map((one) => one(context));
    if (own.includes(null)) return null;
    const found = values(context).some((member) => {
      const other = Array.isArray(member) ? member : [member];
      return own.every((value, index) => compare(value, other[index] ?? null) === 0);
    });
    return found ? 1 : 0;
  };
}

/** The conditions that must all hold. */
function conjuncts(expr: Expr | undefined): Expr[] {
  if (!expr) return [];
  if (expr.is === 'binary' && expr.operator === 'AND') return [...conjuncts(expr.left), ...conjuncts(expr.right)];
  return [expr];
}

/** The sources that an expression speaks of. */
function sourcesOf(expr: Expr, scope: Scope): number[] {
  switch (expr.is) {
    case 'column':
      return [resolve(scope, expr.table, expr.name).source];
    case 'binary':
      return [...sourcesOf(expr.left, scope), ...sourcesOf(expr.right, scope)];
    case 'tuple':
      return expr.items.flatMap((item) => sourcesOf(item, scope));
    case 'value':
    case 'parameter':
    case 'select':
      return [];
    default:
      return scope.map((_, index) => index);
  }
}

/** How a statement reaches its rows: source after source, through an index where a condition allows it. */
class Reach {
  readonly scope: Scope;
  readonly tables: (Table | undefined)[];
  readonly #rows: (Compiled[][] | undefined)[];
  readonly #lookups: (Lookup | undefined)[];
  readonly #condition: Compiled;

  constructor(from: readonly Source[], where: Expr | undefined, server: MysqlServer) {
    this.tables = from.map(({ table }) => (table === undefined ? undefined : server.table(table)));
    this.scope = from.map(({ alias, rows }, index) => {
      const table = this.tables[index];
      if (!table) return { alias, columns: new Map(rows?.[0]?.map(({ name }, at) => [name, at])), binary: new Set() };
      const binary = new Set<number>();
      table.definition.columns.forEach(({ type }, at) => {
        if (type === 'binary') binary.add(at);
      });
      return { alias, columns: table.columnIndex, binary };
    });
    this.#rows = from.map(({ rows }) => rows?.map((row) => row.map(({ value }) => compile(value, []))));
    const conditions = [...from.flatMap(({ on }) => conjuncts(on)), ...conjuncts(where)];
    const compiled = conditions.map((one) => compile(one, this.scope, server));
    this.#condition = (context) => {
      for (const one of compiled) {
        const value = one(context);
        if (value === null || value === 0) return 0;
      }
      return 1;
    };
    this.#lookups = from.map((_, index) => this.#lookup(index, conditions, server));
  }

  /** True if the rows in the context are what the statement is about. */
  matches(context: Context): boolean {
    return this.#condition(context) === 1;
  }

  /** Every combination of rows before `source` with the candidates for it. */
  candidates(context: Context, source: number, visit: (stored: Stored) => void, at = 0): void {
    const table = this.tables[at];
    if (!table) {
      for (const row of this.#rows[at] ?? []) {
        context.rows[at] = row.map((value) => value(context));
        this.candidates(context, source, visit, at + 1);
      }
      return;
    }
    const lookup = this.#lookups[at];
    const stored = lookup ? table.lookup(lookup.column, lookup.values(context)) : table.stored.values();
    for (const one of stored) {
      if (at === source) visit(one);
      else {
        context.rows[at] = visible(one, context.transaction);
        if (context.rows[at]) this.candidates(context, source, visit, at + 1);
      }
    }
  }

  #lookup(source: number, conditions: Expr[], server: MysqlServer): Lookup | undefined {
    const table = this.tables[source];
    if (!table) return undefined;
    const found = conditions.flatMap((condition): Lookup[] => {
      const [side, list] = sidesOf(condition);
      const column = side?.is === 'tuple' ? side.items[0] : side;
      if (column?.is !== 'column') return [];
      const at = resolve(this.scope, column.table, column.name);
      const known = list.flatMap((one) => sourcesOf(one, this.scope)).every((one) => one < source);
      if (at.source !== source || !table.isIndexed(at.column) || !known) return [];
      const values = compileValues(list, this.scope, server);
      const first = (member: Value | Value[]) => (Array.isArray(member) ? (member[0] ?? null) : member);
      return [{ column: at.column, values: (context) => [...new Set(values(context).map(first))] }];
    });
    return found.find(({ column }) => table.isKey(column)) ?? found[0];
  }
}

/** What is compared with what, in a condition that an index can serve. */
function sidesOf(condition: Expr): [Expr | undefined, readonly Expr[]] {
  if (condition.is === 'in') return [condition.operand, condition.list];
  if (condition.is !== 'binary' || condition.operator !== '=') return [undefined, []];
  const { left, right } = condition;
  return right.is === 'column' && left.is !== 'parameter' && left.is !== 'column' ? [right, [left]] : [left, [right]];
}

function visible(stored: Stored, transaction: number): Row | undefined {
  if (stored.owner === transaction && stored.pending !== undefined) return stored.pending ?? undefined;
  return stored.committed;
}

interface SelectPlan extends Plan {
  values(server: MysqlServer, parameters: readonly Parameter[], transaction: number): Value[][];
}

type Ordered = { readonly row: Value[]; readonly order: Value[]; readonly stored: Stored[] };

function planSelect(select: Select, server: MysqlServer): SelectPlan {
  const reach = new Reach(select.from, select.where, server);
  const last = select.from.length - 1;
  if (select.lock !== 'none' && last !== 0) throw new NotUnderstood('SQL: only one table can be held at a time');
  const aggregates = select.groupBy.length > 0 || select.items.some(({ value }) => isAggregate(value));
  const items = select.items.map(({ value }) => (isAggregate(value) ? undefined : compile(value, reach.scope, server)));
  const having = havingOf(select.having, reach.scope, server);
  const sums = [...select.items.map(({ value }) => aggregateOf(value, reach.scope, server)), having?.aggregate];
  const groups = select.groupBy.map((by) => compile(by, reach.scope, server));
  const order = select.orderBy.map(({ by, descending }) => ({
    by: compile(orderColumn(by, select), reach.scope, server),
    descending,
  }));
  const limit = select.limit ? compile(select.limit, []) : undefined;
  const names = select.items.map(({ name }) => name);
  const binary = select.items.map(({ value }) => {
    if (value.is !== 'column') return false;
    const { source, column } = resolve(reach.scope, value.table, value.name);
    return reach.scope[source]?.binary.has(column) ?? false;
  });

  const sorted = (found: Ordered[]) => (found.length > 1 ? found.sort((a, b) => byOrder(a, b, order)) : found);
  const atMost = (context: Context) => (limit ? Number(limit(context)) : Number.POSITIVE_INFINITY);

  /** Everything that matches, as this transaction sees it; `others` sees what others are making of rows too. */
  function find(context: Context, others: boolean): Ordered[] {
    const found: Ordered[] = [];
    const seen = new Set<Stored>();
    const take = (stored: Stored, row: Row | undefined) => {
      context.rows[last] = row;
      if (!row || !reach.matches(context) || (others && seen.has(stored))) return;
      if (others) seen.add(stored);
      found.push({
        row: aggregates ? [] : items.map((item) => item?.(context) ?? null),
        order: order.map(({ by }) => by(context)),
        stored: [stored],
      });
      if (aggregates) collect(context);
    };
    const collected = new Map<string, { sums: (Value | undefined)[]; items: Value[] }>();
    const collect = (from: Context) => {
      const key = groups.map((by) => by(from)).join('\0');
      let group = collected.get(key);
      if (!group) {
        group = { sums: sums.map(() => undefined), items: items.map((item) => item?.(from) ?? null) };
        collected.set(key, group);
      }
      const { sums: totals } = group;
      sums.forEach((sum, index) => {
        if (sum) totals[index] = sum.add(totals[index], sum.value(from));
      });
    };
    if (select.from.length === 0) {
      if (reach.matches(context))
        found.push({ row: items.map((item) => item?.(context) ?? null), order: [], stored: [] });
      return found;
    }
    reach.candidates(context, last, (stored) => {
      if (others && stored.owner !== 0 && stored.owner !== context.transaction) {
        take(stored, stored.committed);
        take(stored, stored.pending ?? undefined);
      } else {
        take(stored, visible(stored, context.transaction));
      }
    });
    if (!aggregates) return sorted(found);
    const empty = { sums: sums.map(() => undefined), items: items.map(() => null) };
    const all = collected.size === 0 && groups.length === 0 ? [empty] : [...collected.values()];
    const rows = having ? all.filter((group) => having.holds(group.sums.at(-1) ?? null)) : all;
    return rows.map((group) => ({
      row: group.items.map((item, index) => {
        const sum = sums[index];
        return sum ? sum.result(group.sums[index]) : item;
      }),
      order: [],
      stored: [],
    }));
  }

  function values(_server: MysqlServer, parameters: readonly Parameter[], transaction: number): Value[][] {
    const context: Context = { rows: [], parameters, transaction };
    const rows = find(context, false).map(({ row }) => row);
    const distinct = select.distinct ? [...new Map(rows.map((row) => [row.join('\0'), row])).values()] : rows;
    return distinct.slice(0, atMost(context));
  }

  function held(parameters: readonly Parameter[], transaction: number): Value[][] | { waitsFor: number } {
    const context: Context = { rows: [], parameters, transaction };
    const rows: Value[][] = [];
    const most = atMost(context);
    for (const { stored } of find(context, true)) {
      const [one] = stored;
      if (!one || rows.length >= most) break;
      if (one.owner !== 0 && one.owner !== transaction) {
        if (select.lock === 'skip') continue;
        return { waitsFor: one.owner };
      }
      server.lock(one, transaction);
      context.rows[0] = visible(one, transaction);
      rows.push(items.map((item) => item?.(context) ?? null));
    }
    return rows;
  }

  const output = (row: Value[]) => {
    const object: Record<string, unknown> = {};
    for (let i = 0; i < names.length; i++) {
      const value = row[i] ?? null;
      object[names[i] ?? ''] = binary[i] && typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
    }
    return object;
  };

  return {
    values,
    run(running, parameters, transaction) {
      if (running !== server) throw new NotUnderstood('SQL: a plan belongs to one server');
      const rows = select.lock === 'none' ? values(server, parameters, transaction) : held(parameters, transaction);
      return 'waitsFor' in rows ? rows : { rows: rows.map(output), changed: 0 };
    },
  };
}

/** A column of the result by its name, if a statement sorts by one. */
function orderColumn(by: Expr, select: Select): Expr {
  const item = select.items.find(({ name }) => by.is === 'column' && by.table === undefined && by.name === name);
  return item && item.value.is !== 'column' ? item.value : by;
}

function byOrder(a: Ordered, b: Ordered, order: readonly { descending: boolean }[]): number {
  for (let i = 0; i < order.length; i++) {
    const [one, other] = [a.order[i] ?? null, b.order[i] ?? null];
    if (one === other) continue;
    // NULL comes before every value.
    const sign = one === null ? -1 : other === null ? 1 : (compare(one, other) ?? 0);
    return order[i]?.descending ? -sign : sign;
  }
  const [one, other] = [a.stored.at(-1)?.key ?? '', b.stored.at(-1)?.key ?? ''];
  return one < other ? -1 : one > other ? 1 : 0;
}

const aggregateNames = new Set(['SUM', 'COUNT', 'MIN', 'MAX']);

function isAggregate(expr: Expr): boolean {
  if (expr.is === 'call') return aggregateNames.has(expr.name) || expr.args.some(isAggregate);
  return false;
}

interface Aggregate {
  value(context: Context): Value;
  add(total: Value | undefined, value: Value): Value | undefined;
  result(total: Value | undefined): Value;
}

function aggregateOf(expr: Expr, scope: Scope, server: MysqlServer): Aggregate | undefined {
  if (expr.is !== 'call' || !isAggregate(expr)) return undefined;
  if (expr.name === 'COALESCE') {
    const inner = aggregateOf(expr.args[0] ?? expr, scope, server);
    const otherwise = compile(expr.args[1] ?? { is: 'value', value: null }, []);
    if (!inner) return undefined;
    const instead = () => otherwise({ rows: [], parameters: [], transaction: 0 });
    return { ...inner, result: (total) => inner.result(total) ?? String(instead()) };
  }
  const value = compile(expr.args[0] ?? { is: 'value', value: 1 }, scope, server);
  const [name] = [expr.name];
  if (name === 'COUNT') {
    return {
      value,
      add: (total, one) => (one === null ? total : Number(total ?? 0) + 1),
      result: (total) => total ?? 0,
    };
  }
  const combine = name === 'SUM' ? (a: number, b: number) => a + b : name === 'MIN' ? Math.min : Math.max;
  return {
    value,
    add: (total, one) => (one === null ? total : total === undefined ? one : combine(Number(total), Number(one))),
    // A sum is a DECIMAL, which the driver gives as text.
    result: (total) => (total === undefined ? null : name === 'SUM' ? String(total) : total),
  };
}

/** A condition that compares something of a group with a constant. */
function havingOf(
  having: Expr | undefined,
  scope: Scope,
  server: MysqlServer,
): { aggregate: Aggregate; holds(total: Value): boolean } | undefined {
  if (!having) return undefined;
  const aggregate = having.is === 'binary' ? aggregateOf(having.left, scope, server) : undefined;
  if (having.is !== 'binary' || having.right.is !== 'value' || !aggregate)
    throw new NotUnderstood('SQL: HAVING compares an aggregate with a constant');
  const test = comparisons[having.operator];
  const { value } = having.right;
  if (!test) throw new NotUnderstood(`SQL: the operator ${having.operator} is not known in HAVING`);
  return {
    aggregate,
    holds(total) {
      const result = aggregate.result(total ?? undefined);
      const order = compare(typeof value === 'number' && result !== null ? Number(result) : result, value);
      return order !== undefined && test(order);
    },
  };
}

function planInsert(statement: Extract<Statement, { is: 'insert' }>, server: MysqlServer): Plan {
  const table = server.table(statement.table);
  const defaults = table.definition.columns.map((column): Value => column.byDefault);
  const named = statement.columns?.map((column) => table.column(column));
  const scope: Scope = [{ alias: table.name, columns: table.columnIndex, binary: new Set() }];
  const updates = statement.onDuplicate?.map(assignment(table, scope, server));
  const { values } = statement;
  const written = values.shape === 'written' ? values.rows.map((row) => row.map((value) => compile(value, []))) : [];

  function rowOf(values: readonly (Parameter | undefined)[]): Row {
    if (values.length !== named?.length) throw new SqlError(1136, 'Column count mismatch');
    const row: Value[] = [...defaults];
    named.forEach((column, index) => {
      row[column] = scalar(values[index]);
    });
    return row;
  }

  function rowsOf(parameters: readonly Parameter[]): Row[] {
    if (values.shape === 'written') {
      return written.map((row) => rowOf(row.map((value) => value({ rows: [], parameters, transaction: 0 }))));
    }
    const given = parameters[values.index];
    if (values.shape === 'object') {
      if (typeof given !== 'object' || given === null || Array.isArray(given))
        throw new NotUnderstood('SQL: SET wants an object');
      const row: Value[] = [...defaults];
      for (const [column, value] of Object.entries(given)) row[table.column(column)] = scalar(value);
      return [row];
    }
    const lists = values.shape === 'row' ? [given] : given;
    if (!Array.isArray(lists)) throw new NotUnderstood('SQL: VALUES wants rows');
    return lists.map((list) => rowOf(Array.isArray(list) ? list : []));
  }

  return {
    run(_server, parameters, transaction, done) {
      let changed = 0;
      for (const row of rowsOf(parameters)) {
        const known = table.stored.get(table.keyOf(row));
        changed++;
        if (known && done.has(known)) continue;
        const { rival, key } =
          [...table.rivals(row)].find(({ rival: one }) =>
            one.owner !== transaction
              ? one.owner !== 0 || one.committed
              : one.pending !== null && visible(one, transaction),
          ) ?? {};
        if (rival && rival.owner !== 0 && rival.owner !== transaction) return { waitsFor: rival.owner };
        try {
          table.check(row);
          if (rival && !updates) throw new SqlError(1062, `Duplicate entry for key '${key}'`);
        } catch (error) {
          undo(done);
          throw error;
        }
        const stored = rival ?? table.place(row);
        done.set(stored, stored.pending);
        server.lock(stored, transaction);
        const present = visible(stored, transaction);
        const next =
          rival && present && updates ? assigned(present, updates, { rows: [], parameters, transaction }, 0) : row;
        table.write(stored, next);
      }
      return { rows: [], changed };
    },
  };
}

/** Undoes what a failing statement has done. */
function undo(done: Progress): void {
  for (const [stored, pending] of done) stored.pending = pending;
}

type Assign = { readonly column: number; readonly value: Compiled };

function assignment(table: Table, scope: Scope, server: MysqlServer) {
  return ({ column = '', value }: Assignment): Assign => ({
    column: table.column(column),
    value: compile(value, scope, server),
  });
}

/** The row after assignments; with `own`, its place among the rows, each sees what those before it have set. */
function assigned(row: Row, assigns: readonly Assign[], context: Context, own: number | undefined): Value[] {
  const next = [...row];
  if (own !== undefined) context.rows[own] = next;
  for (const { column, value } of assigns) next[column] = value(context);
  return next;
}

function planChange(statement: Extract<Statement, { is: 'update' | 'delete' }>, server: MysqlServer): Plan {
  const reach = new Reach(statement.from, statement.where, server);
  const target = statement.from.findIndex(({ alias }) => alias === statement.target);
  const table = reach.tables[target];
  if (!table || target !== statement.from.length - 1) return reordered(statement, server);
  const named = statement.is === 'update' ? statement.set.filter(({ column }) => column !== undefined) : [];
  const open = statement.is === 'update' ? statement.set.filter(({ column }) => column === undefined) : [];
  const assigns = named.map(assignment(table, reach.scope, server));
  const own = statement.from.length === 1 ? target : undefined;

  function given(parameters: readonly Parameter[]): [number, Value][] {
    return open.flatMap(({ value }) => {
      const columns = value.is === 'parameter' ? parameters[value.index] : undefined;
      if (typeof columns !== 'object' || columns === null || Array.isArray(columns)) {
        throw new NotUnderstood('SQL: SET wants columns and values');
      }
      return Object.entries(columns).map(([column, one]): [number, Value] => [table?.column(column) ?? 0, scalar(one)]);
    });
  }

  return {
    run(_server, parameters, transaction) {
      const found = new Map<Stored, Row[]>();
      const context: Context = { rows: [], parameters, transaction };
      reach.candidates(context, target, (stored) => {
        if (found.has(stored)) return;
        const foreign = stored.owner !== 0 && stored.owner !== transaction;
        const versions = foreign ? [stored.committed, stored.pending] : [visible(stored, transaction)];
        for (const version of versions) {
          context.rows[target] = version ?? undefined;
          if (!version || !reach.matches(context)) continue;
          found.set(
            stored,
            context.rows.map((row) => row ?? []),
          );
          return;
        }
      });
      const inOrder = found.size > 1 ? [...found].sort(([a], [b]) => (a.key < b.key ? -1 : 1)) : [...found];
      for (const [stored] of inOrder) {
        if (stored.owner !== 0 && stored.owner !== transaction) return { waitsFor: stored.owner };
        server.lock(stored, transaction);
      }
      const before: Progress = new Map();
      try {
        for (const [stored, rows] of inOrder) {
          before.set(stored, stored.pending);
          if (statement.is === 'delete') {
            table.write(stored, null);
            continue;
          }
          const next = assigned(rows[target] ?? [], assigns, { rows: [...rows], parameters, transaction }, own);
          for (const [column, value] of given(parameters)) next[column] = value;
          table.check(next);
          table.write(stored, next);
        }
      } catch (error) {
        undo(before);
        throw error;
      }
      return { rows: [], changed: inOrder.length };
    },
  };
}

/** The target comes last, so that its rows are reached through the others. */
function reordered(statement: Extract<Statement, { is: 'update' | 'delete' }>, server: MysqlServer): Plan {
  const target = statement.from.find(({ alias }) => alias === statement.target);
  if (!target?.table) throw new NotUnderstood(`SQL: ${statement.target} is not a table of the statement`);
  const ons = statement.from.flatMap(({ on }) => conjuncts(on));
  const others = statement.from.filter((one) => one !== target);
  const where = [...ons, ...conjuncts(statement.where)].reduce<Expr | undefined>(
    (left, right) => (left ? { is: 'binary', operator: 'AND', left, right } : right),
    undefined,
  );
  const from = [...others, target].map((one) => ({ ...one, on: undefined }));
  return planChange({ ...statement, from, where }, server);
}

const plans = new WeakMap<MysqlServer, Map<string, Plan>>();
const statements = new Map<string, Statement>();

function planFor(text: string, server: MysqlServer): Plan {
  let own = plans.get(server);
  if (!own) {
    own = new Map();
    plans.set(server, own);
  }
  const known = own.get(text);
  if (known) return known;
  const statement = statements.get(text) ?? parseStatement(text);
  // Rows that are written out are written once.
  const isOfOneUse = statement.is === 'insert' && statement.values.shape === 'written';
  if (!isOfOneUse) statements.set(text, statement);
  const plan =
    statement.is === 'select'
      ? planSelect(statement, server)
      : statement.is === 'insert'
        ? planInsert(statement, server)
        : planChange(statement, server);
  if (!isOfOneUse) own.set(text, plan);
  return plan;
}
