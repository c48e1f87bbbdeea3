/**
 * The key behind links, codes, device tokens and proofs of work is replaced while some of each are outstanding: environments of
 * before and after each step run beside each other, on one database. What tells persons apart stays the same throughout.
 */
import { jest } from '@jest/globals';
import { issueCode, readCode } from '#identity/codes.ts';
import { findOrMakeCustomer } from '#identity/external-customer.ts';
import { deviceTokenOf, hashFor, knownAccount } from '#identity/guessing.ts';
import { deleteAccount } from '#identity/passwords.ts';
import { ringAfter } from '#infra/key-rings.ts';
import { readUnsubscribeToken, unsubscribeUrl } from '#notification/mail-notices.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { limit } from '#platform/handlers/limits.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { guardKeys, readKeyRing, writeKeyRing } from '#platform/security/key-ring.ts';
import { type Challenge, openWork } from '#platform/security/proof-of-work.ts';
import { readReceipt, statusUrl } from '#reservation/receipt.ts';
import { requestReservation } from '#reservation/request.ts';
import { withDeps } from '../support/deps.ts';
import { newId } from '../support/ids.ts';
import { solve } from '../support/proof-of-work.ts';
import { givenSale, openBed } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

jest.setTimeout(60_000);

let bed: TestBed;
let deps: Deps;

beforeAll(async () => {
  bed = await testBed({
    rules: false,
    registry: { 'api/public': 'https://api.example.com', 'limit/login-address': '2/1' },
  });
  deps = await openBed(bed);
});

afterAll(async () => {
  await deps?.close();
  await bed?.close();
});

/** An environment that started with these keys. */
const started = (guard: string, receipts: string): Deps =>
  withDeps(deps, {
    registry: { ...deps.registry, 'secret/guard-key': guard, 'secret/receipt-key': receipts },
  });

/** The environments of a rotation, by the last step before they started. */
function rotation(): Record<'before' | 'prepare' | 'use' | 'retire', Deps> {
  const keys = { guard: newId() as string, receipts: newId() as string };
  const before = started(keys.guard, keys.receipts);
  const after = (step: 'prepare' | 'use' | 'retire') => {
    keys.guard = ringAfter(step, keys.guard, newId);
    keys.receipts = ringAfter(step, keys.receipts, newId);
    return started(keys.guard, keys.receipts);
  };
  return { before, prepare: after('prepare'), use: after('use'), retire: after('retire') };
}

const newMailbox = () => `${newId()}@example.com`;
const newMember = async (by: Deps, mailbox = newMailbox()) => findOrMakeCustomer(by, newId(), mailbox);

/** One of each that clients hold, made in an environment; each says whether another accepts it. */
async function outstanding(by: Deps): Promise<Record<string, (reader: Deps) => Promise<boolean>>> {
  const { customerId } = await newMember(by);
  const email = newMailbox();
  const askedAtMs = Date.now();
  const code = (await issueCode(by, customerId, 'password', askedAtMs)) ?? '';
  const deviceToken = deviceTokenOf(by, email, customerId);
  const link = new URL(unsubscribeUrl(by, customerId)).searchParams.get('token') ?? '';
  const proof = await solve(await openWork(guardKeys(by.registry), by.clock).challenge('login'));
  const [saleId, reservationId] = [await givenSale(deps), newId()];
  const accepted = { saleId, quantity: 1, atLeast: 1, acceptedAtMs: 1, ticket: null, position: null };
  const [, receipt = ''] = statusUrl(by, customerId, reservationId, accepted).split('receipt=');
  return {
    code: async (reader) => (await readCode(reader, code, 'password')) === customerId,
    'a code whose mail is sent once more': async (reader) =>
      (await issueCode(reader, customerId, 'password', askedAtMs)) === code,
    'device token': async (reader) => (await knownAccount(reader, email, deviceToken)) === customerId,
    'link of a reminder': async (reader) => readUnsubscribeToken(reader, link) === customerId,
    'proof of work': async (reader) =>
      (await openWork(guardKeys(reader.registry), reader.clock).read(proof, 'login')) !== undefined,
    receipt: async (reader) => readReceipt(reader, customerId, reservationId, receipt) !== undefined,
  };
}

/** Which of these an environment does not accept. */
async function refusedBy(reader: Deps, made: Awaited<ReturnType<typeof outstanding>>): Promise<string[]> {
  const answers = await Promise.all(
    Object.entries(made).map(async ([name, isAccepted]) => ((await isAccepted(reader)) ? [] : [name])),
  );
  return answers.flat();
}

