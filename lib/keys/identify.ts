/**
 * Who calls with an API key: whether the key is right and allowed, and for whom it acts.
 *
 * A key that is wrong, expired or revoked is refused before its scope is looked at, so the answer tells about a key only to who has
 * its secret. A key that is revoked is refused everywhere within `rememberedMs`, and at once where it was revoked.
 *
 * Invariant: wrong keys cost MySQL no more than `missesAtMost` look-ups in `missesWithinMs` for each address and environment, and
 * the same wrong key one in `rememberedMs`. Keys that are right are not held up by it where they were seen before.
 */
import { LRUCache } from 'lru-cache';
import { type ExternalCustomer, findOrMakeCustomer } from '#identity/external-customer.ts';
import { outsideCaller } from '#identity/outside-caller.ts';
import { type Memory, openMemory, rememberedMs } from '#identity/remember.ts';
import type { Deps, Needs } from '#platform/environment/deps.ts';
import { customerHeader, refuseCustomer } from '#platform/handlers/authentication.ts';
import { addressOfEvent, limitCustomer, networkOf } from '#platform/handlers/limits.ts';
import type { KeyCall, Route } from '#platform/handlers/route.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { type ApiKeyId, type CustomerId, toBytes } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { missesOf } from '#platform/resilience/unknown-ids.ts';
import type { Caller } from '#platform/security/access-token.ts';
import { isSameSecret, type ReadKey, readApiKey } from '#platform/security/api-key.ts';
import type { Scope } from '#platform/security/scopes.ts';
import { type ApiKey, findApiKey, noteUse } from './api-key.store.ts';

/** A use is written once in this time at most. */
const useNotedMs = 60_000;
/** How many keys and customers an environment remembers. */
const keysRemembered = 1_000;
const customersRemembered = 10_000;

/** Opens an operators' route to API keys with its scope. */
export function byKey<R extends Route>(route: R): R {
  return { ...route, identify: programOf };
}

/** Opens a customers' route to API keys that act for customers, and to customers with tokens of other issuers. */
export function forCustomer<R extends Route>(route: R): R {
  return { ...route, identify: customerOf, outsideCaller };
}

/** Who calls an operators' route: a key that has its scope, and acts for no customer. */
export async function programOf(deps: Deps, call: KeyCall, scope: Scope): Promise<Caller | Refusal> {
  const keyId = await allowedKey(deps, call, scope);
  return isRefusal(keyId) ? keyId : { customerId: '' as CustomerId, role: 'customer', keyId };
}

/**
 * Who calls a customers' route: the customer whom the call names, known or seen for the first time. Who names none
 * may not call (403), whatever the call asks for, which is looked at later.
 */
export async function customerOf(deps: Deps, call: KeyCall, scope: Scope): Promise<Caller | Refusal> {
  const keyId = await allowedKey(deps, call, scope);
  if (isRefusal(keyId)) return keyId;
  const { customer } = call;
  if (customer === undefined) return refuse('customer_missing', `Say for whom the key acts, as ${customerHeader}.`);
  const malformed = refuseCustomer(customer);
  if (malformed) return malformed;
  const known = await deps.once(customersOf).get(customer, () => findOrMakeCustomer(deps, customer));
  return { ...known, role: 'customer', keyId };
}

/** Forgets what this environment remembers of a key. */
export function forgetKey(deps: Needs<'once'>, keyId: ApiKeyId): void {
  deps.once(keysOf).forget(keyId);
}

const keysOf = ({ clock }: Deps): Memory<ApiKeyId, ApiKey | undefined> => openMemory(keysRemembered, clock);
/** Keys that were found to be wrong, and when. */
const wrongKeysOf = () => new LRUCache<string, number>({ max: keysRemembered });
const customersOf = ({ clock }: Deps): Memory<string, ExternalCustomer> => openMemory(customersRemembered, clock);

/** The id of a key that is right, within its rate, and has this scope. */
async function allowedKey(deps: Deps, { key: text, event }: KeyCall, scope: Scope): Promise<ApiKeyId | Refusal> {
  const given = readApiKey(text);
  const key = given && (await findRight(deps, given, networkOf(addressOfEvent(deps, event))));
  if (!key) return refuse('invalid_api_key', 'This API key is not known.');
  if (isRefusal(key)) return key;
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

/**
 * The key whose secret this is. One that does not fit what is remembered may be newer, so it is looked up, unless it was a moment
 * ago. An address that has sent many wrong keys has to wait for the look-up.
 */
async function findRight(deps: Deps, given: ReadKey, network: string): Promise<ApiKey | Refusal | undefined> {
  const [memory, wrong] = [deps.once(keysOf), deps.once(wrongKeysOf)];
  const read = () => findApiKey(deps.db, given.keyId);
  if (isRight(memory.peek(given.keyId), given, deps.clock())) {
    const known = await memory.get(given.keyId, read);
    return isRight(known, given, deps.clock()) ? known : undefined;
  }
  const text = Buffer.concat([toBytes(given.keyId), given.secretHash]).toString('base64');
  const triedAtMs = wrong.get(text);
  if (triedAtMs !== undefined && deps.clock() - triedAtMs < rememberedMs) return undefined;
  const misses = deps.once(missesOf);
  const mustWait = misses.refusal(network);
  if (mustWait) return mustWait;
  const stored = await memory.get(given.keyId, read, true);
  if (isRight(stored, given, deps.clock())) return stored;
  misses.note(network);
  wrong.set(text, deps.clock());
  return undefined;
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
