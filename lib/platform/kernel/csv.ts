/**
 * CSV (RFC 4180) for spreadsheets: UTF-8 with a byte order mark, by which Excel knows it, and no cell that a spreadsheet
 * would run as a formula (formula injection, also called CSV injection).
 */

/** What a file begins with, before its header. */
export const byteOrderMark = '\ufeff';

/** A line of a file, its end included. */
export function csvLine(cells: readonly (string | number | null)[]): string {
  return `${cells.map(toCell).join(',')}\r\n`;
}

/** Signs with which a formula begins; a full-width one does as well in some languages. Blanks and quotes before it do not help. */
const sign = '[=+\\-@\uff1d\uff0b\uff0d\uff20]';
const atItsBeginning = new RegExp(`^["\\s]*${sign}|^[\t\r\n]`);
/**
 * Where another cell would begin for a spreadsheet that separates cells by semicolons or tabs, as those of many languages do.
 * It may read quotes there in its own way.
 */
const behindOtherSeparators = new RegExp(`(?<=[;\t\r\n])(?=["\\s]*${sign})`, 'g');

/**
 * A cell. Text that a spreadsheet would take for a formula gets an apostrophe in front, which makes it text; a customer chooses
 * a name, and an operator opens the file. So does such text within a cell that would be torn apart there.
 */
function toCell(value: string | number | null): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const guarded = value.replace(behindOtherSeparators, "'");
  const text = atItsBeginning.test(guarded) ? `'${guarded}` : guarded;
  return /[",;\t\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
