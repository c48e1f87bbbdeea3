/**
 * The accept path: from a click to a place in the queue, with one Redis script and one send.
 *
 * Invariant I2: a 202 means that SQS has the request. Acceptance depends on SQS alone: when Redis is away the request goes
 * on without a ticket and the worker judges it by the time SQS took it. The reservation's id follows from sale, customer
 * and Idempotency-Key, so a repeated request is the same request, even if the first answer never arrived (invariant I3).
 */

import type { Applicant, GateAnswer, GateRefusal } from '#mirror/gate.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { codes, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { reservationId as deriveReservationId } from '#platform/kernel/ids.ts';
import { correlationId, log } from '#platform/kernel/log.ts';
import {
  leastOf,
  type ReservationAccepted,
  type ReservationRequest,
  type ReserveCommand,
} from './reservation.shapes.ts';

/** What the accept path needs from outside. */
export interface RequestPorts {
  /** Asks the gate. Throws if it is away. */
  gate(applicant: Applicant): Promise<GateAnswer>;
  returnClaim(applicant: Applicant): Promise<void>;
  /** Makes the gate know a sale. False if there is no such sale. Throws if the store is away. */
  primeSale(saleId: string): Promise<boolean>;
  /** Resolves once the queue has the command; throws if it may not. */
  enqueue(command: ReserveCommand): Promise<void>;
}

/** Accepts a reservation request. Throws a `Fault` if it could not be queued; then nothing is left of it. */
export async function requestReservation(
  ports: RequestPorts,
  saleId: string,
  customerId: string,
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
  const answer = await judge(ports, applicant);

  if (answer === 'no such sale') return refuse('not_found', 'There is no such sale.');
  if (answer === 'gate away') return enqueue(ports, applicant);
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
    // Still undecided: the first send may have failed unseen, and sending again is harmless.
    if (status.state === 'requested') await send(ports, applicant, ticket);
    return accepted(applicant, ticket, position);
  }
  await sendAdmitted(ports, applicant, answer.ticket);
  return accepted(applicant, answer.ticket, answer.position);
}

/** Sends what the gate admitted. Throws if it could not be sent; then its claim at the gate has been taken back. */
export async function sendAdmitted(ports: RequestPorts, applicant: Applicant, ticket: number): Promise<void> {
  try {
    await send(ports, applicant, ticket);
  } catch (error) {
    await ports.returnClaim(applicant).catch((cause) => log.warn('a claim could not be returned', { error: cause }));
    throw error;
  }
}

type Verdict = Exclude<GateAnswer, { kind: 'unknown' }> | 'gate away' | 'no such sale';

/** Asks the gate, teaching it the sale if it does not know it; whatever is away, the request goes on. */
export async function judge(ports: RequestPorts, applicant: Applicant): Promise<Verdict> {
  try {
    const first = await ports.gate(applicant);
    if (first.kind !== 'unknown') return first;
    if (!(await ports.primeSale(applicant.saleId))) return 'no such sale';
    const second = await ports.gate(applicant);
    return second.kind === 'unknown' ? 'gate away' : second;
  } catch (error) {
    log.warn('accepting without the gate', { error, saleId: applicant.saleId });
    return 'gate away';
  }
}

async function enqueue(ports: RequestPorts, applicant: Applicant): Promise<ReservationAccepted> {
  await send(ports, applicant, undefined);
  return accepted(applicant, null, null);
}

function send(ports: RequestPorts, applicant: Applicant, ticket: number | undefined): Promise<void> {
  return ports.enqueue(commandFor(applicant, ticket));
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
