/**
 * Verified contacts: who has shown that an address is theirs. An address is one account's at most, however it is spelled
 * (`person-key.ts`).
 */
import { eachTime, type Once } from '#idempotency/once.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { readCode, redeemCode, wrongCode } from './codes.ts';
import { type Credential, findCustomer, lockCredential, noteContact } from './customer.store.ts';
import type { Me } from './identity.shapes.ts';
import { claimKey } from './person-key.ts';

/**
 * Shows by a code from a mail that the caller's address is theirs. Access tokens say so from the next refresh on. Refused if the
 * code is not good, or if another account has this address.
 */
export async function verifyContact(
  deps: Needs<'db' | 'registry' | 'clock'>,
  customerId: CustomerId,
  code: string,
  once: Once = eachTime,
): Promise<Me | Refusal> {
  return once<Me>(async (keep) => {
    const mailedTo = await readCode(deps, code, 'contact');
    if (mailedTo !== customerId) return wrongCode();
    return deps.db.transaction(async (tx) => {
      const account = await lockCredential(tx, customerId);
      const used = account && (await redeemCode(tx, code, deps.clock()));
      if (used) return used;
      const holder = account && (await claimContact(deps, tx, account));
      const me = await findCustomer(tx, customerId);
      if (!me) return refuse('unauthenticated', 'This account no longer exists.');
      if (holder === customerId) return keep(tx, { customerId, ...me });
      return refuse('contact_taken', 'Sign in to that account; you can set a new password for it.');
    });
  });
}

/**
 * Writes that an account's address is its own, unless another account has it. Returns the account that has it then. To be called
 * with the account's row locked, and for a customer who has shown that they read its mail.
 */
export async function claimContact(
  deps: Needs<'registry' | 'clock'>,
  tx: Tx,
  { customerId, email, contactSinceMs }: Pick<Credential, 'customerId' | 'email' | 'contactSinceMs'>,
): Promise<CustomerId> {
  if (contactSinceMs !== null) return customerId;
  const { holder, sinceMs } = await claimKey(deps, tx, 'contact', contactOf(email), customerId);
  if (holder === customerId) await noteContact(tx, customerId, sinceMs);
  return holder;
}

/**
 * The address without what its owner may write into it at will: a tag after "+" (RFC 5233) reaches the same mailbox at most
 * providers, and no other person's at any. What only some providers ignore, such as dots, tells people apart elsewhere and stays.
 */
export function contactOf(mailbox: string): string {
  const at = mailbox.lastIndexOf('@');
  const local = mailbox.slice(0, at);
  const tagged = local.startsWith('"') ? -1 : local.indexOf('+');
  return tagged > 0 ? local.slice(0, tagged) + mailbox.slice(at) : mailbox;
}
