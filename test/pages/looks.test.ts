/**
 * How the shop looks and reads, in a real browser: on phones, enlarged, in the dark, in two languages, to screen readers, and
 * where a sale is shared.
 */
import type { Page } from 'playwright-core';
import { closeBeds } from '../support/running-bed.ts';
import { expectFine, findings, overflow } from './axe.ts';
import { bothOpen, openShop, type Shop } from './shop.ts';

const phone = { viewport: { width: 390, height: 844 } };
const names = [
  'Unbroken'.repeat(25).slice(0, 200),
  '🦊🎉👩‍👩‍👧‍👦'.repeat(12),
  'כרטיסים להופעה הראשונה בעיר',
  '<b>&amp; "quotes"</b>',
];

let shop: Shop;
let saleId: string;

beforeAll(async () => {
  shop = await openShop();
  for (const name of names) await shop.sale({ name, times: bothOpen });
  await shop.sale({ name: 'Won', currency: 'KRW', amountMinor: 189_000 });
  await shop.sale({ name: 'Later', times: [600, 3_600, 3_600, 7_200] });
  saleId = (await shop.sale({ name: names[0] ?? '', description: 'Brass & <linen>', times: bothOpen })).saleId;
}, 120_000);

afterEach(() => shop?.leave());

afterAll(async () => {
  await shop?.close();
  await closeBeds();
}, 30_000);

/** Brings a page into the state in which most is shown: something set aside, chosen, and the pay bar. */
async function withPayBar(page: Page): Promise<void> {
  await page.goto(`${shop.url}/sales/${saleId}`);
  const mine = page.getByRole('checkbox');
  await page.getByRole('button', { name: /^(Reserve|예약)$/ }).click();
  await mine.check();
  await page.locator('form.pay').waitFor();
}

const states: [string, (page: Page) => Promise<unknown>][] = [
  ['the list of sales', (page) => page.getByRole('article').nth(4).waitFor()],
  ['a sale with the pay bar', withPayBar],
  ['notifications', (page) => page.getByRole('button', { name: /Notifications/ }).click()],
  [
    'settings',
    async (page) => {
      await page.goto(`${shop.url}/settings`);
      await page.getByText('Time zone', { exact: true }).waitFor();
    },
  ],
  [
    'the question before giving back',
    async (page) => {
      await withPayBar(page);
      await page.getByRole('button', { name: /^Give back/ }).click();
    },
  ],
];

describe('on a phone, axe finds nothing and nothing is too wide:', () => {
  test.each(states)(
    '%s',
    async (_, reach) => {
      const page = await shop.signedIn(phone);
      await reach(page);
      await expectFine(page);
    },
    40_000,
  );

  test('signing in, with problems beside their fields', async () => {
    const page = await shop.buyer(phone);
    await page.goto(shop.url);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Enter an e-mail address').waitFor();
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('sign-email');
    await expectFine(page);
  }, 30_000);
});

test('at 200 % everything can be reached without scrolling sideways', async () => {
  const page = await shop.signedIn({ viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 });
  await withPayBar(page);
  expect(await overflow(page)).toBe(0);
  const bar = await page.locator('form.pay').boundingBox();
  expect(bar?.height).toBeLessThanOrEqual(200);
}, 30_000);

test('the pay bar of a phone shows the card, until when to buy, and the sum', async () => {
  const page = await shop.signedIn(phone);
  await withPayBar(page);
  const bar = page.locator('form.pay');
  for (const text of [/Buy within 1 hr 5\d mins, until .*GMT\+9/, 'Buy for €49.00']) {
    expect(await bar.getByText(text).isVisible()).toBe(true);
  }
  const select = await bar.getByLabel('Pay with').boundingBox();
  expect(select?.width).toBeGreaterThan(250);
}, 30_000);

