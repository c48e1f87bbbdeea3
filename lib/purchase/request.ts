/**
 * Requesting a purchase: the intent is committed before anything is charged.
 *
 * Invariants. I8: the time of the request is compared with each sale's own window. I3: the purchase's id is derived from
 * customer and Idempotency-Key, so a repeated request finds the first one's row. I10: only the caller's own reservations
 * are read. A reservation is bound to one purchase at a time by a conditional UPDATE, which expiry and cancellation
 * compete with.
 *
 * A 202 means that MySQL has the purchase. The message that starts the payment is sent after the commit; if that fails,
 * the answer is still 202, because the settle job sends one for every purchase left open.
 */
import { createHash } from 'node:crypto';
import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { type CustomerId, derivedId, type PurchaseId, type ReservationId, type SaleId } from '#platform/kernel/ids.ts';
import { httpFunctionTimeoutSeconds } from '#platform/kernel/time-limits.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { keys } from '#platform/redis/keys.ts';
import { bindToPurchase, lockReservations, type ReservationRow } from '#reservation/reservation.store.ts';
import { purchaseRefusal } from '#sale/phase.ts';
import { readSales, type SaleRow } from '#sale/sale.store.ts';
import { deadlineAtMs } from '#sale/sale-clock.ts';
import { sendCommands } from './pay-queue.ts';
import type { PurchaseAccepted, PurchaseRequest } from './purchase.shapes.ts';
import {
  AlreadyRequested,
  findPurchase,
  insertPurchase,
  type PurchaseItem,
  type PurchaseRow,
} from './purchase.store.ts';

/** What requesting a purchase needs. */
export type PurchaseNeeds = Needs<'db' | 'redis' | 'clock' | 'queue'>;

/** The items of a purchase and their total price. */
export interface Order {
  readonly amountMinor: number;
  readonly currency: string;
  readonly items: Omit<PurchaseItem, 'purchaseId'>[];
}

/** Accepts a purchase, or refuses it. Throws if the store is unavailable; repeating the request is safe. */
export async function requestPurchase(
  deps: PurchaseNeeds,
  customerId: CustomerId,
  idempotencyKey: string,
  request: PurchaseRequest,
): Promise<PurchaseAccepted | Refusal> {
  const purchaseId = derivedId('purchase', customerId, idempotencyKey);
  const fingerprint = fingerprintOf(request);
  if (!(await claimRequest(deps, purchaseId))) {
    // The claim may outlive its request, for instance if that was killed right after its commit.
    const done = await findPurchase(deps.db, purchaseId, customerId);
    if (done) return answerFor(done, fingerprint);
    return refuse('idempotency_in_progress', 'The first request with this Idempotency-Key is still running.');
  }
  try {
    const purchase = await commit(deps, { purchaseId, customerId, fingerprint, ...request });
    if (isRefusal(purchase)) return purchase;
    const answer = answerFor(purchase, fingerprint);
    if (!isRefusal(answer) && purchase.state === 'requested') await sendCommands(deps, [purchase]);
    return answer;
  } finally {
    await releaseRequest(deps, purchaseId);
  }
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

interface Intent extends PurchaseRequest {
  readonly purchaseId: PurchaseId;
  readonly customerId: CustomerId;
  readonly fingerprint: string;
}

async function commit({ db, clock }: PurchaseNeeds, intent: Intent): Promise<PurchaseRow | Refusal> {
  const nowMs = clock();
  try {
    return await db.transaction((tx) => accept(tx, intent, nowMs));
  } catch (error) {
    if (!(error instanceof AlreadyRequested)) throw error;
    // A concurrent request with the same key and other reservations was first; now its row can be found.
    return db.transaction((tx) => accept(tx, intent, nowMs));
  }
}

/** One transaction: finds the purchase if it exists already, and otherwise judges and writes it. */
async function accept(tx: Tx, intent: Intent, nowMs: number): Promise<PurchaseRow | Refusal> {
  const { purchaseId, customerId, fingerprint, paymentToken, reservationIds } = intent;
  const reservations = await lockReservations(tx, reservationIds, customerId);
  // Read only now, with the reservations locked: a request that waited for a concurrent duplicate must see its row.
  const existing = await findPurchase(tx, purchaseId, undefined);
  if (existing) return existing;
  const sales = await readSales(tx, [...new Set(reservations.map((row) => row.saleId))]);
  const order = judge(reservationIds, reservations, sales, nowMs);
  if (isRefusal(order)) return order;
  const purchase: PurchaseRow = {
    purchaseId,
    customerId,
    state: 'requested',
    amountMinor: order.amountMinor,
    currency: order.currency,
    paymentToken,
    fingerprint,
    chargeId: null,
    reason: null,
    attempts: 0,
    absences: 0,
    capturedMinor: null,
    capturedCurrency: null,
    actionUrl: null,
    actionDeadlineMs: null,
    version: 1,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  };
  await insertPurchase(
    tx,
    purchase,
    order.items.map((item) => ({ purchaseId, ...item })),
  );
  await bindToPurchase(
    tx,
    purchaseId,
    order.items.map((item) => item.reservationId),
    customerId,
  );
  return purchase;
}

/**
 * Whether these reservations can be bought together now, and the total price. Pure. `reservations` are those requested
 * that exist and belong to the caller; `sales` are their sales.
 */
export function judge(
  wanted: readonly ReservationId[],
  reservations: readonly ReservationRow[],
  sales: ReadonlyMap<SaleId, SaleRow>,
  nowMs: number,
): Order | Refusal {
  const found = new Map(reservations.map((row) => [row.reservationId, row]));
  const items: Order['items'] = [];
  const currencies = new Set<string>();
  for (const reservationId of wanted) {
    const row = found.get(reservationId);
    const sale = row && sales.get(row.saleId);
    if (!row || !sale) return refuse('not_found', 'There is no such reservation of yours.', { reservationId });
    const refusal = refusalByState(row) ?? purchaseRefusal(sale, deadlineAtMs(sale, row.deadlineMs), nowMs);
    if (refusal) return { ...refusal, facts: { reservationId, ...refusal.facts } };
    currencies.add(sale.currency);
    items.push({ reservationId, saleId: row.saleId, units: row.units, priceMinor: sale.priceMinor });
  }
  const [currency = '', ...others] = currencies;
  if (others.length > 0) {
    return refuse('mixed_currencies', 'One payment has one currency: buy these in separate purchases.', {
      currencies: [...currencies],
    });
  }
  const amountMinor = items.reduce((sum, item) => sum + item.units * item.priceMinor, 0);
  if (!Number.isSafeInteger(amountMinor)) {
    return refuse('invalid_input', 'The total exceeds the limit of one payment; split it into several purchases.');
  }
  return { amountMinor, currency, items };
}

/** Why the state of a reservation does not allow a purchase, whatever the time. */
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

/** Distinguishes one request from another. The order of the reservations makes no difference. */
function fingerprintOf({ reservationIds, paymentToken }: PurchaseRequest): string {
  return createHash('sha256')
    .update(JSON.stringify([[...reservationIds].sort(), paymentToken]))
    .digest('hex');
}
