/**
 * Stripe by its own package: the calls that payments need, what a failed one means, and the signature of its webhooks.
 *
 * Invariant: a call is one request. The package would repeat it by itself, beyond the caller's deadline; so it is told not to,
 * and sends by `fetch`, whose time limit covers the whole exchange and which repeats nothing.
 */
import Stripe from 'stripe';
import { unconnectedCode } from '#platform/resilience/unconnected.ts';
import { type SignedMessage, webhookToleranceMs } from '#platform/security/webhook-signature.ts';

/** The part of Stripe's API that is used. */
export type StripeApi = Pick<Stripe, 'paymentIntents' | 'refunds'>;

/** The API at this address; nothing is called yet. Its user name is the API key, its query is not Stripe's. */
export function openStripe(address: URL): StripeApi {
  return new Stripe(decodeURIComponent(address.username), {
    protocol: address.protocol === 'http:' ? 'http' : 'https',
    host: address.hostname,
    port: address.port,
    maxNetworkRetries: 0,
    telemetry: false,
    httpClient: Stripe.createFetchHttpClient((url, init) => fetch(url, { ...init, redirect: 'error' })),
  });
}

/** What it means that a call has failed. */
export type StripeFailure =
  /** Nothing was done: Stripe was not reached, or is too busy to try. */
  | { readonly kind: 'unsent'; readonly reason: string }
  /** Stripe has answered that it does not do this. */
  | {
      readonly kind: 'answered';
      readonly reason: string;
      readonly status: number;
      /** Why, as a code of Stripe's. */
      readonly code: string | undefined;
      /** What the bank of the card says, as a code of Stripe's. */
      readonly declineCode: string | undefined;
      /** The Idempotency-Key was used with another request, or is in use at this moment: it is not about this request. */
      readonly isAboutKey: boolean;
    }
  /** There was no usable answer: whether anything was done is unknown. */
  | { readonly kind: 'unanswered'; readonly reason: string };

/** What an error of a call means. */
export function stripeFailure(error: unknown): StripeFailure {
  const reason = error instanceof Error ? error.message : String(error);
  if (!(error instanceof Stripe.errors.StripeError)) return { kind: 'unanswered', reason };
  if (error instanceof Stripe.errors.StripeRateLimitError) {
    return { kind: 'unsent', reason: 'the provider is too busy' };
  }
  const unconnected = unconnectedCode(error.detail);
  if (unconnected) return { kind: 'unsent', reason: `no connection to the provider: ${unconnected}` };
  const { statusCode: status, code, decline_code: declineCode } = error;
  if (status === undefined || status < 400 || status >= 500) return { kind: 'unanswered', reason };
  const isAboutKey = error instanceof Stripe.errors.StripeIdempotencyError || status === 409;
  const told = { status, code: code || undefined, declineCode: declineCode || undefined };
  return { kind: 'answered', reason: `the provider answered ${status}`, ...told, isAboutKey };
}

/**
 * The event of a webhook that Stripe has signed with one of the secrets, not longer ago than the tolerance; undefined if it has
 * not. `secrets` holds one, or several separated by whitespace while one is replaced. What is signed and no event is null.
 */
export function stripeEvent(secrets: string, { headers, rawBody }: SignedMessage, nowMs: number): unknown {
  const signature = headers['stripe-signature'] ?? '';
  for (const secret of secrets.split(/\s+/).filter(Boolean)) {
    try {
      const toleranceSeconds = webhookToleranceMs / 1000;
      return Stripe.webhooks.constructEvent(rawBody, signature, secret, toleranceSeconds, undefined, nowMs);
    } catch (error) {
      // Every other error comes after the signature: it is no JSON, or an event of a form that has no payments.
      if (!(error instanceof Stripe.errors.StripeSignatureVerificationError)) return null;
    }
  }
  return undefined;
}
