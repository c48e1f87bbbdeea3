/**
 * What a buyer may see, as the API would answer it: each page of the shop in each of its states, with things and people as they
 * are, for whoever wants to look at them all.
 */
import type { Page } from 'playwright-core';
import type { NoticeKind } from '#notification/notice.ts';
import { sentenceFor } from '#notification/sentence.ts';
import type { Reader } from '#platform/kernel/reader.ts';
import type { Notification, OwnSession, Product, PurchaseView, ReservationView, SaleView } from '#web/types.ts';
import { type Answer, emptyPage, good } from './pretend.ts';
import { productOf, reservationOf, saleOf } from './pretended-sales.ts';

/** A page in a state. */
export interface Scene {
  readonly name: string;
  readonly at: string;
  readonly role: 'customer' | 'nobody';
  answer(path: string, method: string): Answer | undefined;
  /** Brings the page into the state, from where it is loaded. */
  reach?(page: Page): Promise<unknown>;
}

const at = (minutes: number) => new Date(Date.now() + minutes * 60_000).toISOString();
const ko = (locale: string) => locale.startsWith('ko');

const stockOf = (allotment: number, available: number, sold = 0, waitlisted = 0): SaleView['stock'] => ({
  ...{ epoch: 1, version: 1, allotment, available, sold, waitlisted },
  allocated: allotment - available - sold,
});
const pictureOf = (n: number, english: string, korean: string): Product['pictures'][number] => ({
  pictureId: productOf(n).productId as Product['pictures'][number]['pictureId'],
  ...{ path: `/pictures/${productOf(n).productId}.png`, type: 'image/png', alt: { en: english, ko: korean } },
});

/** A shop before a launch, in the middle of one, and after. */
function shopOf({ locale }: Reader) {
  const say = (english: string, korean: string) => (ko(locale) ? korean : english);
  const eur = (amountMinor: number) => ({ amountMinor, currency: 'EUR' });
  const krw = (amountMinor: number) => ({ amountMinor, currency: 'KRW' });
  const product = (n: number, name: string, description: string, pictures: Product['pictures'] = []): Product => ({
    ...{ ...productOf(n), name, description, pictures },
  });
  const products = [
    product(
      1,
      say('Desk lamp No. 4', '탁상 조명 4호'),
      say(
        'Brass arm and a linen shade, made by hand in one batch a year. 48 cm high, with a cable of two metres.',
        '황동 팔과 리넨 갓으로 된 조명입니다. 일 년에 한 번 손으로 만듭니다. 높이 48 cm, 전선 2 m.',
      ),
      [
        pictureOf(11, 'The lamp on a desk', '책상 위의 조명'),
        pictureOf(12, 'The shade', '갓'),
        pictureOf(13, 'The switch', '스위치'),
      ],
    ),
    product(
      2,
      say('Concert, front block', '콘서트 1층 앞 구역'),
      say('Doors open an hour before.', '공연 한 시간 전에 입장합니다.'),
      [pictureOf(21, 'The stage', '무대')],
    ),
    product(
      3,
      say('First pressing', '초판 음반'),
      say('180 grams, numbered from 1 to 300.', '180 g, 1번부터 300번까지.'),
    ),
    product(4, say('Linen apron', '리넨 앞치마'), say('One size.', '단일 크기.')),
  ];
  const sale = (n: number, of: number, name: string, change: Partial<SaleView>) =>
    saleOf(n, { productId: productOf(of).productId, name, ...change });
  const times = (from: number, to: number, buy: number, end: number) => ({
    ...{ reserveOpensAt: at(from), reserveClosesAt: at(to), purchaseOpensAt: at(buy), purchaseClosesAt: at(end) },
  });
  const sales = {
    open: sale(9, 1, say('Desk lamps, autumn batch', '탁상 조명, 가을 제작분'), {
      ...{ ...times(-20, 2_900, 4_300, 7_200), price: eur(8_900), stock: stockOf(300, 112, 0) },
      payWithinSeconds: 7_200,
    }),
    window: sale(8, 3, say('First pressing, numbered', '번호가 있는 초판 음반'), {
      ...{ ...times(-600, 40, -30, 115), price: eur(3_450), stock: stockOf(300, 41, 180), phase: 'purchasing' },
    }),
    wait: sale(7, 2, say('Concert, front block, Saturday', '토요일 콘서트, 1층 앞 구역'), {
      ...{ ...times(-90, 45, 60, 240), price: krw(189_000), stock: stockOf(1_200, 0, 0, 431), waitlistSize: 500 },
      capPerCustomer: 2,
    }),
    full: sale(6, 2, say('Concert, balcony', '콘서트 2층'), {
      ...{ ...times(-90, 30, -10, 240), price: krw(99_000), stock: stockOf(80, 0, 60, 40), waitlistSize: 40 },
      phase: 'purchasing',
    }),
    soon: sale(5, 4, say('Linen aprons', '리넨 앞치마'), {
      ...{ ...times(95, 1_500, 1_560, 4_300), price: eur(4_900), stock: stockOf(60, 60), phase: 'scheduled' },
      ...{ requiresContact: true, waitlistSize: 0 },
    }),
    closed: sale(4, 4, say('Linen aprons, second colour', '리넨 앞치마, 두 번째 색'), {
      ...{ ...times(-900, -60, 600, 1_400), price: eur(4_900), stock: stockOf(60, 4, 0), phase: 'reserved' },
    }),
    paused: sale(3, 1, say('Desk lamps, seconds', '탁상 조명, 재고'), {
      ...{ ...times(-60, 600, 700, 1_400), price: eur(5_900), stock: stockOf(20, 3), status: 'paused' },
      ...{ pausedAt: at(-5), clockStandsAt: at(-5) },
    }),
    off: sale(2, 2, say('Concert, Sunday', '일요일 콘서트'), {
      ...{ ...times(-600, -300, -200, 100), price: krw(189_000), status: 'cancelled', phase: 'purchasing' },
    }),
    ended: sale(1, 3, say('Test pressing', '시험판 음반'), {
      ...{ ...times(-9_000, -8_000, -7_000, -5_700), price: eur(2_900), stock: stockOf(50, 0, 50), phase: 'closed' },
    }),
  };
  return { products, sales };
}

