/**
 * The web server of the shop page and the operator console: the files of `web/`, and `/config.json` with the addresses
 * of the APIs, which the pages read.
 *
 * Invariant: it serves only the files that existed at start, by their exact path. Started by `npm start`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';
import { serveHttp } from './service/http.ts';
import { projectRoot } from './state-folder.ts';

/** The content of `/config.json`. */
export interface WebConfig {
  /** Base address of the HTTP API. */
  api: string;
  /** Address of the WebSocket API. */
  websocket: string;
  /** Address of the API documentation. */
  docs?: string;
  /** The digits of the minor units of currencies that have other than two (ISO 4217). */
  minorDigits?: Readonly<Record<string, number>>;
  /** Payment tokens of the sandbox provider, each with its effect. */
  payments?: { token: string; label: string }[];
}

/** A selection of the tokens in provider/tokens.ts. */
export const sandboxPayments = [
  { token: 'tok_approve', label: 'A card that is accepted' },
  { token: 'tok_decline', label: 'A card that is declined' },
  { token: 'tok_action', label: 'A card that the bank wants confirmed' },
  { token: 'tok_slow', label: 'A bank that takes its time' },
  { token: 'tok_flaky_2', label: 'A bank that fails twice first' },
  { token: 'tok_charged_timeout', label: 'A bank that charges and does not answer' },
];

const contentTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Starts the server on 127.0.0.1; rejects if the port is taken. */
export async function startWeb(options: {
  port: number;
  config: WebConfig;
  dir?: string;
}): Promise<{ url: string; port: number; stop(): Promise<void> }> {
  const { config, dir = join(projectRoot, 'web') } = options;
  const files = readPages(dir);
  const headers = {
    'cache-control': 'no-cache',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'content-security-policy': [
      "default-src 'self'",
      `connect-src 'self' ${new URL(config.api).origin} ${new URL(config.websocket).origin}`,
      "img-src 'self' data:",
      "base-uri 'none'",
      "frame-ancestors 'none'",
      "form-action 'none'",
    ].join('; '),
  };

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    const file =
      path === '/config.json'
        ? { body: Buffer.from(JSON.stringify(config)), type: 'application/json' }
        : files.get(path === '/' ? '/index.html' : path);
    const status = request.method !== 'GET' && request.method !== 'HEAD' ? 405 : file ? 200 : 404;
    response.writeHead(status, { ...headers, 'content-type': status === 200 ? file?.type : 'text/plain' });
    response.end(request.method === 'HEAD' ? undefined : status === 200 ? file?.body : 'There is no such page.\n');
  }

  const http = await serveHttp(answer, options.port);
  return { url: http.url, port: http.port, stop: http.close };
}

function readPages(dir: string): Map<string, { body: Buffer; type: string }> {
  const pages = new Map<string, { body: Buffer; type: string }>();
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    const type = contentTypes[extname(entry.name)];
    if (!entry.isFile() || !type || entry.name.includes('.test.')) continue;
    const file = join(entry.parentPath, entry.name);
    pages.set(`/${relative(dir, file).split(sep).join('/')}`, { body: readFileSync(file), type });
  }
  return pages;
}
