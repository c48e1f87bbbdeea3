/**
 * The operators' console in a real browser: each of its acts, what is asked before it, what is refused beside its field, and how
 * it looks and reads on a phone, in the dark, in two languages and to screen readers.
 */
import { readFileSync } from 'node:fs';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { seedOperator } from '#identity/register.ts';
import { waitFor } from '#local/wait.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import type { SaleView } from '#sale/sale.shapes.ts';
import { closeBeds, password, runningBed } from '../support/running-bed.ts';
import { broken, expectFine, overflow } from './axe.ts';
import { bothOpen, openShop, type Shop } from './shop.ts';

const phone = { viewport: { width: 390, height: 844 } };

let shop: Shop;
let operator: object;
let viewer: object;
let admin: object;

beforeAll(async () => {
  const running = await runningBed({}, {}, { decidesSoon: true });
  const db = openDb(running.bed.mysqlUrl, { connections: 1 });
  for (const role of ['viewer', 'admin'] as const) {
    await seedOperator({ db, clock: systemClock }, { email: `${role}@example.com`, password }, role);
  }
  await db.close();
  shop = await openShop(running);
  const signIn = (name: string) =>
    shop.call<object>('POST', '/auth/login', { body: { email: `${name}@example.com`, password } });
  [operator, viewer, admin] = [await signIn('operator'), await signIn('viewer'), await signIn('admin')];
}, 120_000);

afterEach(() => shop?.leave());

afterAll(async () => {
  await shop?.close();
  await closeBeds();
}, 30_000);

/** A console in which somebody is signed in, at a page. */
async function consoleAt(path: string, who: object, options: BrowserContextOptions = {}): Promise<Page> {
  const page = await shop.buyer(options);
  await page.addInitScript((kept) => localStorage.setItem('holdfast.session', kept), JSON.stringify(who));
  await page.goto(`${shop.url}/console.html#/${path}`);
  return page;
}

const button = (page: Page, name: string | RegExp) => page.getByRole('button', { name, exact: true });
const link = (page: Page, name: string) => page.getByRole('link', { name, exact: true });
const asked = (page: Page) => page.getByRole('dialog');
const saleNow = (saleId: string) => shop.call<SaleView>('GET', `/sales/${saleId}`);

/** A reservation of somebody new, once it has been decided. */
async function reserved(
  saleId: string,
  quantity: number,
): Promise<{ token: string; reservationId: string; email: string }> {
  const { token, email } = await shop.customer(`buyer-${Date.now()}-${Math.round(Math.random() * 1e6)}`);
  const path = `/sales/${saleId}/reservations`;
  const { reservationId } = await shop.call<{ reservationId: string }>('POST', path, {
    ...{ token, key: `key-of-${email}`, body: { quantity } },
  });
  const read = () => shop.call<{ items: { state: string }[] }>('GET', '/reservations', { token });
  await waitFor('the decision', async () => (await read()).items.some(({ state }) => state !== 'requested'), {
    timeoutMs: 20_000,
  });
  return { token, reservationId, email };
}

