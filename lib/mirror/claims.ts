/**
 * Claims: how the mirror stores reservations.
 *
 * The claims of a sale are spread over buckets. Each is a small hash with a packed value for each reservation, and for each
 * customer the units that count against the cap. Values are packed because a launch stores millions of them.
 */
import {
  type CustomerId,
  hexAt,
  type PurchaseId,
  type ReservationId,
  type SaleId,
  type SaleTag,
} from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { claimBucket } from '#sale/sale-id.ts';
import { countedAgainstCap, type ReservationState, unitsAgainstCap } from '#state/reservation-state.ts';

/** The part of a reservation that the mirror stores. */
export interface MirroredReservation {
  readonly reservationId: ReservationId;
  readonly saleId: SaleId;
  readonly customerId: CustomerId;
  readonly state: ReservationState;
  /** Units set aside, bought, or once held; zero unless they were ever allocated. */
  readonly units: number;
  readonly quantity: number;
  /** The fewest units that the customer accepts; equal to `quantity` for all-or-nothing. */
  readonly atLeast: number;
  /** Place in line: microseconds since the epoch. */
  readonly ticket: number;
  readonly version: number;
  /** What else its owner is shown. A writer that does not have all of it leaves it out; then readers ask MySQL. */
  readonly reason?: string | null;
  readonly deadlineMs?: number | null;
  readonly purchaseId?: PurchaseId | null;
  readonly partOf?: ReservationId | null;
  readonly acceptedAtMs?: number;
  readonly decidedAtMs?: number;
}

/** What the mirror has of a decided reservation beside its status, so that its owner can be shown all of it. */
export interface Shown {
  readonly reason: string | null;
  /** Until when its units can be bought, in the sale's own time; null if only the close ends it, or it has none to buy. */
  readonly deadlineMs: number | null;
  readonly acceptedAtMs: number;
  readonly decidedAtMs: number;
}

/** A reservation as the mirror has it; `position` is its place among all requests of the sale. */
export interface MirroredStatus {
  readonly state: ReservationState;
  readonly version: number;
  readonly units: number;
  readonly quantity: number;
  readonly atLeast: number;
  readonly ticket: number;
  readonly position: number | null;
  /** Null for what is undecided, and for the few of which the mirror does not have all that is shown. */
  readonly shown: Shown | null;
}

/**
 * One letter for each state. A request admitted beyond the available units is `o`, for the gate's own counters, and one
 * that could not be queued is `u`: it claims nothing, and its ticket is kept for the client's retry.
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
 * A reservation's field in its bucket: the last 48 bits of its id, which do not collide within a bucket, and 24 bits of
 * its owner's id. A bucket holds claims of several customers; the field cannot be named without the owner's id (I10).
 */
export function reservationField(reservationId: ReservationId, customerId: CustomerId): string {
  return short(reservationId, 24, 36) + short(customerId, 24, 30);
}

/** The last 12 hex digits of the id of the reservation with this field. */
export function idEndOf(field: string): string {
  return bytesOf(field).toString('hex', 0, 6);
}

/** The bits of the owner's id that a reservation's field shares with its owner's field. */
export function ownerBitsOf(field: string): string {
  return field.startsWith('@') ? bytesOf(field.slice(1)).subarray(2, 5).toString('base64url') : field.slice(8);
}

/** Whether a packed value is that of an undecided request that claims something. */
export function isUndecided(packed: string): boolean {
  return packed.startsWith('r') || packed.startsWith('o');
}

/** The units that a packed value counts against its customer's cap. */
export function unitsOfClaim(packed: string): number {
  return packed.startsWith('u') ? 0 : unitsAgainstCap(unpack(packed));
}

/** A customer's field in a bucket: bits of the id that do not choose the bucket; `@` sets it apart from reservations. */
export function customerField(customerId: CustomerId): string {
  return `@${short(customerId.slice(19, 23) + customerId.slice(24, 32), 0, 12)}`;
}

/** What three hex digits are in base64url, by their value. */
const shortOfThree = Array.from({ length: 2 ** 12 }, (_, value) => {
  return Buffer.from(`${value.toString(16).padStart(3, '0')}000`, 'hex')
    .toString('base64url')
    .slice(0, 2);
});

