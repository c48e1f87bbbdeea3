import { noticeKinds } from './notice.ts';
import { sentenceFor } from './sentence.ts';

describe('sentences', () => {
  it.each(noticeKinds)('%s is one sentence, whatever facts are missing', (kind) => {
    expect(sentenceFor(kind, {})).toMatch(/^[A-Z1-9N].*\.$/s);
  });

  it('states how many of the requested units are set aside', () => {
    expect(sentenceFor('reservation.allocated', { units: 2, quantity: 5 })).toBe(
      '2 units of the 5 you asked for are set aside for you.',
    );
    expect(sentenceFor('reservation.allocated', { units: 1, quantity: 1 })).toBe('1 unit is set aside for you.');
  });

  it('gives the reason of a refusal in the words of its code', () => {
    expect(sentenceFor('reservation.rejected', { reason: 'over_cap' })).toBe(
      'Your reservation could not be accepted: that is more than one customer may have in this sale.',
    );
    expect(sentenceFor('purchase.declined', { reason: 'card_declined' })).toContain(': card declined.');
  });

  it('shows money with as many digits as its currency has', () => {
    expect(sentenceFor('purchase.captured', { amount: { amountMinor: 12_345, currency: 'EUR' } })).toContain('€123.45');
    expect(sentenceFor('purchase.captured', { amount: { amountMinor: 12_345, currency: 'JPY' } })).toContain('¥12,345');
  });
});