describe('products and sales', () => {
  test('a product is created and changed with money as people write it; what is wrong stands beside its field', async () => {
    const page = await consoleAt('products/new', operator);
    await page.getByLabel('SKU').fill('no blanks');
    await page.getByLabel('Name', { exact: true }).fill('Brass lamp');
    await page.getByLabel('Price').fill('49.999');
    await button(page, 'Create a product').click();
    await page.getByText('Only letters, digits, dots').waitFor();
    await page.getByText('EUR has at most 2 digits after the dot.').waitFor();
    expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-invalid'))).toBe('true');
    const sku = `LAMP-${Date.now()}`;
    await page.getByLabel('SKU').fill(sku);
    await page.getByLabel('Currency').fill('KRW');
    await page.getByLabel('Price').fill('189,000');
    await page.getByText('= ₩189,000').waitFor();
    await button(page, 'Create a product').click();
    await page.getByRole('row').filter({ hasText: sku }).getByText('₩189,000').waitFor();
    await page.getByRole('row').filter({ hasText: sku }).getByRole('link', { name: 'Edit' }).click();
    await page.getByLabel('Price').fill('175000');
    await button(page, 'Save').click();
    await page.getByRole('row').filter({ hasText: sku }).getByText('₩175,000').waitFor();
  }, 40_000);

  test('a picture is brought, shown to buyers, and removed after a question; what is none is refused', async () => {
    const name = `Pictured ${crypto.randomUUID()}`;
    const price = { amountMinor: 100, currency: 'EUR' };
    const body = { sku: `P-${crypto.randomUUID()}`, name, description: '', price };
    const token = shop.operator;
    const { productId } = await shop.call<{ productId: string }>('POST', '/products', { token, body });
    const page = await consoleAt(`products/${productId}`, operator);
    const fill = async (file: { name: string; mimeType: string; buffer: Buffer }, words: string) => {
      await page.getByLabel('File', { exact: true }).setInputFiles(file);
      await page.getByLabel('What it shows, in English').fill(words);
      await page.getByLabel('What it shows, in Korean').fill('램프');
      await button(page, 'Add a picture').click();
    };
    const buffer = Buffer.from(
      'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
      'base64',
    );
    await fill({ name: 'page.png', mimeType: 'image/png', buffer: Buffer.from('<svg onload="alert(1)">') }, 'No lamp');
    await page.getByText('This is not a JPEG, PNG or WebP').first().waitFor();
    await fill({ name: 'lamp.png', mimeType: 'image/png', buffer }, 'A brass lamp');
    const picture = page.getByRole('img', { name: 'A brass lamp' });
    await picture.waitFor();
    await page.waitForFunction(() => document.querySelector<HTMLImageElement>('.pictures img')?.naturalWidth === 1);
    await expectFine(page);
    await button(page, 'Remove').click();
    await asked(page).getByRole('button', { name: 'Remove', exact: true }).click();
    await page.getByText('No pictures yet.').waitFor();
    expect(await picture.count()).toBe(0);
  });

  test('a refused file replaces what was said of the last one', async () => {
    const page = await consoleAt('products/import', operator);
    const upload = async (rows: string) => {
      const buffer = Buffer.from(`sku,name,description,price,currency\n${rows}\n`);
      await page.getByLabel('CSV file').setInputFiles({ name: 'products.csv', mimeType: 'text/csv', buffer });
      await button(page, 'Import').click();
    };
    const sku = `FILE-${Date.now()}`;
    await upload(`${sku},First,Text,12.50,EUR`);
    await page.getByText(/1 created, 0 updated/).waitFor();
    await upload(`${sku},,Text,12.50,EUR\n${sku}-2,Second,Text,many,EUR`);
    await page.getByText('Nothing was imported: 2 problems.').waitFor();
    expect(await page.getByText(/1 created/).count()).toBe(0);
    await upload(`${sku}-2,Second,Text,,EUR`);
    await page.getByText('Nothing was imported: 1 problem.').waitFor();
    await expectFine(page);
  }, 40_000);

  test('a sale is created with times of now in a zone that is shown; times that cannot be or come twice are asked back', async () => {
    const { name: product } = await shop.call<{ name: string }>('POST', '/products', {
      token: shop.operator,
      body: {
        ...{ sku: `S-${Date.now()}`, name: `Thing ${Date.now()}`, description: 'x' },
        price: { amountMinor: 4_900, currency: 'EUR' },
      },
    });
    const openedAtMs = Date.now();
    const page = await consoleAt('sales/new', operator, { timezoneId: 'Europe/Berlin' });
    await page.getByLabel('Search by name or SKU').fill(product);
    await page.getByText('1 of 1 shown').waitFor();
    await button(page, 'Create sale').click();
    await page.getByText('This is needed.').first().waitFor();
    const option = page.getByRole('option', { name: product });
    await page.getByLabel('Product', { exact: true }).selectOption((await option.getAttribute('value')) ?? '');
    const name = `Made in the console ${Date.now()}`;
    await page.getByLabel('Name', { exact: true }).fill(name);
    await page.getByLabel('Units for sale').fill('1,000');
    const closes = page.getByLabel('Purchase closes');
    const before = await closes.inputValue();
    await closes.fill('2030-03-31T02:30');
    await page.getByText('The clocks are put forward then').waitFor();
    await closes.fill('2030-10-27T02:30');
    await page.locator('.problem').filter({ hasText: 'The clocks are put back then' }).waitFor();
    await page.getByLabel(/The second, GMT\+1/).check();
    await page.getByText(/GMT\+1\s*2030-10-27 01:30 UTC$/).waitFor();
    await expectFine(page);
    await closes.fill(before);
    await page
      .getByText(/^Europe\/Berlin, GMT\+\d/)
      .first()
      .waitFor();
    await button(page, 'Create sale').click();
    await page.getByRole('heading', { level: 1, name }).waitFor();
    const { items } = await shop.call<{ items: SaleView[] }>('GET', '/sales?limit=5');
    const made = items.find((sale) => sale.name === name);
    expect(made?.stock.allotment).toBe(1_000);
    // Of now: between when the form was opened and when it was sent, and a whole minute.
    const opensInMs = Date.parse(made?.reserveOpensAt ?? '') - 600_000;
    expect([opensInMs >= openedAtMs, opensInMs <= Date.now() + 60_000]).toEqual([true, true]);
    await link(page, 'Edit').click();
    await page.getByLabel('Most for one customer').fill('2');
    await button(page, 'Save').click();
    await waitFor('the change', async () => (await saleNow(made?.saleId ?? '')).capPerCustomer === 2, {
      timeoutMs: 10_000,
    });
  }, 60_000);
});

