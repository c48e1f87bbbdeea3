/**
 * The web server of the shop and the operator console: the built pages of `web/`, `/config.json` with the addresses of the
 * APIs, which the pages read, for each sale its page with a preview for sharing and its
 * picture, and the pictures of products, from their bucket.
 *
 * Invariant: it serves only the files that were built at start, by their exact path, and what the bucket shows. Started by `npm start`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { buildPages, type PageFile } from '#web/build.ts';
import { coverPng } from '#web/cover-png.ts';
import { pageHeaders } from '#web/headers.ts';
import { shopPaths } from '#web/paths.ts';
import { codeQuery, type Previewed, salePage } from '#web/preview.ts';
import type { Product, SaleView } from '#web/types.ts';
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
const picturePath = /^\/pictures\/[0-9a-f-]{36}\.(jpg|png|webp)$/;
const salePath = /^\/sales\/([0-9a-f-]{36})(\.png)?$/;

/** Starts the server on 127.0.0.1; rejects if the port is taken. */
export async function startWeb(options: {
  port: number;
  config: WebConfig;
  /** The address of the bucket of pictures, as it is registered. */
  pictures?: string | undefined;
}): Promise<{ url: string; port: number; stop(): Promise<void> }> {
  const { config } = options;
  const pictures = options.pictures?.split('?')[0];
  const files = await buildPages();
  const common = {
    ...pageHeaders({
      connect: [config.api, config.websocket, ...(pictures ? [pictures] : [])].map(
        (address) => new URL(address).origin,
      ),
    }),
    vary: 'accept-encoding, accept-language',
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

  /** Hands on a picture as the bucket has it. */
  async function sendPicture(request: IncomingMessage, response: ServerResponse, address: string): Promise<void> {
    const found = await fetch(address);
    if (!found.ok) return refuse(response, 404, 'There is no such picture.\n');
    const body = Buffer.from(await found.arrayBuffer());
    response.writeHead(200, {
      ...common,
      'content-type': found.headers.get('content-type') ?? '',
      'content-length': body.length,
      'cache-control': found.headers.get('cache-control') ?? '',
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
    if (pictures && picturePath.test(path)) return sendPicture(request, response, pictures + path);
    const file = files.get(saleId || shopPaths.includes(path) ? '/index.html' : path);
    if (!file) return refuse(response, 404, 'There is no such page.\n');
    // A module of another page is loaded only where it says that it may be.
    if (path.startsWith('/embed/')) return send(request, response, file, { 'access-control-allow-origin': '*' });
    if (!saleId) return send(request, response, file);
    const origin = `http://${request.headers.host ?? 'localhost'}`;
    const code = new URLSearchParams(query).get('code') ?? undefined;
    const page = await salePage({
      shell: file.body.toString(),
      origin,
      languages: request.headers['accept-language'],
      code,
      read: () => readSale(config.api, saleId, code),
    });
    send(request, response, fresh(page.html, file.type));
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

/** What the preview of a sale says; undefined if there is no such sale. Throws if nobody answers in time. */
async function readSale(api: string, saleId: string, code: string | undefined): Promise<Previewed | undefined> {
  const signal = AbortSignal.timeout(previewMs);
  const response = await fetch(`${api}/sales/${saleId}${codeQuery(code)}`, { signal });
  if (!response.ok) return undefined;
  const sale = (await response.json()) as SaleView;
  const product = (await (await fetch(`${api}/products/${sale.productId}`, { signal })).json()) as Partial<Product>;
  return { ...sale, picture: product.pictures?.[0] };
}
