/**
 * Which payment provider charges a purchase. Several may be in use at once: a sale may name its own, otherwise it is chosen by
 * the currency, and the sandbox's protocol takes what no other does.
 *
 * Invariant: a purchase has one provider for good. What its sales name is written down when it is requested, and otherwise with
 * the first attempt, before the provider is called, so that every later question and refund goes where the money is, whatever is
 * configured then.
 */
import type { Registry } from '#platform/kernel/registry.ts';
import { type ProviderName, takesCurrency } from '#platform/payments/provider-names.ts';

/** The provider of a purchase that was attempted before purchases remembered theirs. */
export const firstProvider: ProviderName = 'sandbox';

/** The provider of new purchases in this currency, if their sales name none. Pure. */
export function providerFor(registry: Registry, currency: string): ProviderName {
  if (tossSettings(registry).currencies.includes(currency) && takesCurrency('toss', currency)) return 'toss';
  const { currencies } = stripeSettings(registry);
  return currencies.includes(currency) || currencies.includes('*') ? 'stripe' : 'sandbox';
}

/** The provider of a purchase: its own, or, before its first attempt, the one that is chosen now. Pure. */
export function providerOf(
  { provider, attempts, currency }: { provider: ProviderName | null; attempts: number; currency: string },
  registry: Registry,
): ProviderName {
  return provider ?? (attempts > 0 ? firstProvider : providerFor(registry, currency));
}

/** The breaker around Stripe, which all processes share. */
export const stripeBreaker = 'payments:stripe';

/** Where Stripe is, and what is charged there. */
export interface StripeSettings {
  /** Its address, with the API key as the user name; undefined if there is none. */
  readonly address: URL | undefined;
  /** The currencies that it charges; `*` is all of them. */
  readonly currencies: readonly string[];
  /** Where the customer is sent after an action. */
  readonly returnUrl: string | undefined;
}

/** Reads `https://KEY@api.stripe.com/?currencies=EUR,USD&return=URL` from the registry. */
export function stripeSettings(registry: Registry): StripeSettings {
  const written = registry['provider/stripe'];
  if (!written) return { address: undefined, currencies: [], returnUrl: undefined };
  const address = new URL(written);
  return { address, currencies: currenciesIn(address), returnUrl: address.searchParams.get('return') ?? undefined };
}

/** The breaker around Toss Payments, which all processes share. */
export const tossBreaker = 'payments:toss';

/** Where Toss Payments is, and what is charged there unless a sale names another provider. */
export interface TossSettings {
  /** Its address, with the secret key as the user name; undefined if there is none. */
  readonly address: URL | undefined;
  readonly currencies: readonly string[];
}

/** Reads `https://KEY@api.tosspayments.com/?currencies=KRW` from the registry. */
export function tossSettings(registry: Registry): TossSettings {
  const written = registry['provider/toss'];
  if (!written) return { address: undefined, currencies: [] };
  const address = new URL(written);
  return { address, currencies: currenciesIn(address) };
}

function currenciesIn(address: URL): string[] {
  const written = (address.searchParams.get('currencies') ?? '').split(',');
  return written.map((one) => one.trim()).filter(Boolean);
}
