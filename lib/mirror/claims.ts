/**
 * Claims: how the mirror keeps reservations.
 *
 * Claims lie in buckets of their sale, each a small hash that holds, per reservation, a packed value and, per customer, the
 * units that count against the cap. Values are packed because a launch stores millions of them.
 */
import type { CustomerId, ReservationId, SaleId, SaleTag } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { claimBucket } from '#sale/sale-id.ts';
import { countedAgainstCap, type ReservationState } from '#state/reservation-state.ts';

/** The part of a reservation that the mirror keeps. */
export interface MirroredReservation {
  readonly reservationId: ReservationId;
  readonly saleId: SaleId;
  readonly customerId: CustomerId;
  readonly state: ReservationState;
  /** Units set aside, bought, or once held; zero unless they were ever allocated. */
  readonly units: number;
  readonly quantity: number;
  /** The least the customer would take; equal to `quantity` for all-or-nothing. */
  readonly atLeast: number;
  /** Place in line: microseconds since the epoch. */
  readonly ticket: number;
  readonly version: number;
}

/** What the mirror says of a reservation; `position` is its place among all requests of the sale. */
export interface MirroredStatus {
  readonly state: ReservationState;
  readonly version: number;
  readonly units: number;
  readonly quantity: number;
  readonly atLeast: number;
  readonly ticket: number;
  readonly position: number | null;
}

/**
 * One letter for each state. A request admitted beyond the available units is `o`, for the gate's own counting, and one
 * that could not be queued is `u`: it claims nothing, and its ticket waits for the customer to try again.
 */
const letters: Record<ReservationState, string> = {
  requested: 'r',
  allocated: 'a',
  waitlisted: 'w',
  rejected: 'x',
  purchased: 'p',
  cancelled: 'c',
  expired: 'e',
  refunded: 'f',
};
const statesByLetter = new Map<string, ReservationState>([
  ...Object.entries(letters).map(([state, letter]) => [letter, state as ReservationState] as const),
  ['o', 'requested'],
]);

/**
 * A reservation's field in its bucket: the last 48 bits of its id, which within a bucket never meet another's, and 24 of
 * its owner's. Others may have claims in the same bucket; without the owner's id nobody can name the field (I10).
 */
export function reservationField(reservationId: ReservationId, customerId: CustomerId): string {
  return short(reservationId.slice(24) + customerId.slice(24, 30));
}

/** The last 12 hex digits of the id of the reservation that has this field. */
export function idEndOf(field: string): string {
  return bytesOf(field).toString('hex', 0, 6);
}

/**
 * The customer's field that belongs to a reservation's, among the fields of their bucket: both have bits of the same id.
 * Undefined if there is none, or by a rare chance two.
 */
export function ownerOf(field: string, bucket: Iterable<string>): string | undefined {
  const owner = bytesOf(field).subarray(6);
  const fitting = [...bucket].filter(
    (one) => one.startsWith('@') && bytesOf(one.slice(1)).subarray(2, 5).equals(owner),
  );
  return fitting.length === 1 ? fitting[0] : undefined;
}

/** A customer's field in a bucket: bits of the id that do not choose the bucket; the sign keeps it apart. */
export function customerField(customerId: CustomerId): string {
  return `@${short(customerId.slice(19, 23) + customerId.slice(24, 32))}`;
}

/** Hex digits in two thirds of their length. */
function short(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64url');
}

function bytesOf(shortened: string): Buffer {
  return Buffer.from(shortened, 'base64url');
}

/** The bucket that holds a customer's claims in a sale. */
export function claimsKey(tag: SaleTag, customerId: CustomerId): string {
  return keys.claims(tag, claimBucket(tag, customerId));
}

/** For `mirror.lua`: what counts against the cap in each state, by its letter. A request beyond the stock counts too. */
export const countedByLetter: Readonly<Record<string, string>> = Object.fromEntries(
  [...statesByLetter]
    .map(([letter, state]) => [letter, countedAgainstCap(state)] as const)
    .filter(([, counted]) => counted !== 'nothing'),
);

/** Reads a packed value: the ticket is in hex, and the least that the customer takes is left out if it is all. */
export function unpack(packed: string): MirroredStatus {
  const [letter = '', version, units, quantity, atLeast, ticket = '', position] = packed.split(':');
  return {
    state: statesByLetter.get(letter) ?? 'requested',
    version: Number(version),
    units: Number(units),
    quantity: Number(quantity),
    atLeast: Number(atLeast || quantity),
    ticket: Number.parseInt(ticket, 16),
    position: position === '0' ? null : Number(position),
  };
}

/** The packed value, up to the position, which Redis alone knows. */
export function pack(row: MirroredReservation): string {
  const atLeast = row.atLeast === row.quantity ? '' : row.atLeast;
  return `${letters[row.state]}:${row.version}:${row.units}:${row.quantity}:${atLeast}:${row.ticket.toString(16)}:`;
}
