/**
 * Sessions: signing in, staying signed in, signing out.
 *
 * A refresh token is good for one refresh, which issues the next; all tokens that descend from one sign-in are a family. An
 * answer may be lost, or a page loaded twice at once, so within a short leeway the same token gets the same successor again,
 * as long as the successor is unused. Otherwise a token that comes a second time has been copied, and it is unknown which
 * holder is the thief, so the whole family is revoked (RFC 9700, section 4.14). The token's row is locked while it is
 * judged: one of many concurrent refreshes creates the successor, and the others get the same one.
 *
 * The successor is derived from the token and a salt in the token's row. So it can be issued again although only its hash is
 * stored, and neither an old token nor the table alone reveals it.
 *
 * A family is revoked as soon as one of its rows is. So revoking is one write, and it also covers a successor that is
 * being issued at the same moment.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import * as z from 'zod';
import { eachTime, type Once } from '#idempotency/once.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { Attempt, LimitNeeds } from '#platform/handlers/limits.ts';
import { type Page, type PageQuery, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { type CustomerId, fromBytes, newId, toBytes } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { Id } from '#platform/kernel/shapes.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import { accessTokenLifeSeconds, type Caller, type Tokens } from '#platform/security/access-token.ts';
import type { Role } from '#platform/security/roles.ts';
import { type Account, changeProfile, findAccount, findCustomer, type Standing, shownBy } from './customer.store.ts';
import { deviceTokenOf, hashFor, knownAccount, limitLogin } from './guessing.ts';
import type { Credentials, Me, MeChange, OwnSession, Session, SignedIn } from './identity.shapes.ts';
import { ownAccountsOff } from './own-accounts.ts';

/** How long one sign-in lasts, however many times it is refreshed. */
const sessionLifeMs = 30 * 24 * 60 * 60 * 1_000;
/** For how long after its first use a refresh token gets the same successor again. */
export const refreshLeewayMs = 30_000;
/** How many expired rows are deleted in one statement. */
const rowsForgotten = 1_000;
const sessionsListName = 'sessions';

/**
 * Signs in with e-mail and password. A wrong password and an unknown address get the same refusal, after the same work.
 *
 * Guessing is limited by address and by account. Neither keeps the owner out: a device that has signed in to the account
 * before has a limit of its own, and beyond a limit a proof of work passes. What a device is known for is that one account, so
 * an attacker's own account does not help to guess at another with the same address.
 */
export async function login(
  deps: SignInNeeds,
  tokens: Tokens,
  { email, password, deviceToken }: Credentials,
  attempt: Attempt,
  once: Once = eachTime,
): Promise<SignedIn | Refusal> {
  const knownTo = await knownAccount(deps, email, deviceToken);
  const tooOften = knownTo === undefined ? await limitLogin(deps, attempt, email) : undefined;
  if (tooOften) return tooOften;
  return once<SignedIn>(async (keep) => {
    const passwordHash = await hashFor(deps, email, password);
    const account = await findAccount(deps.db, email, passwordHash);
    if (knownTo !== undefined && account?.customerId !== knownTo) {
      const guesses = await limitLogin(deps, attempt, email);
      if (guesses) return guesses;
    }
    if (!account) return refuse('invalid_credentials', 'Check the e-mail address and the password.');
    const off = account.role === 'customer' ? ownAccountsOff(deps) : undefined;
    if (off) return off;
    return deps.db.transaction(async (tx) => keep(tx, await signIn(deps, tx, tokens, email, account)));
  });
}

/** What signing in needs. */
export type SignInNeeds = Needs<'db'> & LimitNeeds;

/** Opens a session on a device, which is known to the account from then on. */
export async function signIn(
  deps: Needs<'registry' | 'clock'>,
  sql: Sql,
  tokens: Tokens,
  email: string,
  account: Account,
): Promise<SignedIn> {
  const opened = await openSession(sql, tokens, account, deps.clock());
  return { ...opened, deviceToken: deviceTokenOf(deps, email, account.customerId) };
}

