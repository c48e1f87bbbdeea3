/**
 * The shop as a buyer meets it: each of its pages in each of its states, on a phone, by day in English and by night in Korean; and
 * what it promises of them.
 */
import type { Page } from 'playwright-core';
import { readerOf } from '#platform/kernel/reader.ts';
import type { Notification } from '#web/types.ts';
import { findings, overflow } from './axe.ts';
import { type Answer, emptyPage, good, type Pretended, pretend } from './pretend.ts';
import { productOf, reservationOf, saleOf } from './pretended-sales.ts';
import { type Scene, scenesFor } from './scenes.ts';

const timeZone = 'Asia/Seoul';
const phone = { viewport: { width: 390, height: 844 } };
const looks = [
  { ...phone, locale: 'en-GB', colorScheme: 'light' },
  { ...phone, locale: 'ko-KR', colorScheme: 'dark' },
] as const;

let pages: Pretended;
beforeAll(async () => {
  pages = await pretend();
}, 60_000);
afterAll(() => pages?.close(), 30_000);

/** What a finger would miss: whatever can be touched and is less than 44 pixels wide or high, but for links within a sentence. */
const tooSmall = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    const modal = document.querySelector('dialog[open]');
    const touched = [...(modal ?? document).querySelectorAll('button, a[href], input, select, summary')].filter(
      (one) => one.checkVisibility() && !one.matches('.skip'),
    );
    return touched.flatMap((one) => {
      const isInSentence = one.matches('p a') && one.parentElement?.textContent !== one.textContent;
      const { width, height } = (one.closest('label.choice') ?? one).getBoundingClientRect();
      if (isInSentence || (width >= 44 && height >= 44)) return [];
      return [`${Math.round(width)} by ${Math.round(height)}: ${one.outerHTML.slice(0, 120)}`];
    });
  });

/** What a page says, without what people have written. */
const said = (page: Page): Promise<string> =>
  page.evaluate(() => {
    const copy = document.body.cloneNode(true) as HTMLElement;
    for (const own of copy.querySelectorAll(
      'bdi, .name, [dir], code, script, noscript, option, .brand-name, .one-sale p',
    ))
      if (!own.querySelector('button, input')) own.remove();
    return copy.textContent ?? '';
  });

