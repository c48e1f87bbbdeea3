/**
 * Requesting a purchase: the intent is committed before anything is charged.
 *
 * Invariants. I8: the time of the request is compared with each sale's own window. I3: the purchase's id is derived from
 * customer and Idempotency-Key, so a repeated request finds the first one's row. I10: only the caller's own reservations
 * are read. A reservation is bound to one purchase at a time by a conditional UPDATE, which expiry and cancellation
 * compete with.
 *
 * A customer may buy fewer units of a reservation than are set aside. The reservation is split (`split.ts`) in the
 * transaction that accepts the purchase, so that the line does not wait for the payment. The payment decides only about the
 * units that are bought.
 *
 * A 202 means that MySQL has the purchase. The message that starts the payment is sent after the commit; if that fails,
 * the answer is still 202, because the settle job sends one for every purchase left open.
 */
import { createHash } from 'node:crypto';
import { changeEvents, recordEvents } from '#events/outbox.ts';
import type { Label } from '#labels/label.shapes.ts';
import { insertLabelsOnce } from '#labels/label.store.ts';
import { digestOf, labelOf, refuseLabel } from '#labels/label.ts';
import type { MirroredReservation } from '#mirror/claims.ts';
import type { MirrorNeeds } from '#mirror/mirror.ts';
import { type Committed, type WriteNeeds, writeThrough } from '#mirror/write-through.ts';
import { replayed } from '#platform/handlers/response.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import {
  type ApiKeyId,
  type CustomerId,
  derivedId,
  type PurchaseId,
  type ReservationId,
  type SaleId,
} from '#platform/kernel/ids.ts';
import { httpFunctionTimeoutSeconds } from '#platform/kernel/time-limits.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import type { ProviderName } from '#platform/payments/provider-names.ts';
import { keys } from '#platform/redis/keys.ts';
import { bringToMirror } from '#reservation/read.ts';
import { reduceAndOffer, withTime } from '#reservation/reduce.ts';
import { movedChange } from '#reservation/release.ts';
import {
  bindToPurchase,
  lockReservations,
  type ReservationRow,
  readReservations,
} from '#reservation/reservation.store.ts';
import { splitAfter, writeSplit } from '#reservation/split.ts';
import { purchaseRefusal } from '#sale/phase.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { lockSales, readSales, type SaleRow } from '#sale/sale.store.ts';
import { deadlineAtMs } from '#sale/sale-clock.ts';
import { sendCommands } from './pay-queue.ts';
import type { OrderItem, PurchaseAccepted, PurchaseRequest } from './purchase.shapes.ts';
import {
  AlreadyRequested,
  findPurchase,
  insertPurchase,
  type PurchaseItem,
  type PurchaseRow,
  readItems,
} from './purchase.store.ts';

/** What requesting a purchase needs. */
export type PurchaseNeeds = WriteNeeds;

/** The items of a purchase and their total price. */
export interface Order {
  readonly amountMinor: number;
  readonly currency: string;
  /** Who charges it, if its sales say so. */
  readonly provider: ProviderName | null;
  readonly items: Omit<PurchaseItem, 'purchaseId'>[];
  /** The reservations of which only some units are bought. */
  readonly inPart: PartlyBought[];
}

/** A reservation of which only some units are bought. */
export interface PartlyBought {
  readonly row: ReservationRow;
  readonly units: number;
  readonly rest: OrderItem['rest'];
}

/** Accepts a purchase, or refuses it; `keyId` is the API key that asks for it. Throws if the store is unavailable; repeating the request is safe. */
export async function requestPurchase(
  deps: PurchaseNeeds,
  customerId: CustomerId,
  idempotencyKey: string,
  request: PurchaseRequest,
  keyId?: ApiKeyId,
): Promise<PurchaseAccepted | Refusal> {
  const unwanted = refuseLabel({ keyId }, request);
  if (unwanted) return unwanted;
  const purchaseId = derivedId('purchase', customerId, idempotencyKey);
  const { paymentToken } = request;
  const wanted = wantedOf(request);
  const label = labelOf(request);
  const fingerprint = fingerprintOf(request);
  if (!(await claimRequest(deps, purchaseId))) {
    // The claim may outlive its request, for instance if that was killed right after its commit.
    const done = await findRequested(deps, customerId, idempotencyKey, request);
    return done ?? refuse('idempotency_in_progress', 'The first request with this Idempotency-Key is still running.');
  }
  try {
    const accepted = await commit(deps, { purchaseId, customerId, keyId, fingerprint, wanted, paymentToken, label });
    if (isRefusal(accepted)) return accepted;
    const { purchase, isRepeated } = accepted;
    const answer = isRepeated ? answerAgain(purchase, fingerprint) : answerFor(purchase, fingerprint);
    if (!isRefusal(answer) && purchase.state === 'requested') await sendCommands(deps, [purchase]);
    return answer;
  } finally {
    await releaseRequest(deps, purchaseId);
  }
}