/** Starts a family of refresh tokens for a caller who has just been identified. */
async function openSession(sql: Sql, tokens: Tokens, caller: Caller, nowMs: number): Promise<Session> {
  const family = { familyId: newId(nowMs), customerId: caller.customerId, expiresAtMs: nowMs + sessionLifeMs };
  const refreshToken = randomBytes(32).toString('base64url');
  await storeRefreshToken(sql, refreshToken, family);
  return session(tokens, { ...caller, sessionId: family.familyId }, refreshToken);
}

/** A session that has ended, and whose it was. */
export interface EndedSession {
  readonly customerId: CustomerId;
  readonly sessionId: string;
}

/**
 * Exchanges a refresh token for the next session of its family; sent again within `refreshLeewayMs`, it gets the same
 * refresh token again. Refused if it is unknown, expired or revoked, and for customers where there are no accounts of our own. If it comes again later than that, or after its
 * successor was used, its whole family ends, and `onEnd` is told.
 *
 * An answer that is kept under a key is given only while the refresh token in it is unused and its session goes on. So a key makes
 * no copied token pass: whoever brings one after its successor was used ends the family as ever.
 */
export async function refresh(
  deps: Needs<'db' | 'clock' | 'once'>,
  tokens: Tokens,
  refreshToken: string,
  onEnd: (ended: EndedSession) => Promise<void> = async () => undefined,
  once: Once = eachTime,
): Promise<Session | Refusal> {
  const nowMs = deps.clock();
  return once<Session>(
    async (keep) => {
      const next = await deps.db.transaction(async (tx) => {
        const rotated = await rotate(tx, refreshToken, nowMs);
        if (!rotated || !('caller' in rotated)) return rotated;
        const off = rotated.caller.role === 'customer' ? ownAccountsOff(deps) : undefined;
        return off ?? keep(tx, await session(tokens, rotated.caller, rotated.refreshToken));
      });
      if (next && !('sessionId' in next)) return next;
      if (next) await onEnd(next);
      return refuse('unauthenticated', 'Sign in again.');
    },
    (answer) => isUnused(deps.db, answer.refreshToken),
  );
}

/** Whether nobody has come with this refresh token yet, and its session goes on. */
async function isUnused(sql: Sql, refreshToken: string): Promise<boolean> {
  const rows = await sql.rows(
    `SELECT token_hash FROM refresh_tokens AS token WHERE token_hash = ? AND used_at_ms IS NULL AND NOT EXISTS
       (SELECT 1 FROM refresh_tokens AS other WHERE other.family_id = token.family_id AND other.revoked_at_ms IS NOT NULL)`,
    [hashOf(refreshToken)],
  );
  return rows.length > 0;
}

/**
 * Ends the session of a refresh token, and returns it. An unknown token changes nothing. Access tokens of the session are
 * checked without a look-up, so they stay valid until they expire.
 */
export async function logout(deps: Needs<'db' | 'clock'>, refreshToken: string): Promise<EndedSession | undefined> {
  await revoke(deps.db, hashOf(refreshToken), deps.clock());
  const [row] = await deps.db.rows<{ family_id: Buffer; customer_id: Buffer }>(
    'SELECT family_id, customer_id FROM refresh_tokens WHERE token_hash = ?',
    [hashOf(refreshToken)],
  );
  return row && { customerId: fromBytes<'customer'>(row.customer_id), sessionId: fromBytes(row.family_id) };
}

/** The signed-in customer. Refused if the account no longer exists. */
export async function getMe({ db }: Needs<'db'>, customerId: CustomerId): Promise<Me | Refusal> {
  const customer = await findCustomer(db, customerId);
  return customer ? { customerId, ...customer } : refuse('unauthenticated', 'This account no longer exists.');
}

/** Changes the customer's language, time zone and wish for reminders. Refused if the account is gone. */
export async function changeMe(
  { db, clock }: Needs<'db' | 'clock'>,
  customerId: CustomerId,
  change: MeChange,
): Promise<Me | Refusal> {
  await changeProfile(db, customerId, change, clock());
  return getMe({ db }, customerId);
}

