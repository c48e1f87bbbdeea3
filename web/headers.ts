/**
 * The headers of every page and of what pages are made of, on this machine and in an account. Called by the local web server
 * and by what declares the distribution (infra/hosting.ts).
 */

/** From where a page takes what does not come from its own origin. */
export interface Elsewhere {
  /** Origins that scripts may call. */
  readonly connect?: readonly string[];
  /** Origins of pictures. */
  readonly images?: readonly string[];
}

/** What a page may load, run and call: what is ours, and nothing that stands in the page itself. */
export function contentSecurityPolicy({ connect = [], images = [] }: Elsewhere = {}): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    ["img-src 'self' data:", ...images].join(' '),
    ["connect-src 'self'", ...connect].join(' '),
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "form-action 'none'",
  ].join('; ');
}

/** The headers, by their names in lower case. */
export function pageHeaders(elsewhere: Elsewhere = {}) {
  return {
    'content-security-policy': contentSecurityPolicy(elsewhere),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  } as const;
}
