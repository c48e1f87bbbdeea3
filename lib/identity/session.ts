/**
 * Sessions: signing in, staying signed in, signing out.
 *
 * A refresh token is valid for one refresh, which issues the next; all that descend from one sign-in are a family. A
 * token that is used a second time has been copied, and its owner cannot be told from the thief, so the whole family is
 * revoked (RFC 9700, section 4.14). The token's row is locked while it is checked: of two concurrent refreshes exactly
 * one gets a successor, and the other revokes the family.
 *
 * A family is revoked as soon as one of its rows is. So revoking is one write, and it also covers a successor that is
 * being issued at the same moment.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { type CustomerId, fromBytes, newId, toBytes } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import { accessTokenLifeSeconds, type Caller, type Tokens } from '#platform/security/access-token.ts';
import { verifyPassword } from '#platform/security/password.ts';
import { findAccount, findCustomer } from './customer.store.ts';
import type { Role } from './customer.table.ts';
import type { Credentials, Me, Session } from './identity.shapes.ts';
import { limitLogin } from './limits.ts';

/** How long one sign-in lasts, however many times it is refreshed. */
const sessionLifeMs = 30 * 24 * 60 * 60 * 1_000;
/** The most expired rows that one statement deletes. */
const rowsForgotten = 1_000;

/**
 * Signs in with e-mail and password. A wrong password and an unknown address get the same refusal, after the same work.
 */
export async function login(
  deps: Needs<'db' | 'redis' | 'registry' | 'clock'>,
  tokens: Tokens,
  { email, password }: Credentials,
  address: string,
): Promise<Session | Refusal> {
  const tooOften = await limitLogin(deps, address, email);
  if (tooOften) return tooOften;
  const account = await findAccount(deps.db, email);
  const matches = await verifyPassword(account?.passwordHash, password);
  if (!account || !matches) return refuse('invalid_credentials', 'Check the e-mail address and the password.');
  const nowMs = deps.clock();
  const caller: Caller = { customerId: account.customerId, role: account.role };
  const family = { familyId: newId(nowMs), customerId: caller.customerId, expiresAtMs: nowMs + sessionLifeMs };
  return session(tokens, caller, await issueRefreshToken(deps.db, family));
}

/**
 * Exchanges a refresh token for the next session of its family. Refused if it is unknown, expired or revoked; if it was
 * used before, its whole family is revoked.
 */
export async function refresh(
  deps: Needs<'db' | 'clock'>,
  tokens: Tokens,
  refreshToken: string,
): Promise<Session | Refusal> {
  const nowMs = deps.clock();
  const next = await deps.db.transaction((tx) => rotate(tx, refreshToken, nowMs));
  return next ? session(tokens, next.caller, next.refreshToken) : refuse('unauthenticated', 'Sign in again.');
}

/** Ends the session of a refresh token. An unknown token changes nothing. */
export async function logout(deps: Needs<'db' | 'clock'>, refreshToken: string): Promise<undefined> {
  await revoke(deps.db, hashOf(refreshToken), deps.clock());
}

/** The signed-in customer. Refused if the account no longer exists. */
export async function getMe({ db }: Needs<'db'>, customerId: CustomerId): Promise<Me | Refusal> {
  const customer = await findCustomer(db, customerId);
  return customer ? { customerId, ...customer } : refuse('unauthenticated', 'This account no longer exists.');
}

/** Deletes rows of expired sessions, a bounded number at a time; returns how many. Run by a schedule. */
export function forgetExpiredSessions({ db, clock }: Needs<'db' | 'clock'>): Promise<number> {
  return db.change('DELETE FROM refresh_tokens WHERE expires_at_ms <= ? LIMIT ?', [clock(), rowsForgotten]);
}

interface Family {
  familyId: string;
  customerId: CustomerId;
  expiresAtMs: number;
}

/** Checks a refresh token under lock, marks it used and issues its successor; undefined if it is no longer valid. */
async function rotate(
  tx: Tx,
  refreshToken: string,
  nowMs: number,
): Promise<{ caller: Caller; refreshToken: string } | undefined> {
  const tokenHash = hashOf(refreshToken);
  const [row] = await tx.rows<{ family_id: Buffer; customer_id: Buffer; expires_at_ms: number; used_at_ms: number }>(
    'SELECT family_id, customer_id, expires_at_ms, used_at_ms FROM refresh_tokens WHERE token_hash = ? FOR UPDATE',
    [tokenHash],
  );
  if (!row || row.expires_at_ms <= nowMs) return undefined;
  const family = { familyId: fromBytes(row.family_id), customerId: fromBytes<'customer'>(row.customer_id) };
  if (row.used_at_ms !== null) {
    log.warn('refresh token was used a second time; its family is revoked', family);
    await revoke(tx, tokenHash, nowMs);
    return undefined;
  }
  const [account] = await tx.rows<{ role: Role; revoked: number }>(
    `SELECT role, EXISTS (SELECT 1 FROM refresh_tokens WHERE family_id = ? AND revoked_at_ms IS NOT NULL) AS revoked
       FROM customers WHERE id = ?`,
    [row.family_id, row.customer_id],
  );
  if (!account || account.revoked) return undefined;
  await tx.change('UPDATE refresh_tokens SET used_at_ms = ? WHERE token_hash = ? AND used_at_ms IS NULL', [
    nowMs,
    tokenHash,
  ]);
  return {
    caller: { customerId: family.customerId, role: account.role },
    refreshToken: await issueRefreshToken(tx, { ...family, expiresAtMs: row.expires_at_ms }),
  };
}

/** Makes a refresh token of this family. Only its hash is stored, so a leaked table grants no sessions. */
async function issueRefreshToken(sql: Sql, { familyId, customerId, expiresAtMs }: Family): Promise<string> {
  const refreshToken = randomBytes(32).toString('base64url');
  await sql.change(
    'INSERT INTO refresh_tokens (token_hash, family_id, customer_id, expires_at_ms) VALUES (?, ?, ?, ?)',
    [hashOf(refreshToken), toBytes(familyId), toBytes(customerId), expiresAtMs],
  );
  return refreshToken;
}

async function revoke(sql: Sql, tokenHash: Buffer, nowMs: number): Promise<void> {
  await sql.change('UPDATE refresh_tokens SET revoked_at_ms = ? WHERE token_hash = ? AND revoked_at_ms IS NULL', [
    nowMs,
    tokenHash,
  ]);
}

async function session(tokens: Tokens, caller: Caller, refreshToken: string): Promise<Session> {
  return { accessToken: await tokens.issue(caller), expiresInSeconds: accessTokenLifeSeconds, refreshToken };
}

function hashOf(refreshToken: string): Buffer {
  return createHash('sha256').update(refreshToken).digest();
}
