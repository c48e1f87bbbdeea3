/**
 * A password after its first day: changed by who knows it, or set anew by who reads the account's mail. Either ends the sessions
 * that were opened before.
 */

import { eachTime, type KeepAnswer, type Once } from '#idempotency/once.ts';
import { eraseMetadataOf } from '#labels/label.store.ts';
import { deleteMailsOf } from '#mail/mail.store.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { Attempt, LimitNeeds } from '#platform/handlers/limits.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { isDuplicateKey, type Tx } from '#platform/mysql/mysql.ts';
import type { Caller } from '#platform/security/access-token.ts';
import { passwordJudgeOf } from '#platform/security/guessable.ts';
import { passwordHasherOf } from '#platform/security/password.ts';
import { deleteCodesOf } from './code.store.ts';
import { readCode, redeemCode, wrongCode } from './codes.ts';
import { claimContact } from './contact.ts';
import {
  type Credential,
  changePasswordHash,
  deleteCustomer,
  findCredential,
  isOpenedByPassword,
  lockCredential,
} from './customer.store.ts';
import { limitPasswordChange } from './guessing.ts';
import type { AccountDeletion, PasswordChange, PasswordReset } from './identity.shapes.ts';
import { ownAccountsOff } from './own-accounts.ts';
import { freePersonKeys } from './person-key.store.ts';
import { tooGuessable } from './register.ts';
import { type EndedSession, endSessionsOf } from './session.ts';

type PasswordNeeds = Needs<'db'> & LimitNeeds;
/** Is told of each session that has ended, for its WebSocket connections. */
type OnEnd = (ended: EndedSession) => Promise<void>;

/**
 * Changes the caller's password, and ends all their other sessions. Refused if the one so far is wrong, or the new one is one that a
 * guesser would try.
 */
export async function changePassword(
  deps: PasswordNeeds,
  { customerId, sessionId }: Caller,
  { password, newPassword }: PasswordChange,
  attempt: Attempt,
  onEnd: OnEnd,
  once: Once = eachTime,
): Promise<Refusal | undefined> {
  const tooOften = await limitPasswordChange(deps, { customerId }, attempt);
  if (tooOften) return tooOften;
  return once<undefined>(async (keep) => {
    const account = await findOwn(deps, customerId, password);
    if (isRefusal(account)) return account;
    if (deps.once(passwordJudgeOf).isGuessable(newPassword, [account.email, account.name]))
      return tooGuessable('newPassword');
    const passwordHash = await deps.once(passwordHasherOf).hash(newPassword, { like: account.passwordHash });
    const ended = await deps.db.transaction(async (tx) => {
      const now = await lockCredential(tx, customerId);
      if (now?.passwordHash !== account.passwordHash) return wrongPassword();
      const refusal = await writeHash(tx, customerId, passwordHash);
      if (refusal) return refusal;
      return keepAfter(tx, keep, await endSessionsOf(tx, customerId, deps.clock(), { except: sessionId }));
    });
    return tellAll(ended, onEnd);
  });
}

/**
 * Sets a new password with a code from a mail, and ends all sessions of the account. Who reads the mail has shown that the address
 * is theirs as well. Refused if the code is not good, or the password is one that a guesser would try; the code is then unused.
 */
export async function resetPassword(
  deps: PasswordNeeds,
  caller: Caller,
  { code, password }: PasswordReset,
  attempt: Attempt,
  onEnd: OnEnd,
  once: Once = eachTime,
): Promise<Refusal | undefined> {
  const tooOften = await limitPasswordChange(deps, caller, attempt);
  if (tooOften) return tooOften;
  return once<undefined>(async (keep) => {
    const off = ownAccountsOff(deps);
    if (off) return off;
    const mailedTo = await readCode(deps, code, 'password');
    if (isRefusal(mailedTo)) return mailedTo;
    const account = await findCredential(deps.db, mailedTo);
    if (!account) return wrongCode();
    if (deps.once(passwordJudgeOf).isGuessable(password, [account.email, account.name])) return tooGuessable();
    const passwordHash = await deps.once(passwordHasherOf).hash(password, { like: account.passwordHash });
    const ended = await deps.db.transaction(async (tx) => {
      const now = await lockCredential(tx, mailedTo);
      const refusal =
        (now ? undefined : wrongCode()) ??
        (await redeemCode(tx, code, deps.clock())) ??
        (await writeHash(tx, mailedTo, passwordHash));
      if (refusal) return refusal;
      await claimContact(deps, tx, now ?? account);
      return keepAfter(tx, keep, await endSessionsOf(tx, mailedTo, deps.clock()));
    });
    return tellAll(ended, onEnd);
  });
}

