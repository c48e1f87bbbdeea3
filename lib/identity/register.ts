/**
 * Registration. It never tells whether an address is known: typing one proves nothing, so each password that is registered
 * with an address has an account of its own, with the same answer after the same work. The address and the hash of the password
 * are unique together by a constraint of the table, so registering twice, even at once, is signing in to one account.
 */

import { eachTime, type Once } from '#idempotency/once.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { Attempt } from '#platform/handlers/limits.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { isDuplicateKey, type Sql } from '#platform/mysql/mysql.ts';
import type { Tokens } from '#platform/security/access-token.ts';
import { passwordJudgeOf } from '#platform/security/guessable.ts';
import { passwordHasherOf } from '#platform/security/password.ts';
import type { Role } from '#platform/security/roles.ts';
import { type Account, ensureOperator, findAccount, findHash, insertCustomer } from './customer.store.ts';
import { hashFor, limitRegistration } from './guessing.ts';
import type { Registered, Registration } from './identity.shapes.ts';
import { ownAccountsOff } from './own-accounts.ts';
import { type SignInNeeds, signIn } from './session.ts';

/**
 * Creates a customer's account, and signs in to it: the password was typed a moment ago. If there is an account with this
 * address and this password, signs in to that one. Refused if the password is one that a guesser would try.
 */
export async function register(
  deps: SignInNeeds,
  tokens: Tokens,
  registration: Registration,
  attempt: Attempt,
  once: Once = eachTime,
): Promise<Registered | Refusal> {
  const { email, password, name } = registration;
  const tooOften = await limitRegistration(deps, attempt, email);
  if (tooOften) return tooOften;
  return once<Registered>(async (keep) => {
    const off = ownAccountsOff(deps);
    if (off) return off;
    if (deps.once(passwordJudgeOf).isGuessable(password, [email, name])) return tooGuessable();
    const passwordHash = await hashFor(deps, email, password);
    // Not in the transaction of the session: an account without one is whole, and its owner can sign in.
    const account = await findOrCreate(deps.db, registration, passwordHash, deps.clock());
    return deps.db.transaction(async (tx) => {
      const signedIn = await signIn(deps, tx, tokens, email, account);
      return keep(tx, { customerId: account.customerId, ...signedIn });
    });
  });
}

/**
 * Ensures that there is an operator, or an account with another role, with this address and password, when a stack starts.
 * Returns the account's id. A customer's account of this address with another password stays as it is: another person may own it.
 */
export async function seedOperator(
  { db, clock }: Needs<'db' | 'clock'>,
  { email, password }: { email: string; password: string },
  role: Role = 'operator',
): Promise<CustomerId> {
  const passwordHash = await passwordHasherOf().hash(password, { like: await findHash(db, email) });
  const known = await ensureOperator(db, email, passwordHash, role);
  return known ?? insertCustomer(db, { email, passwordHash, name: 'Operator', role }, clock());
}

async function findOrCreate(
  sql: Sql,
  registration: Omit<Registration, 'password'>,
  passwordHash: string,
  nowMs: number,
): Promise<Account> {
  const { email, name, locale, timeZone } = registration;
  const role = 'customer';
  try {
    return {
      customerId: await insertCustomer(sql, { email, name, locale, timeZone, passwordHash, role }, nowMs),
      role,
    };
  } catch (error) {
    const account = isDuplicateKey(error) ? await findAccount(sql, email, passwordHash) : undefined;
    if (!account) throw error;
    return account;
  }
}

/** The refusal of a password that a guesser would try. */
export function tooGuessable(field = 'password'): Refusal {
  const message = 'must not be a common password, a simple pattern, or made of your name or address';
  return refuse('unprocessable', `The body is not valid: ${field}: ${message}`, { fields: [{ field, message }] });
}
