/**
 * Calls an address that others chose, without becoming their way into our own network (server-side request forgery, SSRF): posts
 * to the endpoints of clients, reads the keys of issuers.
 *
 * Invariant: no connection is opened to an address that is not public. The name is resolved by the connection itself, and the
 * addresses that are checked are the ones that it connects to, so an answer of DNS that changes in between changes nothing.
 * One address that is not public refuses them all. Redirects are not followed. Only where loopback is allowed, which no
 * account allows, it and plain HTTP to it are taken as well.
 */
import { Resolver } from 'node:dns/promises';
import http from 'node:http';
import https from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { isLoopbackAddress, isPublicAddress } from './public-address.ts';

/** Thrown instead of connecting: the address, or one of those that its name has, is not public. */
export class AddressNotPublic extends Error {
  constructor(host: string) {
    super(`${host} is not an address of the public internet`);
    this.name = 'AddressNotPublic';
  }
}

/** How names are resolved, for tests. */
export type Resolve = (hostname: string) => Promise<{ address: string; family: number }[]>;

export interface OutsideOptions {
  readonly loopback: boolean;
  readonly resolve?: Resolve;
}

export interface Outside {
  /**
   * Posts a body and resolves with the status of the answer; its body is ignored. Throws `AddressNotPublic`, an
   * error of the network, or an abort when `limitMs` is over.
   */
  post(url: URL, headers: Readonly<Record<string, string>>, body: string, limitMs: number): Promise<number>;
  /** Reads what is at an address. Throws the same, and for an answer that is no success or is larger than 64 KiB. */
  get(url: URL, limitMs: number): Promise<string>;
  /** Closes the connections that are kept open for the next call. */
  close(): void;
}

/** Of the body of an answer so much is read, so that its connection can be used again. */
const answerBytesAtMost = 65_536;

/** Connections to outside. Those that are open are used again for the same host, until they are closed. */
export function openOutside({ loopback, resolve = resolveAll }: OutsideOptions): Outside {
  const isAllowed = (address: string) => isPublicAddress(address) || (loopback && isLoopbackAddress(address));
  const lookup = guarded(resolve, isAllowed);
  const agents = {
    'https:': new https.Agent({ keepAlive: true }),
    'http:': new http.Agent({ keepAlive: true }),
  };
  const check = (url: URL) => {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    // An address needs no look-up, so the guard of look-ups does not see it.
    if (isIP(host) !== 0 && !isAllowed(host)) throw new AddressNotPublic(host);
    if (url.protocol !== 'https:' && !(loopback && url.protocol === 'http:')) throw new AddressNotPublic(url.protocol);
  };
  return {
    async post(url, headers, body, limitMs) {
      check(url);
      return exchange(url, { headers, lookup, signal: AbortSignal.timeout(limitMs) }, agents, body);
    },
    async get(url, limitMs) {
      check(url);
      return read(url, { lookup, signal: AbortSignal.timeout(limitMs), agent: false });
    },
    close() {
      agents['https:'].destroy();
      agents['http:'].destroy();
    },
  };
}

/** How long a name server is waited for, and how often it is asked. */
const nameServerLimits = { timeout: 1_500, tries: 2 };

/**
 * All addresses of a name. It asks name servers itself, not through the operating system: that is done by the few threads that
 * look up every name of this process, so a name whose server does not answer would hold up all other calls.
 */
const resolveAll: Resolve = async (hostname) => {
  if (/^localhost\.?$/i.test(hostname)) return [{ address: '127.0.0.1', family: 4 }];
  const resolver = new Resolver(nameServerLimits);
  const [v4, v6] = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
  if (v4.status === 'rejected' && v6.status === 'rejected') throw v4.reason;
  return [
    ...(v4.status === 'fulfilled' ? v4.value : []).map((address) => ({ address, family: 4 })),
    ...(v6.status === 'fulfilled' ? v6.value : []).map((address) => ({ address, family: 6 })),
  ];
};

/** The look-up of a connection: the addresses of a name, or an error if one of them is not allowed. */
function guarded(resolve: Resolve, isAllowed: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    const find = async () => {
      const addresses = await resolve(hostname);
      if (!addresses.every(({ address }) => isAllowed(address))) throw new AddressNotPublic(hostname);
      const [first] = addresses;
      if (!first) throw Object.assign(new Error(`${hostname} has no address`), { code: 'ENOTFOUND' });
      return { addresses, first };
    };
    find().then(
      ({ addresses, first }) => (options.all ? callback(null, addresses) : callback(null, first.address, first.family)),
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    );
  };
}

function exchange(
  url: URL,
  options: { headers: Readonly<Record<string, string>>; lookup: LookupFunction; signal: AbortSignal },
  agents: { 'https:': https.Agent; 'http:': http.Agent },
  body: string,
  isFresh = false,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const isPlain = url.protocol === 'http:';
    const send = isPlain ? http.request : https.request;
    const kept = isPlain ? agents['http:'] : agents['https:'];
    const agent = isFresh ? false : kept;
    const headers = { ...options.headers, 'content-length': String(Buffer.byteLength(body)) };
    const request = send(url, { ...options, headers, agent, method: 'POST' }, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > answerBytesAtMost) response.destroy();
      });
      // The status is known; what becomes of the body changes nothing.
      response.on('error', () => undefined);
      resolve(response.statusCode ?? 0);
    });
    request.on('error', (error: NodeJS.ErrnoException) => {
      // The other side had closed a kept connection, as it may while this environment stood still: that is no failure of it.
      const isStale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      if (isStale) resolve(exchange(url, options, agents, body, true));
      else reject(error);
    });
    request.end(body);
  });
}

/** Reads an answer of a bounded size, by a connection of its own. */
function read(url: URL, options: https.RequestOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'http:' ? http.request : https.request;
    const request = send(url, { ...options, headers: { accept: 'application/json' } }, (response) => {
      const status = response.statusCode ?? 0;
      const chunks: Buffer[] = [];
      let bytes = 0;
      const fail = (reason: string) => {
        reject(new Error(`${url.href} answered ${reason}`));
        request.destroy();
      };
      if (status < 200 || status > 299) fail(`with ${status}`);
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes > answerBytesAtMost) fail('with too much');
      });
      response.on('error', reject);
      response.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    });
    request.on('error', reject);
    request.end();
  });
}
