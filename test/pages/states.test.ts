/**
 * Each page in each of its states: empty, loading, failing and denied. axe finds nothing in any, nothing is too wide, on a phone
 * in English by day and in Korean by night.
 */
import type { Page } from 'playwright-core';
import type { Role } from '#platform/security/roles.ts';
import { broken, findings, overflow } from './axe.ts';
import { type Answer, emptyPage, good, type Pretended, pretend } from './pretend.ts';
import { overviewOf, productOf, reportOf, saleOf } from './pretended-sales.ts';

const phone = { viewport: { width: 390, height: 844 } };
/** Every language and every theme, two at a time: colours do not depend on words, nor words on colours. */
const looks = [
  { ...phone, locale: 'en-GB', colorScheme: 'light' },
  { ...phone, locale: 'ko-KR', colorScheme: 'dark' },
] as const;

const sale = saleOf(1);
const { saleId } = sale;
const product = productOf(1);
const tooOften: Answer = { status: 429, code: 'too_many_requests' };

type State = 'empty' | 'loading' | 'failing' | 'denied';

/** What an API says that has nothing to tell. */
const nothing: Record<string, object> = {
  [`/ops/sales/${saleId}`]: overviewOf(sale),
  [`/ops/sales/${saleId}/report`]: reportOf(sale),
  [`/products/${product.productId}`]: product,
  '/health': { status: 'ok', parts: [], breakers: {} },
  '/ops/dead-letters': { queues: [], items: [] },
  '/ops/reconciliations': { items: [], nextCursor: null },
  '/notifications': { ...emptyPage, unread: 0 },
  [`/ops/customers/${product.productId}`]: {
    ...emptyPage,
    customer: {
      ...{ customerId: product.productId, email: 'ada@example.com', name: 'Ada', role: 'customer', locale: null },
      ...{ customerExternalId: null, timeZone: null, createdAt: sale.reserveOpensAt },
    },
  },
};

interface Seen {
  readonly name: string;
  readonly at: string;
  /** What the state is one of; everything else is answered. */
  readonly of: string;
  readonly states: readonly State[];
  readonly role?: Role | 'nobody';
}

const read = ['empty', 'loading', 'failing', 'denied'] as const;
const list = ['empty', 'loading', 'failing'] as const;
const one = ['loading', 'failing', 'denied'] as const;
const inside = `/ops/sales/${saleId}`;
const customer = `customers/${product.productId}`;

const ofConsole: readonly Seen[] = [
  { name: 'the list of sales', at: 'sales', of: '/ops/sales', states: list },
  { name: 'one sale', at: `sales/${saleId}`, of: '/ops/sales', states: ['loading', 'failing'] },
  { name: 'a sale from the inside', at: `sales/${saleId}`, of: inside, states: read },
  { name: 'the launch board', at: `sales/${saleId}/board`, of: inside, states: read },
  { name: 'the report', at: `sales/${saleId}/report`, of: inside, states: read },
  { name: 'people', at: `sales/${saleId}/people`, of: `${inside}/reservations`, states: read },
  { name: 'what was done about a sale', at: `sales/${saleId}/acts`, of: '/ops/acts', states: read },
  { name: 'a purchase', at: `sales/${saleId}/purchases/${saleId}/${saleId}`, of: '/ops/customers/', states: one },
  { name: 'a new sale', at: 'sales/new', of: '/products', states: list },
  { name: 'products', at: 'products', of: '/products', states: list },
  { name: 'one product', at: `products/${product.productId}`, of: '/products/', states: one },
  { name: 'payments', at: 'payments', of: '/ops/', states: read },
  { name: 'health', at: 'health', of: '/', states: list },
  { name: 'webhooks', at: 'webhooks', of: '/webhook-endpoints', states: read },
  { name: 'operators', at: 'operators', of: '/ops/operators', states: read },
  { name: 'operators, to a viewer', at: 'operators', of: '/ops/', states: ['denied'], role: 'viewer' },
  { name: 'API keys', at: 'keys', of: '/ops/api-keys', states: read },
  { name: 'API keys, to an operator', at: 'keys', of: '/ops/', states: ['denied'], role: 'operator' },
  { name: 'acts', at: 'acts', of: '/ops/acts', states: read },
  { name: 'a customer’s story', at: customer, of: '/ops/customers/', states: read },
  { name: 'anything, to a customer', at: 'sales', of: '/', states: ['denied'], role: 'customer' },
  { name: 'anything, to nobody', at: 'sales', of: '/', states: ['denied'], role: 'nobody' },
];

const ofShop: readonly Seen[] = [
  { name: 'the sales', at: '/', of: '/sales', states: list },
  { name: 'the sales, to nobody', at: '/', of: '/sales', states: ['empty', 'failing'], role: 'nobody' },
  { name: 'one’s own', at: '/', of: '/reservations', states: list },
  { name: 'one sale', at: `/sales/${saleId}`, of: '/sales', states: ['loading', 'failing'] },
  { name: 'a sale without its product', at: `/sales/${saleId}`, of: '/products/', states: ['failing'] },
  { name: 'settings', at: '/settings', of: '/me/sessions', states: list },
  { name: 'settings, to nobody', at: '/settings', of: '/', states: ['empty'], role: 'nobody' },
];

let pages: Pretended;
beforeAll(async () => {
  pages = await pretend();
}, 60_000);
afterAll(() => pages?.close(), 30_000);

