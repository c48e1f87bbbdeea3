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

/**
 * A cell. Text that a spreadsheet would take for a formula gets an apostrophe in front, which makes it text; a customer chooses
 * a name, and an operator opens the file.
 */
function toCell(value: string | number | null): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  // A full-width sign is a formula as well in some languages; blanks before it do not help.
  const text = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/.test(value) ? `'${value}` : value;
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
