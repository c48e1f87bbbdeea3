/**
 * `npm run pictures`: the main pages of the shop and of the console as pictures, from everything running, for whoever wants to look
 * at them all and for the documents; and a launch on its board, picture by picture.
 */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { seedOperator } from '#identity/register.ts';
import { ownArguments } from '#local/arguments.ts';
import { startStack } from '#local/stack.ts';
import { defaultFolder, projectRoot } from '#local/state-folder.ts';
import { waitFor } from '#local/wait.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { findBrowser } from '../support/browser.ts';
import { callsTo, password } from '../support/running-bed.ts';
import { keepLaunch } from './kept.ts';
import { someOf, watchLaunch } from './launch.ts';
import { takeSheets } from './sheets.ts';
import { bothOpen, openShop, type Shop } from './shop.ts';

const sizes = { phone: [390, 844], tablet: [820, 1_180], desktop: [1_280, 800] } as const;
/** A sheet of A4 between its margins. */
const paper = { width: 718, height: 1_047 };
const languages = ['en-GB', 'ko-KR'] as const;
const schemes = ['light', 'dark'] as const;
/** How many of a launch the documents show. */
const launchShown = 6;
/** What else the documents show. */
const shown = [
  ...['phone-home-en-light', 'phone-pay-ko-dark', 'desktop-sale-en-light'],
  ...['desktop-board-en-light', 'phone-running-ko-dark', 'paper-report-en'],
];

const { values } = ownArguments('pictures');
/** With `--shown` only those are taken. */
const onlyShown = values.shown ?? false;
const isWanted = (name: string) => !onlyShown || shown.includes(name);
const anyWanted = (size: string, locale: string) =>
  !onlyShown || shown.some((name) => name.startsWith(`${size}-`) && name.includes(`-${locale.slice(0, 2)}-`));

const say = (line: string) => process.stdout.write(`${line}\n`);
const folder = join(defaultFolder(), 'pictures');
const documents = join(projectRoot, 'docs', 'pictures');

async function fill(shop: Shop): Promise<string[]> {
  const lamps = await shop.sale({
    ...{ name: 'Desk lamps, autumn batch', description: 'Brass arm and a linen shade; one batch a year.' },
    ...{ times: bothOpen, allotment: 40, amountMinor: 8_900 },
  });
  const vinyl = await shop.sale({
    name: 'First pressing, numbered',
    allotment: 2,
    times: bothOpen,
    amountMinor: 3_450,
  });
  await shop.sale({
    name: '한정판 콘서트 좌석',
    currency: 'KRW',
    amountMinor: 189_000,
    times: [5_400, 9_000, 9_000, 12_000],
  });
  await shop.sale({ name: 'Opening night, balcony', times: [-60, 5_400, 7_200, 9_000], amountMinor: 12_000 });
  for (const name of ['one', 'two']) {
    const { token } = await shop.customer(`early-${name}`);
    await shop.call('POST', `/sales/${vinyl.saleId}/reservations`, {
      token,
      key: `early-key-${name}`,
      body: { quantity: 1 },
    });
  }
  return [lamps.saleId, vinyl.saleId];
}

/** Someone who holds something and waits for something else. */
async function settled(shop: Shop, saleIds: string[], options: object): Promise<Page> {
  const page = await shop.signedIn({ ...options, name: 'Ada' });
  const kept = await page.evaluate(() => localStorage.getItem('holdfast.session'));
  const { accessToken: token } = JSON.parse(kept ?? '{}') as { accessToken: string };
  for (const saleId of saleIds) {
    await shop.call('POST', `/sales/${saleId}/reservations`, {
      token,
      key: `picture-${saleId}`,
      body: { quantity: 2, fill: { atLeast: 1 } },
    });
  }
  await waitFor(
    'the decisions',
    async () =>
      (await shop.call<{ items: unknown[] }>('GET', '/reservations', { token })).items.length === saleIds.length,
    { timeoutMs: 20_000 },
  );
  return page;
}

