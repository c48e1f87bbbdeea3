/**
 * Importing products from a CSV file: all of it or nothing.
 *
 * Every row is validated before the first is written, and every mistake is reported with its row and column, so that a
 * file can be corrected at once. Products are matched by SKU, so importing a file twice gives the same products.
 */
import { CsvError, type Info, parse } from 'csv-parse/sync';
import { type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { digitsOf, fromDecimal } from '#platform/kernel/money.ts';
import { ImportRow, maxImportRows, type NewProduct, type RowError, type StoredProduct } from './product.shapes.ts';
import { upsertProducts } from './product.store.ts';

const columns = Object.keys(ImportRow.shape);
/** Separators of cells: the programs of most countries write a comma, those of others a semicolon; a tab is "Text". */
const separators = [',', ';', '\t'];
/**
 * The line before the header with which Excel names the separator, such as `sep=;`. A program that does not know it shows it
 * as a cell and saves it so, with other separators behind it.
 */
const separatorLine = /^\ufeff?"?sep=([^\w\s"]|\t)"?([,;\t]*)(?:\r\n|\n|\r)/i;
/** What to do about a file that cannot be read as a table. */
const howToSave =
  'Save the sheet as "CSV UTF-8", one product in each row, with the columns sku, name, description, price_minor (or price) and currency.';
/** How many mistakes are reported at most. */
const mistakesReported = 100;
const rowsPerStatement = 500;
/** How many characters of a description the audit trail has of an import. */
const descriptionTold = 40;

/** How many products an import created, and how many it updated. */
type ImportCount = { created: number; updated: number };

/**
 * Creates the products of the file that are new and updates existing ones. Refused, with the mistakes by row, if any
 * row is not valid.
 */
export async function importProducts(
  { db, clock }: Needs<'db' | 'clock'>,
  csv: string,
  keep: Keep = keepNothing,
): Promise<ImportCount | Refusal> {
  const { rows, mistakes, isTable } = readRows(csv);
  if (mistakes.length > 0) {
    const message = mistakes.length === 1 ? 'There is 1 mistake' : `There are ${mistakes.length} mistakes`;
    return refuse('import_rejected', `${message} in the file.${isTable ? '' : ` ${howToSave}`}`, {
      rows: mistakes.slice(0, mistakesReported),
    });
  }
  // In SKU order, so that two concurrent imports wait for each other instead of deadlocking.
  rows.sort((one, other) => (one.sku < other.sku ? -1 : 1));
  return db.transaction(async (tx) => {
    const before: StoredProduct[] = [];
    for (let start = 0; start < rows.length; start += rowsPerStatement) {
      before.push(...(await upsertProducts(tx, rows.slice(start, start + rowsPerStatement).map(productOf), clock())));
    }
    const count = { created: rows.length - before.length, updated: before.length };
    return keep(tx, count, {
      subjectId: null,
      before: { products: before.map(withShortDescription) },
      after: { products: rows.map(productOf).map(withShortDescription) },
    });
  });
}

/** A product as the audit trail tells of an import: thousands of whole descriptions would not fit into its row. */
function withShortDescription({ sku, name, description, price }: NewProduct): NewProduct {
  return { sku, name, description: description.slice(0, descriptionTold), price };
}

function productOf({ sku, name, description, price_minor: amountMinor, currency }: ImportRow): NewProduct {
  return { sku, name, description, price: { amountMinor, currency } };
}

/** What a file holds: its rows, or what is wrong with it. */
interface ReadFile {
  readonly rows: ImportRow[];
  readonly mistakes: RowError[];
  /** False if the file as a whole is wrong, not only some of its cells. */
  readonly isTable: boolean;
}

