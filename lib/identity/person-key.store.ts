/** The store of what tells persons apart: the only code that writes `person_keys`. It decides nothing. */
import { type CustomerId, fromBytes, toBytes } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import type { personKeyKinds } from './person-key.table.ts';

export type PersonKeyKind = (typeof personKeyKinds)[number];

/** Writes that an account has a key which none has had before. Throws if one has (`isDuplicateKey`). */
export async function insertPersonKey(
  tx: Tx,
  keyHash: Buffer,
  kind: PersonKeyKind,
  customerId: CustomerId,
): Promise<void> {
  await tx.change('INSERT INTO person_keys (key_hash, kind, customer_id) VALUES (?)', [
    [keyHash, kind, toBytes(customerId)],
  ]);
}

/** The account that has a key, null if it is free; locked until the transaction ends. Undefined if none has had it yet. */
export async function lockPersonKey(tx: Tx, keyHash: Buffer): Promise<CustomerId | null | undefined> {
  const rows = await tx.rows<{ customerId: Buffer | null }>(
    'SELECT customer_id AS customerId FROM person_keys WHERE key_hash = ? FOR UPDATE',
    [keyHash],
  );
  return rows.map(({ customerId }) => (customerId ? fromBytes<'customer'>(customerId) : null))[0];
}

/** Writes that an account has a key that was free. */
export async function takePersonKey(tx: Tx, keyHash: Buffer, customerId: CustomerId): Promise<void> {
  await tx.change('UPDATE person_keys SET customer_id = ? WHERE key_hash = ? AND customer_id IS NULL', [
    toBytes(customerId),
    keyHash,
  ]);
}

/** Frees one key of an account. */
export async function freePersonKey(tx: Tx, keyHash: Buffer, customerId: CustomerId): Promise<void> {
  await tx.change('UPDATE person_keys SET customer_id = NULL WHERE key_hash = ? AND customer_id = ?', [
    keyHash,
    toBytes(customerId),
  ]);
}

/** Frees all that an account has. */
export async function freePersonKeys(tx: Tx, customerId: CustomerId): Promise<void> {
  await tx.change('UPDATE person_keys SET customer_id = NULL WHERE customer_id = ?', [toBytes(customerId)]);
}
