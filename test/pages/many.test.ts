/** Sizes that a shop grows to, and answers that overtake each other. */
import type { Page } from 'playwright-core';
import type { Product, SaleView } from '#web/types.ts';
import { type Answer, good, type Pretended, pretend } from './pretend.ts';
import { overviewOf, pageOf, productOf, reservationOf, saleOf } from './pretended-sales.ts';

let pages: Pretended;
beforeAll(async () => {
  pages = await pretend();
}, 60_000);
afterAll(() => pages?.close(), 30_000);

/** From the newest, which has the highest number, to the first. */
const counted = <T>(count: number, of: (n: number) => T) => Array.from({ length: count }, (_, n) => of(count - n));

describe('1,000 sales and 5,000 products', () => {
  let sales: SaleView[];
  let products: Product[];
  let answer: (path: string, query: URLSearchParams) => Answer | undefined;
  beforeAll(() => {
    sales = counted(1_000, (n) => saleOf(n));
    products = counted(5_000, productOf);
    const inside = new Map(sales.map((sale) => [`/ops/sales/${sale.saleId}`, sale]));
    answer = (path, query) => {
      if (path === '/sales' || path === '/ops/sales') return good(pageOf(sales, query));
      if (path === '/products') return good(pageOf(products, query));
      const looked = inside.get(path);
      if (looked) return good(overviewOf(looked));
      const one = sales.find(({ saleId }) => path === `/sales/${saleId}`);
      const product = products.find(({ productId }) => path === `/products/${productId}`);
      return one || product ? good(one ?? product ?? {}) : undefined;
    };
  });

  test('an operator finds the oldest sale, sees all of them, and is told how many are shown', async () => {
    const { page } = await pages.open({ role: 'operator', answer });
    await page.goto(`${pages.url}/console.html#/sales`);
    await page.getByText('50 of more than 100 shown').waitFor();
    await page.getByLabel('Search').fill('sale 7');
    await page.getByText('50 of 111 shown').waitFor();
    await page.getByLabel('Search').fill('Sale 1000');
    await page.getByText('1 of 1 shown').waitFor();
    await page.getByLabel('Search').fill('');
    await page.getByText('50 of 1,000 shown').waitFor();
    const more = page.getByRole('button', { name: 'Show more' });
    for (let shown = 100; shown <= 1_000; shown += 50) {
      await more.click();
      await page.getByText(new RegExp(`^(1,)?${shown % 1_000 || '000'} of 1,000 shown`)).waitFor();
    }
    await more.waitFor({ state: 'detached' });
    await page
      .locator('a.pick')
      .filter({ hasText: /Sale 1(?!\d)/ })
      .click();
    await page.getByRole('heading', { level: 1, name: 'Sale 1', exact: true }).waitFor();
    await page.context().close();
  }, 150_000);

  test('an operator finds the first product, also where a sale is made of it', async () => {
    const { page } = await pages.open({ role: 'operator', answer });
    await page.goto(`${pages.url}/console.html#/products`);
    await page.getByText('100 of more than 100 shown').waitFor();
    await page.getByRole('button', { name: 'Show more' }).click();
    await page.getByText('200 of more than 200 shown').waitFor();
    await page.getByLabel('Search').fill('sku-1');
    // Fifty pages of products are read, one after the other.
    await page.getByText('200 of 1,111 shown').waitFor({ timeout: 60_000 });
    await page.getByLabel('Search').fill('SKU-4711');
    await page.getByText('1 of 1 shown').waitFor();
    await page.getByRole('row').filter({ hasText: 'Thing 4711' }).waitFor();
    await page.goto(`${pages.url}/console.html#/sales/new`);
    const search = page.getByLabel('Search by name or SKU');
    await page.getByText('Shown: the first 100; search for the others.').waitFor();
    await search.fill('Thing 17');
    await page.getByText('100 of 111 shown').waitFor({ timeout: 60_000 });
    await search.fill('Thing 1712');
    await page.getByText('1 of 1 shown').waitFor();
    await page.getByLabel('Product', { exact: true }).selectOption({ label: 'Thing 1712 (SKU-1712)' });
    await page.context().close();
  }, 150_000);

  test('a buyer is shown a hundred, and more as long as there are any', async () => {
    const { page } = await pages.open({ role: 'nobody', answer });
    await page.goto(pages.url);
    await page.getByRole('article').nth(99).waitFor();
    expect(await page.getByRole('article').count()).toBe(100);
    await page.getByRole('button', { name: 'Show more sales' }).click();
    await page.getByRole('article').nth(199).waitFor();
    expect(await page.getByRole('button', { name: 'Show more sales' }).isVisible()).toBe(true);
    await page.context().close();
  }, 60_000);
});