/** Reads and checks the whole file. */
export function readRows(csv: string): ReadFile {
  let records: Line[];
  try {
    records = split(csv);
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    return noTable(Number(error.lines ?? 1), explain(error));
  }
  const [first, ...lines] = records;
  const header = first?.cells.map((name) => name.toLowerCase()) ?? [];
  const priceColumn = header.includes('price') ? 'price' : 'price_minor';
  const wanted = columns.map((name) => (name === 'price_minor' ? priceColumn : name));
  if ([...header].sort().join() !== [...wanted].sort().join()) {
    return noTable(first?.row ?? 1, `the header must be ${columns.join()}`);
  }
  if (lines.length === 0 || lines.length > maxImportRows) {
    return noTable(lines.length + 1, `there must be 1 to ${maxImportRows} products`);
  }
  const rows: ImportRow[] = [];
  const mistakes: RowError[] = [];
  let isTable = true;
  const rowOfSku = new Map<string, number>();
  for (const { row, cells } of lines) {
    // Excel leaves the separators out before empty cells of the last column.
    if (cells.length === header.length - 1 && header.at(-1) === 'description') cells.push('');
    if (cells.length !== header.length) {
      mistakes.push({ row, field: '', message: `has ${cells.length} cells instead of ${header.length}` });
      isTable = false;
      continue;
    }
    const record = Object.fromEntries(header.map((name, index) => [name, cells[index] ?? '']));
    const result = ImportRow.safeParse(priceColumn === 'price' ? inMinorUnits(record) : record);
    if (!result.success) {
      for (const { path, message } of result.error.issues) {
        const field = path.join('.').replace('price_minor', priceColumn);
        mistakes.push({ row, field, message: field === 'price' ? priceMessage(record) : message });
      }
      continue;
    }
    const before = rowOfSku.get(result.data.sku);
    if (before !== undefined) mistakes.push({ row, field: 'sku', message: `is the same as in row ${before}` });
    rowOfSku.set(result.data.sku, row);
    rows.push(result.data);
  }
  return { rows, mistakes, isTable };
}

function noTable(row: number, message: string): ReadFile {
  return { rows: [], mistakes: [{ row, field: '', message }], isTable: false };
}

/** A row whose price is in major units, with it in minor ones; the price of a wrong one is left empty. */
function inMinorUnits({ price = '', ...rest }: Record<string, string>): Record<string, string> {
  return { ...rest, price_minor: String(fromDecimal(price, rest.currency ?? '') ?? '') };
}

function priceMessage({ currency = '' }: Record<string, string>): string {
  const digits = digitsOf(currency);
  const how = digits === 0 ? 'a whole number' : `a number with at most ${digits} digits after a dot`;
  return `must be ${how}, without a currency or a thousands separator`;
}

/** Explains what is wrong with the quotes of a file, and how to fix it. */
function explain({ code }: CsvError): string {
  return code === 'CSV_QUOTE_NOT_CLOSED'
    ? 'a cell that begins with a quote has no quote at its end'
    : 'has a quote in the middle of a cell: put the whole cell in quotes and write a quote inside it twice';
}

/** A record of the file with the row that it has in a spreadsheet. */
interface Line {
  readonly row: number;
  readonly cells: string[];
}

/**
 * The records of the file, header included: cells trimmed, without rows of empty cells, and without empty columns behind the
 * last one of the header. A line that names the separator is no row, as in Excel. Throws `CsvError`.
 */
function split(csv: string): Line[] {
  const [line = '', named, behind] = separatorLine.exec(csv) ?? [];
  const table = csv.slice(line.length);
  const parsed = parse(table, {
    bom: true,
    delimiter: named !== undefined && behind === '' ? named : separatorOf(table),
    info: true,
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    skip_empty_lines: true,
    trim: true,
  });
  // With `info` each record carries its position in the file, which the package's types leave out.
  const lines = (parsed as unknown as { record: string[]; info: Info }[])
    .map(({ record, info }) => ({ row: info.records + info.empty_lines, cells: record.map(tidy) }))
    .filter(({ cells }) => cells.some((cell) => cell !== ''));
  const width = (lines[0]?.cells.findLastIndex((cell) => cell !== '') ?? 0) + 1;
  return lines.map(({ row, cells }) => ({ row, cells: withoutTail(cells, width) }));
}

/** The separator that occurs most often in the first non-empty line. */
function separatorOf(csv: string): string {
  const line = /[^\s\ufeff][^\r\n]*/.exec(csv)?.[0] ?? '';
  const [most = ','] = separators.toSorted((one, other) => line.split(other).length - line.split(one).length);
  return most;
}

/** A cell without blanks around it, and with line breaks of one kind. */
function tidy(cell: string): string {
  return cell.replaceAll(/\r\n?/g, '\n').trim();
}

function withoutTail(cells: string[], width: number): string[] {
  return cells.slice(width).every((cell) => cell === '') ? cells.slice(0, width) : cells;
}
