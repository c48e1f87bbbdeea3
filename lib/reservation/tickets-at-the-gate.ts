/**
 * Tickets that the gate gave to requests whose messages do not carry them: a request was repeated while Redis did not answer, or
 * the gate's answer came too late. The message that is decided first stands, so without this a customer could lose the place
 * that the gate had given.
 */
import type { MirroredStatus } from '#mirror/claims.ts';
import { readMirroredStatus } from '#mirror/mirror.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { warnUnlessOutage } from '#platform/redis/outage-log.ts';
import type { Claim } from './decide.ts';

/** So many are looked for in one round trip. */
const claimsPerCall = 100;

/**
 * The claims, those that did not pass the gate with the ticket that Redis has for them, if it is an earlier one. If Redis does
 * not answer, the others stay as they are: decisions do not depend on it.
 */
export async function withTicketsOfTheGate(
  deps: Needs<'redis' | 'once'>,
  claims: readonly Claim[],
): Promise<readonly Claim[]> {
  const found = new Map<Claim, number>();
  const ungated = claims.filter((claim) => !claim.gated);
  if (ungated.length === 0) return claims;
  try {
    for (let start = 0; start < ungated.length; start += claimsPerCall) {
      const look = async (claim: Claim) => {
        const status = await readMirroredStatus(deps, claim.reservationId, claim.customerId);
        if (status && isOf(claim, status)) found.set(claim, status.ticket);
      };
      await Promise.all(ungated.slice(start, start + claimsPerCall).map(look));
    }
  } catch (error) {
    warnUnlessOutage(error, 'deciding without the tickets of the gate', { claims: ungated.length });
  }
  return claims.map((claim) => {
    const ticket = found.get(claim);
    return ticket === undefined ? claim : { ...claim, ...asTicketed(ticket) };
  });
}

/** Whether a claim in Redis is this request's, and older. Of two bodies under one key each has its own time. */
function isOf(claim: Claim, { quantity, atLeast, ticket }: MirroredStatus): boolean {
  return quantity === claim.quantity && atLeast === claim.atLeast && ticket < claim.ticket;
}

/** What a ticket says of a request. */
export function asTicketed(ticket: number): Pick<Claim, 'ticket' | 'acceptedAtMs' | 'gated'> {
  return { ticket, acceptedAtMs: Math.floor(ticket / 1_000), gated: true };
}
