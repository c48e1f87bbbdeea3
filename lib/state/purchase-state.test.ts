import { mayMove, openStates, purchaseStates, statesBefore } from './purchase-state.ts';

describe('purchase states', () => {
  it('a settled purchase never becomes open for payment again', () => {
    for (const settled of ['captured', 'declined', 'refunding', 'refunded'] as const) {
      expect(mayMove(settled, 'requested')).toBe(false);
      expect(mayMove(settled, 'unknown')).toBe(false);
      expect(mayMove(settled, 'captured')).toBe(false);
    }
  });

  it('units return to the sale only after the refund: refunded follows only refunding', () => {
    expect(statesBefore('refunded')).toEqual(['refunding']);
  });

  it('every open state can be left, and refunded is the only final state', () => {
    const leadsOn = (state: (typeof purchaseStates)[number]) => purchaseStates.some((next) => mayMove(state, next));
    expect(openStates.every(leadsOn)).toBe(true);
    expect(purchaseStates.filter((state) => !leadsOn(state))).toEqual(['refunded']);
  });
});
