/**
 * HTTP helpers of the local services: listen on loopback, read a bounded body, answer JSON, stop at once.
 *
 * Invariant: a body larger than its limit is refused without being kept in memory. Called by the local bus, the payment
 * provider and the web server.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request body that exceeds the limit given to `readBody`. */
export class BodyTooLarge extends Error {
  constructor(limitBytes: number) {
    super(`The request body is larger than ${limitBytes} bytes.`);
    this.name = 'BodyTooLarge';
  }
}

/** Reads the whole body as UTF-8 text. Rejects with BodyTooLarge beyond `limitBytes`; the rest is then discarded. */
export function readBody(request: IncomingMessage, limitBytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    request.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes <= limitBytes) chunks.push(chunk);
      else chunks.length = 0;
    });
    request.on('end', () => {
      if (sizeBytes > limitBytes) reject(new BodyTooLarge(limitBytes));
      else resolve(Buffer.concat(chunks).toString('utf8'));
    });
    request.on('error', reject);
    request.on('close', () => {
      if (!request.complete) reject(new Error('The client closed the connection before the body was complete.'));
    });
  });
}

/** Answers with JSON and its exact length. Does nothing if the client has gone. */
export function sendJson(response: ServerResponse, status: number, body: unknown, contentType = 'application/json') {
  if (response.destroyed || response.writableEnded) return;
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

export interface RunningHttp {
  /** Base address without a trailing slash. */
  url: string;
  port: number;
  /** Stops listening and closes every connection, also those that wait for an answer. */
  close(): Promise<void>;
}

/**
 * Serves `handle` on 127.0.0.1. Port 0 takes any free port. Rejects when the port cannot be had, so that a busy port
 * is one clear error at start. `handle` must answer its own errors.
 */
export async function serveHttp(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  port: number,
): Promise<RunningHttp> {
  const server: Server = createServer({ keepAliveTimeout: 60_000 }, handle);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
