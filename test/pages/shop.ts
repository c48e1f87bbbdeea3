/**
 * What the tests of the shop share: everything running, the pages served from their build, and a browser whose contexts are
 * buyers.
 */
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { startWeb } from '#local/web.ts';
import { minorDigits } from '#platform/kernel/money.ts';
import { startBrowser } from '../support/browser.ts';
import { password, type RunningBed, runningBed } from '../support/running-bed.ts';

/** What the pages need to be there. */
export type Everything = Pick<
  RunningBed,
  'api' | 'websocket' | 'pictures' | 'operator' | 'call' | 'signIn' | 'customer' | 'close'
>;

export interface Shop extends Everything {
  url: string;
  browser: Browser;
  /** A buyer's own browser, with nothing in it yet. */
  buyer(options?: BrowserContextOptions): Promise<Page>;
  /** A buyer who has an account and is signed in. */
  signedIn(options?: BrowserContextOptions & { path?: string; name?: string }): Promise<Page>;
  /** Closes the browsers of all buyers, after each test: pages that nobody looks at any more would go on asking. */
  leave(): Promise<void>;
  /** A sale; times are in seconds from now. */
  sale(terms?: SaleTerms): Promise<{ saleId: string; name: string }>;
  /** Many sales of one product. */
  sales(count: number, termsOf: (n: number) => SaleTerms): Promise<void>;
}

export interface SaleTerms {
  name?: string;
  description?: string;
  allotment?: number;
  capPerCustomer?: number;
  waitlistSize?: number;
  requiresContact?: boolean;
  currency?: string;
  amountMinor?: number;
  /** Reservations open and close, purchase opens and closes. */
  times?: readonly [number, number, number, number];
  /** When it becomes public; null for a draft. */
  publishAt?: string | null;
  /** Whether only those find it who have its link. */
  requiresCode?: boolean;
}

/** Reservations and purchase are both open. */
export const bothOpen = [-5, 3_600, -4, 7_200] as const;

let people = 0;
let things = 0;

/** Serves the pages of a running stack and starts a browser; by default on a bed of its own, which takes some ten seconds. */
export async function openShop(running?: Everything): Promise<Shop> {
  return serve(running ?? (await runningBed({}, {}, { decidesSoon: true })));
}

async function serve(running: Everything): Promise<Shop> {
  const [web, browser] = await Promise.all([
    startWeb({
      ...{ port: 0, config: { api: running.api, websocket: running.websocket, minorDigits, payments } },
      pictures: running.pictures,
    }),
    startBrowser(),
  ]);

  const opened: BrowserContext[] = [];

  async function buyer(options: BrowserContextOptions = {}): Promise<Page> {
    const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'Asia/Seoul', ...options });
    opened.push(context);
    const page = await context.newPage();
    // Long enough for a machine on which much else runs.
    page.setDefaultTimeout(25_000);
    return page;
  }

  const { operator: token } = running;

  async function product({ currency = 'EUR', amountMinor = 4_900, description = 'A thing to have.' }: SaleTerms = {}) {
    const body = {
      ...{ sku: `P-${Date.now()}-${++things}`, name: `Thing ${things}`, description },
      price: { amountMinor, currency },
    };
    return (await running.call<{ productId: string }>('POST', '/products', { token, body })).productId;
  }

  async function saleOf(productId: string, terms: SaleTerms): Promise<{ saleId: string; name: string }> {
    const { times = [-5, 3_600, 3_600, 7_200], name = `Sale ${++things}` } = terms;
    const at = (seconds: number) => new Date(Date.now() + seconds * 1_000).toISOString();
    const [reserveOpensAt, reserveClosesAt, purchaseOpensAt, purchaseClosesAt] = times.map(at);
    const { allotment = 10, capPerCustomer = 4, waitlistSize = 10, requiresContact = false } = terms;
    const { publishAt, requiresCode } = terms;
    const body = {
      ...{ productId, name, allotment, capPerCustomer, waitlistSize, requiresContact, offerLifeSeconds: 600 },
      ...{ reserveOpensAt, reserveClosesAt, purchaseOpensAt, purchaseClosesAt },
      ...(publishAt === undefined ? {} : { publishAt }),
      ...(requiresCode ? { requiresCode } : {}),
    };
    const { saleId } = await running.call<{ saleId: string }>('POST', '/sales', { token, body });
    return { saleId, name };
  }

  return {
    ...running,
    url: web.url,
    browser,
    buyer,
    async leave() {
      await Promise.all(opened.splice(0).map((context) => context.close()));
    },
    async signedIn({ path = '/', name = `buyer-${++people}`, ...options } = {}) {
      const page = await buyer(options);
      const body = { email: `b${Date.now()}-${++people}@example.com`, password, name };
      const tokens = await running.call<object>('POST', '/auth/register', { body });
      await page.addInitScript((kept) => {
        if (!sessionStorage.getItem('begun')) localStorage.setItem('holdfast.session', kept);
        sessionStorage.setItem('begun', 'yes');
      }, JSON.stringify(tokens));
      await page.goto(web.url + path);
      return page;
    },
    async sale(terms = {}) {
      return saleOf(await product(terms), terms);
    },
    async sales(count, termsOf) {
      const productId = await product();
      await Promise.all(Array.from({ length: count }, (_, n) => saleOf(productId, termsOf(n))));
    },
    async close() {
      await browser.close();
      await web.stop();
      await running.close();
    },
  };
}

const payments = [
  { token: 'tok_approve', label: 'A card that is accepted' },
  { token: 'tok_decline', label: 'A card that is declined' },
  { token: 'tok_action', label: 'A card that the bank wants confirmed' },
];
