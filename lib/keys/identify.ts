/**
 * Who calls with an API key: whether the key is right and allowed, and for whom it acts.
 *
 * A key that is wrong, expired or revoked is refused before its scope is looked at, so the answer tells about a key only to who has
 * its secret. A key that is revoked is refused everywhere within `rememberedMs`, and at once where it was revoked.
 */
import { type ExternalCustomer, findOrMakeCustomer } from '#identity/external-customer.ts';
import type { Deps, Needs } from '#platform/environment/deps.ts';
import { customerHeader } from '#platform/handlers/authentication.ts';
import { externalIdPattern } from '#platform/handlers/input.ts';
import { limitCustomer } from '#platform/handlers/limits.ts';
import type { KeyCall, Route } from '#platform/handlers/route.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { ApiKeyId, CustomerId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import type { Caller } from '#platform/security/access-token.ts';
import { isSameSecret, type ReadKey, readApiKey } from '#platform/security/api-key.ts';
import type { Scope } from '#platform/security/scopes.ts';
import { type ApiKey, findApiKey, noteUse } from './api-key.store.ts';
import { type Memory, openMemory } from './remember.ts';

/** A use is written once in this time at most. */
const useNotedMs = 60_000;
/** How many keys and customers an environment remembers. */
const keysRemembered = 1_000;
const customersRemembered = 10_000;

/** Opens an operators' route to API keys with its scope. */
export function byKey<R extends Route>(route: R): R {
  return { ...route, identify: programOf };
}

/** Opens a customers' route to API keys that act for customers. */
export function forCustomer<R extends Route>(route: R): R {
  return { ...route, identify: customerOf };
}

/** Who calls an operators' route: a key that has its scope, and acts for no customer. */
export async function programOf(deps: Deps, { key }: KeyCall, scope: Scope): Promise<Caller | Refusal> {
  const keyId = await allowedKey(deps, key, scope);
  return isRefusal(keyId) ? keyId : { customerId: '' as CustomerId, role: 'customer', keyId };
}

/** Who calls a customers' route: the customer whom the call names, known or seen for the first time. */
export async function customerOf(deps: Deps, { key, customer }: KeyCall, scope: Scope): Promise<Caller | Refusal> {
  const keyId = await allowedKey(deps, key, scope);
  if (isRefusal(keyId)) return keyId;
  if (customer === undefined) return refuse('customer_missing', `Say for whom the key acts, as ${customerHeader}.`);
  if (!externalIdPattern.test(customer)) {
    const message = 'must be 1 to 255 printable ASCII characters without a comma';
    return refuse('invalid_input', `${customerHeader} ${message}.`, { fields: [{ field: customerHeader, message }] });
  }
  const known = await deps.once(customersOf).get(customer, () => findOrMakeCustomer(deps, customer));
  return { ...known, role: 'customer', keyId };
}

/** Forgets what this environment remembers of a key. */
export function forgetKey(deps: Needs<'once'>, keyId: ApiKeyId): void {
  deps.once(keysOf).forget(keyId);
}

const keysOf = ({ clock }: Deps): Memory<ApiKeyId, ApiKey | undefined> => openMemory(keysRemembered, clock);
const customersOf = ({ clock }: Deps): Memory<string, ExternalCustomer> => openMemory(customersRemembered, clock);

/** The id of a key that is right, within its rate, and has this scope. */
async function allowedKey(deps: Deps, text: string, scope: Scope): Promise<ApiKeyId | Refusal> {
  const given = readApiKey(text);
  const key = given && (await findRight(deps, given));
  if (!key) return refuse('invalid_api_key', 'This API key is not known.');
  const { keyId } = key;
  const nowMs = deps.clock();
  if (key.revokedAtMs !== null) return refuse('invalid_api_key', 'This API key has been revoked.');
  if (key.expiresAtMs <= nowMs) return refuse('invalid_api_key', 'This API key has expired.');
  const tooOften = await limitCustomer(deps, 'api-key', keyId);
  if (tooOften) return tooOften;
  await noteUseOf(deps, key, nowMs);
  if (!key.scopes.includes(scope)) return refuse('missing_scope', `This needs the scope ${scope}.`, { scope });
  return keyId;
}

/** The key whose secret this is. One that does not fit what is remembered may be newer, so it is looked up. */
async function findRight(deps: Deps, given: ReadKey): Promise<ApiKey | undefined> {
  const memory = deps.once(keysOf);
  const read = () => findApiKey(deps.db, given.keyId);
  const remembered = await memory.get(given.keyId, read);
  if (isRight(remembered, given, deps.clock())) return remembered;
  const stored = await memory.get(given.keyId, read, true);
  return isRight(stored, given, deps.clock()) ? stored : undefined;
}

/** Whether this is the key's secret, or the one before while that is valid. */
function isRight(key: ApiKey | undefined, { secretHash }: ReadKey, nowMs: number): boolean {
  if (!key) return false;
  if (isSameSecret(key.secretHash, secretHash)) return true;
  const { previousHash, previousUntilMs } = key;
  return previousHash !== null && Number(previousUntilMs) > nowMs && isSameSecret(previousHash, secretHash);
}

/** Writes that a key is used. It is for the admins' eyes alone, so a call does not fail for it. */
async function noteUseOf(deps: Deps, key: ApiKey, nowMs: number): Promise<void> {
  if (nowMs - (key.lastUsedAtMs ?? 0) < useNotedMs) return;
  try {
    await noteUse(deps.db, key.keyId, nowMs, nowMs - useNotedMs);
    deps.once(keysOf).replace(key.keyId, { ...key, lastUsedAtMs: nowMs });
  } catch (error) {
    log.warn('the use of an API key could not be written', { keyId: key.keyId, error });
  }
}