/** What an operator sees of a sale in which much has happened. */
async function takeConsole(shop: Shop, saleId: string, tokens: object): Promise<void> {
  for (const locale of languages) {
    for (const [size, [width, height]] of Object.entries(sizes)) {
      if (!anyWanted(size, locale)) continue;
      const page = await shop.buyer({ locale, viewport: { width, height } });
      await page.addInitScript((kept) => localStorage.setItem('holdfast.session', kept), JSON.stringify(tokens));
      const take = async (name: string, place: string, ready: string) => {
        if (!schemes.some((scheme) => isWanted(`${size}-${name}-${locale.slice(0, 2)}-${scheme}`))) return;
        await page.goto(`${shop.url}/console.html#/${place}`);
        await page.locator(ready).first().waitFor();
        await page.locator('.waiting').first().waitFor({ state: 'detached' });
        for (const colorScheme of schemes) {
          await page.emulateMedia({ colorScheme });
          const file = `${size}-${name}-${locale.slice(0, 2)}-${colorScheme}.png`;
          await page.screenshot({ path: join(folder, file), fullPage: true });
        }
      };
      await take('sales', 'sales', 'a.pick');
      await take('running', `sales/${saleId}`, '.facts');
      await take('board', `sales/${saleId}/board`, '.chart canvas');
      await take('report', `sales/${saleId}/report`, '.chart canvas');
      await take('people', `sales/${saleId}/people`, '.table');
      await take('moving', `sales/${saleId}/move`, 'form');
      await take('creating', 'sales/new', 'form');
      await take('products', 'products', '.table');
      await take('health', 'health', '.state');
      await take('payments', 'payments', 'h2');
      await take('acts', 'acts', '.table');
      await take('keys', 'keys', 'form');
      await take('operators', 'operators', '.table');
      if (size === 'desktop') await takePaper(page, `${shop.url}/console.html#/sales/${saleId}/report`, locale);
      await page.context().close();
      say(`console, ${size}, ${locale}`);
    }
  }
}

/** The report as it is printed: a picture of the sheet, and the PDF. */
async function takePaper(page: Page, report: string, locale: string): Promise<void> {
  await page.goto('about:blank');
  await page.goto(report);
  await page.locator('.chart canvas').first().waitFor();
  await page.emulateMedia({ media: 'print', colorScheme: 'light' });
  await page.setViewportSize(paper);
  const name = join(folder, `paper-report-${locale.slice(0, 2)}`);
  await page.screenshot({ path: `${name}.png`, fullPage: true });
  await page.pdf({
    path: `${name}.pdf`,
    format: 'A4',
    margin: { top: '15mm', right: '10mm', bottom: '15mm', left: '10mm' },
  });
  await page.emulateMedia({ media: 'screen' });
}

/** A sale that many want at once. */
async function launch(shop: Shop): Promise<string> {
  const { saleId } = await shop.sale({
    ...{ name: 'Desk lamps, winter batch', times: bothOpen, allotment: 40, waitlistSize: 20, amountMinor: 8_900 },
  });
  const ask = async (n: number) => {
    const { token } = await shop.customer(`launch-${n}`);
    const call = (quantity: number, key: string) =>
      shop.call<{ reservationId: string }>('POST', `/sales/${saleId}/reservations`, { token, key, body: { quantity } });
    const { reservationId } = await call(1 + (n % 3), `launch-${n}`);
    // More than one may have: the gate refuses it.
    await call(4, `greedy-${n}`).catch(() => undefined);
    return { token, reservationId };
  };
  const asked: { token: string; reservationId: string }[] = [];
  for (let n = 0; n < 24; n++) asked.push(await ask(n));
  const held = async ({ token }: { token: string }) =>
    (await shop.call<{ items: { state: string }[] }>('GET', '/reservations', { token })).items.some(
      ({ state }) => state === 'allocated',
    );
  await waitFor(
    'the first to hold units',
    async () => (await Promise.all(asked.slice(0, 8).map(held))).every(Boolean),
    {
      timeoutMs: 30_000,
    },
  );
  for (const { token, reservationId } of asked.slice(0, 8)) {
    const body = { reservationIds: [reservationId], paymentToken: 'tok_approve' };
    await shop.call('POST', '/purchases', { token, key: `pay-${reservationId}`, body });
  }
  return saleId;
}

