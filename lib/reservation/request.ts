/**
 * Accepting a reservation request: one Redis script and one message to the queue.
 *
 * Invariant I2: a 202 means that SQS has the request. Acceptance depends on SQS alone: when Redis is unavailable the
 * request is queued without a ticket and the worker goes by the time at which SQS accepted it. The reservation's id is
 * derived from sale, customer and Idempotency-Key, so a repeated request finds the first one, even if the first response
 * never arrived (invariant I3).
 */

import type { Label } from '#labels/label.shapes.ts';
import { readGivenDigest } from '#labels/label.store.ts';
import { digestOf, labelOf, refuseLabel } from '#labels/label.ts';
import type { MirroredStatus } from '#mirror/claims.ts';
import { askGate, type GateAnswer, type GateRefusal, type GateRequest, returnClaim } from '#mirror/gate.ts';
import { readMirroredSale } from '#mirror/live-sale.ts';
import { type MirrorNeeds, primeMirror, refreshMirror } from '#mirror/mirror.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { freePassage, type Passage } from '#platform/handlers/limits.ts';
import { replayed } from '#platform/handlers/response.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { codes, isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { ApiKeyId, SaleId } from '#platform/kernel/ids.ts';
import { correlationId } from '#platform/kernel/log.ts';
import { warnUnlessOutage } from '#platform/redis/outage-log.ts';
import type { Bucket } from '#platform/redis/rate-limit.ts';
import { missesOf } from '#platform/resilience/unknown-ids.ts';
import type { Caller } from '#platform/security/access-token.ts';
import { type Asks, lackedBy, type Shown, standingOf } from '#sale/eligibility.ts';
import { readStock } from '#sale/sale.store.ts';
import { accessOf, isThereFor, visibilityOf } from '#sale/visibility.ts';
import { firstVersion } from './decide.ts';
import { statusUrl } from './receipt.ts';
import {
  leastOf,
  type ReservationAccepted,
  type ReservationRequest,
  type ReserveCommand,
} from './reservation.shapes.ts';
import { type ReservationRow, readReservations } from './reservation.store.ts';
import { deriveReservationId } from './reservation-id.ts';

/** What accepting a request needs. */
export type AcceptNeeds = MirrorNeeds & Needs<'registry'>;

/** Who asks, as far as their token tells. */
export type Requester = Pick<Caller, 'customerId' | 'keyId'> & Shown;

/** A request with what only the queue and the worker need of it. */
export interface Asking extends GateRequest {
  readonly label?: Label | undefined;
  readonly keyId?: ApiKeyId | undefined;
}

/**
 * Accepts a reservation request. Its status URL proves that it was accepted (`receipt.ts`). Throws a `Fault` if it could not
 * be queued; then it has left no trace.
 */
export async function requestReservation(
  deps: AcceptNeeds,
  requester: Requester,
  saleId: SaleId,
  idempotencyKey: string,
  request: ReservationRequest,
  passage: Passage = freePassage,
): Promise<ReservationAccepted | Refusal> {
  const unwanted = refuseLabel(requester, request);
  if (unwanted) return unwanted;
  const { customerId } = requester;
  const standing = standingOf(requester, saleId);
  const access = accessOf(saleId, request.code);
  const label = labelOf(request);
  const gateRequest: Asking = {
    reservationId: deriveReservationId(saleId, customerId, idempotencyKey),
    saleId,
    customerId,
    quantity: request.quantity,
    atLeast: leastOf(request),
    ...(standing === '' ? {} : { standing }),
    ...(access === '' ? {} : { access }),
    ...(requester.keyId === undefined ? {} : { keyId: requester.keyId }),
    ...(label === undefined ? {} : { label, labelDigest: digestOf(label) }),
  };
  const answer = await judge(deps, gateRequest, passage.buckets);

  if (isRefusal(answer)) return answer;
  if (answer === 'no such sale') return refuse('not_found', 'There is no such sale.');
  if (answer === 'gate unavailable') {
    await send(deps, gateRequest, undefined);
    return accepted(deps, gateRequest, null, null);
  }
  if (answer.kind === 'limited') return passage.refuse(answer.empty);
  if (answer.kind !== 'repeat' && answer.partial) {
    const decided = await findDecided(deps, gateRequest, answer.kind === 'admitted');
    if (decided) {
      const isAsked = isSame(askedOf(decided), gateRequest) && (await isLabelSame(deps, gateRequest, undefined));
      return isAsked ? replayed(accepted(deps, gateRequest, decided.ticket, null)) : keyReused();
    }
  }
  if (answer.kind === 'reused') return keyReused();
  if (answer.kind === 'refused' || answer.kind === 'kept') {
    if (answer.code === 'not_entitled') return refuseLacking(requester, saleId, answer.fact as Asks);
    const refusal = refuse(answer.code, explain(answer.code, answer.fact));
    return answer.kind === 'kept' ? replayed(refusal) : refusal;
  }
  if (answer.kind === 'repeat') {
    const { status } = answer;
    if (!isSame(await askedAtFirst(deps, status, gateRequest), gateRequest)) return keyReused();
    const labelKept = status.state === 'requested' ? answer.labelDigest : undefined;
    if (!(await isLabelSame(deps, gateRequest, labelKept))) return keyReused();
    const { ticket, position } = status;
    // Still undecided: the first send may have failed unnoticed, and sending again is harmless.
    if (status.state === 'requested') await send(deps, gateRequest, ticket);
    return replayed(accepted(deps, gateRequest, ticket, position));
  }
  await sendAdmitted(deps, gateRequest, answer.ticket);
  return accepted(deps, gateRequest, answer.ticket, answer.position);
}