describe('a sale', () => {
  test('that is a private draft is published, and found by its link alone', async () => {
    const times = [600, 3_600, 3_600, 7_200] as const;
    const { saleId, name } = await shop.sale({ times, publishAt: null, requiresCode: true });
    const page = await consoleAt(`sales/${saleId}`, operator);
    await page.getByRole('heading', { level: 1, name }).waitFor();
    const address = await page.locator('code').filter({ hasText: '?code=' }).textContent();
    await expectFine(page);
    const buyer = await shop.signedIn();
    await buyer.goto(address ?? '');
    await buyer.getByText('There is no such sale.').waitFor();
    await button(page, 'Publish').click();
    await asked(page).getByRole('button', { name: 'Publish' }).click();
    await page.getByText('The sale is public.').waitFor();
    await buyer.goto(address ?? '');
    await buyer.getByRole('heading', { level: 1, name }).waitFor();
    const stranger = await shop.signedIn();
    await stranger.goto(`${shop.url}/sales/${saleId}`);
    await stranger.getByText('There is no such sale.').waitFor();
    await button(page, 'Take back to draft').click();
    await asked(page).getByRole('button', { name: 'Take back to draft' }).click();
    await page.getByText('The sale is a draft again.').waitFor();
  }, 60_000);

  test('is paused and resumed, gets and loses stock, each after a question that says whom it concerns', async () => {
    const { saleId, name } = await shop.sale({ times: bothOpen, allotment: 5 });
    await reserved(saleId, 2);
    const page = await consoleAt(`sales/${saleId}`, operator, phone);
    await page.getByRole('heading', { level: 1, name }).waitFor();
    // On a phone the chosen sale is in view, not the list.
    expect(await page.getByLabel('Search').isVisible()).toBe(false);
    await expectFine(page);
    await button(page, 'Pause').click();
    await asked(page).getByText('Reservations concerned: 1 holding units, 0 waiting.').waitFor();
    await expectFine(page);
    await asked(page).getByRole('button', { name: 'Back' }).click();
    expect((await saleNow(saleId)).status).toBe('active');
    await button(page, 'Pause').click();
    await asked(page).getByRole('button', { name: 'Pause' }).click();
    await button(page, 'Resume').click();
    await asked(page).getByRole('button', { name: 'Resume', exact: true }).click();
    await button(page, 'Change stock …').click();
    await page.getByLabel('Units', { exact: true }).fill('-9');
    await asked(page).getByRole('button', { name: 'Change stock' }).click();
    await page.getByText('Enter a whole number from -3 to 100,000,000.').waitFor();
    await page.getByLabel('Units', { exact: true }).fill('7');
    await asked(page).getByText(`Add 7 units to “${name}”?`, { exact: false }).waitFor();
    await asked(page).getByRole('button', { name: 'Change stock' }).click();
    await waitFor('the stock', async () => (await saleNow(saleId)).stock.allotment === 12, { timeoutMs: 10_000 });
  }, 60_000);

  test('is moved after a preview of what would happen to whom', async () => {
    const { saleId } = await shop.sale({ times: bothOpen });
    await reserved(saleId, 1);
    const before = await saleNow(saleId);
    const page = await consoleAt(`sales/${saleId}/move`, operator);
    await page.getByLabel('Minutes').fill('-40');
    await button(page, 'Preview …').click();
    await asked(page).getByText('Of these, left with less time than they were told: 1.').waitFor();
    await asked(page)
      .getByText(/Purchase closes: .* → /)
      .waitFor();
    await expectFine(page);
    expect((await saleNow(saleId)).purchaseClosesAt).toBe(before.purchaseClosesAt);
    await asked(page).getByRole('button', { name: 'Move and tell everybody' }).click();
    await waitFor(
      'the new time',
      async () =>
        Date.parse((await saleNow(saleId)).purchaseClosesAt) === Date.parse(before.purchaseClosesAt) - 2_400_000,
      { timeoutMs: 10_000 },
    );
  }, 60_000);

  test('says what was refused at the gate; its board and its report draw what happened', async () => {
    // Purchase opens while somebody looks: the curves are marked there.
    const { saleId, name } = await shop.sale({ times: [-5, 3_600, 3, 7_200] });
    const { token } = await reserved(saleId, 2);
    for (let n = 0; n < 3; n++) {
      const refused = { token, key: `too-many-${n}-${saleId}`, body: { quantity: 4 } };
      await expect(shop.call('POST', `/sales/${saleId}/reservations`, refused)).rejects.toThrow('over_cap');
    }
    const page = await consoleAt(`sales/${saleId}`, operator);
    await page.getByText('more than one may have 3').waitFor();
    // In plain words, with the engine's own beside them.
    for (const name of ['What customers see (mirror)', 'News to be published (outbox)', 'Work that waits (queues)'])
      await page.getByText(name, { exact: true }).waitFor();
    await page.getByRole('row', { name: /^Requests to be decided reservations/ }).waitFor();
    await page.getByRole('term').filter({ hasText: 'Database mysql' }).waitFor();
    await expectFine(page);
    await link(page, 'Launch board').click();
    await page
      .getByRole('img', { name: /^Requests and decisions: requested 1, decided 1, Refused at the gate 3/ })
      .waitFor();
    await page.getByRole('img', { name: 'Price of what is sold, EUR: Sold 0' }).waitFor();
    await page.getByRole('img', { name: /^Stock and line: Free 8, Sold 0, In line 0; .*buy \d\d:\d\d:\d\d/ }).waitFor();
    await page.getByRole('img', { name: /^Age of the oldest request, seconds: Oldest in the queue \d/ }).waitFor();
    // To be read from two metres: a letter of a hundredth of that.
    const value = page.locator('.tile dd').first();
    expect(Number.parseFloat(await value.evaluate((dd) => getComputedStyle(dd).fontSize))).toBeGreaterThan(36);
    await page.getByRole('img', { name: 'Connections to other parts (breakers): Cut off 0' }).waitFor();
    await page.locator('.tile').filter({ hasText: 'Refused at the gate' }).getByText('3', { exact: true }).waitFor();
    await expectFine(page);
    await page.getByRole('link', { name: '← Now' }).click();
    await link(page, 'Report').click();
    await page.getByRole('heading', { level: 1, name: `Report: ${name}` }).waitFor();
    await page.getByRole('row').filter({ hasText: 'at the gate' }).getByText('3', { exact: true }).waitFor();
    await page.getByRole('row', { name: /^1 1 1 \(100%\)/ }).waitFor();
    await expectFine(page);
  }, 60_000);

  test('is called off, and how far that has come is seen', async () => {
    const { saleId, name } = await shop.sale({ times: bothOpen });
    await reserved(saleId, 2);
    const page = await consoleAt(`sales/${saleId}`, operator);
    await button(page, 'Call off …').click();
    await asked(page).getByText(`Call off “${name}” for good?`, { exact: false }).waitFor();
    await asked(page).getByText('Reservations concerned: 1 holding units, 0 waiting.').waitFor();
    await asked(page).getByText('Units sold: 0, at a price of €0.00 in all.').waitFor();
    await asked(page).getByRole('button', { name: 'Give back what is paid' }).click();
    await page.getByRole('heading', { name: 'Called off; what was paid is given back' }).waitFor();
    await page.getByText('all done').waitFor();
    expect(await button(page, 'Pause').count()).toBe(0);
  }, 60_000);
});