type Sales = ReturnType<typeof shopOf>['sales'];

const idOf = (n: number) => `01998c1e-7d00-7000-9000-${String(n).padStart(12, '0')}`;

function reservationIn(sale: SaleView, n: number, change: Partial<ReservationView>): ReservationView {
  return {
    ...reservationOf(sale),
    ...{ reservationId: idOf(n) as ReservationView['reservationId'], acceptedAt: at(-n), decidedAt: at(-n) },
    ...change,
  };
}

function purchaseOf(n: number, of: [SaleView, ReservationView][], change: Partial<PurchaseView>): PurchaseView {
  const items = of.map(([{ saleId, price }, { reservationId, units }]) => ({ reservationId, saleId, units, price }));
  const amountMinor = items.reduce((sum, { units, price }) => sum + units * price.amountMinor, 0);
  return {
    ...{ purchaseId: idOf(n) as PurchaseView['purchaseId'], state: 'captured', items, reason: null, refunds: [] },
    ...{ amount: { amountMinor, currency: items[0]?.price.currency ?? 'EUR' }, action: null },
    ...{ createdAt: at(-n), updatedAt: at(-n), ...change },
  };
}

/** Who has one of everything. */
function holdingsIn(sales: Sales) {
  const held = reservationIn(sales.window, 10, { deadline: at(19) });
  const later = reservationIn(sales.open, 12, { quantity: 4, units: 3, fill: { atLeast: 1 } });
  const waits = reservationIn(sales.wait, 14, { state: 'waitlisted', units: 0, position: 212 });
  const decided = reservationIn(sales.open, 2, { state: 'requested', units: 0, quantity: 1, position: 1_482 });
  const bought = reservationIn(sales.full, 40, { state: 'purchased', units: 1, quantity: 1 });
  const gone = reservationIn(sales.off, 300, { state: 'cancelled', units: 0, reason: 'sale_cancelled' });
  const late = reservationIn(sales.ended, 8_000, { state: 'expired', units: 0, reason: 'deadline_passed' });
  const turned = reservationIn(sales.full, 50, { state: 'rejected', units: 0, quantity: 2, reason: 'sold_out' });
  const paid = purchaseOf(30, [[sales.full, bought]], {});
  const back = purchaseOf(400, [[sales.ended, { ...late, units: 2 }]], {
    ...{ state: 'refunded', reason: 'refund_ordered' },
    refunds: [
      {
        ...{ amount: { amountMinor: 5_800, currency: 'EUR' }, state: 'refunded', reason: 'refund_ordered' },
        ...{ failure: null, units: [], createdAt: at(-390), updatedAt: at(-380) },
      },
    ],
  });
  return { held, later, waits, decided, bought, gone, late, turned, paid, back };
}

