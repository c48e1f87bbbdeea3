/** The payment providers that there are, which of them a sale may name, and what each can take. */
import type { Registry } from '#platform/kernel/registry.ts';

/** The providers, by the names that sales and purchases have. */
export const providerNames = ['sandbox', 'stripe', 'toss'] as const;
export type ProviderName = (typeof providerNames)[number];

/**
 * The providers that a sale may name here. They are named beside the providers' own entries, which have their keys in them:
 * who creates a sale needs no key.
 */
export function providersToChoose(registry: Registry): readonly ProviderName[] {
  const written = (registry['provider/choices'] ?? 'sandbox').split(',').map((one) => one.trim());
  return providerNames.filter((name) => written.includes(name));
}

/** Whether a provider can charge in this currency. Pure. */
export function takesCurrency(name: ProviderName, currency: string): boolean {
  return name !== 'toss' || currency === 'KRW';
}
