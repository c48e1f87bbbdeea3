import { newId } from '#test/support/ids.ts';
import { askProvider, giveUpAfterMs, type PaymentAnswer, type PaymentProvider } from './provider.ts';
import type { PurchaseRow } from './purchase.store.ts';

const nowMs = 10_000_000_000;

function purchase(change: Partial<PurchaseRow> = {}): PurchaseRow {
  return {
    purchaseId: newId(),
    customerId: newId(),
    state: 'requested',
    amountMinor: 500,
    currency: 'EUR',
    paymentToken: 'tok_approve',
    fingerprint: '',
    chargeId: null,
    reason: null,
    attempts: 0,
    version: 1,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    ...change,
  };
}

function provider(found: PaymentAnswer): { provider: PaymentProvider; calls: string[] } {
  const calls: string[] = [];
  const say = (what: string, answer: PaymentAnswer) => async () => {
    calls.push(what);
    return answer;
  };
  return {
    calls,
    provider: {
      charge: say('charge', { outcome: 'captured', chargeId: 'ch_new' }),
      find: say('find', found),
      refund: say('refund', { outcome: 'refunded', chargeId: 'ch_old' }),
    },
  };
}

const absent: PaymentAnswer = { outcome: 'absent' };
const always = () => true;

describe('asking the provider', () => {
  it('the first attempt charges', async () => {
    const { provider: port, calls } = provider(absent);
    await askProvider(port, purchase(), nowMs, always);
    expect(calls).toEqual(['charge']);
  });

  it('a later attempt queries first, and charges only if the provider has no charge', async () => {
    const known = provider({ outcome: 'captured', chargeId: 'ch_old' });
    expect(await askProvider(known.provider, purchase({ attempts: 1 }), nowMs, always)).toMatchObject({
      chargeId: 'ch_old',
    });
    expect(known.calls).toEqual(['find']);
    const lost = provider(absent);
    await askProvider(lost.provider, purchase({ attempts: 3, state: 'unknown' }), nowMs, always);
    expect(lost.calls).toEqual(['find', 'charge']);
  });

  it('does not charge while the query is unanswered', async () => {
    const { provider: port, calls } = provider({ outcome: 'unknown', reason: '' });
    expect(await askProvider(port, purchase({ attempts: 1 }), nowMs, always)).toMatchObject({ outcome: 'unknown' });
    expect(calls).toEqual(['find']);
  });

  it('starts no call that could not end in time', async () => {
    const { provider: port, calls } = provider(absent);
    expect(await askProvider(port, purchase(), nowMs, () => false)).toMatchObject({ outcome: 'unsent' });
    let left = 1;
    expect(await askProvider(port, purchase({ attempts: 1 }), nowMs, () => left-- > 0)).toMatchObject({
      outcome: 'unsent',
    });
    expect(calls).toEqual(['find']);
  });

  it('declines a purchase that failed for a day and was never charged, but never one that may have been', async () => {
    const old = purchase({ attempts: 9, state: 'unknown', createdAtMs: nowMs - giveUpAfterMs - 1 });
    const failing = provider(absent);
    expect(await askProvider(failing.provider, old, nowMs, always)).toMatchObject({ outcome: 'declined' });
    expect(failing.calls).toEqual(['find']);
    const silent = provider({ outcome: 'unsent', reason: '' });
    expect(await askProvider(silent.provider, old, nowMs, always)).toMatchObject({ outcome: 'unsent' });
  });

  it('refunds the captured charge', async () => {
    const { provider: port, calls } = provider(absent);
    await askProvider(port, purchase({ state: 'refunding', chargeId: 'ch_old', attempts: 4 }), nowMs, always);
    expect(calls).toEqual(['refund']);
  });
});
