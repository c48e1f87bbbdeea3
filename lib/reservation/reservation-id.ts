/**
 * The ids of reservations. A reservation's id begins with its sale's tag, so a sale's rows are adjacent in the table and
 * the id in a status URL is enough to find the sale in the mirror.
 */
import { hash } from 'node:crypto';
import { type CustomerId, nameBased, type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { saleTag, tagBytes } from '#sale/sale-id.ts';

/**
 * The id of a reservation, derived from sale, customer and Idempotency-Key (UUID version 8), so that a second request finds
 * the first one without a look-up.
 */
export function deriveReservationId(saleId: SaleId, customerId: CustomerId, idempotencyKey: string): ReservationId {
  return nameBased(saleTag(saleId) + hash('sha256', `reservation\0${saleId}\0${customerId}\0${idempotencyKey}`));
}

/**
 * The id of a part that is split off a reservation. A split raises the version, so every part of a reservation has its own
 * id, and repeating a split gives the same id.
 */
export function derivePartId(
  saleId: SaleId,
  { reservationId, version }: { reservationId: ReservationId; version: number },
): ReservationId {
  return nameBased(saleTag(saleId) + hash('sha256', `part\0${reservationId}\0${version}`));
}

/** The range of the ids of a sale's reservations: greater than `after`, up to and including `last`. */
export function idsOfSale(saleId: SaleId): { after: Buffer; last: Buffer } {
  const tag = toBytes(saleId).subarray(-tagBytes);
  return {
    after: Buffer.concat([tag, Buffer.alloc(16 - tagBytes)]),
    last: Buffer.concat([tag, Buffer.alloc(16 - tagBytes, 0xff)]),
  };
}