function answerIn(state: State, of: string, path: string): Answer | undefined {
  if (path.startsWith(of)) {
    if (state === 'loading') return 'never';
    if (state === 'failing') return tooOften;
    if (state === 'denied') return { status: 403, code: 'forbidden' };
    return good(nothing[path] ?? emptyPage);
  }
  if (path === '/sales' || path === '/ops/sales') return good({ items: [sale], nextCursor: null });
  if (path === `/sales/${saleId}`) return good(sale);
  return good(nothing[path] ?? emptyPage);
}

/** What is there once a page knows who looks at it. */
const known = {
  nobody: 'main form, header button:last-child',
  customer: '.bell, main .empty:not(.waiting)',
  other: 'nav.areas, .bell',
};

/** Waits until a page shows its state. */
async function shown(page: Page, state: State, role: Role | 'nobody'): Promise<void> {
  await page
    .locator(role === 'nobody' || role === 'customer' ? known[role] : known.other)
    .first()
    .waitFor();
  const waiting = page.locator('.waiting').filter({ visible: true }).first();
  await waiting.waitFor({ state: state === 'loading' ? 'visible' : 'detached' });
}

/** What is wrong with a page as it is now. */
async function wrongWith(page: Page): Promise<string[]> {
  const tooWide = await overflow(page);
  const headings = await page.locator('h1').count();
  return [
    ...(tooWide > 0 ? [`${tooWide} pixels too wide`] : []),
    ...(headings === 1 ? [] : [`${headings} headings`]),
    ...(await broken(page)),
    ...(await findings(page)),
  ];
}

/** A page before an API that is in a state. */
interface Place {
  readonly page: Page;
  now: { state: State; of: string };
}
const places = new Map<string, Promise<Place>>();

/** The page of a role in a look; each is opened once. */
function placeOf(role: Role | 'nobody', look: (typeof looks)[number]): Promise<Place> {
  const name = `${role} ${look.locale}`;
  const known = places.get(name);
  if (known) return known;
  const now: Place['now'] = { state: 'empty', of: '/' };
  const opened = pages
    .open({ ...look, role, answer: (path) => answerIn(place.now.state, place.now.of, path) })
    .then(({ page }) => Object.assign(place, { page }));
  const place = { now } as Place;
  places.set(name, opened);
  return opened;
}

let loads = 0;

/** What is wrong with a page in each of its states, by look. */
async function wrongIn({ of, states, role = 'admin' }: Seen, addressOf: (load: number) => string): Promise<string[]> {
  const found = await Promise.all(
    looks.map(async (look) => {
      const wrong: string[] = [];
      const place = await placeOf(role, look);
      for (const state of states) {
        place.now = { state, of };
        // Another address, so that it is loaded anew: nothing is left of the state before.
        await place.page.goto(addressOf(++loads));
        await shown(place.page, state, role);
        wrong.push(...(await wrongWith(place.page)).map((line) => `${look.locale}, ${state}: ${line}`));
      }
      return wrong;
    }),
  );
  return found.flat();
}

describe('the console', () => {
  for (const seen of ofConsole) {
    test(`${seen.name}: ${seen.states.join(', ')}`, async () => {
      expect(await wrongIn(seen, (load) => `${pages.url}/console.html?${load}#/${seen.at}`)).toEqual([]);
    }, 60_000);
  }
});

describe('the shop', () => {
  for (const seen of ofShop) {
    test(`${seen.name}: ${seen.states.join(', ')}`, async () => {
      expect(await wrongIn(seen, (load) => `${pages.url}${seen.at}?${load}`)).toEqual([]);
    }, 60_000);
  }
});

test.each(looks)(
  'the dialogs of the shop, in $locale',
  async (look) => {
    const { page } = await pages.open({
      ...{ ...look, role: 'nobody' },
      answer: (path) => answerIn('empty', '/nothing', path),
    });
    await page.goto(pages.url);
    const wrong: string[] = [];
    const note = async (what: string) => {
      wrong.push(...(await wrongWith(page)).map((line) => `${what}: ${line}`));
    };
    const dialog = page.getByRole('dialog');
    const turnTo = (which: number) => dialog.locator('.row button').nth(which).click();
    const send = () => dialog.locator('button[type=submit]').click();
    await page.locator('header button').last().click();
    await send();
    await note('signing in, with problems');
    await turnTo(0);
    await send();
    await note('an account, with problems');
    await turnTo(0);
    await turnTo(1);
    await note('a forgotten password');
    await dialog.getByRole('textbox').fill('ada@example.com');
    await send();
    await dialog.locator('#sign-code').waitFor();
    await send();
    await note('a new password, with problems');
    expect(wrong).toEqual([]);
    await page.context().close();
  },
  40_000,
);

test.each(looks)(
  'away from the network, and without its configuration, in $locale',
  async (look) => {
    const { page } = await pages.open({
      ...look,
      role: 'admin',
      answer: (path) => answerIn('empty', '/nothing', path),
    });
    for (const at of ['/', '/console.html']) {
      await page.goto(pages.url + at);
      await shown(page, 'empty', 'admin');
      await page.context().setOffline(true);
      await page.getByRole('alert').waitFor();
      expect([at, 'offline', await wrongWith(page)]).toEqual([at, 'offline', []]);
      await page.context().setOffline(false);
      await page.route('**/config.json', (route) => route.abort());
      await page.goto('about:blank');
      await page.goto(pages.url + at);
      await page.getByRole('alert').waitFor();
      expect([at, 'cannot start', await wrongWith(page)]).toEqual([at, 'cannot start', []]);
      await page.unroute('**/config.json');
    }
    await page.context().close();
  },
  40_000,
);
