/**
 * Customers whom a system of the shop's own or another issuer brings: found by their external id, or made when it is seen for
 * the first time.
 *
 * Such an account has no address and no password, so nobody can sign in to it; it becomes nobody else's by registering. Calls that
 * come at once with a new id make one account, as the id is the primary key of `person_keys`.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { newId } from '#platform/kernel/ids.ts';
import { claimContact, contactOf } from './contact.ts';
import {
  type Account,
  changeEmail,
  findByPersonKey,
  findCredential,
  insertExternalCustomer,
  isOpenedByPassword,
  lockCredential,
  noteContact,
} from './customer.store.ts';
import { claimKey, freeKey, personKeyHash } from './person-key.ts';

/** A customer, and what the account can show. */
export type ExternalCustomer = Omit<Account, 'role'>;

/**
 * The customer who has this external id. With a mailbox, which whoever brings them has verified, that is their address from now on;
 * it counts as verified unless it is another account's. An account with a password keeps the address that it was opened with.
 */
export async function findOrMakeCustomer(
  deps: Needs<'db' | 'registry' | 'clock'>,
  externalId: string,
  mailbox?: string,
): Promise<ExternalCustomer> {
  const keyHash = personKeyHash(deps.registry, 'external', externalId);
  const customer = (await findByPersonKey(deps.db, keyHash)) ?? (await makeCustomer(deps, externalId, keyHash));
  if (mailbox === undefined || (await hasAddress(deps, customer, mailbox))) return customer;
  return takeAddress(deps, customer, mailbox);
}

/** Whether there is nothing to write of this address: the account has it, as far as it can. */
async function hasAddress(
  deps: Needs<'db' | 'registry'>,
  { customerId }: ExternalCustomer,
  mailbox: string,
): Promise<boolean> {
  const account = await findCredential(deps.db, customerId);
  if (!account || isOpenedByPassword(account)) return true;
  if (account.email !== mailbox) return false;
  if (account.contactSinceMs !== null) return true;
  const holder = await findByPersonKey(deps.db, personKeyHash(deps.registry, 'contact', contactOf(mailbox)));
  return holder !== undefined;
}

/** Writes the address of an account that no password opens. Its old one is free again. */
function takeAddress(
  deps: Needs<'db' | 'registry' | 'clock'>,
  customer: ExternalCustomer,
  mailbox: string,
): Promise<ExternalCustomer> {
  const { customerId } = customer;
  return deps.db.transaction(async (tx) => {
    const account = await lockCredential(tx, customerId);
    if (!account) return customer;
    const { email, contactSinceMs } = account;
    if (email === mailbox && contactSinceMs !== null) return { ...customer, contactSinceMs };
    if (contactSinceMs !== null && contactOf(email) === contactOf(mailbox)) {
      // Another spelling of the address that it has.
      await changeEmail(tx, customerId, mailbox);
      await noteContact(tx, customerId, contactSinceMs);
      return { ...customer, contactSinceMs };
    }
    if (contactSinceMs !== null) await freeKey(deps, tx, 'contact', contactOf(email), customerId);
    await changeEmail(tx, customerId, mailbox);
    await claimContact(deps, tx, { customerId, email: mailbox, contactSinceMs: null });
    const now = await lockCredential(tx, customerId);
    return { ...customer, contactSinceMs: now?.contactSinceMs ?? undefined };
  });
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
