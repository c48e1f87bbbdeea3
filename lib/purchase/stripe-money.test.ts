import fc from 'fast-check';
import { currencies, digitsOf } from '#platform/kernel/money.ts';
import { fromStripe, toStripe } from './stripe-money.ts';

describe('M7: amounts at Stripe', () => {
  it.each([
    ['EUR', 1_250, 1_250],
    ['JPY', 1_250, 1_250],
    ['HUF', 1_250, 1_250],
    ['TWD', 1_250, 1_250],
    // Króna and Ugandan shilling have no minor unit, and two digits at Stripe.
    ['ISK', 5, 500],
    ['UGX', 5, 500],
    // The ariary has one of two digits, and none at Stripe.
    ['MGA', 1_300, 13],
    // Three digits, of which the last must be 0.
    ['BHD', 5_120, 5_120],
    ['JOD', 5_120, 5_120],
    ['KWD', 5_120, 5_120],
    ['OMR', 5_120, 5_120],
    ['TND', 5_120, 5_120],
  ])('%s: %i in minor units is %i', (currency, amountMinor, amount) => {
    expect(toStripe(amountMinor, currency)).toBe(amount);
    expect(fromStripe(amount, currency)).toBe(amountMinor);
  });

  it.each([
    ['KWD', 5_124],
    ['BHD', 1],
    ['MGA', 1_250],
    ['ISK', Number.MAX_SAFE_INTEGER],
  ])('%s: %i cannot be charged to the unit', (currency, amountMinor) => {
    expect(toStripe(amountMinor, currency)).toBeUndefined();
  });

  it('a fraction of a króna is no amount', () => expect(fromStripe(550, 'ISK')).toBeUndefined());

  it('every currency without decimals at Stripe has none, or is written with them', () => {
    // https://docs.stripe.com/currencies#zero-decimal; the shilling is among them, and one of its special cases.
    const zeroDecimal = 'BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF'.split(' ');
    for (const currency of zeroDecimal) {
      expect([currency, toStripe(7 * 10 ** digitsOf(currency), currency)]).toEqual([currency, 7]);
    }
  });

  it('what can be charged is read back as it was', () => {
    fc.assert(
      fc.property(fc.constantFrom(...currencies), fc.integer({ min: 1, max: 10 ** 12 }), (currency, amountMinor) => {
        const amount = toStripe(amountMinor, currency);
        if (amount !== undefined) expect(fromStripe(amount, currency)).toBe(amountMinor);
      }),
    );
  });
});
