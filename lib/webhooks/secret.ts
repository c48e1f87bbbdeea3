/**
 * The secrets of endpoints. Each follows from a key of ours, the endpoint's id and a number that rises when it is replaced, so
 * that no table, no backup and no kept answer holds one.
 */
import type { Needs } from '#platform/environment/deps.ts';
import { locate } from '#platform/kernel/registry.ts';
import { secretOf } from '#platform/security/webhook-signature.ts';
import type { Endpoint } from './endpoint.store.ts';

type SecretOwner = Pick<Endpoint, 'endpointId' | 'secretNumber'>;

/** The secret that an endpoint has now. */
export function currentSecret({ registry }: Needs<'registry'>, { endpointId, secretNumber }: SecretOwner): string {
  return secretOf(locate(registry, 'secret/webhook-key'), `${endpointId} ${secretNumber}`);
}

/** The secrets that sign a message now: the current one and, while its receiver is being changed, the one before. */
export function signingSecrets(
  deps: Needs<'registry'>,
  endpoint: SecretOwner & Pick<Endpoint, 'overlapUntilMs'>,
  nowMs: number,
): string[] {
  const before = { ...endpoint, secretNumber: endpoint.secretNumber - 1 };
  const isReplacing = before.secretNumber > 0 && nowMs < endpoint.overlapUntilMs;
  return [endpoint, ...(isReplacing ? [before] : [])].map((one) => currentSecret(deps, one));
}
