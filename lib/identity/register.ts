/**
 * Registration. The e-mail address is unique by a constraint of the table, so two concurrent registrations of one
 * address cannot both succeed.
 */

import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { isDuplicateKey } from '#platform/mysql/mysql.ts';
import { hashPassword } from '#platform/security/password.ts';
import { findAccount, insertCustomer, promote } from './customer.store.ts';
import type { Role } from './customer.table.ts';
import type { Registration } from './identity.shapes.ts';
import { limitRegistration } from './limits.ts';

/**
 * Creates a customer's account. Refused when the address already has one; the password is hashed either way, so the
 * response time reveals no more than the response.
 */
export async function register(
  deps: Needs<'db' | 'redis' | 'registry' | 'clock'>,
  registration: Registration,
  address: string,
): Promise<{ customerId: CustomerId } | Refusal> {
  const tooOften = await limitRegistration(deps, address);
  if (tooOften) return tooOften;
  return createAccount(deps, registration, 'customer');
}

/**
 * Ensures that there is an operator with this address and password, when a stack starts. Returns the account's id.
 */
export async function seedOperator(
  deps: Needs<'db' | 'clock'>,
  { email, password }: { email: string; password: string },
): Promise<string> {
  const created = await createAccount(deps, { email, password, name: 'Operator' }, 'operator');
  if (!isRefusal(created)) return created.customerId;
  await promote(deps.db, email, await hashPassword(password));
  const account = await findAccount(deps.db, email);
  if (!account) throw new Error('the operator account could neither be created nor found');
  return account.customerId;
}

async function createAccount(
  { db, clock }: Needs<'db' | 'clock'>,
  { email, password, name, locale, timeZone }: Registration,
  role: Role,
): Promise<{ customerId: CustomerId } | Refusal> {
  const passwordHash = await hashPassword(password);
  try {
    return { customerId: await insertCustomer(db, { email, name, passwordHash, role, locale, timeZone }, clock()) };
  } catch (error) {
    if (isDuplicateKey(error)) return refuse('email_taken', 'Sign in instead, or use another address.');
    throw error;
  }
}
