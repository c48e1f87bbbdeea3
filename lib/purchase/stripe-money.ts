/**
 * Amounts as Stripe writes them. It counts most currencies in the minor units of ISO 4217 (`money.ts`), a few in others; a price
 * that it cannot write is charged not at all instead of rounded.
 */
import { digitsOf } from '#platform/kernel/money.ts';

/**
 * The digits of an amount at Stripe, where they are not those of ISO 4217: króna and Ugandan shilling kept the two they had, and
 * the ariary, whose unit has fifths, has none.
 */
const stripeDigits: Readonly<Record<string, number>> = { ISK: 2, UGX: 2, MGA: 0 };

/** How many units of the smallest digit an amount must be a multiple of: with three digits, the last is 0. */
function stepOf(digits: number): number {
  return digits === 3 ? 10 : 1;
}

/** An amount in minor units as Stripe writes it; undefined if it cannot be charged there to the unit. */
export function toStripe(amountMinor: number, currency: string): number | undefined {
  const digits = stripeDigits[currency] ?? digitsOf(currency);
  const amount = shifted(amountMinor, digits - digitsOf(currency));
  return amount !== undefined && amount % stepOf(digits) === 0 ? amount : undefined;
}

/** An amount of Stripe's in minor units; undefined if it has a fraction of one. */
export function fromStripe(amount: number, currency: string): number | undefined {
  return shifted(amount, digitsOf(currency) - (stripeDigits[currency] ?? digitsOf(currency)));
}

/** An amount with so many digits more, or fewer; undefined if that is no whole number, or too large for one. */
function shifted(amount: number, digits: number): number | undefined {
  const made = digits < 0 ? amount / 10 ** -digits : amount * 10 ** digits;
  return Number.isSafeInteger(made) ? made : undefined;
}