/** A page of the caller's sessions that have not ended, the newest first. Refuses a cursor that is not its own. */
export async function listSessions(
  { db, clock }: Needs<'db' | 'clock'>,
  { customerId, sessionId }: Caller,
  { cursor, limit }: PageQuery,
): Promise<Page<OwnSession> | Refusal> {
  const before = readCursor(sessionsListName, cursor, z.tuple([Id]));
  if (isRefusal(before)) return before;
  const rows = await db.rows<{ familyId: Buffer; usedAtMs: number | null; expiresAtMs: number }>(
    `SELECT family_id AS familyId, MAX(used_at_ms) AS usedAtMs, MAX(expires_at_ms) AS expiresAtMs FROM refresh_tokens
     WHERE customer_id = ? ${before ? 'AND family_id < ?' : ''} GROUP BY family_id
     HAVING MAX(revoked_at_ms) IS NULL AND MAX(expires_at_ms) > ? ORDER BY family_id DESC LIMIT ?`,
    [toBytes(customerId), ...(before ? [toBytes(before[0])] : []), clock(), limit + 1],
  );
  const sessions = rows.map((row) => ({ ...row, id: fromBytes(row.familyId) }));
  return toPage(
    sessionsListName,
    sessions,
    limit,
    ({ id }) => [id],
    ({ id, familyId, usedAtMs, expiresAtMs }) => ({
      sessionId: id,
      startedAt: toIso(expiresAtMs - sessionLifeMs),
      usedAt: usedAtMs === null ? null : toIso(usedAtMs),
      expiresAt: toIso(expiresAtMs),
      isCurrent: familyId.equals(sessionId === undefined ? Buffer.alloc(0) : toBytes(sessionId)),
    }),
  );
}

/** Ends one session of a caller, or all but the one that asks, and returns them. Refused if there is no such session. */
export async function endSessions(
  { db, clock }: Needs<'db' | 'clock'>,
  { customerId, sessionId }: Caller,
  only: string | undefined,
): Promise<EndedSession[] | Refusal> {
  const which = only === undefined ? { except: sessionId } : { only };
  const ended = await db.transaction((tx) => endSessionsOf(tx, customerId, clock(), which));
  return only !== undefined && ended.length === 0 ? refuse('not_found', 'You have no such session.') : ended;
}

/**
 * Ends sessions of a customer in the transaction of what ends them: all, all but one, or one. Returns those that it ended. The
 * tokens are locked first, so a refresh that is under way is seen here, or sees this.
 */
export async function endSessionsOf(
  tx: Tx,
  customerId: CustomerId,
  nowMs: number,
  { except, only }: { except?: string | undefined; only?: string } = {},
): Promise<EndedSession[]> {
  const rows = await tx.rows<{ familyId: Buffer; isRevoked: number }>(
    `SELECT family_id AS familyId, revoked_at_ms IS NOT NULL AS isRevoked FROM refresh_tokens
     WHERE customer_id = ? AND expires_at_ms > ? ${only === undefined ? '' : 'AND family_id = ?'} FOR UPDATE`,
    [toBytes(customerId), nowMs, ...(only === undefined ? [] : [toBytes(only)])],
  );
  const revoked = new Set(rows.filter((row) => row.isRevoked === 1).map((row) => fromBytes(row.familyId)));
  const ended = [...new Set(rows.map((row) => fromBytes(row.familyId)))].filter(
    (id) => !revoked.has(id) && id !== except,
  );
  if (ended.length === 0) return [];
  await tx.change('UPDATE refresh_tokens SET revoked_at_ms = ? WHERE family_id IN (?) AND revoked_at_ms IS NULL', [
    nowMs,
    ended.map(toBytes),
  ]);
  return ended.map((sessionId) => ({ customerId, sessionId }));
}

/** Deletes rows of sessions that are over, a bounded number at a time; returns how many. Run by a schedule. */
export function forgetExpiredSessions({ db, clock }: Needs<'db' | 'clock'>): Promise<number> {
  return db.change('DELETE FROM refresh_tokens WHERE expires_at_ms <= ? LIMIT ?', [clock(), rowsForgotten]);
}

interface Family {
  familyId: string;
  customerId: CustomerId;
  expiresAtMs: number;
}

