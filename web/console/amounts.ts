/** Money as an operator types it: 49.99, 189,000, 49,99, with or without its sign. Pure. */
import { currencies, digitsOf, fromDecimal } from '#platform/kernel/money.ts';

export type AmountProblem = 'missing' | 'badNumber' | 'digits' | 'zero' | 'tooLarge' | 'currency';

/** The largest price that the API takes, in minor units. */
export const largestMinor = 100_000_000_000;

/**
 * The minor units of what was typed, or why there are none. A comma parts thousands, and a dot begins the fraction; a comma
 * that cannot part thousands begins the fraction as well, since half of the world writes so.
 */
export function amountOf(
  text: string,
  currency: string,
  most = largestMinor,
): { amountMinor: number } | { problem: AmountProblem } {
  if (!currencies.includes(currency)) return { problem: 'currency' };
  const typed = text
    .replaceAll(/[\s_'’]|\p{Sc}/gu, '')
    .replaceAll(new RegExp(currency, 'gi'), '')
    .replace(/원$/, '');
  if (typed === '') return { problem: 'missing' };
  const decimal = decimalOf(typed);
  if (decimal === undefined) return { problem: 'badNumber' };
  const fraction = decimal.split('.')[1] ?? '';
  if (fraction.replace(/0+$/, '').length > digitsOf(currency)) return { problem: 'digits' };
  const shortened = fraction.length > digitsOf(currency) ? decimal.replace(/\.?0+$/, '') : decimal;
  const amountMinor = fromDecimal(shortened, currency);
  if (amountMinor === undefined) return { problem: 'tooLarge' };
  if (amountMinor === 0) return { problem: 'zero' };
  return amountMinor > most ? { problem: 'tooLarge' } : { amountMinor };
}

/** The same number with a dot and nothing else between its digits. */
function decimalOf(typed: string): string | undefined {
  if (/^\d+(\.\d+)?$/.test(typed)) return typed;
  if (/^\d{1,3}(,\d{3})+(\.\d+)?$/.test(typed)) return typed.replaceAll(',', '');
  if (/^\d+,\d{1,2}$/.test(typed)) return typed.replace(',', '.');
  if (/^\d{1,3}(\.\d{3})+,\d+$/.test(typed)) return typed.replaceAll('.', '').replace(',', '.');
  return undefined;
}

/** How an amount is put into a field again: with a dot, and without thousands. */
export { toDecimal as typedAmount } from '#platform/kernel/money.ts';