describe('people and money', () => {
  test('a purchase is found by its buyer and given back in parts; the end of each refund is seen without a reload', async () => {
    const { saleId } = await shop.sale({ times: bothOpen });
    const { token, reservationId, email } = await reserved(saleId, 2);
    await shop.call('POST', '/purchases', {
      ...{ token, key: `buy-${email}` },
      body: { reservationIds: [reservationId], paymentToken: 'tok_approve' },
    });
    const page = await consoleAt(`sales/${saleId}/people`, operator);
    await page.getByLabel('Find', { exact: true }).selectOption({ label: 'Purchases' });
    await page.getByLabel('E-mail begins with').fill(email);
    await button(page, 'Find').click();
    await link(page, 'Refund …').click();
    await page.getByText('Paid', { exact: true }).first().waitFor();
    await page.getByLabel('How much').selectOption({ label: 'An amount' });
    await page.getByLabel(/^An amount/).fill('98.01');
    await button(page, 'Refund …').click();
    await page.getByText('No more than €98.00.').waitFor();
    await page.getByLabel(/^An amount/).fill('10');
    await button(page, 'Refund …').click();
    await asked(page)
      .getByText(`Give €10.00 back to ${email.split('@')[0]}?`)
      .waitFor();
    await asked(page).getByRole('button', { name: 'Give money back' }).click();
    await page.getByRole('row').filter({ hasText: '€10.00' }).getByText('made').waitFor();
    await page.getByLabel('How much').selectOption({ label: 'The price of some units' });
    await page.getByLabel(/^Units to give back/).fill('1');
    await button(page, 'Refund …').click();
    await asked(page)
      .getByText(`Give 1 unit back to ${email.split('@')[0]}?`)
      .waitFor();
    await asked(page).getByRole('button', { name: 'Give money back' }).click();
    await page.getByRole('row').filter({ hasText: '€49.00' }).getByText('made').waitFor();
    await page.getByLabel('How much').selectOption({ label: 'Everything' });
    await button(page, 'Refund …').click();
    await asked(page).getByRole('button', { name: 'Give money back' }).click();
    await page.getByRole('row').filter({ hasText: '€39.00' }).getByText('made').waitFor();
    await page.getByText('Refunded', { exact: true }).waitFor();
    await expectFine(page);
  }, 60_000);

  test('somebody who waits is given units with a reason, and the whole story tells of it', async () => {
    const { saleId } = await shop.sale({ times: bothOpen, allotment: 1 });
    await reserved(saleId, 1);
    const { email } = await reserved(saleId, 1);
    const page = await consoleAt(`sales/${saleId}/people`, operator, phone);
    await button(page, 'Grant …').click();
    await asked(page).getByRole('button', { name: 'Grant', exact: true }).click();
    await asked(page).getByText('This is needed.').waitFor();
    await expectFine(page);
    await page.getByLabel('Why').fill('Ticket 4711');
    await asked(page).getByRole('button', { name: 'Grant', exact: true }).click();
    await button(page, 'Grant …').waitFor({ state: 'detached' });
    await page.locator('tr').filter({ hasText: email }).getByRole('link', { name: 'Story' }).click();
    await page.getByText('POST /sales/{saleId}/grants').waitFor();
    await expectFine(page);
    await button(page, 'The shop’s own id …').click();
    await page.getByLabel('Id in the other system').fill(`member-${email}`);
    await expectFine(page);
    await asked(page).getByRole('button', { name: 'Save' }).click();
    await page.getByText('POST /ops/customers/{customerId}/external-id').waitFor();
    await page.goto(`${shop.url}/console.html#/acts`);
    await page.getByText('POST /sales/{saleId}/grants').first().waitFor();
    await expectFine(page);
  }, 60_000);

  test('lists are saved as files', async () => {
    const { saleId } = await shop.sale({ times: bothOpen });
    const { email } = await reserved(saleId, 1);
    const page = await consoleAt(`sales/${saleId}/people`, operator);
    const download = page.waitForEvent('download');
    await button(page, 'Save as CSV').click();
    const file = await download;
    expect(file.suggestedFilename()).toBe('reservations.csv');
    expect(readFileSync(await file.path(), 'utf8')).toContain(email);
  }, 40_000);
});