/**
 * Since when a sale takes reservations; undefined if it does not yet, or if the mirror has none for who shows this code. A proof of work for a
 * reservation is no older, so that no machine can work ahead and take a sale with the result in its first second.
 */
export async function openSince(
  deps: Needs<'redis' | 'clock'>,
  saleId: SaleId,
  code?: string,
): Promise<number | undefined> {
  const sale = await readMirroredSale(deps, saleId, code);
  const opensAtMs = sale && Date.parse(sale.reserveOpensAt);
  return opensAtMs !== undefined && opensAtMs <= deps.clock() ? opensAtMs : undefined;
}

/** Whether two requests under one key ask for the same thing. */
function isSame(one: Asked, other: Asked): boolean {
  return one.quantity === other.quantity && one.atLeast === other.atLeast;
}
type Asked = Pick<GateRequest, 'quantity' | 'atLeast'>;

/** What a reservation's request asked for, before any reduction. */
function askedOf({ quantity, atLeast, askedQuantity, askedAtLeast }: ReservationRow): Asked {
  return { quantity: askedQuantity ?? quantity, atLeast: askedAtLeast ?? atLeast };
}

/**
 * What the first request under a key asked for. A reservation may have been reduced since its decision, and the mirror knows
 * only the result, so MySQL is asked. Throws if it cannot be reached: another answer might be wrong.
 */
async function askedAtFirst(deps: MirrorNeeds, status: MirroredStatus, { reservationId }: GateRequest): Promise<Asked> {
  if (status.version <= firstVersion) return status;
  const row = (await readReservations(deps.db, [reservationId])).get(reservationId);
  return row ? askedOf(row) : status;
}

/**
 * Whether the first request under a key had the same label: by the gate if it is undecided, by MySQL otherwise. A customer's own
 * request says nothing of labels, so it is not looked at. Throws if MySQL is needed and cannot be reached.
 */
async function isLabelSame(deps: MirrorNeeds, asking: Asking, atGate: string | undefined): Promise<boolean> {
  if (asking.keyId === undefined) return true;
  const first = atGate ?? (await readGivenDigest(deps.db, asking.reservationId));
  return first === (asking.labelDigest ?? '');
}

function keyReused(): Refusal {
  return refuse('idempotency_key_reused', 'This Idempotency-Key was used for a different reservation in this sale.');
}

/**
 * The state of a request that the gate took for a new one because it had lost claims; updates the gate. Undefined if the
 * request is undecided, or if it was admitted and MySQL is unavailable: acceptance does not depend on it, and the worker will find
 * the row. Throws if it was refused then: to say that nothing was made under its key might be wrong.
 */
async function findDecided(
  deps: MirrorNeeds,
  { reservationId, saleId }: GateRequest,
  isAdmitted: boolean,
): Promise<ReservationRow | undefined> {
  try {
    const row = (await readReservations(deps.db, [reservationId])).get(reservationId);
    if (row) await refreshMirror(deps, [...(await readStock(deps.db, [saleId])).values()], [row]);
    return row;
  } catch (error) {
    if (!isAdmitted) throw error;
    warnUnlessOutage(error, 'accepting what may have been decided before', { saleId });
    return undefined;
  }
}

