/**
 * The pages before an API that answers whatever a test wants: for states in which a real one is too rarely or too briefly, for
 * answers that overtake each other, and for sizes that would take long to make. Its answers have the types of the real one.
 */
import type { BrowserContextOptions, Page, WebSocketRoute } from 'playwright-core';
import { startWeb } from '#local/web.ts';
import { minorDigits } from '#platform/kernel/money.ts';
import type { Role } from '#platform/security/roles.ts';
import { startBrowser } from '../support/browser.ts';

/** An answer that is good, one that is a refusal with this status, or none for ever. */
export type Answer =
  | { readonly body: object }
  | { readonly status: number; readonly code: string; readonly more?: object }
  | 'never';
/** What a page has asked for. */
export interface Asked {
  readonly method: string;
  readonly body: unknown;
}
export const good = (body: object): Answer => ({ body });
export const emptyPage = { items: [], nextCursor: null };

export interface Pretended {
  readonly url: string;
  /** A browser in which somebody with a role is signed in, or nobody, before this API. It is not at a page yet. */
  open(options: PretendedOptions): Promise<{
    page: Page;
    /** Sends the page a message over its latest connection, once it has one. */
    push(message: object): Promise<void>;
  }>;
  /** A page of this size with nothing on it. */
  blank(viewport: { width: number; height: number }): Promise<Page>;
  close(): Promise<void>;
}

interface PretendedOptions extends BrowserContextOptions {
  readonly role: Role | 'nobody';
  /** Whether what is watched is confirmed and pings are answered; by default the socket is open and silent. */
  readonly isLive?: boolean;
  /** What the API answers; what is left undefined is an empty list. Who is signed in is known already. */
  answer(path: string, query: URLSearchParams, asked: Asked): Answer | Promise<Answer> | undefined;
}

const api = 'http://api.example.test';
const customerId = '01998c1e-7d00-7000-8000-000000000001';
const yearS = 31_536_000;
/** Longer than a page lets its reader wait for a next try. */
const giveUpS = 60;

function meOf(role: Role, locale: string): object {
  return {
    ...{ customerId, email: 'ada@example.com', name: 'Ada', role, locale, timeZone: 'Asia/Seoul' },
    ...{ isVerified: false, reminders: true },
  };
}

/** Tokens as far as a browser reads them. */
function tokens(): object {
  const claims = { sub: customerId, exp: Math.floor(Date.now() / 1_000) + yearS };
  return { accessToken: `x.${Buffer.from(JSON.stringify(claims)).toString('base64')}.x`, refreshToken: 'x' };
}

/** What the server says to a page's message. */
function replyTo(message: string): object {
  const { action, saleId } = JSON.parse(message) as { action: string; saleId?: string };
  return action === 'watch' ? { type: 'watching', saleId } : { type: 'pong' };
}

/** Serves the pages and starts a browser; there is no API. */
export async function pretend(): Promise<Pretended> {
  const config = { api, websocket: 'ws://socket.example.test', minorDigits };
  const [web, browser] = await Promise.all([startWeb({ port: 0, config }), startBrowser()]);
  return {
    url: web.url,
    async open({ role, answer, isLive = false, ...options }) {
      const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'Asia/Seoul', ...options });
      const page = await context.newPage();
      page.setDefaultTimeout(25_000);
      if (role !== 'nobody') {
        await page.addInitScript((kept) => localStorage.setItem('holdfast.session', kept), JSON.stringify(tokens()));
      }
      const connected = Promise.withResolvers<void>();
      let latest: WebSocketRoute | undefined;
      await page.routeWebSocket(/^ws:/, (socket) => {
        latest = socket;
        connected.resolve();
        if (isLive) socket.onMessage((message) => socket.send(JSON.stringify(replyTo(String(message)))));
      });
      await page.route(`${api}/**`, async (route) => {
        const request = route.request();
        const { pathname, searchParams } = new URL(request.url());
        const asked = { method: request.method(), body: request.postDataJSON() };
        const isMe = pathname === '/me' && role !== 'nobody';
        const given = isMe ? good(meOf(role, options.locale ?? 'en-GB')) : await answer(pathname, searchParams, asked);
        if (given === 'never') return;
        const [status, body] =
          given === undefined
            ? [200, emptyPage]
            : 'body' in given
              ? [200, given.body]
              : [given.status, { code: given.code, title: given.code, ...given.more }];
        const headers = {
          'access-control-allow-origin': '*',
          'access-control-expose-headers': 'retry-after',
          // A page that would try again by itself is told that this is not worth the wait, so it says at once what is wrong.
          ...(status === 200 ? {} : { 'retry-after': String(giveUpS) }),
        };
        // A page that has gone on meanwhile hears nothing any more.
        await route.fulfill({ status, json: body, headers }).catch(() => undefined);
      });
      return {
        page,
        async push(message) {
          await connected.promise;
          latest?.send(JSON.stringify(message));
        },
      };
    },
    async blank(viewport) {
      return (await browser.newContext({ viewport })).newPage();
    },
    async close() {
      await browser.close();
      await web.stop();
    },
  };
}
