/** Node's HTTP server with the requests and answers of the web, as far as an example needs it. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';

const bodyAtMostBytes = 65_536;

/** A body that is larger than anything that is expected here. */
export class TooLarge extends Error {}

/** Listens on 127.0.0.1. */
export function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve());
  });
}

/** What ends a server, with the connections that browsers keep open. */
export const closer = (server: Server) => () =>
  new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });

async function readBody(request: IncomingMessage): Promise<string> {
  if (!(Number(request.headers['content-length'] ?? 0) <= bodyAtMostBytes)) throw new TooLarge();
  if (request.headers['transfer-encoding'] !== undefined) throw new TooLarge();
  return text(request);
}

/** The fields of a form. */
export const readForm = async (request: IncomingMessage) => new URLSearchParams(await readBody(request));

/** A request of Node as one of the web. */
export async function requestOf(incoming: IncomingMessage, base: string): Promise<Request> {
  const { method = 'GET', url = '/', headers: given } = incoming;
  const headers = new Headers();
  for (const [name, value] of Object.entries(given)) if (typeof value === 'string') headers.set(name, value);
  const body = method === 'GET' || method === 'HEAD' ? null : await readBody(incoming);
  return new Request(new URL(url, base), { method, headers, body: body || null });
}

/** Sends an answer of the web by Node. */
export async function send(answer: Response, response: ServerResponse): Promise<void> {
  const cookies = answer.headers.getSetCookie();
  response.writeHead(answer.status, {
    ...Object.fromEntries([...answer.headers].filter(([name]) => name !== 'set-cookie')),
    ...(cookies.length > 0 ? { 'set-cookie': cookies } : {}),
  });
  response.end(Buffer.from(await answer.arrayBuffer()));
}

/** The value of a cookie. */
export function cookieOf(request: Request, name: string): string | undefined {
  const all = (request.headers.get('cookie') ?? '').split('; ');
  return all.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);
}
