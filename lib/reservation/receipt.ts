/**
 * Receipts: what was accepted, signed, in the status URL that a 202 names.
 *
 * Between the 202 and the decision a request is a message in a queue and a claim in Redis. If Redis is unavailable, or has
 * lost the claim, no store knows the request, and its customer must be told “requested” all the same (invariant I2). So the
 * status URL carries a proof. It is bound to the customer: no customer can make one, or use another's (invariant I10). What
 * MySQL knows takes precedence.
 */
import * as z from 'zod';
import type { Needs } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import type { CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { locate, type Registry } from '#platform/kernel/registry.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { readKeyRing } from '#platform/security/key-ring.ts';
import { readSignedText, signText } from '#platform/security/signed-text.ts';
import { fillOf, type ReservationView } from './reservation.shapes.ts';

/** What a receipt says of the request that was accepted. */
export interface Accepted {
  readonly saleId: SaleId;
  readonly quantity: number;
  readonly atLeast: number;
  readonly acceptedAtMs: number;
  /** Both null if the gate was unavailable. */
  readonly ticket: number | null;
  readonly position: number | null;
}

const int = z.number().int();
const Fields = z.tuple([idOf<SaleId>(), int, int, int, int.nullable(), int.nullable()]);

const keysOf = (registry: Registry) => readKeyRing(locate(registry, 'secret/receipt-key'));

/** The status URL of an accepted request, with its receipt. */
export function statusUrl(
  { registry }: Needs<'registry'>,
  customerId: CustomerId,
  reservationId: ReservationId,
  accepted: Accepted,
): string {
  const { saleId, quantity, atLeast, acceptedAtMs, ticket, position } = accepted;
  const fields: z.output<typeof Fields> = [saleId, quantity, atLeast, acceptedAtMs, ticket, position];
  const { current } = keysOf(registry);
  const receipt = signText(current, aboutOf(customerId, reservationId), JSON.stringify(fields));
  return `/reservations/${reservationId}?receipt=${receipt}`;
}

/**
 * The reservation as its receipt shows it: requested, and not decided yet. Undefined unless the receipt is for this
 * reservation and this customer. Call it only if MySQL does not know the reservation.
 */
export function readReceipt(
  { registry }: Needs<'registry'>,
  customerId: CustomerId,
  reservationId: ReservationId,
  receipt: string,
): ReservationView | undefined {
  const text = readSignedText(keysOf(registry).accepted, aboutOf(customerId, reservationId), receipt);
  if (text === undefined) return undefined;
  const [saleId, quantity, atLeast, acceptedAtMs, ticket, position] = Fields.parse(JSON.parse(text));
  return undecidedView(reservationId, { saleId, quantity, atLeast, acceptedAtMs, ticket, position });
}

/** A request that is not decided yet, as its owner sees it. */
export function undecidedView(reservationId: ReservationId, accepted: Accepted): ReservationView {
  const { saleId, quantity, atLeast, acceptedAtMs, ticket, position } = accepted;
  return {
    reservationId,
    saleId,
    state: 'requested',
    quantity,
    fill: fillOf(quantity, atLeast),
    units: 0,
    ticket,
    position,
    reason: null,
    deadline: null,
    purchaseId: null,
    partOf: null,
    version: 0,
    acceptedAt: toIso(acceptedAtMs),
    decidedAt: null,
  };
}

function aboutOf(customerId: CustomerId, reservationId: ReservationId): string {
  return `receipt of a reservation\0${customerId}\0${reservationId}`;
}
