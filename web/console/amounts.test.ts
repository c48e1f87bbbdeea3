import { maxAmountMinor } from '#platform/kernel/shapes.ts';
import { amountOf, largestMinor } from './amounts.ts';

test.each([
  ['49.99', 'EUR', 4_999],
  ['€49.99', 'EUR', 4_999],
  ['49,99', 'EUR', 4_999],
  ['1,234.5', 'USD', 123_450],
  ['1.234,50', 'EUR', 123_450],
  ['189,000', 'KRW', 189_000],
  ['₩189,000', 'KRW', 189_000],
  ['189000원', 'KRW', 189_000],
  ['189,000.00', 'KRW', 189_000],
  ['12 345', 'JPY', 12_345],
  ['1.234', 'KWD', 1_234],
  ['1,234', 'EUR', 123_400],
  ['EUR 5', 'EUR', 500],
])('%s %s is %i minor units', (text, currency, amountMinor) => {
  expect(amountOf(text, currency)).toEqual({ amountMinor });
});

test.each([
  ['', 'EUR', 'missing'],
  ['€', 'EUR', 'missing'],
  ['49.999', 'EUR', 'digits'],
  ['189.5', 'KRW', 'digits'],
  ['0', 'EUR', 'zero'],
  ['-5', 'EUR', 'badNumber'],
  ['1,23,4', 'EUR', 'badNumber'],
  ['1.2.3', 'EUR', 'badNumber'],
  ['five', 'EUR', 'badNumber'],
  ['9999999999999', 'EUR', 'tooLarge'],
  ['5', 'EUX', 'currency'],
])('%s %s is refused: %s', (text, currency, problem) => {
  expect(amountOf(text, currency)).toEqual({ problem });
});

test('the largest price is that of the API', () => {
  expect(largestMinor).toBe(maxAmountMinor);
});
