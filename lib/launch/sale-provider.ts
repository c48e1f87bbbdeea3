/** The provider that a sale names: it must be in use here, and take the sale's currency. */
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { Registry } from '#platform/kernel/registry.ts';
import { type ProviderName, providersToChoose, takesCurrency } from '#platform/payments/provider-names.ts';

/** Why a sale cannot name this provider; undefined if it can. Pure. */
export function refuseProvider(
  registry: Registry,
  paymentProvider: ProviderName | null | undefined,
  currency: string,
): Refusal | undefined {
  if (!paymentProvider) return undefined;
  const inUse = providersToChoose(registry);
  if (!inUse.includes(paymentProvider)) {
    return refuse('unprocessable', `The payment provider ${paymentProvider} is not in use here.`, { paymentProvider });
  }
  if (!takesCurrency(paymentProvider, currency)) {
    const detail = `The payment provider ${paymentProvider} does not take ${currency}.`;
    return refuse('unprocessable', detail, { paymentProvider, currency });
  }
  return undefined;
}
