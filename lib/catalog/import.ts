/**
 * Importing products from a CSV file: all of it or nothing.
 *
 * Every row is validated before the first is written, and every mistake is reported with its row and column, so that a
 * file can be corrected at once. Products are matched by SKU, so importing a file twice gives the same products.
 */
import { CsvError, type Info, parse } from 'csv-parse/sync';
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { ImportRow, maxImportRows, type NewProduct, type RowError } from './product.shapes.ts';
import { upsertProducts } from './product.store.ts';

const columns = Object.keys(ImportRow.shape);
/** How many mistakes are reported; the others are only counted. */
const mistakesReported = 100;
const rowsPerStatement = 500;

/**
 * Creates the products of the file that are new and updates existing ones. Refused, with the mistakes by row, if any
 * row is not valid.
 */
export async function importProducts(
  { db, clock }: Needs<'db' | 'clock'>,
  csv: string,
): Promise<{ created: number; updated: number } | Refusal> {
  const { rows, mistakes } = readRows(csv);
  if (mistakes.length > 0) {
    const message = mistakes.length === 1 ? 'There is 1 mistake' : `There are ${mistakes.length} mistakes`;
    return refuse('import_rejected', `${message} in the file.`, { rows: mistakes.slice(0, mistakesReported) });
  }
  // In SKU order, so that two concurrent imports wait for each other instead of deadlocking.
  rows.sort((one, other) => (one.sku < other.sku ? -1 : 1));
  return db.transaction(async (tx) => {
    let updated = 0;
    for (let start = 0; start < rows.length; start += rowsPerStatement) {
      updated += await upsertProducts(tx, rows.slice(start, start + rowsPerStatement).map(productOf), clock());
    }
    return { created: rows.length - updated, updated };
  });
}

function productOf({ sku, name, description, price_minor: amountMinor, currency }: ImportRow): NewProduct {
  return { sku, name, description, price: { amountMinor, currency } };
}

/** Parses and validates the whole file. */
export function readRows(csv: string): { rows: ImportRow[]; mistakes: RowError[] } {
  let records: { row: number; cells: string[] }[];
  try {
    records = split(csv);
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    return {
      rows: [],
      mistakes: [{ row: Number(error.lines ?? 1), field: '', message: 'is not CSV: check the quotes' }],
    };
  }
  const header = records.shift()?.cells ?? [];
  if ([...header].sort().join() !== [...columns].sort().join()) {
    return { rows: [], mistakes: [{ row: 1, field: '', message: `the header must be ${columns.join()}` }] };
  }
  if (records.length === 0 || records.length > maxImportRows) {
    const message = `there must be 1 to ${maxImportRows} products`;
    return { rows: [], mistakes: [{ row: records.length + 1, field: '', message }] };
  }
  const rows: ImportRow[] = [];
  const mistakes: RowError[] = [];
  const rowOfSku = new Map<string, number>();
  for (const { row, cells } of records) {
    if (cells.length !== header.length) {
      mistakes.push({ row, field: '', message: `has ${cells.length} cells instead of ${header.length}` });
      continue;
    }
    const result = ImportRow.safeParse(Object.fromEntries(header.map((name, index) => [name, cells[index]])));
    if (!result.success) {
      for (const { path, message } of result.error.issues) mistakes.push({ row, field: path.join('.'), message });
      continue;
    }
    const first = rowOfSku.get(result.data.sku);
    if (first !== undefined) mistakes.push({ row, field: 'sku', message: `is the same as in row ${first}` });
    rowOfSku.set(result.data.sku, row);
    rows.push(result.data);
  }
  return { rows, mistakes };
}

/** The records of the file with the row that each has in a spreadsheet, header included. Throws `CsvError`. */
function split(csv: string): { row: number; cells: string[] }[] {
  const parsed = parse(csv, { bom: true, info: true, relax_column_count: true, skip_empty_lines: true });
  // With `info` each record has its line number, which the package's types lack.
  return (parsed as unknown as { record: string[]; info: Info }[]).map(({ record, info }) => ({
    row: info.records + info.empty_lines,
    cells: record,
  }));
}
