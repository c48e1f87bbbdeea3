/** The payment providers of this environment, by their names. Each is opened when it is first used. */

import type { Needs } from '#platform/environment/deps.ts';
import type { ProviderName } from '#platform/payments/provider-names.ts';
import { paymentGateway } from './payment-gateway.ts';
import type { PaymentProvider } from './provider.ts';
import { stripePayments } from './stripe-payments.ts';
import { tossPayments } from './toss-payments.ts';

/** The provider with this name. Throws if this environment has none. */
export function providerNamed(deps: Needs<'once'>, name: ProviderName): PaymentProvider {
  switch (name) {
    case 'sandbox':
      return deps.once(paymentGateway);
    case 'stripe':
      return deps.once(stripePayments);
    case 'toss':
      return deps.once(tossPayments);
  }
}
