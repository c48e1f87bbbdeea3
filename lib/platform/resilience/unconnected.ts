/** Connections that were never made: what was to be sent over one has certainly not arrived. */

const neverConnected = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Why the connection for a `fetch` was never made; undefined if it was, or if that is not known. */
export function unconnectedCode(error: unknown): string | undefined {
  const code = (error as { cause?: { code?: unknown } } | undefined)?.cause?.code;
  return typeof code === 'string' && neverConnected.has(code) ? code : undefined;
}
