import { newId } from '#test/support/ids.ts';
import { actionAfterCloseAtMostMs, actionDeadlineMs, actionLifeAtMostMs, openAction, reasonToStop } from './action.ts';
import type { PurchaseRow } from './purchase.store.ts';

const nowMs = 10_000_000_000;
const farMs = nowMs + 10 * actionLifeAtMostMs;

describe('the deadline of an action', () => {
  it.each([
    ['is the provider’s', nowMs + 60_000, farMs, nowMs + 60_000],
    ['is ours if the provider names none', null, farMs, nowMs + actionLifeAtMostMs],
    ['is ours if the provider would wait for longer', farMs, farMs, nowMs + actionLifeAtMostMs],
    ['is not long after the close', farMs, nowMs + 60_000, nowMs + 60_000 + actionAfterCloseAtMostMs],
    ['counts from now if the close has passed', farMs, nowMs - farMs, nowMs + actionAfterCloseAtMostMs],
  ])('%s', (_, providerMs, closesAtMs, deadlineMs) => {
    expect(actionDeadlineMs(providerMs, closesAtMs, nowMs)).toBe(deadlineMs);
  });
});

describe('what a customer can do', () => {
  const purchase = {
    purchaseId: newId(),
    customerId: newId(),
    state: 'requires_action',
    reason: null,
    actionUrl: 'https://bank.example',
    actionDeadlineMs: nowMs + 1,
    actionAccount: null,
  } as unknown as PurchaseRow;

  it('ends with its time, with the state, and when it was given up', () => {
    expect(openAction(purchase, nowMs)).toEqual({
      url: 'https://bank.example',
      deadlineMs: nowMs + 1,
      transferTo: null,
    });
    expect(openAction(purchase, nowMs + 1)).toBeUndefined();
    expect(openAction({ ...purchase, reason: 'given_up' }, nowMs)).toBeUndefined();
    expect(openAction({ ...purchase, state: 'captured' }, nowMs)).toBeUndefined();
  });

  it('is stopped when no customer should wait for it', () => {
    expect(reasonToStop(purchase, nowMs)).toBeUndefined();
    expect(reasonToStop(purchase, nowMs + 1)).toBe('action_expired');
    expect(reasonToStop({ ...purchase, reason: 'given_up' }, nowMs)).toBe('given_up');
    expect(reasonToStop({ ...purchase, calledOff: true }, nowMs)).toBe('sale_cancelled');
  });
});
