/**
 * What the distribution in front of the API says of a call that it passes on. It proves itself with a key that only it and
 * the functions know, and tells in a header of its own who called. Anybody can send such headers to the API's own address, and
 * anybody can put a distribution of theirs in front of it, so without the key they are not read.
 */
import { timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';

/** The header of the key. The distribution sets it on each call, over what a caller sent under that name. */
export const edgeKeyHeader = 'holdfast-edge-key';
/** The header of the caller's address, which the distribution sets as well. */
export const edgeViewerHeader = 'holdfast-viewer';

/** The header of the host at which the distribution was called. It decides nothing: it stands in addresses that are answered. */
export const edgeHostHeader = 'holdfast-host';

/** Where the pages are seen, as the distribution says; empty for a call that came without it, so that addresses are relative. */
export function originAtEdge(headers: Readonly<Record<string, string | undefined>>): string {
  const host = headers[edgeHostHeader];
  return host !== undefined && /^[a-z0-9.-]{1,253}$/i.test(host) ? `https://${host}` : '';
}

/** The address of whoever called the distribution; undefined of a call that our distribution did not pass on. */
export function addressAtEdge(
  key: string | undefined,
  headers: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const { [edgeKeyHeader]: shown, [edgeViewerHeader]: viewer } = headers;
  if (!key || shown === undefined || viewer === undefined || !isSame(shown, key)) return undefined;
  return isIP(viewer) === 0 ? undefined : viewer;
}

function isSame(shown: string, key: string): boolean {
  const [one, other] = [Buffer.from(shown), Buffer.from(key)];
  return one.length === other.length && timingSafeEqual(one, other);
}
