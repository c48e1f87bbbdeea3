/**
 * How many times one network address, or one account, may try to register or sign in.
 *
 * Each attempt takes from two token buckets: that of the network address, against a flood from one place, and that of
 * the account, against guessing from many places. A stack sets its own values under `limit/<name>`; a load test from one
 * machine needs larger ones.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { type Rate, rateOf, takeTokens } from '#platform/redis/rate-limit.ts';

/** The strict default rates, if the stack sets none. Customers of one mobile network may share an address. */
const strict = {
  'register-address': { burst: 10, perMinute: 10 },
  'login-address': { burst: 30, perMinute: 30 },
  'login-account': { burst: 10, perMinute: 5 },
} as const satisfies Record<string, Rate>;

/** Takes from the buckets of an attempt to register. */
export function limitRegistration(deps: Needs<'redis' | 'registry'>, address: string) {
  return limit(deps, { 'register-address': networkOf(address) });
}

/** Takes from the buckets of an attempt to sign in, whether or not the account exists. */
export function limitLogin(deps: Needs<'redis' | 'registry'>, address: string, email: string) {
  return limit(deps, { 'login-address': networkOf(address), 'login-account': email });
}

async function limit(
  { redis, registry }: Needs<'redis' | 'registry'>,
  callers: Partial<Record<keyof typeof strict, string>>,
): Promise<Refusal | undefined> {
  const buckets = Object.entries(callers).map(([what, who]) => ({
    what,
    who,
    rate: rateOf(registry, what, strict[what as keyof typeof strict]),
  }));
  const retryAfterSeconds = await takeTokens(redis, buckets);
  return retryAfterSeconds === undefined
    ? undefined
    : refuse('too_many_requests', `Too many attempts. Try again in ${retryAfterSeconds} s.`, { retryAfterSeconds });
}

/** The network that is limited as one: an IPv4 address, or the first 64 bits of an IPv6 address. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.toLowerCase().split('%', 1)[0]?.split('::') ?? [];
  const groups = head === '' ? [] : head.split(':');
  const after = tail ? tail.split(':') : [];
  const zeros = tail === undefined ? 0 : 8 - groups.length - after.length;
  const whole = [...groups, ...Array<string>(Math.max(0, zeros)).fill('0'), ...after];
  return `${whole
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}
