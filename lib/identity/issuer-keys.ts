/**
 * The keys of other issuers: read from them once a minute by one function that may call outside, kept in MySQL, and from there
 * remembered by the functions that check tokens.
 *
 * Invariant: no call of a customer makes a call to an issuer, so no flood of tokens reaches it, and an issuer that is slow or down
 * holds up nobody. Its keys then count as they were read last, for a day.
 */
import type { Deps, Needs } from '#platform/environment/deps.ts';
import { log } from '#platform/kernel/log.ts';
import { loopbackName } from '#platform/kernel/registry.ts';
import { isOutage } from '#platform/resilience/outage.ts';
import { customersSettingOf, type Issuer, isHere } from '#platform/security/issuers.ts';
import { type Outside, openOutside } from '#platform/security/outside-post.ts';
import { type IssuerKeys, readSigningKeys, signingKeysIn } from '#platform/security/outside-token.ts';
import { findIssuerKeys, type StoredKeys, writeIssuerKeys } from './issuer-keys.store.ts';

/** For how long keys count that could not be read again. */
export const keysCountMs = 86_400_000;
/** How old what an environment remembers of an issuer's keys may be; and how old for a token whose key is not among them. */
export const keysRememberedMs = 60_000;
export const keysRereadMs = 5_000;
/** How long one answer of an issuer is waited for, and how often it is asked in one turn. */
const answerLimitMs = 1_500;
const triesPerTurn = 2;
/** How long a breaker stays open: until the next turn. */
const untilNextTurnMs = 30_000;

/**
 * Reads the keys of all issuers from them. Never throws: what cannot be read stays as it was, its breaker opens, and the next turn
 * reads it. Run by a schedule.
 */
export async function readIssuerKeys(deps: Needs<'db' | 'registry' | 'clock' | 'breakers' | 'once'>): Promise<void> {
  const outside = openOutside({ loopback: deps.registry[loopbackName] !== undefined });
  try {
    const { issuers } = deps.once(customersSettingOf);
    await Promise.all(issuers.map((issuer) => readKeysOf(deps, outside, issuer)));
  } catch (error) {
    log.error('the issuers of tokens are not set up as they must be', { error });
  } finally {
    outside.close();
  }
}

async function readKeysOf(
  { db, clock, breakers }: Needs<'db' | 'clock' | 'breakers'>,
  outside: Outside,
  issuer: Issuer,
): Promise<void> {
  const breaker = breakers.get(`issuer ${issuer.issuer}`, {
    volumeThreshold: triesPerTurn,
    resetTimeoutMs: untilNextTurnMs,
  });
  for (let left = triesPerTurn; left > 0; left--) {
    try {
      const signingKeys = await breaker.run(() => published(outside, issuer));
      await writeIssuerKeys(db, issuer.issuer, { signingKeys, readAtMs: clock() });
      return;
    } catch (error) {
      if (left === 1) log.warn('the keys of an issuer could not be read', { issuer: issuer.issuer, error });
    }
  }
}

/** The keys that an issuer publishes now (OpenID Connect Discovery 1.0, section 4). */
async function published(outside: Outside, { issuer, algorithms }: Issuer): Promise<string> {
  const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const found = JSON.parse(await outside.get(new URL(address), answerLimitMs)) as Record<string, unknown>;
  if (found.issuer !== issuer) throw new Error(`${address} is not the document of "${issuer}"`);
  const keysAt = new URL(String(found.jwks_uri));
  // What an issuer on the internet names is not on this machine.
  if (keysAt.protocol !== 'https:' && !isHere(new URL(issuer))) throw new Error(`${keysAt.href} is not HTTPS`);
  const signingKeys = signingKeysIn(await outside.get(keysAt, answerLimitMs), algorithms);
  if (signingKeys === undefined) throw new Error(`${keysAt.href} has no keys for ${algorithms.join(', ')}`);
  return signingKeys;
}

/** What an environment remembers of an issuer's keys. */
interface Held {
  readonly stored: StoredKeys;
  readonly keys: IssuerKeys;
}

export interface IssuerKeysMemory {
  /**
   * The keys of an issuer that count now; undefined if there are none. With `anew` they are looked up if that was not done a moment
   * ago.
   */
  get(issuer: Issuer, anew?: boolean): Promise<IssuerKeys | undefined>;
}

/** Opens what this environment remembers of issuers' keys. */
export function issuerKeysOf({ db, clock }: Deps): IssuerKeysMemory {
  const held = new Map<string, Held>();
  const asked = new Map<string, { readonly atMs: number; readonly answer: Promise<void> }>();

  async function look(issuer: string): Promise<void> {
    const stored = await findIssuerKeys(db, issuer);
    const before = held.get(issuer);
    if (!stored) held.delete(issuer);
    // The same keys stay the same objects, so what was checked with them stays checked.
    else if (before?.stored.signingKeys === stored.signingKeys) held.set(issuer, { stored, keys: before.keys });
    else held.set(issuer, { stored, keys: readSigningKeys(stored.signingKeys) });
  }

  return {
    async get({ issuer }, anew = false) {
      const last = asked.get(issuer);
      const oldMs = anew || !held.has(issuer) ? keysRereadMs : keysRememberedMs;
      // Those who come at once wait for one look-up.
      const next = last && clock() - last.atMs < oldMs ? last : { atMs: clock(), answer: look(issuer) };
      asked.set(issuer, next);
      try {
        await next.answer;
      } catch (error) {
        if (!isOutage(error)) asked.delete(issuer);
        if (!isOutage(error) || !held.has(issuer)) throw error;
      }
      const found = held.get(issuer);
      return found && clock() - found.stored.readAtMs < keysCountMs ? found.keys : undefined;
    },
  };
}
