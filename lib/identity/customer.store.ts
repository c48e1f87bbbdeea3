/**
 * The store of customers: the only code that writes `customers`.
 */
import { type CustomerId, fromBytes, newId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import { operatorRoles, type Role } from '#platform/security/roles.ts';
import type { Me } from './identity.shapes.ts';

/** The part of an account that sign-in needs. */
export interface Account {
  readonly customerId: CustomerId;
  readonly role: Role;
  /** See the columns `contact_since_ms` and `external_since_ms`; undefined for what the account cannot show. */
  readonly contactSinceMs?: number | undefined;
  readonly externalSinceMs?: number | undefined;
}

/** Since when an account has what tells its person from others, as it is stored. */
export interface Standing {
  readonly contactSinceMs: number | null;
  readonly externalSinceMs: number | null;
}

/** The same, as access tokens say it. */
export function shownBy({ contactSinceMs, externalSinceMs }: Standing): Omit<Account, 'customerId' | 'role'> {
  return { contactSinceMs: contactSinceMs ?? undefined, externalSinceMs: externalSinceMs ?? undefined };
}

/** A customer's language and time zone; a field that was never set is absent. */
export interface Profile {
  readonly locale?: string | undefined;
  readonly timeZone?: string | undefined;
}

/** Writes a new account and returns its id. Throws if there is one with this address and this hash. */
export async function insertCustomer(
  sql: Sql,
  customer: Profile & { email: string; name: string; passwordHash: string; role: Role },
  nowMs: number,
): Promise<CustomerId> {
  const customerId = newId<'customer'>(nowMs);
  const { email, name, passwordHash, role, locale = null, timeZone = null } = customer;
  await sql.change(
    'INSERT INTO customers (id, email, name, password_hash, role, locale, time_zone, created_at_ms) VALUES (?)',
    [[toBytes(customerId), email, name, passwordHash, role, locale, timeZone, nowMs]],
  );
  return customerId;
}

/** Writes an account that is known by an external id alone: it has no address, and no password opens it. */
export async function insertExternalCustomer(
  tx: Tx,
  { customerId, externalId, sinceMs }: { customerId: CustomerId; externalId: string; sinceMs: number },
  nowMs: number,
): Promise<void> {
  await tx.change(
    `INSERT INTO customers (id, email, name, password_hash, role, external_id, external_since_ms, created_at_ms)
     VALUES (?)`,
    [[toBytes(customerId), '', '', `${noPassword}${customerId}`, 'customer', externalId, sinceMs, nowMs]],
  );
}

/** What stands for the hash of an account that no password opens; no hash looks like it. */
const noPassword = 'none:';

/** Whether a password opens the account. */
export function isOpenedByPassword({ passwordHash }: Pick<Credential, 'passwordHash'>): boolean {
  return !passwordHash.startsWith(noPassword);
}

/** The account that has what tells a person from others. */
export async function findByPersonKey(sql: Sql, keyHash: Buffer): Promise<Omit<Account, 'role'> | undefined> {
  const [row] = await sql.rows<Standing & { id: Buffer }>(
    `SELECT c.id, c.contact_since_ms AS contactSinceMs, c.external_since_ms AS externalSinceMs
     FROM person_keys k JOIN customers c ON c.id = k.customer_id WHERE k.key_hash = ?`,
    [keyHash],
  );
  return row && { customerId: fromBytes(row.id), ...shownBy(row) };
}

/** Writes the given fields of a customer's profile. */
export async function changeProfile(
  sql: Sql,
  customerId: CustomerId,
  { locale, timeZone, reminders }: Profile & { readonly reminders?: boolean | undefined },
  nowMs: number,
): Promise<void> {
  await sql.change(
    `UPDATE customers SET locale = COALESCE(?, locale), time_zone = COALESCE(?, time_zone),
       reminders_off_at_ms = CASE ? WHEN 1 THEN NULL WHEN 0 THEN ? ELSE reminders_off_at_ms END WHERE id = ?`,
    [locale ?? null, timeZone ?? null, reminders === undefined ? null : Number(reminders), nowMs, toBytes(customerId)],
  );
}

/**
 * The profiles of these customers; customers that do not exist are left out. The index is named as in `readHoldings`: of five
 * hundred, the optimizer may go over all customers there are.
 */
export async function findProfiles(sql: Sql, customerIds: readonly CustomerId[]): Promise<Map<CustomerId, Profile>> {
  if (customerIds.length === 0) return new Map();
  const rows = await sql.rows<{ id: Buffer; locale: string | null; timeZone: string | null }>(
    'SELECT id, locale, time_zone AS timeZone FROM customers FORCE INDEX (PRIMARY) WHERE id IN (?)',
    [customerIds.map(toBytes)],
  );
  return new Map(
    rows.map(({ id, locale, timeZone }) => [
      fromBytes<'customer'>(id),
      { locale: locale ?? undefined, timeZone: timeZone ?? undefined },
    ]),
  );
}

/** The hash of an account of this address; all of them have the same salt and cost. Undefined if there is no account. */
export async function findHash(sql: Sql, email: string): Promise<string | undefined> {
  const [row] = await sql.rows<{ passwordHash: string }>(
    'SELECT password_hash AS passwordHash FROM customers WHERE email = ? LIMIT 1',
    [email],
  );
  return row?.passwordHash;
}

/** The account of this address with this hash. */
export async function findAccount(sql: Sql, email: string, passwordHash: string): Promise<Account | undefined> {
  const [row] = await sql.rows<Standing & { id: Buffer; role: Role }>(
    `SELECT id, role, contact_since_ms AS contactSinceMs, external_since_ms AS externalSinceMs FROM customers
     WHERE email = ? AND password_hash = ?`,
    [email, passwordHash],
  );
  return row && { customerId: fromBytes(row.id), role: row.role, ...shownBy(row) };
}

/** What a customer is told of their own account. */
export async function findCustomer(sql: Sql, customerId: CustomerId): Promise<Omit<Me, 'customerId'> | undefined> {
  type Row = Omit<Me, 'customerId' | 'isVerified' | 'reminders'> & { isVerified: number; reminders: number };
  const [row] = await sql.rows<Row>(
    `SELECT email, name, role, locale, time_zone AS timeZone, contact_since_ms IS NOT NULL AS isVerified,
       reminders_off_at_ms IS NULL AS reminders FROM customers WHERE id = ?`,
    [toBytes(customerId)],
  );
  return row && { ...row, isVerified: row.isVerified === 1, reminders: row.reminders === 1 };
}

/** Since when there is an account, and how another system knows it. */
export async function findKnown(
  sql: Sql,
  customerId: CustomerId,
): Promise<{ createdAtMs: number; externalId: string | null } | undefined> {
  const [row] = await sql.rows<{ createdAtMs: number; externalId: string | null }>(
    'SELECT created_at_ms AS createdAtMs, external_id AS externalId FROM customers WHERE id = ?',
    [toBytes(customerId)],
  );
  return row;
}

/** What an account is known by and how it is opened. */
export interface Credential {
  readonly customerId: CustomerId;
  readonly email: string;
  readonly name: string;
  readonly role: Role;
  readonly passwordHash: string;
  readonly contactSinceMs: number | null;
  readonly createdAtMs: number;
}

const credential = `SELECT id, email, name, role, password_hash AS passwordHash, contact_since_ms AS contactSinceMs,
  created_at_ms AS createdAtMs FROM customers`;
type StoredCredential = Omit<Credential, 'customerId'> & { readonly id: Buffer };
const toCredential = ({ id, ...row }: StoredCredential): Credential => ({ ...row, customerId: fromBytes(id) });

/** How an account is opened. */
export async function findCredential(sql: Sql, customerId: CustomerId): Promise<Credential | undefined> {
  const [row] = await sql.rows<StoredCredential>(`${credential} WHERE id = ?`, [toBytes(customerId)]);
  return row && toCredential(row);
}

/** The same, locked until the transaction ends. */
export async function lockCredential(tx: Tx, customerId: CustomerId): Promise<Credential | undefined> {
  const [row] = await tx.rows<StoredCredential>(`${credential} WHERE id = ? FOR UPDATE`, [toBytes(customerId)]);
  return row && toCredential(row);
}

/** The accounts of an address that a password opens: the one that is verified, then the newest. */
export async function findAccountsOf(sql: Sql, email: string, limit: number): Promise<Credential[]> {
  const rows = await sql.rows<StoredCredential>(
    `${credential} WHERE email = ? AND password_hash NOT LIKE ? ORDER BY contact_since_ms IS NULL, id DESC LIMIT ?`,
    [email, `${noPassword}%`, limit],
  );
  return rows.map(toCredential);
}

/** Writes the hash of a new password. Throws if another account has this address and this hash. */
export async function changePasswordHash(tx: Tx, customerId: CustomerId, passwordHash: string): Promise<void> {
  await tx.change('UPDATE customers SET password_hash = ? WHERE id = ?', [passwordHash, toBytes(customerId)]);
}

/** Writes the address of an account, which has not been shown to be its own. */
export async function changeEmail(tx: Tx, customerId: CustomerId, email: string): Promise<void> {
  const sql = 'UPDATE customers SET email = ?, contact_since_ms = NULL WHERE id = ?';
  await tx.change(sql, [email, toBytes(customerId)]);
}

/** Notes that the address is the account's, and since when it counts as that. */
export async function noteContact(tx: Tx, customerId: CustomerId, sinceMs: number): Promise<void> {
  await tx.change('UPDATE customers SET contact_since_ms = ? WHERE id = ?', [sinceMs, toBytes(customerId)]);
}

/** Deletes an account. */
export async function deleteCustomer(tx: Tx, customerId: CustomerId): Promise<void> {
  await tx.change('DELETE FROM customers WHERE id = ?', [toBytes(customerId)]);
}

/** How a customer is written to by mail. */
export interface Recipient extends Profile {
  readonly email: string;
  readonly reminders: boolean;
}

/** Those of these customers who have shown that their address is theirs, or one of them whether or not they have. */
export async function findRecipients(
  sql: Sql,
  customerIds: readonly CustomerId[],
  { verified }: { verified: boolean },
): Promise<Map<CustomerId, Recipient>> {
  if (customerIds.length === 0) return new Map();
  type Row = { id: Buffer; email: string; locale: string | null; timeZone: string | null; reminders: number };
  const rows = await sql.rows<Row>(
    `SELECT id, email, locale, time_zone AS timeZone, reminders_off_at_ms IS NULL AS reminders
     FROM customers FORCE INDEX (PRIMARY) WHERE id IN (?) ${verified ? 'AND contact_since_ms IS NOT NULL' : ''}`,
    [customerIds.map(toBytes)],
  );
  return new Map(
    rows.map(({ id, email, locale, timeZone, reminders }) => [
      fromBytes<'customer'>(id),
      { email, locale: locale ?? undefined, timeZone: timeZone ?? undefined, reminders: reminders === 1 },
    ]),
  );
}

/**
 * Gives this role to the customer of this address that has this password, or this password to who runs sales under this address,
 * whose role stays; returns the id of the account. Undefined if there is neither.
 */
export async function ensureOperator(
  sql: Sql,
  email: string,
  passwordHash: string,
  role: Role,
): Promise<CustomerId | undefined> {
  const [row] = await sql.rows<{ id: Buffer }>(
    `SELECT id FROM customers WHERE email = ? AND (role <> 'customer' OR password_hash = ?)
      ORDER BY password_hash = ? DESC LIMIT 1`,
    [email, passwordHash, passwordHash],
  );
  if (!row) return undefined;
  await sql.change("UPDATE customers SET password_hash = ?, role = IF(role = 'customer', ?, role) WHERE id = ?", [
    ...[passwordHash, role],
    row.id,
  ]);
  return fromBytes<'customer'>(row.id);
}

/** An account with its role, as admins see it. */
export interface Operator {
  readonly customerId: CustomerId;
  readonly email: string;
  readonly name: string;
  readonly role: Role;
}

type StoredOperator = Omit<Operator, 'customerId'> & { readonly id: Buffer };

const toOperator = ({ id, ...row }: StoredOperator): Operator => ({ ...row, customerId: fromBytes(id) });

/** A page of the accounts with a role beyond a customer's, by role and id. */
export async function listOperators(
  sql: Sql,
  after: readonly [Role, string] | undefined,
  limit: number,
): Promise<Operator[]> {
  const found: Operator[] = [];
  // One range of the index for each role, so that a page reads a page.
  for (const role of operatorRoles.slice(after ? operatorRoles.indexOf(after[0]) : 0)) {
    if (found.length === limit) break;
    const beyond = after?.[0] === role ? toBytes(after[1]) : undefined;
    const rows = await sql.rows<StoredOperator>(
      `SELECT id, email, name, role FROM customers WHERE role = ? ${beyond ? 'AND id > ?' : ''} ORDER BY id LIMIT ?`,
      [role, ...(beyond ? [beyond] : []), limit - found.length],
    );
    found.push(...rows.map(toOperator));
  }
  return found;
}

/** The ids of all admins, locked in their order until the transaction ends. */
export async function lockAdmins(tx: Tx): Promise<CustomerId[]> {
  const rows = await tx.rows<{ id: Buffer }>("SELECT id FROM customers WHERE role = 'admin' ORDER BY id FOR UPDATE");
  return rows.map(({ id }) => fromBytes<'customer'>(id));
}

/** An account, locked until the transaction ends. */
export async function lockAccount(tx: Tx, customerId: CustomerId): Promise<Operator | undefined> {
  const [row] = await tx.rows<StoredOperator>('SELECT id, email, name, role FROM customers WHERE id = ? FOR UPDATE', [
    toBytes(customerId),
  ]);
  return row && toOperator(row);
}

/** Writes an account's role. */
export async function changeRole(tx: Tx, customerId: CustomerId, role: Role): Promise<void> {
  await tx.change('UPDATE customers SET role = ? WHERE id = ?', [role, toBytes(customerId)]);
}

/** An account's external id, locked until the transaction ends; undefined if there is no such account. */
export async function lockExternalId(
  tx: Tx,
  customerId: CustomerId,
): Promise<{ externalId: string | null } | undefined> {
  const sql = 'SELECT external_id AS externalId FROM customers WHERE id = ? FOR UPDATE';
  const [row] = await tx.rows<{ externalId: string | null }>(sql, [toBytes(customerId)]);
  return row;
}

/** Writes an account's external id, and since when it counts as the account's; null takes it away. */
export async function changeExternalId(
  tx: Tx,
  customerId: CustomerId,
  external: { readonly id: string; readonly sinceMs: number } | null,
): Promise<void> {
  await tx.change('UPDATE customers SET external_id = ?, external_since_ms = ? WHERE id = ?', [
    external?.id ?? null,
    external?.sinceMs ?? null,
    toBytes(customerId),
  ]);
}