/** The answer to what was requested under this key before; undefined if nothing was. */
export async function findRequested(
  deps: MirrorNeeds,
  customerId: CustomerId,
  idempotencyKey: string,
  request: PurchaseRequest,
): Promise<PurchaseAccepted | Refusal | undefined> {
  const done = await findPurchase(deps.db, derivedId('purchase', customerId, idempotencyKey), customerId);
  if (!done) return undefined;
  // The first request may have died between its commit and the mirror, which then shows its reservations as free.
  const items = await readItems(deps.db, [done.purchaseId]);
  const rows = await readReservations(
    deps.db,
    items.map((item) => item.reservationId),
  );
  await bringToMirror(deps, [...rows.values()]);
  return answerAgain(done, fingerprintOf(request));
}

/** A claim expires with the function's timeout, so that a killed request does not block its key for longer. */
const claimLifeMs = httpFunctionTimeoutSeconds * 1_000;

/** Remembers that a purchase's first request is running. False if one is already; true also if Redis is unavailable. */
async function claimRequest({ redis }: PurchaseNeeds, purchaseId: PurchaseId): Promise<boolean> {
  const key = keys.running('purchase', purchaseId);
  // Without Redis every request passes here; the row's primary key still refuses the second writer.
  return (await redis.guarded(() => redis.set(key, '1', 'PX', claimLifeMs, 'NX')).catch(() => 'OK')) === 'OK';
}

/** Releases the claim. Never throws. */
async function releaseRequest({ redis }: PurchaseNeeds, purchaseId: PurchaseId): Promise<void> {
  await redis.guarded(() => redis.del(keys.running('purchase', purchaseId))).catch(() => undefined);
}

/** What is wanted, however the request names it. */
function wantedOf({ reservationIds = [], items }: PurchaseRequest): OrderItem[] {
  return items ?? reservationIds.map((reservationId) => ({ reservationId, rest: 'keep' }));
}

interface Intent {
  readonly purchaseId: PurchaseId;
  readonly customerId: CustomerId;
  readonly fingerprint: string;
  readonly wanted: readonly OrderItem[];
  readonly paymentToken: string;
  readonly keyId: ApiKeyId | undefined;
  readonly label: Label | undefined;
}

interface Accepted extends Committed {
  readonly purchase: PurchaseRow;
  readonly isRepeated?: boolean;
}

async function commit(deps: PurchaseNeeds, intent: Intent): Promise<Accepted | Refusal> {
  const nowMs = deps.clock();
  const attempt = () => writeThrough(deps, (tx) => accept(tx, intent, nowMs));
  return attempt().catch((error) => {
    if (!(error instanceof AlreadyRequested)) throw error;
    // A concurrent request with the same key and other reservations was first; now its row can be found.
    return attempt();
  });
}

