/**
 * Codes by mail, from being asked for to being used.
 *
 * Asking writes down a mail, whether or not an account gets it, and that is all: so it does the same work for every
 * address and does not tell which ones are known. The code is issued when its mail is written. An account gets one code for a
 * purpose in five minutes, however many were asked for: what stays good in between is the code that is in the mailbox already, so
 * no caller who asks in another person's name fills a mailbox or makes its owner's code worthless.
 */
import { holdAccounts } from '#erasure/hold-accounts.ts';
import { askForMail } from '#mail/request-mail.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { type CustomerId, newId } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { guardKeys } from '#platform/security/key-ring.ts';
import { type CodePurpose, findCode, lockCode, type StoredCode, useCode, writeCode } from './code.store.ts';
import { deriveCode, hashOfCode } from './code.ts';
import { findCustomer } from './customer.store.ts';
import { ownAccountsOff } from './own-accounts.ts';

/** How long a code may be used. */
export const codeLifeMs = 3_600_000;
/** For how long after a code no other is issued for the same purpose. */
export const codeQuietMs = 300_000;

/** The mails that carry codes. */
export const codeMails = { contact: 'code.contact', password: 'code.password' } as const satisfies Record<
  CodePurpose,
  string
>;

type AskNeeds = Needs<'db' | 'queue' | 'clock'>;

/** Has a code mailed to the caller, with which they show that their address is theirs. Refused if they have shown it. */
export async function askForContactCode(deps: AskNeeds, customerId: CustomerId): Promise<Refusal | undefined> {
  const customer = await findCustomer(deps.db, customerId);
  if (!customer) return refuse('unauthenticated', 'This account no longer exists.');
  if (customer.isVerified) return refuse('illegal_state', 'Your address is verified already.');
  await ask(deps, codeMails.contact, { customerId, address: null });
  return undefined;
}

/** Has a code mailed to this address with which its owner sets a new password, if it has an account. */
export async function askForPasswordCode(deps: AskNeeds & Needs<'once'>, email: string): Promise<Refusal | undefined> {
  const off = ownAccountsOff(deps);
  if (off) return off;
  await ask(deps, codeMails.password, { customerId: null, address: email });
  return undefined;
}

async function ask(
  deps: AskNeeds,
  kind: string,
  whom: { customerId: CustomerId | null; address: string | null },
): Promise<void> {
  const nowMs = deps.clock();
  await askForMail(deps, { id: newId(nowMs), kind, ...whom, facts: {}, createdAtMs: nowMs });
}

/**
 * The code of a mail that was asked for at this time. Undefined if the account got one shortly before, or has used this one: a mail
 * that is sent once more makes no code good again; and if there is no such account any more.
 */
export async function issueCode(
  deps: Needs<'db' | 'registry' | 'clock'>,
  customerId: CustomerId,
  purpose: CodePurpose,
  askedAtMs: number,
): Promise<string | undefined> {
  const made = (issuedAtMs: number) => codesOf(deps, purpose, customerId, issuedAtMs);
  const [newest = ''] = made(askedAtMs);
  const code = await deps.db.transaction(async (tx) => {
    if (!(await holdAccounts(tx, [customerId])).has(customerId)) return undefined;
    const last = await lockCode(tx, customerId, purpose);
    // Found among what was made for its time: one of a key that is accepted no longer is good for nothing, and delays none.
    const lastCode = last && made(last.issuedAtMs).find((one) => last.codeHash.equals(hashOfCode(one)));
    if (last && lastCode !== undefined) {
      if (last.issuedAtMs === askedAtMs) return last.usedAtMs === null ? lastCode : undefined;
      if (askedAtMs < quietUntilMs(last)) return undefined;
    }
    const codeHash = hashOfCode(newest);
    await writeCode(tx, { customerId, codeHash, issuedAtMs: askedAtMs, usedAtMs: null }, purpose);
    return newest;
  });
  return deps.clock() < askedAtMs + codeLifeMs ? code : undefined;
}

/** The codes that accepted keys make of this, the current key's first: a mail may have been written under the key before. */
function codesOf(
  { registry }: Needs<'registry'>,
  purpose: CodePurpose,
  customerId: CustomerId,
  askedAtMs: number,
): string[] {
  return guardKeys(registry).accepted.map((key) => deriveCode(key, purpose, customerId, askedAtMs));
}

/** Until when no other code follows this one: one that was used, or is no longer of use, delays none. */
function quietUntilMs({ issuedAtMs, usedAtMs }: StoredCode): number {
  return usedAtMs === null ? issuedAtMs + codeQuietMs : issuedAtMs + 1;
}

/**
 * The account that a code was mailed to, as long as it is good, and its key is accepted; or a refusal that does not say what is wrong
 * with it.
 */
export async function readCode(
  { db, clock, registry }: Needs<'db' | 'clock' | 'registry'>,
  code: string,
  purpose: CodePurpose,
): Promise<CustomerId | Refusal> {
  const stored = await findCode(db, hashOfCode(code), purpose);
  const isGood =
    stored &&
    stored.usedAtMs === null &&
    clock() < stored.issuedAtMs + codeLifeMs &&
    codesOf({ registry }, purpose, stored.customerId, stored.issuedAtMs).includes(code);
  return isGood ? stored.customerId : wrongCode();
}

/** Uses a code that was good a moment ago; of several who do so at once, one does. */
export async function redeemCode(tx: Tx, code: string, nowMs: number): Promise<Refusal | undefined> {
  return (await useCode(tx, hashOfCode(code), nowMs)) ? undefined : wrongCode();
}

export function wrongCode(): Refusal {
  return refuse('invalid_code', 'Ask for a new code: this one is wrong, was used before, or has expired.');
}
