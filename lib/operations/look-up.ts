/**
 * Looking up: operators list and search the reservations, purchases and customers of a sale.
 *
 * A page may have fewer items than its limit, or none, and still name a next one: it goes over a bounded part of the sale,
 * in which little of what is looked for may lie (`look-up.store.ts`).
 */
import * as z from 'zod';
import { readMetadata } from '#labels/label.store.ts';
import { nextPage, type Page, readCursor } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { type CustomerId, fromBytes, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { Id } from '#platform/kernel/shapes.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import { reservationStates } from '#state/reservation-state.ts';
import type { FoundCustomer, FoundPurchase, FoundReservation, ListName, Search } from './look-up.shapes.ts';
import {
  type CustomerFound,
  endOfWindow,
  findByCharge,
  findByEmail,
  findByExternalId,
  findByReference,
  listCustomers,
  listPurchases,
  listReservations,
  type Narrowed,
  type Place,
  type Placed,
  type PurchaseFound,
  type ReservationFound,
  rowsScanned,
  sumByCustomer,
} from './look-up.store.ts';

type Reads = { readonly db: Pick<Sql, 'rows'> };

/** How many accounts the beginning of an address may name, and how many reservations or purchases a reference. */
const accountsAtMost = 200;

/** A page of the reservations of a sale, by id. */
export function lookUpReservations(
  deps: Reads,
  saleId: SaleId,
  search: Search,
): Promise<Page<FoundReservation> | Refusal> {
  return page(deps, 'reservations', saleId, search, listReservations, async (rows) => rows.map(toReservation));
}

/** A page of the purchases in a sale, by their first reservation in it. */
export function lookUpPurchases(deps: Reads, saleId: SaleId, search: Search): Promise<Page<FoundPurchase> | Refusal> {
  return page(deps, 'purchases', saleId, search, listPurchases, async (rows) => rows.map(toPurchase));
}

/** A page of the customers of a sale, by their first reservation in it. */
export function lookUpCustomers(deps: Reads, saleId: SaleId, search: Search): Promise<Page<FoundCustomer> | Refusal> {
  return page(deps, 'customers', saleId, search, listCustomers, (rows) => toCustomers(deps, saleId, rows));
}

/** The reservation of the last row, and in the list of purchases also the purchase. */
const Position = z.union([z.tuple([Id]), z.tuple([Id, Id])]);

/** Reads a page of one list: a window of the sale, or what belongs to the customers that were named. */
async function page<Row extends Placed, Item>(
  { db }: Reads,
  list: ListName,
  saleId: SaleId,
  search: Search,
  read: (
    sql: Reads['db'],
    narrowed: Narrowed,
    after: Place | undefined,
    end: Place | undefined,
    limit: number,
  ) => Promise<Row[]>,
  toItems: (rows: Row[]) => Promise<Item[]>,
): Promise<Page<Item> | Refusal> {
  // A cursor belongs to the sale as well: ids of another one lie elsewhere.
  const cursorName = `${list} of ${saleId}`;
  const position = readCursor(cursorName, search.cursor, Position);
  if (isRefusal(position)) return position;
  const narrowed = await narrow(db, list, saleId, search);
  if (isRefusal(narrowed)) return narrowed;
  if (narrowed.customerIds?.length === 0) return { items: [], nextCursor: null };
  const after = position && {
    id: toBytes(position[0]),
    purchaseId: position[1] === undefined ? undefined : toBytes(position[1]),
  };
  const window = windowOf(list, narrowed, search.limit);
  const kind = list === 'purchases' ? 'items' : 'reservations';
  const end = window === undefined ? undefined : await endOfWindow(db, kind, saleId, after, window);
  const rows = await read(db, narrowed, after, end, search.limit + 1);
  const shown = rows.slice(0, search.limit);
  const last = rows.length > search.limit ? placeOf(shown.at(-1)) : end;
  const next = last && [fromBytes(last.id), ...(last.purchaseId ? [fromBytes(last.purchaseId)] : [])];
  return nextPage(cursorName, await toItems(shown), next);
}

/** How many rows of the sale a page goes over at most; undefined where each row that it reads is an item. */
function windowOf(list: ListName, { customerIds, state, fromMs, toMs }: Narrowed, limit: number): number | undefined {
  if (customerIds) return undefined;
  if (state !== undefined || fromMs !== undefined || toMs !== undefined) return Math.max(rowsScanned, limit);
  // Customers often have one reservation each, purchases one item; those with more make a page shorter.
  return list === 'reservations' ? undefined : 2 * limit;
}

const placeOf = (row: Placed | undefined): Place | undefined =>
  row && { id: row.id, purchaseId: row.purchaseId ?? undefined };

/**
 * Finds the accounts, purchases and reservations that a search names. Refuses an unknown sale, and a beginning or a reference that
 * too many have.
 */
async function narrow(db: Reads['db'], list: ListName, saleId: SaleId, search: Search): Promise<Narrowed | Refusal> {
  const { state, email, customerId, customerExternalId: member, externalId, reference, from, to } = search;
  const labelled = (kind: 'reservation' | 'purchase') =>
    reference === undefined ? undefined : findByReference(db, kind, reference, accountsAtMost + 1);
  const [known, byEmail, byMember, byCharge, reservations, purchases] = await Promise.all([
    db.rows('SELECT 1 FROM sales WHERE id = ?', [toBytes(saleId)]),
    email === undefined ? undefined : findByEmail(db, email, accountsAtMost + 1),
    member === undefined ? undefined : findByExternalId(db, member),
    externalId === undefined ? undefined : findByCharge(db, externalId, accountsAtMost),
    list === 'purchases' ? undefined : labelled('reservation'),
    list === 'reservations' ? undefined : labelled('purchase'),
  ]);
  if (known.length === 0) return refuse('not_found', 'There is no such sale.');
  if (byEmail && byEmail.length > accountsAtMost) {
    return refuse('unprocessable', `More than ${accountsAtMost} addresses begin like that.`, {
      fields: [{ field: 'email', message: 'must be longer' }],
    });
  }
  const byReference = reference === undefined ? undefined : [...(reservations ?? []), ...(purchases ?? [])];
  if (byReference && byReference.length > accountsAtMost) {
    return refuse(
      'unprocessable',
      `More than ${accountsAtMost} have this reference; GET /ops/labels lists them in pages.`,
      {
        fields: [{ field: 'reference', message: 'is too common for this list' }],
      },
    );
  }
  const ownersOf = (found: readonly { customerId: CustomerId }[] | undefined) => found?.map((one) => one.customerId);
  const named = [byEmail, byMember, customerId && [customerId], ownersOf(byCharge), ownersOf(byReference)].filter(
    (ids) => !!ids,
  );
  const [first, ...others] = named;
  return {
    ...{ saleId, state },
    customerIds: first && [...new Set(first.filter((id) => others.every((ids) => ids.includes(id))))],
    purchaseIds: byCharge?.map((one) => one.purchaseId),
    labelledIds: list === 'customers' ? undefined : byReference?.map((one) => one.subjectId),
    fromMs: from === undefined ? undefined : Date.parse(from),
    toMs: to === undefined ? undefined : Date.parse(to),
  };
}

const idOrNull = (bytes: Buffer | null) => (bytes === null ? null : fromBytes<never>(bytes));

function toReservation({
  id,
  customerId,
  boughtBy,
  partOf,
  metadata,
  acceptedAtMs,
  decidedAtMs,
  ...row
}: ReservationFound): FoundReservation {
  return {
    ...row,
    reservationId: fromBytes(id),
    customerId: fromBytes(customerId),
    purchaseId: idOrNull(boughtBy),
    partOf: idOrNull(partOf),
    metadata: readMetadata(metadata),
    acceptedAt: toIso(acceptedAtMs),
    decidedAt: toIso(decidedAtMs),
  };
}

function toPurchase({
  id: _,
  purchaseId,
  customerId,
  state,
  metadata,
  createdAtMs,
  updatedAtMs,
  ...row
}: PurchaseFound): FoundPurchase {
  return {
    ...row,
    purchaseId: fromBytes(purchaseId),
    customerId: fromBytes(customerId),
    state: state as FoundPurchase['state'],
    metadata: readMetadata(metadata),
    createdAt: toIso(createdAtMs),
    updatedAt: toIso(updatedAtMs),
  };
}

async function toCustomers({ db }: Reads, saleId: SaleId, rows: CustomerFound[]): Promise<FoundCustomer[]> {
  const sums = await sumByCustomer(
    db,
    saleId,
    rows.map(({ customerId }) => customerId),
  );
  const byCustomer = Map.groupBy(sums, ({ customerId }) => fromBytes<'customer'>(customerId));
  return rows.map(({ customerId: bytes, email, name, customerExternalId, acceptedAtMs }) => {
    const customerId = fromBytes<'customer'>(bytes);
    const own = byCustomer.get(customerId) ?? [];
    const unitsOf = (state: string) => own.find((one) => one.state === state)?.units ?? 0;
    const counts = reservationStates.map((state) => [state, own.find((one) => one.state === state)?.count ?? 0]);
    return {
      ...{ customerId, email, name, customerExternalId },
      reservations: Object.fromEntries(counts) as FoundCustomer['reservations'],
      unitsHeld: unitsOf('allocated'),
      unitsBought: unitsOf('purchased'),
      firstAt: toIso(acceptedAtMs),
    };
  });
}
