/**
 * The web server of the shop and the operator console: the built pages of `web/`, `/config.json` with the addresses of the
 * APIs, which the pages read, and for each sale its page with a preview for sharing and its picture.
 *
 * Invariant: it serves only the files that were built at start, by their exact path. Started by `npm start`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { localeFrom } from '#platform/kernel/reader.ts';
import { buildPages, type PageFile } from '#web/build.ts';
import { coverPng } from '#web/cover-png.ts';
import { codeQuery, type Previewed, previewedPage } from '#web/preview.ts';
import { serveHttp } from './service/http.ts';

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
  /** Whether customers may open accounts here; so they may if nothing is said. */
  ownAccounts?: boolean;
  /** Payment tokens of the sandbox provider, each with its effect. */
  payments?: { token: string; label: string }[];
}

/** A selection of the tokens in provider/tokens.ts. The pages have words for them in each language. */
export const sandboxPayments = [
  { token: 'tok_approve', label: 'A card that is accepted' },
  { token: 'tok_decline', label: 'A card that is declined' },
  { token: 'tok_action', label: 'A card that the bank wants confirmed' },
  { token: 'tok_slow', label: 'A bank that takes its time' },
  { token: 'tok_flaky_2', label: 'A bank that fails twice first' },
  { token: 'tok_charged_timeout', label: 'A bank that charges and does not answer' },
];

/** How long the page of a sale waits for what its preview says; without it, the page comes with the shop's own. */
const previewMs = 1_500;
const salePath = /^\/sales\/([0-9a-f-]{36})(\.png)?$/;
/** Paths that the shop's page itself takes apart. */
const shopPaths = new Set(['/', '/settings']);

/** Starts the server on 127.0.0.1; rejects if the port is taken. */
export async function startWeb(options: {
  port: number;
  config: WebConfig;
}): Promise<{ url: string; port: number; stop(): Promise<void> }> {
  const { config } = options;
  const files = await buildPages();
  const common = {
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    vary: 'accept-encoding, accept-language',
    'content-security-policy': [
      "default-src 'self'",
      `connect-src 'self' ${new URL(config.api).origin} ${new URL(config.websocket).origin}`,
      "img-src 'self' data:",
      "base-uri 'none'",
      "frame-ancestors 'none'",
      "form-action 'none'",
    ].join('; '),
  };

  function send(request: IncomingMessage, response: ServerResponse, file: PageFile, more: object = {}): void {
    const zipped = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '') && file.gzip.length > 0;
    const body = zipped ? file.gzip : file.body;
    response.writeHead(200, {
      ...common,
      'content-type': file.type,
      'content-length': body.length,
      'cache-control': file.immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
      ...(zipped ? { 'content-encoding': 'gzip' } : {}),
      ...more,
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  function refuse(response: ServerResponse, status: number, text: string): void {
    response.writeHead(status, { ...common, 'content-type': 'text/plain' });
    response.end(text);
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = '/', query = ''] = (request.url ?? '/').split('?', 2);
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(response, 405, 'This only reads.\n');
    if (path === '/config.json') return send(request, response, fresh(JSON.stringify(config), 'application/json'));
    const [, saleId, picture] = salePath.exec(path) ?? [];
    if (saleId && picture) return send(request, response, { ...fresh(coverPng(saleId), 'image/png'), immutable: true });
    const file = files.get(saleId || shopPaths.has(path) ? '/index.html' : path);
    if (!file) return refuse(response, 404, 'There is no such page.\n');
    // A module of another page is loaded only where it says that it may be.
    if (path.startsWith('/embed/')) return send(request, response, file, { 'access-control-allow-origin': '*' });
    if (!saleId) return send(request, response, file);
    const origin = `http://${request.headers.host ?? 'localhost'}`;
    const code = new URLSearchParams(query).get('code') ?? undefined;
    const sale = await readSale(config.api, saleId, code);
    const locale = localeFrom(request.headers['accept-language']) ?? 'en';
    if (!sale) return send(request, response, file);
    send(request, response, fresh(await previewedPage(file.body.toString(), sale, origin, locale, code), file.type));
  }

  const http = await serveHttp((request, response) => {
    answer(request, response).catch(() => refuse(response, 500, 'Something went wrong.\n'));
  }, options.port);
  return { url: http.url, port: http.port, stop: http.close };
}

/** What was made for this request, as a file. */
function fresh(content: string | Buffer, type: string): PageFile {
  return { body: Buffer.from(content), gzip: Buffer.alloc(0), type, immutable: false };
}

/** What the preview of a sale says; undefined if there is no such sale, or nobody answers in time. */
async function readSale(api: string, saleId: string, code: string | undefined): Promise<Previewed | undefined> {
  try {
    const response = await fetch(`${api}/sales/${saleId}${codeQuery(code)}`, {
      signal: AbortSignal.timeout(previewMs),
    });
    return response.ok ? ((await response.json()) as Previewed) : undefined;
  } catch {
    return undefined;
  }
}
