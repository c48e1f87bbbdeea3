/**
 * How often one address, or one account, may try to register or sign in.
 *
 * Two buckets are drawn from at once: that of the network address, against a flood from one place, and that of the
 * account, against guessing from many. A stack sets its own values under `limit/<name>`; a load test from one machine
 * needs larger ones.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { type Rate, rateOf, takeTokens } from '#platform/redis/rate-limit.ts';

/** The strict rates, for when the stack sets none. Many customers may share the address of one mobile network. */
const strict = {
  'register-address': { burst: 10, perMinute: 10 },
  'login-address': { burst: 30, perMinute: 30 },
  'login-account': { burst: 10, perMinute: 5 },
} as const satisfies Record<string, Rate>;

/** Draws from the buckets of an attempt to register. */
export function limitRegistration(deps: Needs<'redis' | 'registry'>, address: string) {
  return limit(deps, { 'register-address': networkOf(address) });
}

/** Draws from the buckets of an attempt to sign in, whether or not there is such an account. */
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

/** What one customer holds of the address space: an IPv4 address, or the first 64 bits of an IPv6 one. */
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