async function takeAll(shop: Shop): Promise<void> {
  const saleIds = await fill(shop);
  for (const locale of languages) {
    for (const [size, [width, height]] of Object.entries(sizes)) {
      if (!anyWanted(size, locale)) continue;
      const page = await settled(shop, saleIds, { locale, viewport: { width, height } });
      const take = async (name: string, fullPage = false) => {
        for (const colorScheme of schemes) {
          await page.emulateMedia({ colorScheme });
          const file = `${size}-${name}-${locale.slice(0, 2)}-${colorScheme}.png`;
          await page.screenshot({ path: join(folder, file), fullPage });
        }
      };
      await page.goto(shop.url);
      await page.getByRole('checkbox').waitFor();
      await page.locator('.toast').waitFor({ state: 'detached' });
      await take('home');
      await take('whole', true);
      await page.getByRole('checkbox').check();
      await take('pay');
      await page.goto(`${shop.url}/sales/${saleIds[0]}`);
      await page.getByRole('checkbox').waitFor();
      await take('sale', true);
      await page.locator('.bell').click();
      await take('notices');
      await page.goto(`${shop.url}/settings`);
      await page.locator('#sessions-title ~ .rules').waitFor();
      await take('settings', true);
      await page.context().close();
      const stranger = await shop.buyer({ locale, viewport: { width, height } });
      await stranger.goto(`${shop.url}/sales/${saleIds[0]}`);
      await stranger.locator('form.reserve button[type=submit]').click();
      await stranger.screenshot({ path: join(folder, `${size}-signing-${locale.slice(0, 2)}-light.png`) });
      await stranger.locator('dialog .row button').nth(1).click();
      await stranger.locator('#sign-email').fill('ada@example.com');
      await stranger.locator('dialog button[type=submit]').click();
      await stranger.locator('#sign-code').waitFor();
      await stranger.screenshot({ path: join(folder, `${size}-new-password-${locale.slice(0, 2)}-light.png`) });
      await stranger.context().close();
      say(`${size}, ${locale}`);
    }
  }
}

const browser = await findBrowser(say);
if (!browser) {
  say('There is no Chromium or Chrome here; HOLDFAST_TEST_BROWSER may name one.');
  process.exit(1);
}
process.env.HOLDFAST_TEST_BROWSER = browser;
if (values.sheets) {
  const sheets = join(defaultFolder(), 'sheets');
  await takeSheets(sheets, values.sheets, say);
  say(sheets);
  process.exit(0);
}
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const stack = await startStack({ dir: join(defaultFolder(), 'pictures-stack'), whenBusy: 'next', fresh: true });
const operator = { email: 'operator@example.com', password };
const db = openDb(stack.addresses.mysql, { connections: 1 });
await seedOperator({ db, clock: systemClock }, operator, 'admin');
await db.close();
const { api, websocket } = stack.addresses;
const calls = callsTo(api);
const shop = await openShop({
  api,
  websocket,
  pictures: stack.registry['bucket/pictures'],
  ...calls,
  operator: await calls.signIn(operator.email),
  close: () => stack.stop(),
});
try {
  mkdirSync(documents, { recursive: true });
  if (!values.launch) {
    const launched = await launch(shop);
    await takeConsole(shop, launched, await shop.call<object>('POST', '/auth/login', { body: operator }));
    await takeAll(shop);
    for (const name of shown) cpSync(join(folder, `${name}.png`), join(documents, `${name}.png`));
  }
  const series = await watchLaunch({
    ...{ shop, credentials: operator, folder: join(folder, 'launch') },
    inboxUrl: stack.addresses.mail,
    logFile: join(stack.dir, 'launch.jsonl'),
  });
  const kept = someOf(series, launchShown).map(({ path, afterMs }, n) => ({
    path,
    afterMs,
    file: `launch-${n + 1}.png`,
  }));
  for (const { path, file } of kept) cpSync(path, join(documents, file));
  keepLaunch(kept);
} finally {
  await shop.close();
}
say(`${folder}`);
process.exit(0);
