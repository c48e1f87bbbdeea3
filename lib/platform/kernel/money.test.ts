import { currencies, digitsOf, formatMoney, fromDecimal, minorDigits, toDecimal } from './money.ts';

const plain = (text: string) => text.replaceAll(/[\u00a0\u202f]/g, ' ');

describe('money', () => {
  it.each([
    [100_000, 'HUF', '1000.00', 'HUF 1,000.00'],
    [100_000, 'IQD', '100.000', 'IQD 100.000'],
    [100_000, 'JPY', '100000', '¥100,000'],
    [100_000, 'KRW', '100000', '₩100,000'],
    [100_000, 'ISK', '100000', 'ISK 100,000'],
    [100_000, 'UGX', '100000', 'UGX 100,000'],
    [100_000, 'KWD', '100.000', 'KWD 100.000'],
    [100_000, 'CLF', '10.0000', 'CLF 10.0000'],
    [100_000, 'UYW', '10.0000', 'UYW 10.0000'],
    [100_000, 'TWD', '1000.00', 'NT$1,000.00'],
    [5, 'EUR', '0.05', '€0.05'],
    [5, 'KWD', '0.005', 'KWD 0.005'],
    [-1_250, 'EUR', '-12.50', '-€12.50'],
    [9_007_199_254_740_991, 'EUR', '90071992547409.91', '€90,071,992,547,409.91'],
  ])('M7: %d minor units of %s are %s, shown as %s', (amountMinor, currency, decimal, shown) => {
    expect(toDecimal({ amountMinor, currency })).toBe(decimal);
    expect(plain(formatMoney({ amountMinor, currency }, 'en'))).toBe(shown);
    if (amountMinor > 0) expect(fromDecimal(decimal, currency)).toBe(amountMinor);
  });

  it('M7: every currency is shown with the digits of the table, in every language, also where ICU has others', () => {
    const codes = Intl.supportedValuesOf('currency').filter((code) => currencies.includes(code));
    expect(codes.length).toBeGreaterThan(140);
    for (const currency of [...codes, ...Object.keys(minorDigits)]) {
      for (const locale of ['en', 'de', 'ko', 'hu', 'ja']) {
        const digits = formatMoney({ amountMinor: 1_234_567, currency }, locale).replaceAll(/[^\d]/g, '');
        expect([currency, digits]).toEqual([currency, '1234567']);
      }
    }
  });

  it('M7: names are those of list one: none that has left it, none without a minor unit, none that only looks like one', () => {
    for (const code of ['EUR', 'HUF', 'XCG', 'ZWG', 'CLF', 'UYW', 'XAD'])
      expect([code, currencies.includes(code)]).toEqual([code, true]);
    for (const code of ['HRK', 'ANG', 'ZWL', 'XAU', 'XDR', 'XXX', 'XTS', 'ZZZ', 'eur', '', 'constructor']) {
      expect([code, currencies.includes(code)]).toEqual([code, false]);
    }
    expect(digitsOf('HRK')).toBe(2);
  });

  it.each([
    ['12.5', 'EUR', 1_250],
    ['12', 'EUR', 1_200],
    ['0.01', 'EUR', 1],
    ['12', 'JPY', 12],
    ['1.5', 'KWD', 1_500],
    ['12.345', 'EUR', undefined],
    ['12.0', 'JPY', undefined],
    ['12,50', 'EUR', undefined],
    ['1e3', 'EUR', undefined],
    ['-1', 'EUR', undefined],
    ['.5', 'EUR', undefined],
    ['5.', 'EUR', undefined],
    ['', 'EUR', undefined],
    ['999999999999999', 'EUR', undefined],
  ])('M7: %j in %s is read as %p', (text, currency, amountMinor) => {
    expect(fromDecimal(text, currency)).toBe(amountMinor);
  });
});