describe('who may do what', () => {
  test('a viewer sees everything and is offered nothing that changes anything', async () => {
    const { saleId, name } = await shop.sale({ times: bothOpen });
    const page = await consoleAt(`sales/${saleId}`, viewer);
    await page.getByRole('heading', { level: 1, name }).waitFor();
    await page.getByText('You may look at everything here.').waitFor();
    for (const act of ['Pause', 'Change stock …', 'Call off …']) expect(await button(page, act).count()).toBe(0);
    for (const way of ['New sale', 'Edit', 'Move times', 'Operators']) expect(await link(page, way).count()).toBe(0);
    await page.goto(`${shop.url}/console.html#/products`);
    await page.getByRole('heading', { level: 1, name: 'Products' }).waitFor();
    for (const way of ['New product', 'Import a file']) expect(await link(page, way).count()).toBe(0);
  }, 40_000);

  test('an admin gives a role and takes it away; the last admin stays one', async () => {
    const { token, email } = await shop.customer(`new-${Date.now()}`);
    const { customerId } = await shop.call<{ customerId: string }>('GET', '/me', { token });
    const page = await consoleAt('operators', admin);
    await page.getByLabel('Account number').fill(customerId);
    await page.getByLabel('Role', { exact: true }).selectOption({ label: 'Operator' });
    await button(page, 'Give …').click();
    await asked(page).getByRole('button', { name: 'Give …' }).click();
    const row = page.getByRole('row').filter({ hasText: email });
    await row.waitFor();
    await expectFine(page);
    await row.getByRole('button', { name: 'Take away …' }).click();
    await asked(page).getByRole('button', { name: 'Take away …' }).click();
    await row.waitFor({ state: 'detached' });
    await page.getByRole('row').filter({ hasText: 'admin@example.com' }).getByRole('button').click();
    await asked(page).getByRole('button', { name: 'Take away …' }).click();
    await page.getByText('This is the last admin').waitFor();
  }, 40_000);

  test('an admin makes an API key, which is shown once and calls; gives it another secret, and revokes it', async () => {
    const page = await consoleAt('keys', admin);
    await page.getByText('No keys yet.').waitFor();
    await button(page, 'Make the key').click();
    await page.getByText('Choose at least one.').waitFor();
    await page.getByLabel('Which program').fill('Warehouse');
    await page.getByLabel('Valid for, days').fill('401');
    await page.getByRole('checkbox', { name: /^sales:read/ }).check();
    await button(page, 'Make the key').click();
    await page.getByText('Enter a whole number from 1 to 400.').waitFor();
    await expectFine(page);
    await page.getByLabel('Valid for, days').fill('30');
    await button(page, 'Make the key').click();
    /** Reads the key that is shown, and puts it away. */
    const shown = async () => {
      const key = await asked(page).locator('code').textContent();
      await asked(page).getByRole('button', { name: 'Close' }).click();
      return key ?? '';
    };
    await asked(page).getByText(/^hfk_/).waitFor();
    await expectFine(page);
    const first = await shown();
    const { saleId } = await shop.sale();
    const reads = (token: string) => shop.call('GET', `/ops/sales/${saleId}/reservations`, { token });
    await expect(reads(first)).rejects.toThrow('missing_scope');
    await shop.call('GET', `/ops/sales/${saleId}`, { token: first });
    await button(page, 'New secret …').click();
    await asked(page).getByRole('button', { name: 'The old one ends now' }).click();
    await asked(page).getByText(/^hfk_/).waitFor();
    const second = await shown();
    expect(second).not.toBe(first);
    await shop.call('GET', `/ops/sales/${saleId}`, { token: second });
    await button(page, 'Revoke …').click();
    await asked(page)
      .getByText(/^Last used/)
      .waitFor();
    await expectFine(page);
    await asked(page).getByRole('button', { name: 'Revoke …' }).click();
    await page.getByText('Revoked', { exact: true }).waitFor();
    await button(page, 'New secret …').waitFor({ state: 'detached' });
  }, 40_000);

  test('somebody signs in here, and a customer is told that this is not for customers', async () => {
    const { email } = await shop.customer(`stranger-${Date.now()}`);
    const page = await shop.buyer();
    await page.goto(`${shop.url}/console.html`);
    await page.getByLabel('E-mail').fill(email);
    await page.getByLabel('Password').fill('wrong');
    await button(page, 'Sign in').click();
    await page.getByRole('alert').waitFor();
    await expectFine(page);
    await page.getByLabel('Password').fill(password);
    await button(page, 'Sign in').click();
    await page.getByText('This account is a customer’s.').waitFor();
  }, 40_000);
});

