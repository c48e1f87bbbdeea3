/**
 * Accepting a reservation request: one Redis script and one message to the queue.
 *
 * Invariant I2: a 202 means that SQS has the request. Acceptance depends on SQS alone: when Redis is unavailable the
 * request is queued without a ticket and the worker goes by the time at which SQS accepted it. The reservation's id is
 * derived from sale, customer and Idempotency-Key, so a repeated request finds the first one, even if the first response
 * never arrived (invariant I3).
 */

import { type Applicant, askGate, type GateAnswer, type GateRefusal, returnClaim } from '#mirror/gate.ts';
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
  const applicant: Applicant = {
    reservationId: deriveReservationId(saleId, customerId, idempotencyKey),
    saleId,
    customerId,
    quantity: request.quantity,
    atLeast: leastOf(request),
  };
  const answer = await judge(deps, applicant);

  if (answer === 'no such sale') return refuse('not_found', 'There is no such sale.');
  if (answer === 'gate unavailable') return enqueue(deps, applicant);
  if (answer.kind === 'refused') return refuse(answer.code, explain(answer.code, answer.fact));
  if (answer.kind === 'repeat') {
    const { status } = answer;
    if (status.quantity !== applicant.quantity || status.atLeast !== applicant.atLeast) {
      return refuse(
        'idempotency_key_reused',
        'This Idempotency-Key was used for a different reservation in this sale.',
      );
    }
    const { ticket, position } = status;
    // Still undecided: the first send may have failed, and sending again is idempotent.
    if (status.state === 'requested') await send(deps, applicant, ticket);
    return accepted(applicant, ticket, position);
  }
  await sendAdmitted(deps, applicant, answer.ticket);
  return accepted(applicant, answer.ticket, answer.position);
}

/** Queues a request that the gate admitted. Throws if it could not be sent; its claim is then taken back. */
export async function sendAdmitted(deps: MirrorNeeds, applicant: Applicant, ticket: number): Promise<void> {
  try {
    await send(deps, applicant, ticket);
  } catch (error) {
    await returnClaim(deps, applicant).catch((cause) => log.warn('a claim could not be returned', { error: cause }));
    throw error;
  }
}

type Verdict = Exclude<GateAnswer, { kind: 'unknown' }> | 'gate unavailable' | 'no such sale';

/** Asks the gate, after loading the sale into the mirror if needed. If either fails, the request continues without. */
export async function judge(deps: MirrorNeeds, applicant: Applicant): Promise<Verdict> {
  try {
    const first = await askGate(deps, applicant);
    if (first.kind !== 'unknown') return first;
    if (!(await primeMirror(deps, applicant.saleId))) return 'no such sale';
    const second = await askGate(deps, applicant);
    return second.kind === 'unknown' ? 'gate unavailable' : second;
  } catch (error) {
    log.warn('accepting without the gate', { error, saleId: applicant.saleId });
    return 'gate unavailable';
  }
}

async function enqueue(deps: MirrorNeeds, applicant: Applicant): Promise<ReservationAccepted> {
  await send(deps, applicant, undefined);
  return accepted(applicant, null, null);
}

function send(deps: MirrorNeeds, applicant: Applicant, ticket: number | undefined): Promise<void> {
  return deps.queue('reservations').send({ body: commandFor(applicant, ticket) });
}

/** The message that asks the allocate worker for a decision. */
export function commandFor(applicant: Applicant, ticket: number | undefined): ReserveCommand {
  return { ...applicant, ticket, correlationId: correlationId() };
}

function accepted(applicant: Applicant, ticket: number | null, position: number | null): ReservationAccepted {
  const { reservationId, saleId } = applicant;
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
