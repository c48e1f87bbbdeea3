import { mayMove, openStates, purchaseStates, statesBefore } from './purchase-state.ts';

describe('purchase states', () => {
  it('a settled purchase never becomes open for payment again', () => {
    for (const settled of ['captured', 'declined', 'refunding', 'refunded'] as const) {
      expect(mayMove(settled, 'requested')).toBe(false);
      expect(mayMove(settled, 'unknown')).toBe(false);
      expect(mayMove(settled, 'captured')).toBe(false);
    }
  });

  it('units go back to sale only after the money did: refunded follows refunding alone', () => {
    expect(statesBefore('refunded')).toEqual(['refunding']);
  });

  it('every open state can be left, and refunded is the only dead end besides none', () => {
    const leadsOn = (state: (typeof purchaseStates)[number]) => purchaseStates.some((next) => mayMove(state, next));
    expect(openStates.every(leadsOn)).toBe(true);
    expect(purchaseStates.filter((state) => !leadsOn(state))).toEqual(['refunded']);
  });
});
