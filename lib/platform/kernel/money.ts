/**
 * Money by ISO 4217: which currencies there are, how many digits their minor unit has, and amounts as people write them.
 *
 * One table for everything that shows, reads or passes on an amount. ICU's digits are made for cash and display (none for
 * the forint and the Iraqi dinar); as the value of a minor unit they are wrong by a factor.
 */

/** The currencies and fund codes of ISO 4217, list one, as of January 2026, less those that have no minor unit. */
const listOne = `AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
  CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD
  HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA
  MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB
  RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI
  UYU UYW UZS VED VES VND VUV WST XAD XAF XCD XCG XOF XPF YER ZAR ZMW ZWG`;

export const currencies = listOne.split(/\s+/);

/** The digits of the minor unit, where they are not two. */
export const minorDigits: Readonly<Record<string, number>> = {
  ...{ BIF: 0, CLP: 0, DJF: 0, GNF: 0, ISK: 0, JPY: 0, KMF: 0, KRW: 0, PYG: 0, RWF: 0, UGX: 0, UYI: 0, VND: 0, VUV: 0 },
  ...{ XAF: 0, XOF: 0, XPF: 0 },
  ...{ BHD: 3, IQD: 3, JOD: 3, KWD: 3, LYD: 3, OMR: 3, TND: 3 },
  ...{ CLF: 4, UYW: 4 },
};

/** An amount in the minor units of its currency, such as cents. */
export interface Amount {
  readonly amountMinor: number;
  readonly currency: string;
}

/** How many digits the minor unit of a currency has; two for a currency that has left the list. */
export function digitsOf(currency: string): number {
  return Object.hasOwn(minorDigits, currency) ? (minorDigits[currency] ?? 2) : 2;
}

/** An amount in major units, exact, with a dot: 1250 EUR is 12.50. Uses no floating point. */
export function toDecimal({ amountMinor, currency }: Amount): `${number}` {
  const digits = digitsOf(currency);
  const text = String(Math.abs(amountMinor)).padStart(digits + 1, '0');
  const whole = text.slice(0, text.length - digits);
  const decimal = digits === 0 ? whole : `${whole}.${text.slice(-digits)}`;
  return `${amountMinor < 0 ? '-' : ''}${decimal}` as `${number}`;
}

/**
 * The minor units of an amount that is written in major units with a dot, such as 12.5 or 1250. Undefined for text that is
 * no such number, or that has more digits than the currency.
 */
export function fromDecimal(text: string, currency: string): number | undefined {
  const [, whole, fraction = ''] = /^(\d{1,15})(?:\.(\d+))?$/.exec(text) ?? [];
  const digits = digitsOf(currency);
  if (whole === undefined || fraction.length > digits) return undefined;
  const amountMinor = Number(whole + fraction.padEnd(digits, '0'));
  return Number.isSafeInteger(amountMinor) ? amountMinor : undefined;
}

/** An amount as people who read this language write it, always with all digits of its minor unit. */
export function formatMoney(amount: Amount, locale: string): string {
  const digits = digitsOf(amount.currency);
  return new Intl.NumberFormat(locale, {
    style: 'currency',
    currency: amount.currency,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(toDecimal(amount));
}
