/**
 * Accepting a reservation request: one Redis script and one message to the queue.
 *
 * Invariant I2: a 202 means that SQS has the request. Acceptance depends on SQS alone: when Redis is unavailable the
 * request is queued without a ticket and the worker goes by the time at which SQS accepted it. The reservation's id is
 * derived from sale, customer and Idempotency-Key, so a repeated request finds the first one, even if the first response
 * never arrived (invariant I3).
 */

import { askGate, type GateAnswer, type GateRefusal, type GateRequest, returnClaim } from '#mirror/gate.ts';
import { type MirrorNeeds, primeMirror } from '#mirror/mirror.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { codes, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId, SaleId } from '#platform/kernel/ids.ts';
import { correlationId, log } from '#platform/kernel/log.ts';
import {
  leastOf,
  type ReservationAccepted,
  type ReservationRequest,
  type ReserveCommand,
} from './reservation.shapes.ts';
import { deriveReservationId } from './reservation-id.ts';

/** Accepts a reservation request. Throws a `Fault` if it could not be queued; its claim is then taken back. */
export async function requestReservation(
  deps: MirrorNeeds,
  customerId: CustomerId,
  saleId: SaleId,
  idempotencyKey: string,
  request: ReservationRequest,
): Promise<ReservationAccepted | Refusal> {
  const gateRequest: GateRequest = {
    reservationId: deriveReservationId(saleId, customerId, idempotencyKey),
    saleId,
    customerId,
    quantity: request.quantity,
    atLeast: leastOf(request),
  };
  const answer = await judge(deps, gateRequest);

  if (answer === 'no such sale') return refuse('not_found', 'There is no such sale.');
  if (answer === 'gate unavailable') return enqueue(deps, gateRequest);
  if (answer.kind === 'refused') return refuse(answer.code, explain(answer.code, answer.fact));
  if (answer.kind === 'repeat') {
    const { status } = answer;
    if (status.quantity !== gateRequest.quantity || status.atLeast !== gateRequest.atLeast) {
      return refuse(
        'idempotency_key_reused',
        'This Idempotency-Key was used for a different reservation in this sale.',
      );
    }
    const { ticket, position } = status;
    // Still undecided: the first send may have failed, and sending again is idempotent.
    if (status.state === 'requested') await send(deps, gateRequest, ticket);
    return accepted(gateRequest, ticket, position);
  }
  await sendAdmitted(deps, gateRequest, answer.ticket);
  return accepted(gateRequest, answer.ticket, answer.position);
}

/** Queues a request that the gate admitted. Throws if it could not be sent; its claim is then taken back. */
export async function sendAdmitted(deps: MirrorNeeds, gateRequest: GateRequest, ticket: number): Promise<void> {
  try {
    await send(deps, gateRequest, ticket);
  } catch (error) {
    await returnClaim(deps, gateRequest).catch((cause) => log.warn('a claim could not be returned', { error: cause }));
    throw error;
  }
}

type Verdict = Exclude<GateAnswer, { kind: 'unknown' }> | 'gate unavailable' | 'no such sale';

/** Asks the gate, after loading the sale into the mirror if needed. If either fails, the request continues without. */
export async function judge(deps: MirrorNeeds, gateRequest: GateRequest): Promise<Verdict> {
  try {
    const first = await askGate(deps, gateRequest);
    if (first.kind !== 'unknown') return first;
    if (!(await primeMirror(deps, gateRequest.saleId))) return 'no such sale';
    const second = await askGate(deps, gateRequest);
    return second.kind === 'unknown' ? 'gate unavailable' : second;
  } catch (error) {
    log.warn('accepting without the gate', { error, saleId: gateRequest.saleId });
    return 'gate unavailable';
  }
}

async function enqueue(deps: MirrorNeeds, gateRequest: GateRequest): Promise<ReservationAccepted> {
  await send(deps, gateRequest, undefined);
  return accepted(gateRequest, null, null);
}

function send(deps: MirrorNeeds, gateRequest: GateRequest, ticket: number | undefined): Promise<void> {
  return deps.queue('reservations').send({ body: commandFor(gateRequest, ticket) });
}

/** The message that asks the allocate worker for a decision. */
export function commandFor(gateRequest: GateRequest, ticket: number | undefined): ReserveCommand {
  return { ...gateRequest, ticket, correlationId: correlationId() };
}

function accepted(gateRequest: GateRequest, ticket: number | null, position: number | null): ReservationAccepted {
  const { reservationId, saleId } = gateRequest;
  return { reservationId, saleId, state: 'requested', ticket, position, statusUrl: `/reservations/${reservationId}` };
}

function explain(code: GateRefusal, fact: string): string {
  switch (code) {
    case 'sale_not_open':
      return `Reservations open at ${toIso(Number(fact))}.`;
    case 'sale_closed':
      return `Reservations closed at ${toIso(Number(fact))}.`;
    case 'over_cap':
      return `You hold or wait for ${fact} units of this sale already; this would go beyond the limit for one customer.`;
    case 'sale_paused':
    case 'sale_cancelled':
    case 'sold_out':
      return `${codes[code].title}.`;
  }
}
