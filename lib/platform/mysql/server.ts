/**
 * The server that a URL names, and how its identity is checked: a connection over TLS is made only to a server whose
 * certificate a trusted authority has signed **for the name that was asked for**. A driver that checks the chain alone would
 * give the password to any server with a certificate.
 */
import type { ConnectionOptions } from 'mysql2/promise';

/** Certificates of authorities by a name that stands for them in a URL (`?ssl=Amazon%20RDS`). */
export type Authorities = Readonly<Record<string, string[]>>;

/** What the driver needs to connect. The server's certificate and its name are always verified; a URL cannot turn that off. */
export function serverOf(url: string, authorities: Authorities = {}): ConnectionOptions {
  const asked = new URL(url).searchParams.get('ssl');
  if (asked === null) return { uri: url };
  const ca = authorities[asked];
  const settings = ca === undefined ? settingsIn(asked) : { ca };
  return {
    uri: url,
    ssl: { minVersion: 'TLSv1.2', ...settings, rejectUnauthorized: true, verifyIdentity: true },
  };
}

function settingsIn(text: string): object {
  const settings: unknown = text.startsWith('{') ? JSON.parse(text) : undefined;
  if (typeof settings === 'object' && settings !== null) return settings;
  throw new Error('ssl= must name authorities that are known here, or be an object of settings');
}
