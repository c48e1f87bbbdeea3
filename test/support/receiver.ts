/**
 * A receiver of webhooks on loopback: a real server over HTTP or HTTPS that keeps what it gets and answers as it is told.
 */
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import tls from 'node:tls';

/** A webhook as it arrived. */
export interface Received {
  readonly id: string;
  readonly headers: Record<string, string>;
  readonly rawBody: string;
  // What a body says is what the tests are about.
  // biome-ignore lint/suspicious/noExplicitAny: see above
  readonly body: any;
}

/** How one is answered; `hang` never answers, `drop` closes a connection that has served another before. */
export interface Reply {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly afterMs?: number;
  readonly hang?: boolean;
  readonly drop?: boolean;
}

export interface Receiver {
  readonly url: string;
  readonly port: number;
  readonly received: Received[];
  /** How many connections it got. */
  connections(): number;
  /** How many requests were open at once at most. */
  mostAtOnce(): number;
  /** From now on it answers like this. */
  answers(reply: Reply | ((received: Received, index: number) => Reply)): void;
  close(): Promise<void>;
}

/** Starts a receiver that answers 204. Over HTTPS its certificate is for localhost, 127.0.0.1 and hooks.example.com. */
export async function startReceiver(scheme: 'http' | 'https' = 'http'): Promise<Receiver> {
  const received: Received[] = [];
  const sockets = new Set<Socket>();
  const served = new WeakSet<Socket>();
  let connections = 0;
  let open = 0;
  let mostAtOnce = 0;
  let replyTo: (one: Received, index: number) => Reply = () => ({});
  const serve: http.RequestListener = async (request, response) => {
    open++;
    mostAtOnce = Math.max(mostAtOnce, open);
    response.on('close', () => open--);
    let rawBody = '';
    for await (const chunk of request) rawBody += chunk;
    const headers = request.headers as Record<string, string>;
    const one = { id: headers['webhook-id'] ?? '', headers, rawBody, body: JSON.parse(rawBody) };
    received.push(one);
    const { status = 204, headers: more = {}, afterMs = 0, hang, drop } = replyTo(one, received.length - 1);
    if (hang) return;
    if (drop && served.has(request.socket)) {
      request.socket.destroy();
      return;
    }
    served.add(request.socket);
    if (afterMs > 0) await new Promise((resolve) => setTimeout(resolve, afterMs));
    response.writeHead(status, more).end();
  };
  const server = scheme === 'https' ? https.createServer({ key, cert: certificate }, serve) : http.createServer(serve);
  server.on('connection', (socket: Socket) => {
    connections++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${scheme}://127.0.0.1:${port}/hooks`,
    port,
    received,
    connections: () => connections,
    mostAtOnce: () => mostAtOnce,
    answers(reply) {
      replyTo = typeof reply === 'function' ? reply : () => reply;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Makes this process trust the receivers' certificate. */
export function trustReceivers(): void {
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), certificate]);
}

/** Of tests alone: it is for loopback and an example, and was made for this file. */
const certificate = `-----BEGIN CERTIFICATE-----
MIIBzDCCAXKgAwIBAgIUUWZK8LFkMN7Nrj3dJ7wvWSkh4zIwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOSG9sZGZhc3QgdGVzdHMwIBcNMjYxMTI5MTU1MjQ1WhgPMjEy
NjExMDUxNTUyNDVaMBkxFzAVBgNVBAMMDkhvbGRmYXN0IHRlc3RzMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAErWNfV02z8+O1ilFa7h1SNv2ZQdMa5vxdazOWpS6S
h+CHL5uICQPNECgfRXd5XVuvKop9imEcb26jSaUQA8UxcKOBlTCBkjAdBgNVHQ4E
FgQUj1Gb7JWn9zasKF10wtjH4vt0lT0wHwYDVR0jBBgwFoAUj1Gb7JWn9zasKF10
wtjH4vt0lT0wPwYDVR0RBDgwNoIJbG9jYWxob3N0ghFob29rcy5leGFtcGxlLmNv
bYcEfwAAAYcQAAAAAAAAAAAAAAAAAAAAATAPBgNVHRMBAf8EBTADAQH/MAoGCCqG
SM49BAMCA0gAMEUCIQC8V/OCv9ZebtqkrMQszHzc85iv/bGrEbxvfbjUMJ7loAIg
EKGLCygh+utmpmAiq9Qe76QBA1Cn7LHRm2RZuiEHano=
-----END CERTIFICATE-----
`;
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgR7bZnjK+eRN6UOgx
3cSOwCxhXoWZaWrIG7gFeP/pbB+hRANCAAStY19XTbPz47WKUVruHVI2/ZlB0xrm
/F1rM5alLpKH4Icvm4gJA80QKB9Fd3ldW68qin2KYRxvbqNJpRADxTFw
-----END PRIVATE KEY-----
`;