interface World {
  readonly sales: readonly SaleView[];
  readonly reservations?: readonly ReservationView[];
  readonly purchases?: readonly PurchaseView[];
  readonly news?: readonly Notification[];
  readonly sessions?: readonly OwnSession[];
}

/** A notice, as its reader is told. */
function noticeOf(
  reader: Reader,
  n: number,
  kind: NoticeKind,
  subject: ReservationView | PurchaseView,
  facts: object,
): Notification {
  const subjectId = 'reservationId' in subject ? subject.reservationId : subject.purchaseId;
  return {
    ...{ notificationId: idOf(n) as Notification['notificationId'], kind, subjectId, version: 1 },
    facts: { ...facts },
    text: sentenceFor(kind, { ...facts }, reader),
    ...{ createdAt: at(-n), readAt: n > 10 ? at(-n) : null },
  };
}

const item = (page: Page) => page.locator('li.item').first().waitFor();
const choose = async (page: Page, count = 1) => {
  await item(page);
  for (let n = 0; n < count; n++) await page.getByRole('checkbox').nth(n).check();
  await page.locator('form.pay').waitFor();
};
const signing = async (page: Page) => {
  await page.locator('header button').last().click();
  await page.getByRole('dialog').waitFor();
};
const turnTo = (page: Page, which: number) => page.locator('dialog .row button').nth(which).click();
const send = (page: Page) => page.locator('dialog button[type=submit]').click();