/** What belongs into a program: ids, times of day in ISO 8601, names of codes, and what was not there. */
const ofPrograms = /[0-9a-f]{8}-[0-9a-f]{4}-|\d{4}-\d\d-\d\dT|\b[a-z]+_[a-z_]+\b|undefined|null|NaN|\[object/g;

async function wrongWith(page: Page, { locale }: (typeof looks)[number]): Promise<string[]> {
  const tooWide = await overflow(page);
  const headings = await page.locator('h1').count();
  const rows = await page.evaluate(() => {
    const inHeader = [...document.querySelectorAll('.top button, .top .button')];
    return new Set(inHeader.map((one) => Math.round(one.getBoundingClientRect().top))).size;
  });
  const text = await said(page);
  const latin = locale.startsWith('ko') ? text.replaceAll(/GMT|Holdfast|Ada|Asia\/Seoul|ada@example\.com/g, '') : '';
  return [
    ...(tooWide > 0 ? [`${tooWide} pixels too wide`] : []),
    ...(rows > 1 ? [`the buttons of the header are in ${rows} rows`] : []),
    ...(headings === 1 ? [] : [`${headings} headings`]),
    ...(text.match(ofPrograms) ?? []),
    ...(latin.match(/[A-Za-z]{2,}/g) ?? []),
    ...(await tooSmall(page)),
    ...(await findings(page)),
  ];
}

async function open(scene: Scene, look: (typeof looks)[number]): Promise<Page> {
  const { page } = await pages.open({
    ...{ ...look, role: scene.role, isLive: true },
    answer: (path, _query, { method }) => scene.answer(path, method),
  });
  await page.goto(pages.url + scene.at);
  await page.locator('main h1').waitFor();
  // Who looks at it is known, and what there is to show is there, or known to be missing.
  await page.locator(scene.role === 'nobody' ? 'header .button + button' : '.bell').waitFor();
  if (scene.name !== 'loading')
    await page.locator('main > .waiting, section > .waiting').first().waitFor({ state: 'detached' });
  await scene.reach?.(page);
  return page;
}

describe('on a phone, everything can be touched, nothing is too wide, in another language or for programs, and axe finds nothing:', () => {
  const [first] = looks;
  test.each(scenesFor(readerOf({ locale: first.locale, timeZone })).map(({ name }) => name))(
    '%s',
    async (name) => {
      const wrong = await Promise.all(
        looks.map(async (look) => {
          const scene = scenesFor(readerOf({ locale: look.locale, timeZone })).find((one) => one.name === name);
          if (!scene) throw new Error(`there is no scene ${name}`);
          const page = await open(scene, look);
          const found = await wrongWith(page, look);
          await page.context().close();
          return found.map((one) => `${look.locale}: ${one}`);
        }),
      );
      expect(wrong.flat()).toEqual([]);
    },
    60_000,
  );
});

const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
const buying = { purchaseOpensAt: ago(10), phase: 'purchasing' } as const;
const idOf = (n: number) => `01998c1e-7d00-7000-9000-${String(n).padStart(12, '0')}` as Notification['notificationId'];

/** A page of somebody with a reservation, before an API that has only these. */
async function opened(
  sale = saleOf(1, buying),
  answer: (path: string, method: string) => Answer | undefined = () => undefined,
) {
  const own = reservationOf(sale);
  const { page, push } = await pages.open({
    ...{ ...looks[0], role: 'customer', isLive: true },
    answer(path, _query, { method }) {
      const given = answer(path, method);
      if (given) return given;
      if (path === '/sales' || path === '/reservations')
        return good({ items: [path === '/sales' ? sale : own], nextCursor: null });
      if (path === '/notifications') return good({ ...emptyPage, unread: 0 });
      if (path.startsWith('/products/')) return good(productOf(1));
      return path === `/sales/${sale.saleId}` ? good(sale) : undefined;
    },
  });
  return { page, push, sale, own };
}

test('until when to buy is said with its zone, and how long that is in a way that is no time of day', async () => {
  const { page } = await opened();
  await page.goto(pages.url);
  await page.getByText(/^Buy it within 2 hrs 59 mins, until (.*, )?\d\d:\d\d\sGMT\+9\.$/).waitFor();
  await page.getByRole('checkbox').check();
  await page.getByText(/^Buy within 2 hrs 59 mins, until (.*, )?\d\d:\d\d\sGMT\+9$/).waitFor();
  await page.context().close();
}, 30_000);

test('who has only earlier reservations is told so, and nobody is sent to a sale that takes no requests', async () => {
  const over = saleOf(1, { ...buying, reserveClosesAt: ago(5) });
  const own = { ...reservationOf(over), state: 'expired' as const, units: 0, reason: 'deadline_passed' as const };
  const { page } = await opened(over, (path) =>
    path === '/reservations' ? good({ items: [own], nextCursor: null }) : undefined,
  );
  await page.goto(pages.url);
  await page.getByText('There is nothing for you to do at the moment.', { exact: true }).waitFor();
  expect(await page.getByText(/Choose a sale below|still free/).count()).toBe(0);
  await page.getByRole('link', { name: 'Details and rules' }).click();
  await page.getByText('Only what is reserved already can be bought.').waitFor();
  await page.context().close();
}, 30_000);

test('the list shows what a product looks like, once it is in view', async () => {
  const [picture] = [
    { pictureId: idOf(1), path: `/pictures/${idOf(1)}.png`, type: 'image/png', alt: { en: 'A lamp', ko: '조명' } },
  ];
  const { page } = await opened(undefined, (path) =>
    path.startsWith('/products/') ? good({ ...productOf(1), pictures: [picture] }) : undefined,
  );
  await page.goto(pages.url);
  await page.getByRole('article').getByRole('img', { name: 'A lamp' }).waitFor();
  await page.context().close();
}, 30_000);

test('a place in line moves before one’s eyes, on the waitlist when it is announced and in line by itself, also after a reload', async () => {
  const sale = saleOf(1);
  const own = reservationOf(sale);
  let position = 300;
  let state: 'requested' | 'waitlisted' = 'requested';
  const { page, push } = await opened(sale, (path) => {
    const now = { ...own, state, position, units: 0, version: state === 'requested' ? 1 : 2 };
    if (path === '/reservations') return good({ items: [now], nextCursor: null });
    return path === `/reservations/${own.reservationId}` ? good(now) : undefined;
  });
  await page.goto(pages.url);
  await page.getByText('Number 300 in line.').waitFor();
  await page.reload();
  await page.getByText('Number 300 in line.').waitFor();
  position = 120;
  await page.getByText('Number 120 in line.').waitFor();
  [state, position] = ['waitlisted', 40];
  await page.getByText('Number 40 on the waitlist.').waitFor();
  position = 1;
  await push({ type: 'reminder', reservationId: own.reservationId, saleId: own.saleId, version: 2 });
  await page.getByText('You are next on the waitlist.').waitFor();
  await page.context().close();
}, 45_000);

test('the story of a reservation and of a purchase is whole, however much else has happened since', async () => {
  const sale = saleOf(1, buying);
  const own = { ...reservationOf(sale), state: 'purchased' as const, acceptedAt: ago(900) };
  const notice = (n: number, subjectId: string, text: string, facts = {}): Notification => ({
    ...{ notificationId: idOf(n), kind: 'reservation.allocated', subjectId, version: 1, facts, text },
    ...{ createdAt: ago(n), readAt: null },
  });
  const purchaseId = idOf(5);
  const all = [
    ...Array.from({ length: 140 }, (_, n) => notice(n + 1, idOf(9), 'Something else')),
    notice(600, purchaseId, 'It was declined', { reservationIds: [own.reservationId] }),
    notice(800, own.reservationId, 'It was set aside'),
  ];
  const purchase = {
    ...{ purchaseId, state: 'captured', amount: { amountMinor: 9_800, currency: 'EUR' }, reason: null, refunds: [] },
    items: [{ reservationId: own.reservationId, saleId: sale.saleId, units: 2, price: sale.price }],
    ...{ action: null, createdAt: ago(700), updatedAt: ago(500) },
  };
  const { page } = await pages.open({
    ...{ ...looks[0], role: 'customer', isLive: true },
    answer(path, query) {
      const from = Number(query.get('cursor') ?? 0);
      const until = from + Number(query.get('limit') ?? 20);
      const nextCursor = until < all.length ? String(until) : null;
      if (path === '/notifications') return good({ items: all.slice(from, until), nextCursor, unread: 0 });
      if (path === '/reservations') return good({ items: [own], nextCursor: null });
      if (path === '/purchases') return good({ items: [purchase], nextCursor: null });
      if (path === '/sales') return good({ items: [sale], nextCursor: null });
      return path.startsWith('/products/') ? good(productOf(1)) : good(sale);
    },
  });
  await page.goto(`${pages.url}/sales/${sale.saleId}`);
  const story = () => page.locator('details[open] .story');
  await page.getByText('What has happened').click();
  await story().getByText('It was declined').waitFor();
  expect(await story().locator('li').allInnerTexts()).toEqual([
    expect.stringContaining('It was set aside'),
    expect.stringContaining('It was declined'),
  ]);
  await page.getByRole('link', { name: 'Holdfast' }).click();
  await page.locator('li.item').filter({ hasText: 'Order number' }).getByText('What has happened').click();
  await story().getByText('It was declined').waitFor();
  expect(await story().locator('li').count()).toBe(1);
  await page.context().close();
}, 45_000);

test('a payment of which nothing is known is asked again under one key, over reloads, and is made once', async () => {
  const keys = new Set<string>();
  let isDown = true;
  const sale = saleOf(1, buying);
  const own = reservationOf(sale);
  const purchase = {
    ...{
      purchaseId: idOf(5),
      state: 'captured',
      amount: { amountMinor: 9_800, currency: 'EUR' },
      reason: null,
      refunds: [],
    },
    items: [{ reservationId: own.reservationId, saleId: sale.saleId, units: 2, price: sale.price }],
    ...{ action: null, createdAt: ago(0), updatedAt: ago(0) },
  };
  const { page } = await opened(sale, (path, method) => {
    if (path === '/purchases' && method === 'POST')
      return isDown ? { status: 503, code: 'queue_unavailable' } : good({ purchaseId: purchase.purchaseId });
    return path === `/purchases/${purchase.purchaseId}` ? good(purchase) : undefined;
  });
  page.on('request', (request) => {
    if (request.method() === 'POST' && request.url().endsWith('/purchases'))
      keys.add(request.headers()['idempotency-key'] ?? '');
  });
  await page.goto(pages.url);
  await page.getByRole('checkbox').check();
  await page.getByRole('button', { name: 'Buy for €98.00' }).click();
  await page.getByText('We do not know yet whether your payment has arrived.').waitFor();
  await page.reload();
  await page.getByText('We do not know yet whether your payment has arrived.').waitFor();
  isDown = false;
  await page.locator('li.item').filter({ hasText: 'Order number' }).getByText('Paid', { exact: true }).waitFor();
  expect([...keys].length).toBe(1);
  await page.context().close();
}, 45_000);

test.each([
  [10, 'What you do not buy in time goes to the next in line, and you pay nothing.', 'the waitlist has room for 10.'],
  [0, 'What you do not buy in time goes back to the sale, and you pay nothing.', 'There is no waitlist'],
])(
  'the rules of a sale with room for %i to wait are in plain words',
  async (waitlistSize, otherwise, line) => {
    const { page, sale } = await opened(saleOf(1, { waitlistSize, payWithinSeconds: 7_200 }));
    await page.goto(`${pages.url}/sales/${sale.saleId}`);
    const rules = page.locator('section').filter({ hasText: 'How this sale works' });
    for (const rule of [
      // The zone is said once.
      ...[/^Reservations: [^+]*GMT\+9\.$/, /^Purchase of what is set aside for you: [^+]*GMT\+9\.$/],
      'One person may have 4 at most, all reservations together.',
      'Your place in line is kept even if you close this page.',
      ...[
        line,
        'You pay when you buy, not when you reserve.',
        'Once you can buy, you have 2 hours to do it.',
        otherwise,
      ],
    ])
      await rules.getByText(rule, { exact: false }).waitFor();
    await page.context().close();
  },
  30_000,
);

test('who must show that the address is theirs is told so before the sale opens', async () => {
  const later = {
    reserveOpensAt: ago(-60),
    reserveClosesAt: ago(-90),
    phase: 'scheduled',
    requiresContact: true,
  } as const;
  const { page, sale } = await opened(saleOf(1, later), (path) =>
    path === '/reservations' ? good(emptyPage) : undefined,
  );
  await page.goto(`${pages.url}/sales/${sale.saleId}`);
  await page.getByRole('link', { name: 'Show that the address is yours' }).click();
  await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();
  await page.context().close();
}, 30_000);

test('what came of a request is said at its sale, also where it was turned down', async () => {
  const sale = saleOf(1);
  const turned = { ...reservationOf(sale), state: 'rejected', units: 0, reason: 'sold_out' };
  const { page } = await opened(sale, (path) =>
    path === '/reservations' ? good({ items: [turned], nextCursor: null }) : undefined,
  );
  await page.goto(`${pages.url}/sales/${sale.saleId}`);
  const item = page.locator('li.item').filter({ hasText: 'Not accepted' });
  await item.getByText('Not enough was free, and the waitlist was full.').waitFor();
  await page.context().close();
}, 30_000);

test('a transfer that is waited for is asked for as one', async () => {
  const sale = saleOf(1, buying);
  const own = reservationOf(sale);
  const transferTo = { bankCode: '088', accountNumber: '110-123-456789', holderName: 'Holdfast' };
  const purchase = {
    ...{ purchaseId: idOf(5), state: 'requires_action', amount: { amountMinor: 9_800, currency: 'EUR' }, reason: null },
    items: [{ reservationId: own.reservationId, saleId: sale.saleId, units: 2, price: sale.price }],
    ...{ action: { url: 'https://bank.example.test', deadline: ago(-30), transferTo }, refunds: [] },
    ...{ createdAt: ago(0), updatedAt: ago(0) },
  };
  const { page } = await opened(sale, (path) =>
    path === '/purchases' ? good({ items: [purchase], nextCursor: null }) : undefined,
  );
  await page.goto(`${pages.url}/sales/${sale.saleId}`);
  await page.getByText(/^Transfer the amount within (\d+ mins? )?\d+ secs?, until .*GMT\+9\.$/).waitFor();
  await page.getByText('Transfer exactly €98.00 to account 110-123-456789.', { exact: false }).waitFor();
  await page.context().close();
}, 30_000);

test('what the shop called off is not said to be given back, and says why', async () => {
  const sale = saleOf(1, { status: 'cancelled' });
  const gone = { ...reservationOf(sale), state: 'cancelled', units: 0, reason: 'sale_cancelled' };
  const { page } = await opened(sale, (path) =>
    path === '/reservations' ? good({ items: [gone], nextCursor: null }) : undefined,
  );
  await page.goto(pages.url);
  await page.getByText('Earlier reservations (1)').click();
  const item = page.locator('li.item').filter({ hasText: 'Cancelled' });
  await item.getByText('The sale was called off.').waitFor();
  // Nor does its page promise times to reserve and to buy.
  await item.getByRole('link').click();
  await page.getByText('This sale was called off.').waitFor();
  expect(await page.getByText(/How this sale works|GMT\+9/).count()).toBe(0);
  await page.context().close();
}, 30_000);

test('nothing moves under a finger while a page learns who is signed in, and connects', async () => {
  const { page, sale } = await opened(saleOf(1), (path) => (path === '/reservations' ? good(emptyPage) : undefined));
  await page.route('**/me', async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 400));
    await route.fallback();
  });
  await page.addInitScript(() => {
    const seen = new Set<string>();
    Object.assign(globalThis, { seen });
    const look = () => {
      const reserve = document.querySelector('.reserve button[type="submit"]');
      const buttons = [...document.querySelectorAll('.top button')].map(({ textContent }) => textContent);
      if (reserve) seen.add(JSON.stringify([Math.round(reserve.getBoundingClientRect().top + scrollY), buttons]));
      requestAnimationFrame(look);
    };
    look();
  });
  await page.goto(`${pages.url}/sales/${sale.saleId}`);
  await page.locator('.top .badge.live').waitFor();
  const seen = await page.evaluate(() => [...(globalThis as unknown as { seen: Set<string> }).seen]);
  expect(seen).toEqual([expect.stringMatching(/^\[\d+,\["Notifications"\]\]$/)]);
  await page.context().close();
}, 30_000);

test('offline the page is not called live, and can be asked to try again', async () => {
  const { page } = await opened();
  await page.goto(pages.url);
  const link = page.getByRole('banner').getByRole('status');
  await link.getByText('Live', { exact: true }).waitFor();
  await page.context().setOffline(true);
  await link.getByText('Reconnecting').waitFor();
  const asked = page.waitForRequest(/\/sales\?/);
  await page.getByRole('alert').getByRole('button', { name: 'Try again' }).click();
  await asked;
  await page.context().close();
}, 30_000);
