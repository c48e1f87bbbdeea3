/**
 * Customers with access tokens of other issuers. Who comes with one is a customer at first sight: the one whose external id is the
 * issuer's prefix and the token's subject (`external-customer.ts`).
 *
 * Invariants: such a caller is a customer and nothing more, whatever role the account has and whatever the token says; two issuers
 * never have one customer between them, unless an operator gave it both in turn.
 */
import type { Deps } from '#platform/environment/deps.ts';
import { externalIdPattern } from '#platform/handlers/input.ts';
import type { Route } from '#platform/handlers/route.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { VerifiedCaller } from '#platform/security/access-token.ts';
import { customersSettingOf, type Issuer } from '#platform/security/issuers.ts';
import { issuerOf, openOutsideTokens, type Unfit } from '#platform/security/outside-token.ts';
import { type ExternalCustomer, findOrMakeCustomer } from './external-customer.ts';
import { issuerKeysOf } from './issuer-keys.ts';
import { canonicalMailbox } from './mailbox.ts';
import { type Memory, openMemory } from './remember.ts';

const customersRemembered = 10_000;
/** A key that is new at the issuer is read within a minute. */
const newKeySeconds = 60;

/** Opens a route that API keys may not call to customers with tokens of other issuers. */
export function forOutside<R extends Route>(route: R): R {
  return { ...route, outsideCaller };
}

/** Who calls with a token of a configured issuer, known or seen for the first time. Undefined if it is of none of them. */
export async function outsideCaller(deps: Deps, token: string): Promise<VerifiedCaller | Refusal | undefined> {
  const issuer = issuerOf(deps.once(customersSettingOf).issuers, token);
  if (!issuer) return undefined;
  const read = await readToken(deps, token, issuer);
  if ('refused' in read) return read;
  const externalId = issuer.prefix + read.subject;
  if (!externalIdPattern.test(externalId)) return notAccepted('subject');
  const mailbox = read.email === undefined ? undefined : canonicalMailbox(read.email);
  const customer = await deps
    .once(customersOf)
    .get(`${externalId} ${mailbox ?? ''}`, () => findOrMakeCustomer(deps, externalId, mailbox));
  return { ...customer, role: 'customer', expiresAtMs: read.expiresAtMs };
}

const tokensOf = ({ clock }: Deps) => openOutsideTokens(clock);
const customersOf = ({ clock }: Deps): Memory<string, ExternalCustomer> => openMemory(customersRemembered, clock);

async function readToken(deps: Deps, token: string, issuer: Issuer) {
  const memory = deps.once(issuerKeysOf);
  const tokens = deps.once(tokensOf);
  const keys = await memory.get(issuer);
  const read = keys && (await tokens.read(token, issuer, keys));
  if (read && !('unfit' in read)) return read;
  if (read && read.unfit !== 'key') return notAccepted(read.unfit);
  const newer = await memory.get(issuer, true);
  if (!newer) return refuse('issuer_unavailable', 'The keys of this issuer have not been read; try again in a minute.');
  const again = await tokens.read(token, issuer, newer);
  if (!('unfit' in again)) return again;
  if (again.unfit !== 'key') return notAccepted(again.unfit);
  const retryAfterSeconds = newKeySeconds;
  return refuse('unknown_token_key', 'Try again in a minute, or get a new token.', { retryAfterSeconds });
}

type Reason = Exclude<Unfit, 'key'> | 'subject';

function notAccepted(reason: Reason): Refusal {
  return refuse('token_not_accepted', `The token is not accepted: ${sentences[reason]}.`, { reason });
}

/** What each reason means, for who sets the issuer up. */
const sentences: Readonly<Record<Reason, string>> = {
  malformed: 'it is not a signed token that can be read',
  algorithm: 'it is not signed by an algorithm that is set for its issuer',
  signature: 'its signature is wrong',
  audience: 'it is for another audience',
  type: 'it is not an access token',
  expired: 'it has expired',
  not_valid_yet: 'it is not valid yet',
  too_old: 'it was issued more than a day ago',
  claims: 'it must say for whom, when and until when it was issued',
  program: 'it was issued to a program, not to a person',
  subject: 'its subject cannot be an external id',
};
