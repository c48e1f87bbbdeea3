/**
 * Registration. The e-mail address is the account's only other name, and unique by the table's own constraint, so two
 * registrations at once cannot both succeed.
 */

import type { Deps } from '#platform/environment/deps.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { fromBytes, newId, toBytes } from '#platform/kernel/ids.ts';
import { type Db, isDuplicateKey, type Sql } from '#platform/mysql/mysql.ts';
import { hashPassword } from '#platform/security/password.ts';
import type { Role } from './customer.table.ts';
import type { Registration } from './identity.shapes.ts';
import { limitRegistration } from './limits.ts';

/**
 * Creates a customer's account. Refused when the address already has one: the password is hashed either way, so the
 * time of the answer says no more than the answer.
 */
export async function register(
  deps: Pick<Deps, 'db' | 'redis' | 'registry' | 'clock'>,
  registration: Registration,
  address: string,
): Promise<{ customerId: string } | Refusal> {
  const tooOften = await limitRegistration(deps, address);
  if (tooOften) return tooOften;
  return createAccount(deps.db, registration, 'customer', deps.clock());
}

/**
 * Makes sure that there is an operator with this address and password, for a stack that starts. Returns the account's id.
 */
export async function seedOperator(
  db: Db,
  { email, password }: { email: string; password: string },
  nowMs: number = Date.now(),
): Promise<string> {
  const created = await createAccount(db, { email, password, name: 'Operator' }, 'operator', nowMs);
  if (!isRefusal(created)) return created.customerId;
  const passwordHash = await hashPassword(password);
  await db.change("UPDATE customers SET password_hash = ?, role = 'operator' WHERE email = ?", [passwordHash, email]);
  const [row] = await db.rows<{ id: Buffer }>('SELECT id FROM customers WHERE email = ?', [email]);
  if (!row) throw new Error('the operator could neither be created nor found');
  return fromBytes(row.id);
}

async function createAccount(
  sql: Sql,
  { email, password, name }: Registration,
  role: Role,
  nowMs: number,
): Promise<{ customerId: string } | Refusal> {
  const passwordHash = await hashPassword(password);
  const customerId = newId(nowMs);
  try {
    await sql.change(
      'INSERT INTO customers (id, email, name, password_hash, role, created_at_ms) VALUES (?, ?, ?, ?, ?, ?)',
      [toBytes(customerId), email, name, passwordHash, role, nowMs],
    );
  } catch (error) {
    if (isDuplicateKey(error)) return refuse('email_taken', 'Sign in instead, or use another address.');
    throw error;
  }
  return { customerId };
}