/** The hex digits of a text from `from` up to `to` in base64url: two for each three of them. */
function short(text: string, from: number, to: number): string {
  let shortened = '';
  for (let at = from; at < to; at += 3) shortened += shortOfThree[hexAt(text, at, at + 3)] ?? '';
  return shortened;
}

function bytesOf(shortened: string): Buffer {
  return Buffer.from(shortened, 'base64url');
}

/** The bucket that holds a customer's claims in a sale. */
export function claimsKey(tag: SaleTag, customerId: CustomerId): string {
  return keys.claims(tag, claimBucket(tag, customerId));
}

/** For `mirror.lua`: by the letter of a state, what counts against the cap. A request beyond the stock counts too. */
export const countedByLetter: Readonly<Record<string, string>> = Object.fromEntries(
  [...statesByLetter]
    .map(([letter, state]) => [letter, countedAgainstCap(state)] as const)
    .filter(([, counted]) => counted !== 'nothing'),
);

/** Reads a packed value: the ticket is in hex, and `atLeast` is left out if it equals the quantity. */
export function unpack(packed: string): MirroredStatus {
  const [letter = '', version, units, quantity, atLeast, hex = '', ...rest] = packed.split(':');
  const position = rest.pop();
  const ticket = Number.parseInt(hex, 16);
  return {
    state: statesByLetter.get(letter) ?? 'requested',
    version: Number(version),
    units: Number(units),
    quantity: Number(quantity),
    atLeast: Number(atLeast || quantity),
    ticket,
    position: position === '0' ? null : Number(position),
    shown: rest[0] === undefined ? null : readShown(rest[0], Math.floor(ticket / 1000)),
  };
}

/** The packed value without the position, which only Redis has. */
export function pack(row: MirroredReservation): string {
  const atLeast = row.atLeast === row.quantity ? '' : row.atLeast;
  const status = `${letters[row.state]}:${row.version}:${row.units}:${row.quantity}:${atLeast}:${hexOf(row.ticket)}:`;
  return status + shownText(row);
}

/**
 * A ticket in hex, in two halves: V8 writes a number of more than 31 bits digit by digit with floating-point divisions, which
 * takes four times as long.
 */
function hexOf(ticket: number): string {
  const high = Math.floor(ticket / 2 ** 24);
  if (high === 0) return ticket.toString(16);
  const low = ticket - high * 2 ** 24;
  return high.toString(16) + (low + 2 ** 24).toString(16).slice(1);
}

/** What a reason looks like that can be packed. */
const plainReason = /^\w*$/;

/**
 * Whether what the mirror has of a reservation must make way for the row: it is older, or shows whole what must no longer be
 * shown from the mirror. A purchase binds reservations without a new version, and `mirror.lua` follows the same rule.
 */
export function isOutdated(mirrored: Pick<MirroredStatus, 'version' | 'shown'>, row: MirroredReservation): boolean {
  if (mirrored.version !== row.version) return mirrored.version < row.version;
  return mirrored.shown !== null && shownText(row) === '';
}

/**
 * What is shown of a decided reservation beside its status, in few bytes: times as differences, in base 36. Empty if not all
 * of it is at hand, or fits, and for what a purchase pays or paid for: then MySQL is read.
 */
function shownText(row: MirroredReservation): string {
  const { state, ticket, acceptedAtMs, decidedAtMs, deadlineMs = null, reason = null } = row;
  if (acceptedAtMs === undefined || decidedAtMs === undefined || row.purchaseId || row.partOf) return '';
  if (acceptedAtMs !== Math.floor(ticket / 1000) || (reason !== null && !plainReason.test(reason))) return '';
  if (state === 'requested' || state === 'purchased' || state === 'refunded') return '';
  const deadline = state === 'allocated' && deadlineMs !== null ? (deadlineMs - decidedAtMs).toString(36) : '';
  return `${(decidedAtMs - acceptedAtMs).toString(36)}.${deadline}.${reason ?? ''}:`;
}

function readShown(text: string, acceptedAtMs: number): Shown {
  const [decided = '', deadline = '', reason = ''] = text.split('.');
  const decidedAtMs = acceptedAtMs + Number.parseInt(decided, 36);
  const deadlineMs = deadline === '' ? null : decidedAtMs + Number.parseInt(deadline, 36);
  return { reason: reason === '' ? null : reason, deadlineMs, acceptedAtMs, decidedAtMs };
}