/**
 * Deletes the caller's account: who they are, how they sign in, what waits to be mailed. What they reserved, bought and were told
 * of it stays under an id that names no person, without the metadata that the shop has noted on it, and their address is free again.
 * Refused if the password is wrong or missing, unless no password opens the account, and for operators: an admin takes that role away first.
 */
export async function deleteAccount(
  deps: PasswordNeeds,
  { customerId }: Caller,
  { password }: AccountDeletion,
  attempt: Attempt,
  onEnd: OnEnd,
  once: Once = eachTime,
): Promise<Refusal | undefined> {
  const tooOften = await limitPasswordChange(deps, { customerId }, attempt);
  if (tooOften) return tooOften;
  return once<undefined>(async (keep) => {
    const account = await findOwn(deps, customerId, password);
    if (isRefusal(account)) return account;
    const ended = await deps.db.transaction(async (tx) => {
      const now = await lockCredential(tx, customerId);
      if (now?.passwordHash !== account.passwordHash) return wrongPassword();
      if (now.role !== 'customer') {
        return refuse('illegal_state', 'An account that runs sales is not deleted; have the role taken away first.');
      }
      const sessions = await endSessionsOf(tx, customerId, deps.clock());
      await freePersonKeys(tx, customerId);
      await deleteCodesOf(tx, customerId);
      await deleteMailsOf(tx, customerId);
      await eraseMetadataOf(tx, customerId);
      await deleteCustomer(tx, customerId);
      return keepAfter(tx, keep, sessions);
    });
    return tellAll(ended, onEnd);
  });
}

/** Keeps the answer of what has ended these sessions, which says nothing, and returns them. */
async function keepAfter(tx: Tx, keep: KeepAnswer, ended: EndedSession[]): Promise<EndedSession[]> {
  await keep(tx, undefined);
  return ended;
}

/** The caller's account, if this is its password, or if it has none and none was named. */
async function findOwn(
  deps: Needs<'db' | 'once'>,
  customerId: CustomerId,
  password: string | undefined,
): Promise<Credential | Refusal> {
  const account = await findCredential(deps.db, customerId);
  if (!account) return refuse('unauthenticated', 'This account no longer exists.');
  if (!isOpenedByPassword(account)) return password === undefined ? account : wrongPassword();
  if (password === undefined) return wrongPassword();
  const isRight =
    (await deps.once(passwordHasherOf).hash(password, { like: account.passwordHash })) === account.passwordHash;
  return isRight ? account : wrongPassword();
}

/** Two accounts of one address cannot have one password: signing in would not tell them apart. */
async function writeHash(tx: Tx, customerId: CustomerId, passwordHash: string): Promise<Refusal | undefined> {
  try {
    await changePasswordHash(tx, customerId, passwordHash);
    return undefined;
  } catch (error) {
    if (isDuplicateKey(error)) return refuse('illegal_state', 'Choose another password.');
    throw error;
  }
}

async function tellAll(ended: EndedSession[] | Refusal, onEnd: OnEnd): Promise<Refusal | undefined> {
  if (isRefusal(ended)) return ended;
  for (const session of ended) await onEnd(session);
  return undefined;
}

function wrongPassword(): Refusal {
  return refuse('invalid_credentials', 'The password is wrong.');
}
