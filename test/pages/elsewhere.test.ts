/**
 * Pages of others, in a real browser: `<holdfast-sale>` on a page of another origin, on the list of those that may call and not on
 * it, and the page of the shop in `examples/storefront`.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import type { Storefront } from '#examples/storefront/start.ts';
import { tellOfPayment } from '../support/bank.ts';
import { closeBeds, type RunningBed } from '../support/running-bed.ts';
import { storefrontBed } from '../support/storefront.ts';
import { findings } from './axe.ts';
import { bothOpen, openShop, type Shop } from './shop.ts';

/** A machine on which much else runs. */
const slowMs = 120_000;

let running: RunningBed;
let shop: Shop;
let storefront: Storefront;
/** What pages of others are made of; one origin is on the list, the other is not. */
let body = '';
let listed: Server;
let unlisted: Server;

const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

/** Serves a page that lets nothing in but the element's script, and calls nobody but Holdfast. */
async function serve(): Promise<Server> {
  const server = createServer((_, response) => {
    const policy = `default-src 'none'; script-src ${shop.url}; connect-src ${shop.api} ${shop.websocket}`;
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

beforeAll(async () => {
  [listed, unlisted] = await Promise.all([serve(), serve()]);
  ({ running, storefront } = await storefrontBed(['https://shop.example.com', urlOf(listed)], { decidesSoon: true }));
  shop = await openShop(running);
}, slowMs);

afterEach(() => shop?.leave());

afterAll(async () => {
  await storefront?.close();
  await shop?.close();
  await closeBeds();
  for (const server of [listed, unlisted]) {
    server?.closeAllConnections();
    server?.close();
  }
}, slowMs);

interface Opened {
  page: Page;
  /** The events of the element, as the page has heard them. */
  heard(): Promise<{ type: string; detail: { reservationId?: string; quantity?: number } }[]>;
  setToken(token: string): Promise<void>;
}

/** Opens a page with the element. The clock of its machine is three hours fast. */
async function opened(server: Server, saleId: string, { lang = 'en', buyUrl = '' } = {}): Promise<Opened> {
  body = `<!doctype html><html lang="${lang}"><title>A shop</title><meta name="viewport" content="width=device-width">
<main><h1>A shop</h1><h2>Sales</h2>
<holdfast-sale sale-id="${saleId}" api="${shop.api}" websocket="${shop.websocket}" ${buyUrl && `buy-url="${buyUrl}"`}></holdfast-sale></main>
<script type="module" src="${shop.url}/embed/holdfast-sale.js"></script>`;
  const page = await shop.buyer();
  await page.addInitScript(() => {
    const now = Date.now;
    Date.now = () => now() + 3 * 3_600_000;
    const heard: object[] = [];
    Object.assign(window, { heard });
    for (const name of ['holdfast-sign-in', 'holdfast-reserved', 'holdfast-buy']) {
      addEventListener(name, (event) => {
        heard.push({ type: name, detail: (event as CustomEvent).detail });
        if (name === 'holdfast-buy') event.preventDefault();
      });
    }
  });
  await page.goto(urlOf(server));
  return {
    page,
    heard: () => page.evaluate(() => (window as unknown as { heard: [] }).heard),
    setToken: (token) =>
      page.evaluate((given) => {
        Object.assign(document.querySelector('holdfast-sale') as object, { token: given });
      }, token),
  };
}

const open = { times: bothOpen, allotment: 10, capPerCustomer: 3 };

describe('<holdfast-sale> on a page of another origin', () => {
  test(
    'shows the sale, asks to sign in, reserves, and offers to buy what is set aside; others change the stock before its eyes',
    async () => {
      const { saleId, name } = await shop.sale(open);
      const { page, heard, setToken } = await opened(listed, saleId);
      const element = page.locator('holdfast-sale');
      await element.getByRole('heading', { name }).waitFor();
      await element.getByText('€49.00').waitFor();
      await element.getByText('10 of 10 still free').waitFor();
      // By the server's clock there are two hours until the end, whatever this machine's clock says.
      expect(await element.getByRole('timer').textContent()).toMatch(/^0[12]:\d\d:\d\d$/);
      expect(await findings(page)).toEqual([]);

      await element.getByLabel('How many').fill('2');
      await element.getByRole('button', { name: 'Reserve' }).click();
      await element.getByText('Sign in to the shop to reserve.').waitFor();
      expect(await heard()).toEqual([{ type: 'holdfast-sign-in', detail: { saleId, quantity: 2 } }]);

      await setToken((await running.customer('embedded')).token);
      await element.getByLabel('How many').fill('2');
      await element.getByRole('button', { name: 'Reserve' }).click();
      await element.getByText('2 × Set aside for you').waitFor();
      await element.getByText(/^Buy within \d hrs? \d+ mins?$/).waitFor();
      await element.getByText('8 of 10 still free').waitFor();
      await element.getByRole('button', { name: 'Buy' }).click();
      const [, reserved, buy] = await heard();
      expect([reserved?.type, buy?.type, buy?.detail]).toEqual([
        'holdfast-reserved',
        'holdfast-buy',
        { saleId, reservationId: buy?.detail.reservationId, units: 2 },
      ]);

      const { token } = await running.customer('another');
      await running.call('POST', `/sales/${saleId}/reservations`, { token, key: 'another', body: { quantity: 3 } });
      await element.getByText('5 of 10 still free').waitFor();
      expect(await findings(page)).toEqual([]);
    },
    slowMs,
  );

  test(
    'speaks Korean where the page does, links to where the shop sells, and ends at the cap',
    async () => {
      const { saleId } = await shop.sale({ ...open, capPerCustomer: 1 });
      const { page, setToken } = await opened(listed, saleId, { lang: 'ko', buyUrl: '/pay?r={reservationId}' });
      await setToken((await running.customer('korean')).token);
      const element = page.locator('holdfast-sale');
      await element.getByText('10개 중 10개 남음').waitFor();
      await element.getByRole('button', { name: '예약' }).click();
      await element.getByText('1 × 배정됨').waitFor();
      expect(await element.getByRole('link', { name: '구매' }).getAttribute('href')).toMatch(
        /^\/pay\?r=[0-9a-f-]{36}$/,
      );
      expect(await element.getByRole('button').count()).toBe(0);
      expect(await element.evaluate((one) => one.shadowRoot?.textContent ?? '')).not.toMatch(/Reserve|Buy|free/);
    },
    slowMs,
  );

  test(
    'is told nothing on a page of an origin that is not on the list, which cannot connect either',
    async () => {
      const { saleId } = await shop.sale(open);
      const { token } = await running.customer('elsewhere');
      /** Whether a page gets an answer to a call, and a connection with a token that is right. */
      const reaches = (page: Page) =>
        page.evaluate(
          async ([api, socket]) => {
            const answers = await fetch(api ?? '').then(
              (response) => response.ok,
              () => false,
            );
            const connects = await new Promise<boolean>((resolve) => {
              const connection = new WebSocket(socket ?? '');
              connection.addEventListener('open', () => resolve(true));
              connection.addEventListener('error', () => resolve(false));
            });
            return [answers, connects];
          },
          [`${shop.api}/sales/${saleId}`, `${shop.websocket}?token=${token}`],
        );

      const there = await opened(unlisted, saleId);
      await there.page.locator('holdfast-sale').getByText('The sale cannot be loaded right now.').waitFor();
      await there.setToken(token);
      expect(await reaches(there.page)).toEqual([false, false]);
      expect((await fetch(`${shop.api}/sales/${saleId}`)).status).toBe(200);

      const here = await opened(listed, saleId);
      await here.page.locator('holdfast-sale').getByText('10 of 10 still free').waitFor();
      expect(await reaches(here.page)).toEqual([true, true]);
    },
    slowMs,
  );
});

test(
  'the page of the storefront: sign in, reserve, buy with a card that the bank wants confirmed, and a part given back by the staff',
  async () => {
    /** A browser that is signed in to the shop. */
    async function visitor(name: string): Promise<Page> {
      const page = await shop.buyer();
      await page.goto(storefront.url);
      await page.getByRole('link', { name: 'Sign in' }).click();
      await page.getByLabel('Name').fill(name);
      await page.getByLabel('Password').fill('any');
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByText(`Signed in as ${name}`).waitFor();
      return page;
    }

    const page = await visitor('ada');
    await page.getByLabel('How many').fill('2');
    await page.getByRole('button', { name: 'Reserve' }).click();
    await page.getByText('2 set aside for you.').waitFor();
    await page.getByLabel('Card').selectOption('tok_action');
    await page.getByRole('button', { name: 'Buy' }).click();
    const [bank] = await Promise.all([
      page.waitForEvent('popup'),
      page.getByRole('link', { name: 'Confirm the payment' }).click(),
    ]);
    const url = bank.url();
    await bank.getByRole('button', { name: 'Confirm' }).click();
    await bank.getByRole('button', { name: 'Confirm' }).waitFor({ state: 'detached' });
    const { items } = await page.evaluate(async () => (await fetch('/orders')).json());
    await tellOfPayment(running, items[0].purchaseId, url);
    await page.getByText('Paid. Thank you!').waitFor();
    await page.getByText('2 × desk lamp, €178.00: captured').waitFor();

    const staff = await visitor('staff');
    await staff.getByRole('button', { name: 'Give one back' }).click();
    await page.getByText('€89.00 given back').waitFor();
  },
  slowMs,
);