/** One transaction: finds the purchase if it exists already, and otherwise judges and writes it. */
async function accept(tx: Tx, intent: Intent, nowMs: number): Promise<Accepted | Refusal> {
  const { purchaseId, customerId, keyId, fingerprint, paymentToken, wanted, label } = intent;
  await holdSalesOfParts(tx, wanted);
  const reservationIds = wanted.map((item) => item.reservationId);
  const reservations = await lockReservations(tx, reservationIds, customerId);
  // Read only now, with the reservations locked: a request that waited for a concurrent duplicate must see its row.
  const existing = await findPurchase(tx, purchaseId, undefined);
  const sales = await readSales(tx, [...new Set(reservations.map((row) => row.saleId))]);
  if (existing) return { stocks: [...sales.values()], reservations, events: [], purchase: existing, isRepeated: true };
  const order = judge(wanted, reservations, sales, nowMs);
  if (isRefusal(order)) return order;
  const purchase: PurchaseRow = {
    purchaseId,
    customerId,
    state: 'requested',
    amountMinor: order.amountMinor,
    currency: order.currency,
    paymentToken,
    fingerprint,
    provider: order.provider,
    chargeId: null,
    reason: null,
    attempts: 0,
    absences: 0,
    capturedMinor: null,
    capturedCurrency: null,
    actionUrl: null,
    actionDeadlineMs: null,
    actionAccount: null,
    version: 1,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  };
  const split = await splitOff(tx, order.inPart, sales, nowMs);
  await insertPurchase(
    tx,
    purchase,
    order.items.map((item) => ({ purchaseId, ...item })),
    keyId,
  );
  if (label) await insertLabelsOnce(tx, [{ kind: 'purchase', subjectId: purchaseId, customerId, label }], nowMs);
  await bindToPurchase(
    tx,
    purchaseId,
    order.items.map((item) => item.reservationId),
    customerId,
  );
  return { ...withBound(split, reservations, sales, purchaseId), purchase };
}

/** What the mirror must learn of an accepted purchase: from now on it pays for these reservations, whole or split. */
function withBound(
  split: Committed,
  reservations: readonly ReservationRow[],
  sales: ReadonlyMap<SaleId, SaleRow>,
  purchaseId: PurchaseId,
): Committed {
  const rows = new Map<ReservationId, MirroredReservation>(split.reservations.map((row) => [row.reservationId, row]));
  for (const row of reservations) {
    rows.set(row.reservationId, { ...(rows.get(row.reservationId) ?? row), purchaseId });
  }
  const stocks = new Map<SaleId, StockLevel>([
    ...sales,
    ...split.stocks.map((stock) => [stock.saleId, stock] as const),
  ]);
  return { ...split, stocks: [...stocks.values()], reservations: [...rows.values()] };
}

/**
 * Locks the sales of reservations that may be split; for a reservation bought as a whole, the lock of its own row is enough.
 */
async function holdSalesOfParts(tx: Tx, wanted: readonly OrderItem[]): Promise<void> {
  const ids = wanted.flatMap(({ reservationId, units }) => (units === undefined ? [] : [reservationId]));
  const rows = await readReservations(tx, ids);
  await lockSales(tx, [...new Set([...rows.values()].map((row) => row.saleId))].sort());
}

/** Splits reservations that are bought in part, so that they have what their items say; their sales are locked. */
async function splitOff(
  tx: Tx,
  inPart: readonly PartlyBought[],
  sales: ReadonlyMap<SaleId, SaleRow>,
  nowMs: number,
): Promise<Committed> {
  const now = new Map(sales);
  const done: Committed[] = [];
  for (const { row, units, rest } of inPart) {
    const sale = now.get(row.saleId);
    if (!sale) throw new Error(`sale ${row.saleId} was not read`);
    const committed = await (rest === 'keep'
      ? splitAndKeep(tx, sale, row, units, nowMs)
      : reduceAndOffer(tx, sale, row, units, nowMs));
    for (const stock of committed.stocks) now.set(row.saleId, { ...sale, ...stock });
    done.push(committed);
  }
  return {
    stocks: done.flatMap((one) => one.stocks),
    reservations: done.flatMap((one) => one.reservations),
    events: done.flatMap((one) => one.events),
  };
}

/** Leaves a reservation with so many units; the rest stays set aside as a reservation of its own. */
async function splitAndKeep(
  tx: Tx,
  sale: SaleRow,
  row: ReservationRow,
  units: number,
  nowMs: number,
): Promise<Committed> {
  const split = splitAfter(row, units, { state: 'allocated', reason: null }, nowMs);
  await writeSplit(tx, row, split);
  const moved = [split.whole, split.part].map((one) => withTime(sale, one));
  const events = changeEvents(moved.map(movedChange), [], false, nowMs);
  await recordEvents(tx, events, nowMs);
  return { stocks: [sale], reservations: moved, events };
}

/**
 * Whether these items can be bought together now, and the total price. Pure. `reservations` are those of the items
 * that exist and belong to the caller; `sales` are their sales.
 */
