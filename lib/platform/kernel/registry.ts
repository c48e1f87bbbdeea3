/**
 * The registry: the address of every dependency (databases, queues, bus, APIs, payment providers, secrets) under a
 * logical name, such as `queue/reservations`. `environment/discovery.ts` says where it is read from.
 */

export type LogicalName =
  | 'mysql/main'
  | 'redis/main'
  | `queue/${string}`
  | `dead/${string}`
  | 'bus/main'
  | 'bucket/pictures'
  | 'api/public'
  | 'websocket/public'
  | 'websocket/management'
  | 'provider/payments'
  | 'provider/stripe'
  | 'provider/toss'
  | 'provider/choices'
  | `limit/${string}`
  | 'token/verification-key'
  | 'auth/customers'
  | 'secret/token-signing-key'
  | 'secret/receipt-key'
  | 'secret/guard-key'
  | 'secret/edge-key'
  | 'secret/payment-webhook'
  | 'secret/payment-api-key'
  | 'secret/stripe-webhook'
  | 'secret/webhook-key'
  | 'secret/mail-url';

/**
 * The name whose presence lets webhooks go to this machine, and issuers of tokens be on it. The local stack alone registers it; no
 * function in an account may look it up.
 */
export const loopbackName = 'local/webhooks-to-loopback';

/** Logical names and the addresses they stand for. */
export type Registry = Readonly<Record<string, string>>;

/** Thrown for a name that is not registered: a deployment error, found at cold start. */
export class NotRegistered extends Error {
  constructor(name: string) {
    super(`"${name}" is not registered; HOLDFAST_REGISTRY=${process.env.HOLDFAST_REGISTRY ?? '(unset)'}`);
    this.name = 'NotRegistered';
  }
}

/** The address registered under a logical name. Throws `NotRegistered` if there is none. */
export function locate(registry: Registry, name: LogicalName): string {
  const value = registry[name];
  if (value === undefined || value === '') throw new NotRegistered(name);
  return value;
}

/** All addresses registered under a name that may have several instances, such as payment providers. */
export function locateAll(registry: Registry, name: LogicalName): string[] {
  return locate(registry, name)
    .split(',')
    .map((address) => address.trim())
    .filter((address) => address !== '');
}
