/**
 * What tells one person from another: a verified address, an external id.
 *
 * Invariant: a key belongs to one account at most, and one that another account has had before belongs to its new account only
 * from then on. So what is given to persons is given to each of them once, also if a person deletes an account and opens another.
 */
import { createHmac } from 'node:crypto';
import type { Needs } from '#platform/environment/deps.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import type { Registry } from '#platform/kernel/registry.ts';
import { isDuplicateKey, type Tx } from '#platform/mysql/mysql.ts';
import { guardKeys } from '#platform/security/key-ring.ts';
import {
  freePersonKey,
  insertPersonKey,
  lockPersonKey,
  type PersonKeyKind,
  takePersonKey,
} from './person-key.store.ts';

/** What came of claiming a key. */
export interface Claimed {
  /** The account that has it. */
  readonly holder: CustomerId;
  /** If it is the one that claimed it: from when on it counts as its own; zero if no account has had it before. */
  readonly sinceMs: number;
}

/** Gives a key to an account, unless another has it. To be called with the account's row locked. */
export async function claimKey(
  { registry, clock }: Needs<'registry' | 'clock'>,
  tx: Tx,
  kind: PersonKeyKind,
  key: string,
  customerId: CustomerId,
): Promise<Claimed> {
  const keyHash = personKeyHash(registry, kind, key);
  const isNew = (await lockPersonKey(tx, keyHash)) === undefined;
  if (isNew && (await isInserted(tx, keyHash, kind, customerId))) return { holder: customerId, sinceMs: 0 };
  const holder = await lockPersonKey(tx, keyHash);
  if (holder) return { holder, sinceMs: 0 };
  await takePersonKey(tx, keyHash, customerId);
  return { holder: customerId, sinceMs: clock() };
}

/** Frees a key that an account has. */
export async function freeKey(
  { registry }: Needs<'registry'>,
  tx: Tx,
  kind: PersonKeyKind,
  key: string,
  customerId: CustomerId,
): Promise<void> {
  await freePersonKey(tx, personKeyHash(registry, kind, key), customerId);
}

/** By what a key is found: a keyed hash, the same for good, as the keys of accounts that are deleted are known by nothing else. */
export function personKeyHash(registry: Registry, kind: PersonKeyKind, key: string): Buffer {
  return createHmac('sha256', guardKeys(registry).lasting).update(`${kind}\0${key}`).digest();
}

/** Inserts a key for its first account. False if another was faster. */
async function isInserted(tx: Tx, keyHash: Buffer, kind: PersonKeyKind, customerId: CustomerId): Promise<boolean> {
  try {
    await insertPersonKey(tx, keyHash, kind, customerId);
    return true;
  } catch (error) {
    if (isDuplicateKey(error)) return false;
    throw error;
  }
}