describe('webhooks and health', () => {
  test('an endpoint is made, shows its secret once, is paused, and is deleted', async () => {
    const page = await consoleAt('webhooks/new', operator);
    await page.getByLabel('Address').fill('http://shop.example.com/hook');
    await button(page, 'New endpoint').click();
    await page.getByText('Enter an address that begins with https.').waitFor();
    await page.getByLabel('Address').fill('https://shop.example.com/hook');
    await button(page, 'New endpoint').click();
    await asked(page)
      .getByText(/^whsec_/)
      .waitFor();
    await expectFine(page);
    await asked(page).getByRole('button', { name: 'Close' }).click();
    await button(page, 'Pause').click();
    await page.getByText('Paused', { exact: true }).waitFor();
    await button(page, 'Delete …').click();
    await asked(page).getByRole('button', { name: 'Delete …' }).click();
    await page.getByText('No endpoints yet.').waitFor();
  }, 40_000);

  test('health names the parts, compares everything and says what came of it; payments say that none waits', async () => {
    const page = await consoleAt('health', operator);
    await page.getByText('Everything answers').waitFor();
    await button(page, 'Compare now').click();
    await page.getByRole('cell', { name: 'Everything agrees.' }).first().waitFor();
    await expectFine(page);
    await page.goto(`${shop.url}/console.html#/payments`);
    await page.getByText('No dispute is open.').waitFor();
    await page.getByText('No refund waits for you.').waitFor();
    await expectFine(page);
  }, 60_000);
});

