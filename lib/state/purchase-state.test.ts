import { mayMove, purchaseStates, statesBefore } from './purchase-state.ts';

describe('purchase states', () => {
  it('a settled purchase never becomes open for payment again', () => {
    for (const settled of purchaseStates.filter((state) => state !== 'requested')) {
      expect(mayMove(settled, 'requested')).toBe(false);
      expect(mayMove(settled, 'unknown')).toBe(false);
      if (settled !== 'unknown') expect(mayMove(settled, 'requires_action')).toBe(false);
    }
    for (const over of ['captured', 'declined', 'refunded'] as const) expect(mayMove(over, 'captured')).toBe(false);
  });

  it('M4: a refund is refused only after it was asked for, and can be tried again', () => {
    expect(statesBefore('refund_failed')).toEqual(['refunding']);
    expect(mayMove('refund_failed', 'refunding')).toBe(true);
  });

  it('M6: a dispute is about a payment that was awaited or given up, and ends bought or given back', () => {
    expect(statesBefore('disputed')).toEqual(['requested', 'unknown', 'declined', 'requires_action']);
    expect(purchaseStates.filter((to) => mayMove('disputed', to))).toEqual(['captured', 'refunding', 'refunded']);
  });

  it('every state can be left, and refunded only for units that return after the money', () => {
    for (const state of purchaseStates) expect(purchaseStates.some((next) => mayMove(state, next))).toBe(true);
    expect(purchaseStates.filter((next) => mayMove('refunded', next))).toEqual(['refunding']);
  });
});
