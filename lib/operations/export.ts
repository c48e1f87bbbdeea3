/**
 * Exports as CSV: the lists that operators look up, and the audit trail.
 *
 * An answer of the gateway is bounded and is not streamed by it, so a file is made in parts: each answer is a part of at most
 * `rowsPerPart` rows, and `x-next-cursor` names the next. The first begins with a byte order mark and the header; the parts
 * one after the other are the file. No part holds more than a page of rows as objects, for a list of any size.
 */
import { type Actor, type ActView, readActs, recordAct } from '#audit/act.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { Reply } from '#platform/handlers/http.ts';
import { maxPageSize, type Page } from '#platform/handlers/pagination.ts';
import { byteOrderMark, csvLine } from '#platform/kernel/csv.ts';
import { isRefusal, type Refusal } from '#platform/kernel/errors.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { beginPaced } from '#platform/resilience/pace.ts';
import { reservationStates } from '#state/reservation-state.ts';
import type { ExportQuery, FoundCustomer, FoundPurchase, FoundReservation, ListName } from './look-up.shapes.ts';
import { lookUpCustomers, lookUpPurchases, lookUpReservations } from './look-up.ts';

/** How many rows a part has at most, in how many characters, and how long it may take. */
export const rowsPerPart = 5_000;
const charactersPerPart = 3_000_000;
const partMs = 6_000;
/** How many rows are read at once. */
const rowsPerPage = 500;
/** The longest text that a cell of a spreadsheet holds is 32,767 characters. */
const cellAtMost = 32_000;

type Cell = string | number | null;
/** The columns of a file, in order: the header of each, and its cell. */
type Columns<Row> = readonly (readonly [header: string, cell: (row: Row) => Cell])[];

const own = <Row>(...names: (keyof Row & string)[]): Columns<Row> =>
  names.map((name) => [name, (row: Row) => row[name] as Cell] as const);

const json = (value: object | null) => (value === null ? null : JSON.stringify(value).slice(0, cellAtMost));
/** What the shop has noted; no metadata is an empty cell. */
const labelColumns: Columns<{ reference: string | null; metadata: Record<string, string> }> = [
  ['reference', ({ reference }) => reference],
  ['metadata', ({ metadata }) => (Object.keys(metadata).length === 0 ? null : json(metadata))],
];
const reservationColumns: Columns<FoundReservation> = [
  ...own<FoundReservation>(
    ...([
      'reservationId',
      'customerId',
      'email',
      'name',
      'customerExternalId',
      'state',
      'quantity',
      'atLeast',
    ] as const),
    ...(['units', 'ticket', 'reason', 'purchaseId', 'partOf', 'acceptedAt', 'decidedAt'] as const),
  ),
  ...labelColumns,
];
const purchaseColumns: Columns<FoundPurchase> = [
  ...own<FoundPurchase>(
    ...(['purchaseId', 'customerId', 'email', 'name', 'customerExternalId', 'state', 'units', 'amountMinor'] as const),
    ...(['currency', 'capturedMinor', 'externalId', 'reason', 'createdAt', 'updatedAt'] as const),
  ),
  ...labelColumns,
];
const customerColumns: Columns<FoundCustomer> = [
  ...own<FoundCustomer>('customerId', 'email', 'name', 'customerExternalId', 'unitsHeld', 'unitsBought', 'firstAt'),
  ...reservationStates.map((state) => [state, (row: FoundCustomer) => row.reservations[state] ?? 0] as const),
];
const actColumns: Columns<ActView> = [
  ...own<ActView>('actId', 'at', 'operatorId', 'act', 'subjectId'),
  ['asked', ({ asked }) => json(asked)],
  ['before', ({ before }) => json(before)],
  ['after', ({ after }) => json(after)],
  ...own<ActView>('correlationId'),
];

/** A part of a file; refused as the list itself would be. Leaves a row in the audit trail: it has personal data in it. */
export function exportList(
  deps: Needs<'db' | 'clock'>,
  actor: Actor,
  saleId: SaleId,
  list: ListName,
  query: ExportQuery,
): Promise<Reply<string> | Refusal> {
  const search = (cursor: string | undefined) => ({ ...query, cursor, limit: rowsPerPage });
  const files = {
    reservations: () =>
      part(deps, query.cursor, reservationColumns, (at) => lookUpReservations(deps, saleId, search(at))),
    purchases: () => part(deps, query.cursor, purchaseColumns, (at) => lookUpPurchases(deps, saleId, search(at))),
    customers: () => part(deps, query.cursor, customerColumns, (at) => lookUpCustomers(deps, saleId, search(at))),
  };
  return recorded(deps, actor, saleId, files[list]);
}

/** A part of the audit trail as a file, the newest act first. What is too long for a cell is cut. */
export function exportActs(
  deps: Needs<'db' | 'clock'>,
  actor: Actor,
  { cursor }: { cursor?: string | undefined },
): Promise<Reply<string> | Refusal> {
  return recorded(deps, actor, null, () =>
    part(deps, cursor, actColumns, (at) => readActs(deps, { cursor: at, limit: maxPageSize })),
  );
}

interface Part {
  readonly text: string;
  readonly rows: number;
  readonly nextCursor: string | null;
}

async function recorded(
  { db, clock }: Needs<'db' | 'clock'>,
  actor: Actor,
  subjectId: string | null,
  make: () => Promise<Part | Refusal>,
): Promise<Reply<string> | Refusal> {
  const made = await make();
  if (isRefusal(made)) return made;
  const { text, rows, nextCursor } = made;
  await db.transaction((tx) => recordAct(tx, actor, { subjectId, before: null, after: { rows } }, clock()));
  const headers = { 'content-disposition': 'attachment; filename="export.csv"' };
  return new Reply(text, nextCursor === null ? headers : { ...headers, 'x-next-cursor': nextCursor });
}

/** Reads pages, at the pace of long work, until the part is full, its time is over, or the list is. */
async function part<Row>(
  { clock }: Needs<'clock'>,
  cursor: string | undefined,
  columns: Columns<Row>,
  read: (cursor: string | undefined) => Promise<Page<Row> | Refusal>,
): Promise<Part | Refusal> {
  const lines = cursor === undefined ? [byteOrderMark + csvLine(columns.map(([header]) => header))] : [];
  const endsAtMs = clock() + partMs;
  const rest = beginPaced(clock);
  let [rows, characters] = [0, 0];
  let next: string | null | undefined = cursor;
  for (;;) {
    const page: Page<Row> | Refusal = await read(next);
    if (isRefusal(page)) return page;
    for (const row of page.items) {
      const line = csvLine(columns.map(([, cell]) => cell(row)));
      characters += line.length;
      lines.push(line);
    }
    rows += page.items.length;
    next = page.nextCursor;
    const isFull = rows + rowsPerPage > rowsPerPart || characters >= charactersPerPart || clock() >= endsAtMs;
    // The part that follows comes at once if the reader is a program, so the last page has its rest as well.
    if (next !== null) await rest(endsAtMs);
    if (next === null || isFull) return { text: lines.join(''), rows, nextCursor: next };
  }
}