describe('in Korean', () => {
  /** Text that is shown, without what people have written. */
  const shown = (page: Page) =>
    page.evaluate(() => {
      const copy = document.body.cloneNode(true) as HTMLElement;
      for (const own of copy.querySelectorAll('bdi, code, script, style, noscript, option, .brand-name')) own.remove();
      const labels = [...copy.querySelectorAll('[aria-label]')].map((one) => one.getAttribute('aria-label'));
      return [copy.textContent, ...labels].join('\n');
    });

  test('everything is in Korean, with times and money as Koreans write them, for a browser in Korean', async () => {
    const page = await shop.signedIn({ ...phone, locale: 'ko-KR', name: '아다' });
    await withPayBar(page);
    await page.locator('.story').waitFor({ state: 'attached' });
    await page.getByText('지금까지의 과정').click();
    await page.getByText('배정되었습니다.').first().waitFor();
    expect(await page.evaluate(() => document.documentElement.lang)).toBe('ko-KR');
    const text = (await shown(page)).replaceAll(names[0] ?? '', '').replaceAll(/GMT\+9|Holdfast|€/g, '');
    expect(text.match(/[A-Za-z]{2,}/g) ?? []).toEqual([]);
    expect(text).toMatch(/\d+월\s\d+일/);
    await page.goto(shop.url);
    await page.getByText('₩189,000').waitFor();
    expect(await findings(page)).toEqual([]);
  }, 40_000);

  test('the choice holds over reloads, and the account is told in that language', async () => {
    const page = await shop.signedIn({ path: '/settings' });
    // A reload may break off the call that tells; the page that follows tells again.
    const told = page.waitForResponse(
      (response) => response.request().method() === 'PATCH' && response.url().endsWith('/me') && response.ok(),
    );
    await page.getByLabel('Language').selectOption({ label: '한국어' });
    await page.getByRole('heading', { name: '설정' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: '설정' }).waitFor();
    await told;
    const kept = await page.evaluate(() => localStorage.getItem('holdfast.session'));
    const { accessToken: token } = JSON.parse(kept ?? '{}') as { accessToken: string };
    expect(await shop.call('GET', '/me', { token })).toMatchObject({ locale: 'ko', timeZone: 'Asia/Seoul' });
  }, 30_000);
});

test('a sale has an address of its own, with a title, a preview for sharing and a picture', async () => {
  const response = await fetch(`${shop.url}/sales/${saleId}`);
  const html = await response.text();
  expect(html).toContain(`<meta property="og:title" content="${names[0]}">`);
  expect(html).toContain('<meta property="product:price:amount" content="49.00">');
  expect(html).toContain('content="€49.00, up to 4 each. Reservations from');
  const korean = await fetch(`${shop.url}/sales/${saleId}`, { headers: { 'accept-language': 'ko-KR,ko;q=0.9' } });
  expect(await korean.text()).toContain('한 사람당 최대 4개. 예약 시작:');
  const [, picture = ''] = /<meta property="og:image" content="([^"]+)">/.exec(html) ?? [];
  const image = await fetch(picture);
  expect([image.status, image.headers.get('content-type')]).toEqual([200, 'image/png']);
  const page = await shop.buyer();
  await page.goto(`${shop.url}/sales/${saleId}`);
  await page.getByRole('heading', { level: 1, name: names[0] ?? '' }).waitFor();
  expect(await page.title()).toBe(`${names[0]} · Holdfast`);
  const drawn = await page.evaluate(async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
  }, new URL(picture).pathname);
  expect(drawn).toEqual([1_200, 630]);
}, 30_000);

test('the page of the API can be used on a phone, and says what may be one of several things', async () => {
  const page = await shop.buyer(phone);
  await page.goto(`${shop.api}/docs`);
  await page.getByRole('heading', { level: 1, name: 'Holdfast' }).waitFor();
  expect(await overflow(page)).toBe(0);
  await page.getByRole('button', { name: 'Open Menu' }).click();
  const areas = page.getByRole('complementary', { name: 'Sidebar for Holdfast' });
  await areas.getByRole('button', { name: 'Open Group - Reservations' }).click();
  await areas.getByRole('link', { name: /^Request units of a sale/ }).click();
  const operation = page.getByRole('region', { name: /^Request units of a sale/ });
  await operation.getByRole('heading', { level: 3 }).waitFor();
  expect(await areas.isVisible()).toBe(false);
  await operation.getByText('what can be had of it, if it is so many at least', { exact: false }).first().waitFor();
  await operation.getByText('"atLeast": 1').first().waitFor();
  // The head names the operation now, which is longer than the screen is wide.
  await page.getByRole('banner').getByText('Request units of a sale').waitFor();
  expect(await overflow(page)).toBe(0);
}, 60_000);

test('a name that is written like HTML stays text, in the page and in its preview', async () => {
  const { items } = await shop.call<{ items: { saleId: string; name: string }[] }>('GET', '/sales?limit=50');
  const sale = items.find(({ name }) => name === names[3]);
  const html = await (await fetch(`${shop.url}/sales/${sale?.saleId}`)).text();
  expect(html).toContain('&lt;b&gt;&amp;amp; &quot;quotes&quot;&lt;/b&gt;');
  expect(html).not.toContain('<b>');
});
