/**
 * What stops guessing at passwords (brute force, credential stuffing) and finding out who has an account (enumeration): limits on
 * attempts, known devices, and hashes by which an account is found without telling whether its address has one.
 *
 * Registering tries a password as signing in does: an address and a password that go together sign in to their account, and
 * otherwise an account is made, whether or not the address has others. So neither tells a caller who does not know
 * the password whether an address is known, and both take from the same limits.
 */
import { createHmac } from 'node:crypto';
import type { Needs } from '#platform/environment/deps.ts';
import {
  type Attempt,
  type LimitNeeds,
  limit,
  limitCaller,
  limitCustomer,
  networkOf,
} from '#platform/handlers/limits.ts';
import type { Refusal } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import type { Registry } from '#platform/kernel/registry.ts';
import type { Caller } from '#platform/security/access-token.ts';
import { guardKeys } from '#platform/security/key-ring.ts';
import { passwordHasherOf } from '#platform/security/password.ts';
import { readSignedText, signText } from '#platform/security/signed-text.ts';
import { findHash } from './customer.store.ts';

const saltBytes = 16;

/** Takes from the limits of an attempt to register. */
export function limitRegistration(deps: LimitNeeds, attempt: Attempt, email: string): Promise<Refusal | undefined> {
  const worked = { 'register-address': networkOf(attempt.address), 'login-account': email };
  return limit(deps, 'register', attempt, { worked });
}

/** Takes from the limits of an attempt to sign in, whether or not the account exists. */
export function limitLogin(deps: LimitNeeds, attempt: Attempt, email: string): Promise<Refusal | undefined> {
  const worked = { 'login-address': networkOf(attempt.address), 'login-account': email };
  return limit(deps, 'login', attempt, { worked });
}

/** Takes from the limits of an attempt to set a password or to delete an account. */
export function limitPasswordChange(
  deps: LimitNeeds,
  caller: Pick<Caller, 'customerId'>,
  attempt: Attempt,
): Promise<Refusal | undefined> {
  return limitCaller(deps, 'password-change', caller, attempt);
}

/** The text by which a device that has signed in to an account is known to it. */
export function deviceTokenOf({ registry }: Needs<'registry'>, email: string, customerId: CustomerId): string {
  return signText(guardKeys(registry).current, about(email), customerId);
}

/**
 * The account that a device is known to, if it may try to sign in to it now. Undefined for a token that was made up or belongs
 * to another address, and for a device that has tried too often: it is then like any other.
 */
export async function knownAccount(
  deps: LimitNeeds,
  email: string,
  deviceToken: string | undefined,
): Promise<string | undefined> {
  const customerId = deviceToken && readSignedText(guardKeys(deps.registry).accepted, about(email), deviceToken);
  if (!customerId) return undefined;
  return (await limitCustomer(deps, 'login-device', customerId)) ? undefined : customerId;
}

/**
 * The hash of a password for an address. All accounts of an address have one salt, which only we can tell; so one hash, and
 * the same work, finds out whether any of them has this password, and how many there are does not show.
 */
export async function hashFor(
  deps: Needs<'db' | 'registry' | 'once'>,
  email: string,
  password: string,
): Promise<string> {
  const like = await findHash(deps.db, email);
  return deps.once(passwordHasherOf).hash(password, { like, salt: saltOf(deps.registry, email) });
}

function saltOf(registry: Registry, email: string): Buffer {
  return createHmac('sha256', guardKeys(registry).lasting).update(`salt of ${email}`).digest().subarray(0, saltBytes);
}

const about = (email: string) => `device of ${email}`;