test('among 70 sales one’s own come first, what is over is put away, what they are of is read once, and news do not pile up', async () => {
  const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString();
  const { productId } = productOf(1);
  const sales = counted(69, (n) => saleOf(n + 1, { productId }));
  const bought = saleOf(1, { productId, phase: 'purchasing', purchaseOpensAt: ago(0.5) });
  Object.assign(bought.stock, { allotment: 5, available: 2, allocated: 3 });
  const over = saleOf(71, {
    ...{ productId, name: 'Over and done', phase: 'closed', reserveOpensAt: ago(4), reserveClosesAt: ago(3) },
    ...{ purchaseOpensAt: ago(2), purchaseClosesAt: ago(1) },
  });
  const own = reservationOf(bought);
  const all = [over, ...sales, bought];
  let reads = 0;
  const { page, push } = await pages.open({
    ...{ viewport: { width: 390, height: 844 }, role: 'customer' },
    answer(path) {
      if (path === '/sales') return good({ items: all, nextCursor: null });
      if (path === '/reservations') return good({ items: [own], nextCursor: null });
      if (path.startsWith('/products/')) return good(productOf(++reads));
      const sale = all.find(({ saleId }) => path === `/sales/${saleId}`);
      return sale && good(sale);
    },
  });
  await page.goto(pages.url);
  await page.getByRole('article').nth(69).waitFor();
  expect(await page.getByRole('article').count()).toBe(70);
  const mine = await page.locator('li.item').filter({ hasText: 'Set aside for you' }).boundingBox();
  expect((mine?.y ?? Number.NaN) + (mine?.height ?? Number.NaN)).toBeLessThan(844);
  const card = page.getByRole('article', { name: 'Sale 1', exact: true });
  await card.locator('.stock .number').getByText('2 of 5 still free').waitFor();
  await card.getByText('The purchase window is open: what you get can be bought at once.').waitFor();
  await page.getByText('Past sales (1)').click();
  await page.getByRole('link', { name: 'Over and done' }).waitFor();

  await page.getByRole('checkbox').check();
  const bar = page.locator('form.pay');
  await bar.waitFor();
  for (let version = 2; version < 5; version++) {
    await push({
      ...{ type: 'reservation', reservationId: own.reservationId, saleId: own.saleId, state: 'allocated', version },
      ...{ units: 2, quantity: 2, ticket: 1, kind: 'reservation.reduced', notificationId: `${version}` },
      text: `News ${version}`,
    });
  }
  const toast = page.locator('.toast').filter({ hasText: 'News 4' });
  await toast.waitFor();
  expect(await page.locator('.toast').count()).toBe(1);
  const [said, pay] = [await toast.boundingBox(), await bar.boundingBox()];
  expect((said?.y ?? Number.NaN) + (said?.height ?? Number.NaN)).toBeLessThanOrEqual(pay?.y ?? Number.NaN);

  for (const name of ['Sale 70', 'Sale 1']) {
    await page.getByRole('link', { name, exact: true }).click();
    await page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
    await page.getByText('A thing to have.').waitFor();
    await page
      .getByText(/GMT\+9/)
      .first()
      .waitFor();
    await page.goBack();
  }
  expect(reads).toBe(1);
  await page.context().close();
}, 60_000);

describe('an answer that a newer one has overtaken is dropped', () => {
  const of = (version: number, name: string) => {
    const sale = saleOf(1, { name });
    return { ...sale, stock: { ...sale.stock, version, available: version } };
  };
  const [older, newer, newest] = [of(3, 'Older'), of(5, 'Newer'), of(7, 'Newest')];
  const { saleId } = newer;

  /** Every heading that a page has shown. */
  async function headingsOf(page: Page): Promise<() => Promise<string[]>> {
    await page.addInitScript(() => {
      const seen: string[] = [];
      Object.assign(globalThis, { seen });
      new MutationObserver(() => {
        const text = document.querySelector('h1')?.textContent ?? '';
        if (seen.at(-1) !== text) seen.push(text);
      }).observe(document, { subtree: true, childList: true, characterData: true });
    });
    return () => page.evaluate(() => (globalThis as unknown as { seen: string[] }).seen);
  }

  test.each([
    ['the shop', `/sales/${saleId}`, '', (sale: SaleView) => sale],
    ['the console', `/console.html#/sales/${saleId}`, '/ops', overviewOf],
  ])(
    'in %s',
    async (_, at, root, answerOf) => {
      let letGo: (answer: Answer) => void = () => undefined;
      const held = new Promise<Answer>((resolve) => {
        letGo = resolve;
      });
      let asked = 0;
      const { page, push } = await pages.open({
        role: 'admin',
        answer(path) {
          if (path === `${root}/sales`) return good({ items: [newer], nextCursor: null });
          if (path.startsWith('/products/')) return good(productOf(1));
          if (path === `${root}/sales/${saleId}`) return asked++ === 0 ? held : good(answerOf(newest));
          return undefined;
        },
      });
      const headings = await headingsOf(page);
      await page.goto(`${pages.url}${at}`);
      await page.getByRole('heading', { level: 1, name: 'Newer' }).waitFor();
      const answered = page.waitForResponse(async (response) => (await response.text()).includes('Older'));
      letGo(good(answerOf(older)));
      await (await answered).finished();
      await push({ type: 'sale', saleId });
      await page.getByRole('heading', { level: 1, name: 'Newest' }).waitFor();
      expect((await headings()).filter((name) => /^(Older|New)/.test(name))).toEqual(['Newer', 'Newest']);
      await page.context().close();
    },
    40_000,
  );
});
