/**
 * API keys as admins manage them: made, listed, given another secret, revoked.
 *
 * Invariant: the text of a key is in one answer and nowhere else. Under an Idempotency-Key that answer is kept sealed, so only who
 * brings the key is given it again; the audit trail has no secret.
 */
import * as z from 'zod';
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Page, type PageQuery, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { type ApiKeyId, type CustomerId, newId } from '#platform/kernel/ids.ts';
import { Id } from '#platform/kernel/shapes.ts';
import { makeApiKey } from '#platform/security/api-key.ts';
import { type ApiKey, insertApiKey, listApiKeys, lockApiKey, updateApiKey } from './api-key.store.ts';
import { forgetKey } from './identify.ts';
import type { ApiKeyView, ApiKeyWithSecret, NewApiKey, RotateApiKey } from './keys.shapes.ts';

const dayMs = 24 * 60 * 60 * 1_000;
const noSuchKey = refuse('not_found', 'There is no such API key.');

/** Makes a key. */
export async function createApiKey(
  { db, clock }: Needs<'db' | 'clock'>,
  createdBy: CustomerId,
  { name, scopes, expiresInDays }: NewApiKey,
  keep: Keep = keepNothing,
): Promise<ApiKeyWithSecret | Refusal> {
  const nowMs = clock();
  const keyId = newId<'api key'>(nowMs);
  const { text, secretHash } = makeApiKey(keyId);
  const key: ApiKey = {
    ...{ keyId, name, scopes, secretHash, previousHash: null, previousUntilMs: null, createdBy, createdAtMs: nowMs },
    ...{ expiresAtMs: nowMs + expiresInDays * dayMs, revokedAtMs: null, lastUsedAtMs: null },
  };
  return db.transaction(async (tx) => {
    await insertApiKey(tx, key);
    const view = viewOf(key, nowMs);
    return keep(tx, { ...view, key: text }, changeOf(keyId, null, view));
  });
}

const listName = 'api-keys';

/** A page of keys, the newest first, those that are over too. Refuses a cursor that is not its own. */
export async function readApiKeys(
  { db, clock }: Needs<'db' | 'clock'>,
  { limit, cursor }: PageQuery,
): Promise<Page<ApiKeyView> | Refusal> {
  const before = readCursor(listName, cursor, z.tuple([Id]));
  if (isRefusal(before)) return before;
  const nowMs = clock();
  const rows = await listApiKeys(db, before?.[0], limit + 1);
  return toPage(
    listName,
    rows,
    limit,
    ({ keyId }) => [keyId],
    (key) => viewOf(key, nowMs),
  );
}

/** Gives a key another secret; the old one is valid for a while longer. Refused for a key that is over. */
export async function rotateApiKey(
  deps: Needs<'db' | 'clock' | 'once'>,
  keyId: ApiKeyId,
  { overlapSeconds, expiresInDays }: RotateApiKey,
  keep: Keep = keepNothing,
): Promise<ApiKeyWithSecret | Refusal> {
  const { text, secretHash } = makeApiKey(keyId);
  const answer = await deps.db.transaction(async (tx) => {
    const key = await lockApiKey(tx, keyId);
    if (!key) return noSuchKey;
    const nowMs = deps.clock();
    if (stateOf(key, nowMs) !== 'active') return refuse('illegal_state', 'This key is over; make another one.');
    const next: ApiKey = {
      ...key,
      secretHash,
      previousHash: key.secretHash,
      previousUntilMs: Math.min(nowMs + overlapSeconds * 1_000, key.expiresAtMs),
      expiresAtMs: expiresInDays === undefined ? key.expiresAtMs : nowMs + expiresInDays * dayMs,
    };
    await updateApiKey(tx, next);
    const view = viewOf(next, nowMs);
    return keep(tx, { ...view, key: text }, changeOf(keyId, viewOf(key, nowMs), view));
  });
  forgetKey(deps, keyId);
  return answer;
}

/** Revokes a key for good, with all its secrets. Of one that is revoked nothing changes. */
export async function revokeApiKey(
  deps: Needs<'db' | 'clock' | 'once'>,
  keyId: ApiKeyId,
  keep: Keep = keepNothing,
): Promise<Refusal | null> {
  const answer = await deps.db.transaction(async (tx) => {
    const key = await lockApiKey(tx, keyId);
    if (!key) return noSuchKey;
    if (key.revokedAtMs !== null) return keep(tx, null, null);
    const nowMs = deps.clock();
    const next = { ...key, revokedAtMs: nowMs };
    await updateApiKey(tx, next);
    return keep(tx, null, changeOf(keyId, viewOf(key, nowMs), viewOf(next, nowMs)));
  });
  forgetKey(deps, keyId);
  return answer;
}

function stateOf({ revokedAtMs, expiresAtMs }: ApiKey, nowMs: number): ApiKeyView['state'] {
  if (revokedAtMs !== null) return 'revoked';
  return expiresAtMs <= nowMs ? 'expired' : 'active';
}

function viewOf(key: ApiKey, nowMs: number): ApiKeyView {
  const { keyId, name, scopes, createdBy, previousUntilMs, lastUsedAtMs, revokedAtMs } = key;
  return {
    ...{ keyId, name, scopes: [...scopes], state: stateOf(key, nowMs), createdBy },
    createdAt: toIso(key.createdAtMs),
    expiresAt: toIso(key.expiresAtMs),
    previousSecretUntil: previousUntilMs !== null && previousUntilMs > nowMs ? toIso(previousUntilMs) : null,
    lastUsedAt: lastUsedAtMs === null ? null : toIso(lastUsedAtMs),
    revokedAt: revokedAtMs === null ? null : toIso(revokedAtMs),
  };
}
