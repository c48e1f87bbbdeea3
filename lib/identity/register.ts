/**
 * Registration. The e-mail address is unique by a constraint of the table, so two concurrent registrations of one
 * address cannot both succeed.
 */

import type { Needs } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { isDuplicateKey, type Sql } from '#platform/mysql/mysql.ts';
import type { Tokens } from '#platform/security/access-token.ts';
import { hashPassword } from '#platform/security/password.ts';
import type { Role } from '#platform/security/roles.ts';
import { findAccount, insertCustomer, promote } from './customer.store.ts';
import type { Registered, Registration } from './identity.shapes.ts';
import { limitRegistration } from './limits.ts';
import { openSession } from './session.ts';

/**
 * Creates a customer's account, and signs in to it: the password was typed a moment ago. Refused when the address already
 * has an account; the password is hashed either way, so the response time reveals no more than the response.
 */
export async function register(
  deps: Needs<'db' | 'redis' | 'registry' | 'clock'>,
  tokens: Tokens,
  registration: Registration,
  address: string,
): Promise<Registered | Refusal> {
  const tooOften = await limitRegistration(deps, address);
  if (tooOften) return tooOften;
  const passwordHash = await hashPassword(registration.password);
  const nowMs = deps.clock();
  return deps.db.transaction(async (tx) => {
    const created = await createAccount(tx, { ...registration, passwordHash, role: 'customer' }, nowMs);
    if (isRefusal(created)) return created;
    return { ...created, ...(await openSession(tx, tokens, { ...created, role: 'customer' }, nowMs)) };
  });
}

/**
 * Ensures that there is an operator with this address and password, when a stack starts, or somebody of another role. Returns
 * the account's id.
 */
export async function seedOperator(
  deps: Needs<'db' | 'clock'>,
  { email, password }: { email: string; password: string },
  role: Role = 'operator',
): Promise<string> {
  const passwordHash = await hashPassword(password);
  const created = await createAccount(deps.db, { email, passwordHash, name: 'Operator', role }, deps.clock());
  if (!isRefusal(created)) return created.customerId;
  await promote(deps.db, email, passwordHash, role);
  const account = await findAccount(deps.db, email);
  if (!account) throw new Error('the operator account could neither be created nor found');
  return account.customerId;
}

async function createAccount(
  sql: Sql,
  account: Omit<Registration, 'password'> & { passwordHash: string; role: Role },
  nowMs: number,
): Promise<{ customerId: CustomerId } | Refusal> {
  try {
    return { customerId: await insertCustomer(sql, account, nowMs) };
  } catch (error) {
    if (isDuplicateKey(error)) return refuse('email_taken', 'Sign in instead, or use another address.');
    throw error;
  }
}