interface TokenRow {
  family_id: Buffer;
  customer_id: Buffer;
  expires_at_ms: number;
  used_at_ms: number | null;
  successor_salt: Buffer | null;
}

/**
 * Judges a refresh token under lock and returns its successor, new or issued before; undefined if the token is no longer
 * good, and the session if that was ended because of it.
 */
async function rotate(
  tx: Tx,
  refreshToken: string,
  nowMs: number,
): Promise<{ caller: Caller; refreshToken: string } | EndedSession | undefined> {
  const row = await lockToken(tx, refreshToken);
  if (!row || row.expires_at_ms <= nowMs) return undefined;
  const [account] = await tx.rows<Standing & { role: Role; revoked: number }>(
    `SELECT role, contact_since_ms AS contactSinceMs, external_since_ms AS externalSinceMs, EXISTS (SELECT 1 FROM refresh_tokens WHERE family_id = ? AND revoked_at_ms IS NOT NULL) AS revoked
       FROM customers WHERE id = ?`,
    [row.family_id, row.customer_id],
  );
  if (!account || account.revoked) return undefined;
  const family = { familyId: fromBytes(row.family_id), customerId: fromBytes<'customer'>(row.customer_id) };
  const successor =
    row.used_at_ms === null
      ? await issueSuccessor(tx, refreshToken, { ...family, expiresAtMs: row.expires_at_ms }, nowMs)
      : await sameSuccessor(tx, refreshToken, row, nowMs);
  if (successor === undefined) {
    log.warn('refresh token came a second time; its family is revoked', family);
    await revoke(tx, hashOf(refreshToken), nowMs);
    return { customerId: family.customerId, sessionId: family.familyId };
  }
  const caller = { customerId: family.customerId, role: account.role, sessionId: family.familyId };
  return { caller: { ...caller, ...shownBy(account) }, refreshToken: successor };
}

async function lockToken(tx: Tx, refreshToken: string): Promise<TokenRow | undefined> {
  const [row] = await tx.rows<TokenRow>(
    `SELECT family_id, customer_id, expires_at_ms, used_at_ms, successor_salt
       FROM refresh_tokens WHERE token_hash = ? FOR UPDATE`,
    [hashOf(refreshToken)],
  );
  return row;
}

/** Marks a token used and makes its successor. */
async function issueSuccessor(tx: Tx, refreshToken: string, family: Family, nowMs: number): Promise<string> {
  const salt = randomBytes(32);
  await tx.change('UPDATE refresh_tokens SET used_at_ms = ?, successor_salt = ? WHERE token_hash = ?', [
    nowMs,
    salt,
    hashOf(refreshToken),
  ]);
  const successor = successorOf(refreshToken, salt);
  await storeRefreshToken(tx, successor, family);
  return successor;
}

/** The successor of a used token, if it may still be issued again: within the leeway, and before it was used itself. */
async function sameSuccessor(
  tx: Tx,
  refreshToken: string,
  { used_at_ms: usedAtMs, successor_salt: salt }: TokenRow,
  nowMs: number,
): Promise<string | undefined> {
  // A row without a salt was used by an older build, which issued random successors.
  if (salt === null || nowMs - Number(usedAtMs) > refreshLeewayMs) return undefined;
  const successor = successorOf(refreshToken, salt);
  const row = await lockToken(tx, successor);
  return row?.used_at_ms === null ? successor : undefined;
}

function successorOf(refreshToken: string, salt: Buffer): string {
  return createHmac('sha256', salt).update(refreshToken).digest('base64url');
}

/** Stores a refresh token of this family. Only its hash is stored, so reading the table is not enough to sign in. */
async function storeRefreshToken(
  sql: Sql,
  refreshToken: string,
  { familyId, customerId, expiresAtMs }: Family,
): Promise<void> {
  await sql.change(
    'INSERT INTO refresh_tokens (token_hash, family_id, customer_id, expires_at_ms) VALUES (?, ?, ?, ?)',
    [hashOf(refreshToken), toBytes(familyId), toBytes(customerId), expiresAtMs],
  );
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
