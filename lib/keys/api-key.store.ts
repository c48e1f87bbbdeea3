/** The store of API keys: the only code that writes `api_keys`. It decides nothing. */
import { type ApiKeyId, type CustomerId, fromBytes, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { Scope } from '#platform/security/scopes.ts';

/** A key as it is stored. */
export interface ApiKey {
  readonly keyId: ApiKeyId;
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly secretHash: Buffer;
  readonly previousHash: Buffer | null;
  readonly previousUntilMs: number | null;
  readonly expiresAtMs: number;
  readonly revokedAtMs: number | null;
  readonly lastUsedAtMs: number | null;
  readonly createdBy: CustomerId;
  readonly createdAtMs: number;
}

const columns = `id, name, scopes, secret_hash AS secretHash, previous_hash AS previousHash,
  previous_until_ms AS previousUntilMs, expires_at_ms AS expiresAtMs, revoked_at_ms AS revokedAtMs,
  last_used_at_ms AS lastUsedAtMs, created_by AS createdBy, created_at_ms AS createdAtMs`;

/** A key by its id. */
export async function findApiKey(sql: Sql, keyId: ApiKeyId): Promise<ApiKey | undefined> {
  const [key] = await select(sql, 'WHERE id = ?', [toBytes(keyId)]);
  return key;
}

/** The same, locked until the transaction ends. */
export async function lockApiKey(tx: Tx, keyId: ApiKeyId): Promise<ApiKey | undefined> {
  const [key] = await select(tx, 'WHERE id = ? FOR UPDATE', [toBytes(keyId)]);
  return key;
}

/** A page of keys, the newest first. */
export function listApiKeys(sql: Sql, beforeId: string | undefined, limit: number): Promise<ApiKey[]> {
  return beforeId === undefined
    ? select(sql, 'ORDER BY id DESC LIMIT ?', [limit])
    : select(sql, 'WHERE id < ? ORDER BY id DESC LIMIT ?', [toBytes(beforeId), limit]);
}

async function select(sql: Sql, clauses: string, values: unknown[]): Promise<ApiKey[]> {
  type Row = Omit<ApiKey, 'keyId' | 'scopes' | 'createdBy'> & Record<'id' | 'createdBy', Buffer> & { scopes: string };
  const rows = await sql.rows<Row>(`SELECT ${columns} FROM api_keys ${clauses}`, values);
  return rows.map(({ id, scopes, createdBy, ...row }) => ({
    ...row,
    keyId: fromBytes(id),
    scopes: scopes.split(',') as Scope[],
    createdBy: fromBytes(createdBy),
  }));
}

/** Writes a new key. */
export async function insertApiKey(tx: Tx, key: ApiKey): Promise<void> {
  await tx.change(
    'INSERT INTO api_keys (id, name, scopes, secret_hash, expires_at_ms, created_by, created_at_ms) VALUES (?)',
    [
      [
        ...[toBytes(key.keyId), key.name, key.scopes.join(), key.secretHash, key.expiresAtMs],
        ...[toBytes(key.createdBy), key.createdAtMs],
      ],
    ],
  );
}

/** Writes the secrets of a key and how long it is valid. Its row must be locked. */
export async function updateApiKey(tx: Tx, key: ApiKey): Promise<void> {
  await tx.change(
    `UPDATE api_keys SET secret_hash = ?, previous_hash = ?, previous_until_ms = ?, expires_at_ms = ?, revoked_at_ms = ?
     WHERE id = ?`,
    [...[key.secretHash, key.previousHash, key.previousUntilMs, key.expiresAtMs, key.revokedAtMs], toBytes(key.keyId)],
  );
}

/** Writes that a key was used, unless a use of it was written after `sinceMs`. */
export async function noteUse(sql: Sql, keyId: ApiKeyId, nowMs: number, sinceMs: number): Promise<void> {
  await sql.change(
    'UPDATE api_keys SET last_used_at_ms = ? WHERE id = ? AND (last_used_at_ms IS NULL OR last_used_at_ms <= ?)',
    [nowMs, toBytes(keyId), sinceMs],
  );
}
