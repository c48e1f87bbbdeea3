import { newId } from '#test/support/ids.ts';
import { actionGraceMs } from './action.ts';
import {
  absenceCountsAfterMs,
  absenceIn,
  absencesAtMost,
  askProvider,
  giveUpAfterMs,
  type PaymentAnswer,
  type PaymentProvider,
} from './provider.ts';
import type { PurchaseRow } from './purchase.store.ts';
import { newRefund } from './refund-rules.ts';

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
    provider: null,
    chargeId: null,
    reason: null,
    attempts: 0,
    absences: 0,
    capturedMinor: null,
    capturedCurrency: null,
    actionUrl: null,
    actionDeadlineMs: null,
    actionAccount: null,
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
      charge: say('charge', captured('ch_new')),
      find: say('find', found),
      cancel: say('cancel', found),
      refund: say('refund', { outcome: 'refunded', chargeId: 'ch_old', amountMinor: 500 }),
    },
  };
}

const captured = (chargeId: string): PaymentAnswer => ({
  ...{ outcome: 'captured', chargeId, amountMinor: 500, currency: 'EUR', reference: '' },
});
const absent: PaymentAnswer = { outcome: 'absent' };
const always = () => true;

describe('asking the provider', () => {
  it('the first attempt charges', async () => {
    const { provider: port, calls } = provider(absent);
    await askProvider(port, purchase(), nowMs, always);
    expect(calls).toEqual(['charge']);
  });

  it('a later attempt asks first, and charges only if the provider knows of nothing', async () => {
    const known = provider(captured('ch_old'));
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

  it('gives up what failed for a day and never was charged, but never what may have been', async () => {
    const atMs = nowMs - giveUpAfterMs - 1;
    const old = purchase({ attempts: 9, state: 'unknown', createdAtMs: atMs, updatedAtMs: atMs });
    const failing = provider(absent);
    expect(await askProvider(failing.provider, old, nowMs, always)).toMatchObject({ outcome: 'declined' });
    expect(failing.calls).toEqual(['find']);
    const silent = provider({ outcome: 'unsent', reason: '' });
    expect(await askProvider(silent.provider, old, nowMs, always)).toMatchObject({ outcome: 'unsent' });
  });

  it('M10: gives up a card that fails again and again, once its last attempt is surely over', async () => {
    const failing = provider(absent);
    const last = { attempts: 9, absences: absencesAtMost, state: 'unknown' as const };
    const recent = purchase({ ...last, updatedAtMs: nowMs - absenceCountsAfterMs + 1 });
    expect(await askProvider(failing.provider, recent, nowMs, always)).toMatchObject({ outcome: 'unsent' });
    const over = purchase({ ...last, updatedAtMs: nowMs - absenceCountsAfterMs });
    expect(await askProvider(failing.provider, over, nowMs, always)).toEqual({
      outcome: 'declined',
      reason: 'provider_unavailable',
    });
    expect(failing.calls).toEqual(['find', 'find']);
  });

  it('I7: where a look may miss a charge, none is given up before it is precluded', async () => {
    const last = { attempts: 9, absences: absencesAtMost, state: 'unknown' as const };
    const over = purchase({ ...last, updatedAtMs: nowMs - absenceCountsAfterMs });
    const ended = async (precluded: PaymentAnswer) => {
      const { provider: port } = provider(absent);
      return askProvider({ ...port, preclude: async () => precluded }, over, nowMs, always);
    };
    expect(await ended({ outcome: 'unknown', reason: '' })).toMatchObject({ outcome: 'unknown' });
    expect(await ended(absent)).toEqual({ outcome: 'declined', reason: 'provider_unavailable' });
  });

  it('M10: an attempt that was not answered well counts in full, one that did not get through a quarter, an outage not', async () => {
    const counted = async (found: PaymentAnswer, charged: PaymentAnswer) => {
      const { provider: port } = provider(found);
      const failing = { ...port, charge: async () => charged };
      return absenceIn(await askProvider(failing, purchase({ attempts: 1 }), nowMs, always));
    };
    const unknown: PaymentAnswer = { outcome: 'unknown', reason: '' };
    const unsent: PaymentAnswer = { outcome: 'unsent', reason: '' };
    expect(7 * (await counted(absent, unknown))).toBe(absencesAtMost);
    expect(28 * (await counted(absent, unsent))).toBe(absencesAtMost);
    expect(await counted(unknown, unknown)).toBe(0);
    expect(await counted(unsent, unsent)).toBe(0);
    expect(await counted(absent, captured('ch_new'))).toBe(0);
  });

  it('M1: does not charge for sales that were called off', async () => {
    const fresh = provider(absent);
    expect(await askProvider(fresh.provider, { ...purchase(), calledOff: true }, nowMs, always)).toEqual({
      outcome: 'declined',
      reason: 'sale_cancelled',
    });
    expect(fresh.calls).toEqual([]);
    const tried = provider(absent);
    const parked = { ...purchase({ attempts: 2, updatedAtMs: nowMs - absenceCountsAfterMs }), calledOff: true };
    expect(await askProvider(tried.provider, parked, nowMs, always)).toMatchObject({ reason: 'sale_cancelled' });
    expect(tried.calls).toEqual(['find']);
    const charged = provider(captured('ch_old'));
    expect(await askProvider(charged.provider, parked, nowMs, always)).toMatchObject({ outcome: 'captured' });
  });

  it('asks about a payment that waits for its customer, never charges it anew, and stops it when its time is over', async () => {
    const waiting: PaymentAnswer = { outcome: 'requires_action', url: 'https://bank.example', deadlineMs: null };
    const asked = purchase({ state: 'requires_action', attempts: 2, actionDeadlineMs: nowMs + 1 });
    const answering = provider(waiting);
    expect(await askProvider(answering.provider, asked, nowMs, always)).toEqual(waiting);
    const forgetful = provider(absent);
    expect(await askProvider(forgetful.provider, asked, nowMs, always)).toEqual(absent);
    expect([...answering.calls, ...forgetful.calls]).toEqual(['find', 'find']);
    const over = { ...asked, actionDeadlineMs: nowMs };
    for (const [purchase, reason] of [
      [over, 'action_expired'],
      [{ ...asked, calledOff: true }, 'sale_cancelled'],
      [{ ...over, reason: 'given_up' }, 'given_up'],
    ] as const) {
      for (const found of [absent, { outcome: 'declined', reason: 'cancelled' } as const]) {
        const stopping = provider(found);
        expect(await askProvider(stopping.provider, purchase, nowMs, always)).toEqual({ outcome: 'declined', reason });
        expect(stopping.calls).toEqual(['cancel']);
      }
    }
    const faster = provider(captured('ch_old'));
    expect(await askProvider(faster.provider, over, nowMs, always)).toMatchObject({ outcome: 'captured' });
    const inTime = provider(waiting);
    expect(await askProvider(inTime.provider, over, nowMs, () => false)).toMatchObject({ outcome: 'unsent' });
    expect(inTime.calls).toEqual([]);
  });

  it('waits a bounded time for a provider that cannot be asked to stop a payment', async () => {
    const silent = provider({ outcome: 'unsent', reason: 'breaker open' });
    const over = purchase({ state: 'requires_action', attempts: 2, actionDeadlineMs: nowMs - actionGraceMs + 1 });
    expect(await askProvider(silent.provider, over, nowMs, always)).toMatchObject({ outcome: 'unsent' });
    expect(await askProvider(silent.provider, over, nowMs + 1, always)).toMatchObject({ outcome: 'overdue' });
  });

  it('does not ask the customer of a sale that was called off', async () => {
    const waiting = provider({ outcome: 'requires_action', url: 'https://bank.example', deadlineMs: null });
    await askProvider(waiting.provider, { ...purchase({ attempts: 1 }), calledOff: true }, nowMs, always);
    expect(waiting.calls).toEqual(['find', 'cancel']);
  });

  it('gives back the charge that was taken', async () => {
    const { provider: port, calls } = provider(absent);
    const refunding = purchase({ state: 'refunding', chargeId: 'ch_old', attempts: 4 });
    const { purchaseId } = refunding;
    const refund = newRefund({ purchaseId, refundKey: 'refund', amountMinor: 500, reason: '' }, nowMs);
    await askProvider(port, { ...refunding, refund }, nowMs, always);
    expect(calls).toEqual(['refund']);
  });
});