test('what clients hold is accepted by every environment until the old key is retired, and not after', async () => {
  const { before, prepare, use, retire } = rotation();
  const old = await outstanding(before);
  for (const reader of [before, prepare, use]) expect(await refusedBy(reader, old)).toEqual([]);
  expect(await refusedBy(retire, old)).toEqual(Object.keys(old));
  const prepared = await outstanding(prepare);
  for (const reader of [before, prepare, use]) expect(await refusedBy(reader, prepared)).toEqual([]);
  for (const made of [await outstanding(use), await outstanding(retire)]) {
    for (const reader of [prepare, use, retire]) expect(await refusedBy(reader, made)).toEqual([]);
    expect(await refusedBy(before, made)).toEqual(Object.keys(made));
  }
});

test('a code of a key that is accepted no longer delays none of the next key', async () => {
  const { before, use, retire } = rotation();
  const { customerId } = await newMember(before);
  const askedAtMs = Date.now();
  expect(await issueCode(before, customerId, 'password', askedAtMs)).toBeDefined();
  expect(await issueCode(use, customerId, 'password', askedAtMs + 1)).toBeUndefined();
  const next = await issueCode(retire, customerId, 'password', askedAtMs + 2);
  expect(await readCode(retire, next ?? '', 'password')).toBe(customerId);
});

test('a proof of work is good once, whichever environments it is shown to', async () => {
  const { before, prepare, use } = rotation();
  const address = `192.0.2.${1 + Math.floor(Math.random() * 250)}`;
  const attempt = (by: Deps, proof?: string) =>
    limit(by, 'login', { address, proof }, { worked: { 'login-address': address } });
  const limited = async (by: Deps, proof?: string) => {
    for (;;) {
      const refusal = await attempt(by, proof);
      if (refusal) return refusal;
    }
  };
  const proof = await solve((await limited(before)).facts?.challenge as Challenge);
  expect(await attempt(use, proof)).toBeUndefined();
  for (const by of [before, prepare, use]) {
    // Whoever shows it again takes from the rate of the address like all others.
    expect(await limited(by, proof)).toMatchObject({ refused: 'work_required' });
  }
});

test('a password has one hash for an address in every environment', async () => {
  const email = newMailbox();
  const { before, use, retire } = rotation();
  const hashes = await Promise.all([before, use, retire].map((by) => hashFor(by, email, 'correct horse battery')));
  expect(new Set(hashes).size).toBe(1);
});

/** Whether who brings this address, whose account is deleted, gets another share of a sale that counts by person. */
async function getsAnotherShare(first: Deps, later: Deps): Promise<boolean> {
  const mailbox = newMailbox();
  const saleId = await givenSale(deps, { capPer: 'contact', capPerCustomer: 1 });
  const reserve = async (by: Deps, customerId: CustomerId, contactSinceMs: number | undefined) => {
    const asked = { quantity: 1, fill: 'all' as const };
    const answer = await requestReservation(by, { customerId, contactSinceMs }, saleId, newId(), asked);
    return isRefusal(answer) ? answer.refused : answer.state;
  };
  const one = await newMember(first, mailbox);
  expect(await reserve(first, one.customerId, one.contactSinceMs)).toBe('requested');
  // Not while the account is there, and not after it.
  const beside = await newMember(later, mailbox.replace('@', '+2@'));
  if (beside.contactSinceMs !== undefined) return true;
  const caller = { customerId: one.customerId, role: 'customer' as const };
  expect(await deleteAccount(first, caller, {}, { address: '127.0.0.1' }, async () => undefined)).toBeUndefined();
  const again = await newMember(later, mailbox);
  const answer = await reserve(later, again.customerId, again.contactSinceMs);
  if (answer !== 'requested') expect(answer).toBe('person_known_elsewhere');
  return answer === 'requested';
}

test('who has had their share gets no other by a rotation, in any environment', async () => {
  const { before, prepare, use, retire } = rotation();
  for (const later of [before, prepare, use, retire]) {
    for (const first of [before, use]) expect(await getsAnotherShare(first, later)).toBe(false);
  }
});

test('an external id is one customer’s in every environment', async () => {
  const { before, prepare, use, retire } = rotation();
  const externalId = newId();
  const found = [];
  for (const by of [before, prepare, use, retire]) found.push((await findOrMakeCustomer(by, externalId)).customerId);
  expect(new Set(found).size).toBe(1);
});

test('control: with another lasting key persons are new, and get another share', async () => {
  const before = started(newId(), newId());
  const { accepted } = readKeyRing(ringAfter('make', 'old', newId));
  const later = started(writeKeyRing({ accepted, lasting: newId() }), newId());
  expect(await getsAnotherShare(before, later)).toBe(true);
});
