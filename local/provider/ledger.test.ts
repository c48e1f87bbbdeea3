/** The books: one charge per key and one refund per charge, also when two instances write one file. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Ledger, type NewCharge } from './ledger.ts';

let dataDir: string;
let one: Ledger;
let two: Ledger;
let nowMs: number;

beforeEach(() => {
  nowMs = 1_000_000;
  dataDir = mkdtempSync(join(tmpdir(), 'holdfast-ledger-'));
  one = new Ledger({ dataDir, tellsWebhooks: true, now: () => nowMs });
  two = new Ledger({ dataDir, tellsWebhooks: true, now: () => nowMs });
});

afterEach(() => {
  one.close();
  two.close();
  rmSync(dataDir, { recursive: true });
});

const given = (key: string, change: Partial<NewCharge> = {}): NewCharge => ({
  idempotencyKey: key,
  fingerprint: 'same',
  reference: 'purchase',
  amountMinor: 500,
  currency: 'EUR',
  token: 'tok_approve',
  status: 'captured',
  ...change,
});

test('a key has one charge, whichever instance is asked', () => {
  const first = one.charge(given('k'));
  const second = two.charge(given('k'));
  expect([first?.outcome, second?.outcome]).toEqual(['new', 'replayed']);
  expect(second?.value).toEqual(first?.value);
  expect(two.charge(given('k', { fingerprint: 'other' }))).toBeUndefined();
  expect(one.all().charges).toHaveLength(1);
});

test('a captured charge is refunded once; a declined or unknown one never', () => {
  const charged = one.charge(given('k'));
  const declined = one.charge(given('d', { status: 'declined', declineCode: 'card_declined' }));
  const id = charged?.value.id ?? '';
  const first = one.refund(id);
  expect(first).toMatchObject({ outcome: 'new', value: { amountMinor: charged?.value.amountMinor } });
  expect(two.refund(id)).toEqual({ outcome: 'replayed', value: typeof first === 'string' ? first : first.value });
  expect(one.refund(declined?.value.id ?? '')).toBe('not_captured');
  expect(one.refund('ch_none')).toBe('no_such_charge');
  expect(two.all().refunds).toHaveLength(1);
});

test('a charge is given back in parts, each key once, and never more than was captured', () => {
  const id = one.charge(given('k'))?.value.id ?? '';
  const { amountMinor = 0 } = one.findCharge(id) ?? {};
  const part = { key: 'r1', amountMinor: amountMinor - 100 };
  expect(one.refund(id, part)).toMatchObject({ outcome: 'new', value: { amountMinor: part.amountMinor } });
  expect(two.refund(id, part)).toMatchObject({ outcome: 'replayed' });
  expect(two.refund(id, { ...part, amountMinor: 1 })).toBe('idempotency_key_reused');
  expect(one.refund(id, { key: 'r2', amountMinor: 101 })).toBe('exceeds_charge');
  expect(one.refund(id, { key: 'r3' })).toMatchObject({ outcome: 'new', value: { amountMinor: 100 } });
  expect(two.refund(id, { key: 'r4' })).toBe('exceeds_charge');
  const amounts = two.all().refunds.map((refund) => refund.amountMinor);
  expect(amounts.sort((a, b) => b - a)).toEqual([part.amountMinor, 100]);
});

test('attempts are counted over all instances', () => {
  expect([one.countAttempt('k'), two.countAttempt('k'), one.countAttempt('other')]).toEqual([1, 2, 1]);
});

test('a webhook is leased to one instance, comes back when its lease ends, and stays done', () => {
  const recorded = one.charge(given('k'));
  const id = (recorded?.outcome === 'new' && recorded.webhookId) || '';
  expect(two.dueWebhooks(10)).toEqual([id]);
  expect(one.leaseWebhook(id, 1_000)).toMatchObject({ id, attempts: 1 });
  expect([two.leaseWebhook(id, 1_000), two.dueWebhooks(10)]).toEqual([undefined, []]);
  nowMs += 1_001;
  expect(two.leaseWebhook(id, 1_000)).toMatchObject({ attempts: 2 });
  two.postponeWebhook(id, nowMs + 500);
  expect(one.dueWebhooks(10)).toEqual([]);
  nowMs += 500;
  expect(one.dueWebhooks(10)).toEqual([id]);
  one.finishWebhook(id, 'delivered');
  expect([one.dueWebhooks(10), one.leaseWebhook(id, 1_000)]).toEqual([[], undefined]);
});
