/**
 * Customers whom a system of the shop's own brings: found by their external id, or made when it is seen for the first time.
 *
 * Such an account has no address and no password, so nobody can sign in to it; it becomes nobody else's by registering. Calls that
 * come at once with a new id make one account, as the id is the primary key of `person_keys`.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { newId } from '#platform/kernel/ids.ts';
import { type Account, findByPersonKey, insertExternalCustomer } from './customer.store.ts';
import { claimKey, personKeyHash } from './person-key.ts';

/** A customer, and what the account can show. */
export type ExternalCustomer = Omit<Account, 'role'>;

/** The customer who has this external id. */
export async function findOrMakeCustomer(
  deps: Needs<'db' | 'registry' | 'clock'>,
  externalId: string,
): Promise<ExternalCustomer> {
  const keyHash = personKeyHash(deps.registry, 'external', externalId);
  return (await findByPersonKey(deps.db, keyHash)) ?? makeCustomer(deps, externalId, keyHash);
}

function makeCustomer(
  deps: Needs<'db' | 'registry' | 'clock'>,
  externalId: string,
  keyHash: Buffer,
): Promise<ExternalCustomer> {
  return deps.db.transaction(async (tx) => {
    const nowMs = deps.clock();
    const customerId = newId<'customer'>(nowMs);
    const { holder, sinceMs } = await claimKey(deps, tx, 'external', externalId, customerId);
    if (holder === customerId) {
      await insertExternalCustomer(tx, { customerId, externalId, sinceMs }, nowMs);
      return { customerId, externalSinceMs: sinceMs };
    }
    const found = await findByPersonKey(tx, keyHash);
    if (!found) throw new Error('an external id belongs to an account that is not there');
    return found;
  });
}
