/**
 * SQL text from a statement and its values, as fast as the driver's own formatting is general.
 *
 * A batch carries some ten thousand values, and formatting them is the largest part of the worker's own work. Numbers,
 * bytes and plain text are written here directly; everything else (dates, objects, text with a character that means
 * something to SQL) goes through the driver's escaping. `sql-text.test.ts` holds both to the same result.
 */
import { escape as escapeByDriver, format as formatByDriver, type SqlValue } from 'mysql2';
import { isDashedLikeUuid } from '#platform/kernel/uuid.ts';

/**
 * The bytes of an id for a statement, from the id's text: to make bytes of it only to write digits again is waste. Throws
 * on a text without the dashes of a UUID or with a quote, the one character that ends `X'…'`. Whatever else is no hex
 * digit makes the server refuse the statement as a whole (sql_lex.cc of MySQL and MariaDB, "illegal hex constant"), so
 * that looking at each would only find out sooner.
 */
export class UuidLiteral {
  readonly digits: string;

  constructor(uuid: string) {
    if (!isDashedLikeUuid(uuid) || uuid.includes("'")) {
      throw new Error('a UUID literal is made of the text of a UUID');
    }
    // Four cuts cost a third of looking for the dashes.
    this.digits = uuid.slice(0, 8) + uuid.slice(9, 13) + uuid.slice(14, 18) + uuid.slice(19, 23) + uuid.slice(24);
  }
}

/** Inside single quotes only these mean something to MySQL or MariaDB, under any `sql_mode` that we set. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: NUL and Ctrl-Z are among what must be escaped.
const specialCharacter = /['\\\0\n\r\x1a]/;

/** The statement with each `?` replaced by its value. Throws if there are more placeholders than values. */
export function sqlText(sql: string, values: readonly unknown[] = []): string {
  if (values.some(isPlainObject)) return formatByDriver(sql, values as SqlValue[]);
  const parts = sql.split('?');
  if (parts.length - 1 !== values.length) throw new Error('a statement has as many placeholders as values');
  let text = parts[0] ?? '';
  for (let index = 0; index < values.length; index++) text += literal(values[index]) + (parts[index + 1] ?? '');
  return text;
}

function literal(value: unknown): string {
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : escapeByDriver(value);
  if (typeof value === 'string') return specialCharacter.test(value) ? escapeByDriver(value) : `'${value}'`;
  if (value === null || value === undefined) return 'NULL';
  if (value instanceof UuidLiteral) return `X'${value.digits}'`;
  if (Buffer.isBuffer(value)) return `X'${value.toString('hex')}'`;
  if (Array.isArray(value)) return list(value);
  return escapeByDriver(value as SqlValue);
}

/**
 * A list of values, or a list of rows, each in parentheses. A short value is put together with its comma first: text stays
 * in the pieces that were added until it is sent, and a batch has some thirty thousand.
 */
function list(values: readonly unknown[]): string {
  let text = '';
  for (const value of values) {
    const one = Array.isArray(value) ? `(${list(value)})` : literal(value);
    text += text === '' ? one : `, ${one}`;
  }
  return text;
}

function isPlainObject(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return !(Array.isArray(value) || Buffer.isBuffer(value) || value instanceof UuidLiteral);
}