/** Every scene, for a reader. */
export function scenesFor(reader: Reader): Scene[] {
  const { products, sales } = shopOf(reader);
  const own = holdingsIn(sales);
  const { held, later, waits, decided, bought, gone, late, turned, paid, back } = own;
  const all = Object.values(sales);
  const one = (n: number, kind: NoticeKind, subject: ReservationView | PurchaseView, facts: object) =>
    noticeOf(reader, n, kind, subject, facts);
  const news = [
    one(4, 'reminder.closing-soon', held, { saleId: held.saleId, units: 2, deadline: held.deadline }),
    one(9, 'reservation.allocated', held, { saleId: held.saleId, units: 2, quantity: 2, deadline: held.deadline }),
    one(11, 'reservation.allocated', later, { saleId: later.saleId, units: 3, quantity: 4 }),
    one(13, 'reminder.moved-up', waits, { saleId: waits.saleId, position: 212 }),
    one(14, 'reservation.waitlisted', waits, { saleId: waits.saleId }),
    one(29, 'purchase.captured', paid, { amount: paid.amount, reservationIds: [bought.reservationId] }),
    one(299, 'reservation.cancelled', gone, { saleId: gone.saleId, reason: 'sale_cancelled' }),
  ];
  const sessions: OwnSession[] = [-3, -1_500, -30_000].map((minutes, n) => ({
    ...{ sessionId: idOf(70 + n) as OwnSession['sessionId'], startedAt: at(minutes), usedAt: at(minutes / 2) },
    ...{ expiresAt: at(40_000), isCurrent: n === 0 },
  }));
  const mine: World = {
    sales: all,
    reservations: [held, later, waits, decided, bought, gone, late, turned],
    purchases: [paid, back],
    ...{ news, sessions },
  };
  const past = [bought, gone, late, turned];
  const answerFrom =
    (world: World): Scene['answer'] =>
    (path, method) => {
      const page = (items: readonly object[] = []) => good({ items: [...items], nextCursor: null });
      if (method !== 'GET') return { status: 409, code: 'conflict' };
      if (path === '/sales') return page(world.sales);
      if (path === '/reservations') return page(world.reservations);
      if (path === '/purchases') return page(world.purchases);
      if (path === '/me/sessions') return page(world.sessions);
      if (path === '/notifications') {
        const list = world.news ?? [];
        return good({ items: [...list], nextCursor: null, unread: list.filter(({ readAt }) => !readAt).length });
      }
      const sale = world.sales.find(({ saleId }) => path === `/sales/${saleId}`);
      const product = products.find(({ productId }) => path === `/products/${productId}`);
      if (sale || product) return good(sale ?? product ?? {});
      return path.startsWith('/sales/') ? { status: 404, code: 'not_found' } : good(emptyPage);
    };
  const of = (sale: SaleView) => `/sales/${sale.saleId}`;
  const shop = (name: string, at: string, world: World, more: Partial<Scene> = {}): Scene => ({
    ...{ name, at, role: 'customer', answer: answerFrom(world), ...more },
  });
  const nobody = { role: 'nobody' } as const;
  const only = (reservation: ReservationView, purchases: PurchaseView[] = []): World => ({
    ...{ sales: all, reservations: [reservation], purchases, news },
  });
  const bulk = reservationIn(sales.window, 10, { deadline: at(19), units: 1, quantity: 1 });
  const lamp = { ...sales.open, ...{ purchaseOpensAt: at(-20), phase: 'purchasing' as const } };
  const lamps = reservationIn(lamp, 12, { units: 3, quantity: 3, deadline: at(95) });
  const two: World = { sales: [lamp, sales.window], reservations: [bulk, lamps], news };
  const asks = purchaseOf(3, [[sales.window, held]], {
    ...{ state: 'requires_action', action: { url: 'https://bank.example.test', deadline: at(9), transferTo: null } },
  });
  const transfer = purchaseOf(3, [[sales.window, held]], {
    state: 'requires_action',
    action: {
      ...{ url: 'https://bank.example.test', deadline: at(9) },
      transferTo: { bankCode: '088', accountNumber: '110-123-456789', holderName: 'Holdfast' },
    },
  });
  const declined = purchaseOf(3, [[sales.window, held]], { state: 'declined', reason: 'card_declined' });
  const unsure = purchaseOf(3, [[sales.window, held]], { state: 'unknown', reason: 'awaiting_provider' });
  const failing: Scene['answer'] = () => ({ status: 503, code: 'store_unavailable' });
  const never: Scene['answer'] = () => 'never';
  const lost =
    (world: World, pattern: RegExp): Scene['answer'] =>
    (path, method) =>
      method === 'POST' && pattern.test(path)
        ? { status: 503, code: 'queue_unavailable' }
        : answerFrom(world)(path, method);
  const hidden = { ...sales.open, requiresCode: true };
  return [
    shop('sales-nobody', '/', { sales: all }, nobody),
    shop('sales-new-account', '/', { sales: all }),
    shop('home-mine', '/', mine, { reach: item }),
    shop('home-pay', '/', mine, { reach: choose }),
    shop(
      'home-past-open',
      '/',
      { ...mine, sales: [sales.full, sales.off, sales.ended], reservations: past },
      {
        async reach(page) {
          await page.locator('#bought-title').waitFor();
          for (const summary of await page.locator('details.card > summary').all()) await summary.click();
        },
      },
    ),
    shop('bulk', '/', two, { reach: (page) => choose(page, 2) }),
    shop('empty', '/', { sales: [] }),
    shop('empty-nobody', '/', { sales: [] }, nobody),
    shop('loading', '/', mine, { answer: never }),
    shop('failing', '/', mine, { answer: failing }),
    shop('offline', '/', mine, {
      async reach(page) {
        await item(page);
        await page.context().setOffline(true);
        await page.getByRole('alert').waitFor();
      },
    }),
    shop('sale-before', of(sales.soon), { sales: all }, nobody),
    shop('sale-before-unverified', of(sales.soon), { sales: all }),
    shop('sale-open-nobody', of(sales.open), { sales: all }, nobody),
    shop(
      'sale-open-fewer',
      of(sales.open),
      { sales: all },
      {
        reach: async (page) => {
          for (let n = 0; n < 3; n++) await page.locator('.stepper button').last().click();
          await page.getByRole('radio').nth(1).check();
        },
      },
    ),
    shop('sale-open-in-line', of(sales.open), only(decided)),
    shop('sale-open-part', of(sales.open), only(later)),
    shop('sale-waiting', of(sales.wait), only(waits)),
    shop('sale-to-wait', of(sales.wait), { sales: all }),
    shop('sale-full', of(sales.full), { sales: all }),
    shop('sale-window-pay', of(sales.window), only(held), { reach: choose }),
    shop('sale-window-story', of(sales.window), only(held), {
      async reach(page) {
        await item(page);
        await page.locator('details.more > summary').first().click();
      },
    }),
    shop('sale-give-back', of(sales.window), only(held), {
      async reach(page) {
        await item(page);
        await page.locator('li.item button.slim').first().click();
        await page.getByRole('dialog').waitFor();
      },
    }),
    shop('sale-declined', of(sales.window), only(held, [declined]), { reach: choose }),
    shop('sale-requires-action', of(sales.window), only(held, [asks])),
    shop('sale-transfer', of(sales.window), only(held, [transfer])),
    shop('sale-bank-silent', of(sales.window), only(held, [unsure])),
    shop('sale-bought', of(sales.full), only(bought, [paid])),
    shop('sale-closed', of(sales.closed), { sales: all }),
    shop('sale-paused', of(sales.paused), { sales: all }),
    shop('sale-off', of(sales.off), only(gone)),
    shop('sale-ended', of(sales.ended), only(late)),
    shop(
      'sale-unknown-request',
      of(sales.open),
      { sales: all },
      {
        answer: lost({ sales: all }, /reservations$/),
        async reach(page) {
          await page.locator('form.reserve button[type=submit]').click();
          await page.locator('.reserve .problem').waitFor();
        },
      },
    ),
    shop('sale-unknown-payment', of(sales.window), only(held), {
      answer: lost(only(held), /purchases$/),
      async reach(page) {
        await choose(page);
        await page.locator('form.pay button[type=submit]').click();
        await page.locator('section.pay').waitFor();
      },
    }),
    shop('sale-no-such', '/sales/01998c1e-7d00-7000-8000-00000000dead', { sales: all }),
    shop('sale-by-link', `${of(hidden)}?code=K7QX-2M4P`, { sales: [hidden] }, nobody),
    shop('settings', '/settings', mine, { reach: (page) => page.locator('#sessions-title ~ .rules').waitFor() }),
    shop('settings-nobody', '/settings', { sales: all }, nobody),
    shop('notices', '/', mine, {
      async reach(page) {
        await page.locator('.bell').click();
        await page.locator('.news').first().waitFor();
      },
    }),
    shop('sign-in', '/', { sales: all }, { ...nobody, reach: signing }),
    shop(
      'sign-in-refused',
      of(sales.open),
      { sales: all },
      {
        ...nobody,
        answer: (path, method) =>
          path === '/auth/login'
            ? { status: 401, code: 'invalid_credentials' }
            : answerFrom({ sales: all })(path, method),
        async reach(page) {
          await page.locator('form.reserve button[type=submit]').click();
          await page.locator('#sign-email').fill('ada@example.com');
          await page.locator('#sign-password').fill('not this one');
          await send(page);
          await page.locator('dialog .problem').waitFor();
        },
      },
    ),
    shop(
      'register',
      '/',
      { sales: all },
      {
        ...nobody,
        async reach(page) {
          await signing(page);
          await turnTo(page, 0);
          await send(page);
        },
      },
    ),
    shop(
      'reset',
      '/',
      { sales: all },
      {
        ...nobody,
        answer: (path, method) =>
          path === '/auth/password/code' ? good({}) : answerFrom({ sales: all })(path, method),
        async reach(page) {
          await signing(page);
          await turnTo(page, 1);
          await page.locator('#sign-email').fill('ada@example.com');
          await send(page);
          await page.locator('#sign-code').waitFor();
        },
      },
    ),
  ];
}
