/**
 * By what this browser is known to the accounts that have signed in on it: a device token by e-mail address. Sent at
 * sign-in, it lets an owner in while strangers guess. It is kept when somebody signs out; it opens nothing by itself.
 */
import type { Store } from '#client/intents.ts';

const devicesKey = 'holdfast.devices';

/** The token that an account gave this browser; undefined if it gave none. */
export function deviceTokenFor(store: Store, email: string): string | undefined {
  return known(store).get(email);
}

/** Keeps the token that an account has given; a later one takes its place. */
export function keepDeviceToken(store: Store, email: string, token: string): void {
  store.setItem(devicesKey, JSON.stringify([...known(store).set(email, token)]));
}

/** What is not as it was written counts as nothing. */
function known(store: Store): Map<string, string> {
  try {
    const kept: unknown = JSON.parse(store.getItem(devicesKey) ?? '[]');
    const isPair = (pair: unknown): pair is [string, string] =>
      Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string');
    return new Map(Array.isArray(kept) ? kept.filter(isPair) : []);
  } catch {
    return new Map();
  }
}
