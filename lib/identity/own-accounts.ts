/**
 * Accounts of our own, which customers open with an address and a password: an option that the operator may switch off, where
 * customers come from other issuers. Those who run sales sign in with theirs in any case.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { customersSettingOf } from '#platform/security/issuers.ts';

/** The refusal where customers have no accounts of our own. */
export function ownAccountsOff(deps: Needs<'once'>): Refusal | undefined {
  if (deps.once(customersSettingOf).ownAccounts) return undefined;
  return refuse('own_accounts_off', 'No accounts are kept here. Sign in at the shop, and call with its access token.');
}
