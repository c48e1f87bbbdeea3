/**
 * The ids of reservations. A reservation's id begins with its sale's tag, so a sale's rows lie together in the table and a
 * status URL leads to the sale's mirror.
 */
import { type SaleId, tagBytes, toBytes } from '#platform/kernel/ids.ts';

/** The range of ids that reservations of a sale can have: after the one, up to the other. */
export function idsOfSale(saleId: SaleId): { after: Buffer; last: Buffer } {
  const tag = toBytes(saleId).subarray(-tagBytes);
  return {
    after: Buffer.concat([tag, Buffer.alloc(16 - tagBytes)]),
    last: Buffer.concat([tag, Buffer.alloc(16 - tagBytes, 0xff)]),
  };
}
