/**
 * The store of customers: the only code that writes `customers`.
 */
import { type CustomerId, fromBytes, newId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import type { Role } from './customer.table.ts';

/** The part of an account that sign-in needs. */
export interface Account {
  readonly customerId: CustomerId;
  readonly passwordHash: string;
  readonly role: Role;
}

/** Writes a new account and returns its id. Throws if the e-mail address already has one. */
export async function insertCustomer(
  sql: Sql,
  customer: { email: string; name: string; passwordHash: string; role: Role },
  nowMs: number,
): Promise<CustomerId> {
  const customerId = newId<'customer'>(nowMs);
  const { email, name, passwordHash, role } = customer;
  await sql.change(
    'INSERT INTO customers (id, email, name, password_hash, role, created_at_ms) VALUES (?, ?, ?, ?, ?, ?)',
    [toBytes(customerId), email, name, passwordHash, role, nowMs],
  );
  return customerId;
}

/** The account of this e-mail address. */
export async function findAccount(sql: Sql, email: string): Promise<Account | undefined> {
  const [row] = await sql.rows<{ id: Buffer; passwordHash: string; role: Role }>(
    'SELECT id, password_hash AS passwordHash, role FROM customers WHERE email = ?',
    [email],
  );
  return row && { customerId: fromBytes(row.id), passwordHash: row.passwordHash, role: row.role };
}

/** The part of an account that its customer sees. */
export async function findCustomer(
  sql: Sql,
  customerId: CustomerId,
): Promise<{ email: string; name: string; role: Role } | undefined> {
  const [row] = await sql.rows<{ email: string; name: string; role: Role }>(
    'SELECT email, name, role FROM customers WHERE id = ?',
    [toBytes(customerId)],
  );
  return row;
}

/** Makes the account of this e-mail address an operator's, with this password. */
export async function promote(sql: Sql, email: string, passwordHash: string): Promise<void> {
  await sql.change("UPDATE customers SET password_hash = ?, role = 'operator' WHERE email = ?", [passwordHash, email]);
}