test('more sales than a page are found by searching, and no list ends silently', async () => {
  const wanted = `Needle ${Date.now()}`;
  await shop.sale({ name: wanted });
  await shop.sales(104, (n) => ({ name: `Hay ${n}`, times: [600, 3_600, 3_600, 7_200] }));
  const page = await consoleAt('sales', operator);
  await page.getByText(/^50 of more than 100 shown/).waitFor();
  await button(page, 'Show more').waitFor();
  await page.getByLabel('Search').fill('Needle');
  await page.locator('a.pick').filter({ hasText: wanted }).click();
  await page.getByRole('heading', { level: 1, name: wanted }).waitFor();
}, 60_000);

test('at 200 % everything can be reached without scrolling sideways, and a sale is paused with the keyboard alone', async () => {
  const { saleId } = await shop.sale({ times: bothOpen });
  const page = await consoleAt('', operator, { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 });
  for (const way of ['board', 'people', 'move', 'edit', 'report', '']) {
    await page.goto(`${shop.url}/console.html#/sales/${saleId}/${way}`);
    await page.locator('.waiting').first().waitFor({ state: 'detached' });
    expect([way, await overflow(page)]).toEqual([way, 0]);
  }
  const press = async (label: string) => {
    for (let n = 0; n < 80; n++) {
      await page.keyboard.press('Tab');
      if ((await page.evaluate(() => document.activeElement?.textContent)) === label)
        return page.keyboard.press('Enter');
    }
    throw new Error(`${label} cannot be reached`);
  };
  await button(page, 'Pause').waitFor();
  await press('Skip to the content');
  await press('Pause');
  await asked(page).waitFor();
  await press('Pause');
  await waitFor('the pause', async () => (await saleNow(saleId)).status === 'paused', { timeoutMs: 10_000 });
  // The focus is where it was before the question, on what stands there now.
  await button(page, 'Resume').waitFor();
}, 40_000);

