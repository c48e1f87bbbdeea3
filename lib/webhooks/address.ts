/**
 * Which addresses an endpoint may have. What a name leads to is checked again at every connection, as it may change; this
 * refuses what can never be called.
 */
import { isIP } from 'node:net';
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { loopbackName } from '#platform/kernel/registry.ts';
import { isLoopbackAddress, isPublicAddress } from '#platform/security/public-address.ts';

/** Names that lead to no place outside, on any name server. */
const insideNames = /(^|\.)(localhost|local|internal|home\.arpa|onion)$/;
/** What the domain name system has no name for (RFC 1035, section 2.3.4). */
const isTooLong = (host: string) => host.length > 253 || host.split('.').some((label) => label.length > 63);

/** Whether webhooks may go to this machine: in the local stack alone. */
export function allowsLoopback({ registry }: Needs<'registry'>): boolean {
  return registry[loopbackName] !== undefined;
}

/** The address as it is kept, or a refusal: HTTPS on its usual port, to a public name or address, without user and fragment. */
export function checkAddress(deps: Needs<'registry'>, text: string): string | Refusal {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const problem = url ? problemOf(url, allowsLoopback(deps)) : 'must be an absolute URL';
  if (url && problem === undefined) return url.href;
  const fields = [{ field: 'url', message: problem ?? '' }];
  return refuse('unprocessable', `The address cannot get webhooks: url: it ${problem}.`, { fields });
}

function problemOf(url: URL, loopback: boolean): string | undefined {
  if (url.username !== '' || url.password !== '') return 'must not name a user or a password';
  if (url.hash !== '') return 'must not have a fragment';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const isHere = host === 'localhost' || isLoopbackAddress(host);
  if (loopback && isHere && /^https?:$/.test(url.protocol)) return undefined;
  if (url.protocol !== 'https:') return 'must begin with https://';
  if (url.port !== '') return 'must use the port of HTTPS, 443';
  // With a dot at its end a name is the same name, spelled to the root.
  const name = host.replace(/\.$/, '');
  const isInside = insideNames.test(name) || !name.includes('.') || isTooLong(name);
  if (isIP(host) !== 0 ? !isPublicAddress(host) : isInside) {
    return 'must lead to a host of the public internet';
  }
  return undefined;
}