export function judge(
  wanted: readonly OrderItem[],
  reservations: readonly ReservationRow[],
  sales: ReadonlyMap<SaleId, SaleRow>,
  nowMs: number,
): Order | Refusal {
  const found = new Map(reservations.map((row) => [row.reservationId, row]));
  const items: Order['items'] = [];
  const currencies = new Set<string>();
  const providers = new Set<ProviderName | null>();
  const inPart: PartlyBought[] = [];
  for (const { reservationId, units: fewer, rest } of wanted) {
    const row = found.get(reservationId);
    const sale = row && sales.get(row.saleId);
    if (!row || !sale) return refuse('not_found', 'There is no such reservation of yours.', { reservationId });
    const refusal = refusalByState(row) ?? purchaseRefusal(sale, deadlineAtMs(sale, row.deadlineMs), nowMs);
    if (refusal) return { ...refusal, facts: { reservationId, ...refusal.facts } };
    const units = fewer ?? row.units;
    if (units > row.units) {
      const facts = { reservationId, units: row.units };
      return refuse('cannot_grow', 'The reservation does not have that many units.', facts);
    }
    if (units < row.units) inPart.push({ row, units, rest });
    currencies.add(sale.currency);
    providers.add(sale.paymentProvider);
    items.push({ reservationId, saleId: row.saleId, units, priceMinor: sale.priceMinor });
  }
  const [currency = '', ...others] = currencies;
  if (others.length > 0) {
    return refuse('mixed_currencies', 'One payment has one currency: buy these in separate purchases.', {
      currencies: [...currencies],
    });
  }
  const [provider = null, ...otherProviders] = providers;
  if (otherProviders.length > 0) {
    return refuse('mixed_providers', 'One payment has one provider: buy these in separate purchases.', {
      paymentProviders: [...providers],
    });
  }
  const amountMinor = items.reduce((sum, item) => sum + item.units * item.priceMinor, 0);
  if (!Number.isSafeInteger(amountMinor)) {
    return refuse('unprocessable', 'The total exceeds the limit of one payment; split it into several purchases.');
  }
  return { amountMinor, currency, provider, items, inPart };
}

/** Why the state of a reservation does not allow a purchase; the time does not matter. */
export function refusalByState(row: ReservationRow): Refusal | undefined {
  switch (row.state) {
    case 'allocated':
      return row.purchaseId === null
        ? undefined
        : refuse('purchase_in_progress', 'Another purchase is paying for this reservation.', {
            purchaseId: row.purchaseId,
          });
    case 'purchased':
      return refuse('already_resolved', 'This reservation has been bought already.');
    case 'expired':
      return refuse('deadline_passed', 'The time to buy these units is over.');
    default:
      return refuse('illegal_state', `A reservation that is ${row.state} cannot be bought.`, { state: row.state });
  }
}

function answerFor(purchase: PurchaseRow, fingerprint: string): PurchaseAccepted | Refusal {
  if (purchase.fingerprint !== fingerprint) {
    return refuse('idempotency_key_reused', 'This Idempotency-Key was used for a different purchase.');
  }
  return {
    purchaseId: purchase.purchaseId,
    // A repeated request gets the first one's answer; the current state is at the status URL.
    state: 'requested',
    amount: { amountMinor: purchase.amountMinor, currency: purchase.currency },
    statusUrl: `/purchases/${purchase.purchaseId}`,
  };
}

function answerAgain(purchase: PurchaseRow, fingerprint: string): PurchaseAccepted | Refusal {
  const answer = answerFor(purchase, fingerprint);
  return isRefusal(answer) ? answer : replayed(answer);
}

/**
 * Distinguishes one request from another. Neither the order of the items, nor that of the keys of metadata, nor the way of naming
 * whole reservations matters.
 */
function fingerprintOf(request: PurchaseRequest): string {
  const label = labelOf(request);
  const names = wantedOf(request).map(({ reservationId, units, rest }) =>
    units === undefined ? reservationId : `${reservationId} ${units} ${rest}`,
  );
  return createHash('sha256')
    .update(JSON.stringify([names.sort(), request.paymentToken, ...(label ? [digestOf(label)] : [])]))
    .digest('hex');
}