test('the report prints on paper of its own: no buttons, no wider than the sheet, the curves drawn', async () => {
  const { saleId } = await shop.sale({ times: bothOpen });
  await reserved(saleId, 1);
  const page = await consoleAt(`sales/${saleId}/report`, operator, { viewport: { width: 1_280, height: 800 } });
  await page.locator('.chart canvas').first().waitFor();
  // What a sheet of A4 has between its margins.
  await page.setViewportSize({ width: 718, height: 1_047 });
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
  expect([await overflow(page), await button(page, 'Print, or save as PDF').isVisible()]).toEqual([0, false]);
  await waitFor('the curves on paper', async () => (await broken(page)).length === 0, { timeoutMs: 10_000 });
  const [ground, ink] = await page.evaluate(() => {
    const { backgroundColor, color } = getComputedStyle(document.body);
    return [backgroundColor, color];
  });
  expect([ground, ink]).toEqual(['rgb(255, 255, 255)', 'rgb(23, 33, 31)']);
  const chart = await page.locator('.chart canvas').first().boundingBox();
  expect((chart?.x ?? 0) + (chart?.width ?? Number.NaN)).toBeLessThanOrEqual(718);
  expect((await page.pdf({ format: 'A4' })).subarray(0, 5).toString()).toBe('%PDF-');
}, 40_000);

test('names of every kind stay inside of the page, on a phone and in the dark', async () => {
  const long = 'Unbroken'.repeat(23).slice(0, 180);
  const names = [long, '🦊🎉👩‍👩‍👧‍👦'.repeat(12), 'כרטיסים להופעה הראשונה בעיר'];
  const made = [];
  for (const name of names) made.push(await shop.sale({ name, times: bothOpen }));
  const page = await consoleAt('sales', operator, { ...phone, colorScheme: 'dark' });
  for (const { saleId, name } of made) {
    await page.goto(`${shop.url}/console.html#/sales/${saleId}`);
    await page.getByRole('heading', { level: 1, name }).waitFor();
    await expectFine(page);
  }
}, 40_000);

test('everything is in Korean for a browser in Korean', async () => {
  const { saleId, name } = await shop.sale({ name: '한정판', times: bothOpen, currency: 'KRW', amountMinor: 189_000 });
  await reserved(saleId, 1);
  const page = await consoleAt(`sales/${saleId}`, admin, { locale: 'ko-KR' });
  const shown = () =>
    page.evaluate(() => {
      const copy = document.body.cloneNode(true) as HTMLElement;
      for (const own of copy.querySelectorAll('bdi, code, option, script, noscript, .brand-name')) own.remove();
      return copy.textContent.replaceAll(/Asia\/Seoul|GMT\+9|UTC|EUR|KRW/g, '');
    });
  const ways = ['', '/board', '/people', '/move', '/edit', '/report'].map((way) => `sales/${saleId}${way}`);
  for (const way of [
    ...ways,
    'sales/new',
    'products',
    'products/new',
    'payments',
    'health',
    'webhooks/new',
    'operators',
    'keys',
    'acts',
  ]) {
    await page.goto(`${shop.url}/console.html#/${way}`);
    await page.locator('.waiting').first().waitFor({ state: 'detached' });
    await page.locator('h1').waitFor();
    const text = (await shown()).replaceAll(name, '');
    expect([way, text.match(/[A-Za-z]{2,}/g) ?? []]).toEqual([way, []]);
    await expectFine(page);
  }
}, 90_000);