/** Queues a request that the gate admitted. Throws if it could not be sent; its claim is then taken back. */
export async function sendAdmitted(deps: MirrorNeeds, gateRequest: Asking, ticket: number): Promise<void> {
  try {
    await send(deps, gateRequest, ticket);
  } catch (error) {
    await returnClaim(deps, gateRequest).catch((cause) => warnUnlessOutage(cause, 'a claim could not be returned'));
    throw error;
  }
}

type Verdict = Exclude<GateAnswer, { kind: 'unknown' | 'hidden' }> | 'gate unavailable' | 'no such sale' | Refusal;

/**
 * Asks the gate, after loading the sale into the mirror if needed. If either fails, the request goes on without the gate.
 * Refuses a caller who has asked for many sales that do not exist, or guessed at codes; a code is not even compared then. A
 * sale that is not there for the caller is answered like an id that no sale has.
 */
export async function judge(
  deps: MirrorNeeds,
  gateRequest: GateRequest,
  buckets: readonly Bucket[] = [],
): Promise<Verdict> {
  const { saleId, customerId, access = '' } = gateRequest;
  const misses = deps.once(missesOf);
  const mustWait = misses.refusal(customerId);
  if (mustWait && access !== '') return mustWait;
  const missed = (): Verdict => {
    if (mustWait) return mustWait;
    misses.note(customerId);
    return 'no such sale';
  };
  try {
    const first = await askGate(deps, { ...gateRequest, buckets });
    if (first.kind === 'hidden') return missed();
    if (first.kind !== 'unknown') return first;
    if (mustWait) return mustWait;
    // It has taken its tokens, and takes no others when it asks again.
    const sale = await primeMirror(deps, saleId);
    if (!sale || !isThereFor(visibilityOf(sale), access, deps.clock())) return missed();
    const second = await askGate(deps, gateRequest);
    if (second.kind === 'hidden') return missed();
    return second.kind === 'unknown' ? 'gate unavailable' : second;
  } catch (error) {
    warnUnlessOutage(error, 'accepting without the gate', { saleId: gateRequest.saleId });
    return 'gate unavailable';
  }
}

function send(deps: MirrorNeeds, gateRequest: Asking, ticket: number | undefined): Promise<void> {
  return deps.queue('reservations').send({ body: commandFor(gateRequest, ticket) });
}

/** The message that asks the allocate worker for a decision. */
export function commandFor({ labelDigest: _, ...asked }: Asking, ticket: number | undefined): ReserveCommand {
  return { ...asked, ticket, correlationId: correlationId() };
}

function accepted(
  deps: AcceptNeeds,
  gateRequest: GateRequest,
  ticket: number | null,
  position: number | null,
): ReservationAccepted {
  const { reservationId, saleId, customerId, quantity, atLeast } = gateRequest;
  const acceptedAtMs = ticket === null ? deps.clock() : Math.floor(ticket / 1000);
  const url = statusUrl(deps, customerId, reservationId, { saleId, quantity, atLeast, acceptedAtMs, ticket, position });
  return { reservationId, saleId, state: 'requested', ticket, position, statusUrl: url };
}

/** The refusal of a customer who lacks what the sale asks for. A token may be older than what they have shown since. */
function refuseLacking(shown: Shown, saleId: SaleId, asks: Asks): Refusal {
  const code = lackedBy(shown, saleId, asks) ?? 'not_entitled';
  return refuse(code, `${codes[code].title}. If you have changed that just now, refresh your access token.`);
}

function explain(code: Exclude<GateRefusal, 'not_entitled'>, fact: string): string {
  switch (code) {
    case 'sale_not_open':
      return `Reservations open at ${toIso(Number(fact))}.`;
    case 'sale_closed':
      return `Reservations closed at ${toIso(Number(fact))}.`;
    case 'over_allotment':
      return `This sale has ${fact} units in all; nobody can have more.`;
    case 'over_cap':
      return `You hold or wait for ${fact} units of this sale already; this would go beyond the limit for one customer.`;
    case 'sale_paused':
    case 'sale_cancelled':
    case 'sold_out':
      return `${codes[code].title}.`;
  }
}
