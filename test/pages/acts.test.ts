/**
 * The acts of the console for which an API that works gives too little occasion: what was given up, disputed, refused or switched
 * off. What is asked first, what is sent, and what is said of it.
 */
import type { Page } from 'playwright-core';
import type {
  DeliveryView,
  DeliveryWithBody,
  DisputeView,
  EndpointView,
  FailedRefund,
  RedeliveryView,
  SaleMove,
  SaleView,
} from '#web/types.ts';
import { expectFine } from './axe.ts';
import { type Answer, good, type Pretended, pretend } from './pretend.ts';
import { overviewOf, saleOf } from './pretended-sales.ts';

let pages: Pretended;
let opened: Page | undefined;
beforeAll(async () => {
  pages = await pretend();
}, 60_000);
afterEach(() => opened?.context().close());
afterAll(() => pages?.close(), 30_000);

type Answers = Record<string, (body: unknown, query: URLSearchParams) => Answer>;

/** A console before an API with these answers, by method and path; and what it has asked to change. */
async function consoleAt(path: string, answers: Answers): Promise<{ page: Page; sent: [string, unknown][] }> {
  const sent: [string, unknown][] = [];
  const { page } = await pages.open({
    role: 'operator',
    answer(at, query, { method, body }) {
      if (method !== 'GET') sent.push([`${method} ${at}${query.size > 0 ? `?${query}` : ''}`, body]);
      return answers[`${method} ${at}`]?.(body, query);
    },
  });
  opened = page;
  await page.goto(`${pages.url}/console.html#/${path}`);
  return { page, sent };
}

const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
const asked = (page: Page) => page.getByRole('dialog');
const yes = (page: Page, name: string) => asked(page).getByRole('button', { name, exact: true }).click();

const now = new Date().toISOString();
const purchaseId = '01998c1e-7d00-7000-8000-0000000000aa' as DisputeView['purchaseId'];
const price = { amountMinor: 4_900, currency: 'EUR' };

test('what a queue gave up on is sent back, one message or all', async () => {
  const letter = (messageId: string) => ({
    ...{ queue: 'reservations', messageId, sentAt: now, deliveries: 5, body: '{"quantity":1}' },
    cause: { kind: 'failed', detail: 'store_unavailable' },
  });
  const items = [letter('first'), letter('second')];
  const { page, sent } = await consoleAt('health', {
    'GET /health': () => good({ status: 'ok', parts: [], breakers: {} }),
    'GET /ops/dead-letters': () => good({ queues: [{ queue: 'reservations', deadLetters: items.length }], items }),
    'POST /ops/dead-letters/redrive': () => good({ redriven: items.splice(0, 1).length, remaining: items.length }),
  });
  await button(page, 'Send back …').first().click();
  await asked(page)
    .getByText('Send what was given up (1) back to the queue “reservations”? It is done again.')
    .waitFor();
  await yes(page, 'Send back …');
  await page.getByText('1 sent back; 1 remain.').waitFor();
  await button(page, 'Send all back …').click();
  await expectFine(page);
  await yes(page, 'Send back …');
  await page.getByText('None. Every message was dealt with.').waitFor();
  const path = 'POST /ops/dead-letters/redrive';
  expect(sent).toEqual([
    [path, { queue: 'reservations', messageIds: ['first'] }],
    [path, { queue: 'reservations', messageIds: 'all' }],
  ]);
}, 40_000);

test('a dispute is decided: what was paid by something else, and a refund in another currency', async () => {
  const told = { chargeId: 'ch_1', amountMinor: 5_000, currency: 'EUR', reference: 'r' };
  const of = { purchaseId, ordered: price, toldAt: now };
  const disputes: DisputeView[] = [
    { ...of, refund: null, reason: 'amount_differs', told },
    { ...of, refund: 're_1', reason: 'currency_differs', told: { ...told, amountMinor: 1_000, currency: 'USD' } },
  ];
  const { page, sent } = await consoleAt('payments', {
    'GET /ops/disputes': () => good({ items: disputes, nextCursor: null }),
    [`POST /purchases/${purchaseId}/dispute`]: () => good(disputes.splice(0, 1)),
  });
  await button(page, 'Decide …').first().click();
  await asked(page).getByText('The provider took something other than the order.', { exact: false }).waitFor();
  await expectFine(page);
  await yes(page, 'Accept');
  await page.getByText('Decided.').waitFor();
  await button(page, 'Decide …').nth(1).waitFor({ state: 'detached' });
  await button(page, 'Decide …').click();
  await asked(page).getByLabel('How much it gave back, in EUR').fill('nine');
  await yes(page, 'Record it');
  await asked(page).getByText('Write an amount such as 49.99 or 189,000.').waitFor();
  await asked(page).getByLabel('How much it gave back, in EUR').fill('9.20');
  await yes(page, 'Record it');
  await page.getByText('No dispute is open.').waitFor();
  const path = `POST /purchases/${purchaseId}/dispute`;
  expect(sent).toEqual([
    [path, { decision: 'accept' }],
    [path, { decision: 'accept', refund: 're_1', amountMinor: 920 }],
  ]);
}, 40_000);

test('a refund that the provider refused is asked again, or closed without money', async () => {
  const failed: FailedRefund[] = [1, 2].map(() => ({
    ...{ purchaseId, amount: price, state: 'failed', reason: 'refund_ordered', failure: 'card_closed', units: [] },
    ...{ createdAt: now, updatedAt: now },
  }));
  failed[1] = { ...(failed[1] as FailedRefund), amount: { ...price, amountMinor: 1_000 } };
  const { page, sent } = await consoleAt('payments', {
    'GET /ops/failed-refunds': () => good({ items: failed, nextCursor: null }),
    [`POST /purchases/${purchaseId}/refund`]: () => good(failed.splice(0, 1)),
  });
  await button(page, 'Ask again …').first().click();
  await asked(page).getByText('Ask the provider again to give €49.00 back?').waitFor();
  await yes(page, 'Ask again …');
  await button(page, 'Ask again …').nth(1).waitFor({ state: 'detached' });
  await button(page, 'Close without money …').click();
  await asked(page).getByText('Close this refund of €10.00 without moving money?', { exact: false }).waitFor();
  await expectFine(page);
  await yes(page, 'Close without money …');
  await page.getByText('No refund waits for you.').waitFor();
  expect(sent.map(([, body]) => body)).toEqual([{ retryFailed: true }, { waiveFailed: true }]);
}, 40_000);

test('an endpoint that was switched off is switched on, tried, given another secret, and sent what it lacks', async () => {
  const endpointId = '01998c1e-7d00-7000-8000-0000000000bb';
  const endpoint: EndpointView = {
    ...{ endpointId, url: 'https://shop.example.com/hook', events: ['purchase.changed'], description: '' },
    ...{ state: 'switched_off', failingSince: now, switchedOffAt: now, secretOverlapUntil: null },
    ...{ createdAt: now, updatedAt: now },
  };
  const delivery: DeliveryView = {
    ...{ endpointId, messageId: 'first', occurredAt: now, state: 'failed', attempts: 12, nextAttemptAt: null },
    ...{ lastAttemptAt: now, lastStatus: 500, lastError: null, lastTookMs: 12 },
  };
  const full: DeliveryWithBody = { ...delivery, type: 'purchase.changed', body: '{"told":true}' };
  const run: RedeliveryView = {
    ...{ redeliveryId: 'r', endpointId, scope: 'all', since: now, until: now, ordered: 3, startedAt: now },
    ...{ finishedAt: now, statusUrl: '/webhook-endpoints/x/redeliveries/r' },
  };
  const root = `/webhook-endpoints/${endpointId}`;
  const { page, sent } = await consoleAt(`webhooks/${endpointId}`, {
    'GET /webhook-endpoints': () => good({ items: [endpoint], nextCursor: null }),
    [`GET ${root}/deliveries`]: () => good({ items: [delivery], nextCursor: null }),
    [`GET ${root}/deliveries/first`]: () => good(full),
    [`PATCH ${root}`]: (body) => good(Object.assign(endpoint, body)),
    [`POST ${root}/test`]: () => good({ messageId: 'test' }),
    [`POST ${root}/secret`]: () => good({ ...endpoint, secret: 'whsec_another' }),
    [`POST ${root}/deliveries/first/redeliver`]: () => good({ ...delivery, state: 'pending' }),
    [`POST ${root}/redeliveries`]: () => good(run),
    [`GET ${root}/redeliveries/r`]: () => good(run),
  });
  await page.getByText('Switched off after five days without success', { exact: false }).waitFor();
  await button(page, 'Switch on').click();
  await button(page, 'Pause').waitFor();
  await button(page, 'Send a test').click();
  await page.getByText('A test is on its way; see the log.').waitFor();
  await button(page, 'New secret …').click();
  await asked(page).getByText('For a day messages are signed with both.', { exact: false }).waitFor();
  await yes(page, 'New secret …');
  await asked(page).getByText('whsec_another').waitFor();
  await yes(page, 'Close');
  await button(page, 'Show').click();
  await asked(page).getByText('{"told":true}').waitFor();
  await expectFine(page);
  await yes(page, 'Close');
  await button(page, 'Send again').click();
  await page.getByText('It is sent again.').waitFor();
  await page.getByText('Send again what is lacking').click();
  await page.getByLabel('Which').selectOption({ label: 'Everything, also what was taken' });
  await button(page, 'Send again …').click();
  await asked(page)
    .getByText(/^Send everything since .* again, as chosen\?$/)
    .waitFor();
  await yes(page, 'Send again …');
  await page.getByText('Ordered again: 3.').waitFor();
  expect(sent).toEqual([
    [`PATCH ${root}`, { state: 'active' }],
    [`POST ${root}/test`, null],
    [`POST ${root}/secret`, null],
    [`POST ${root}/deliveries/first/redeliver`, null],
    [`POST ${root}/redeliveries`, { since: expect.stringMatching(/T.*Z$/), scope: 'all' }],
  ]);
}, 40_000);

describe('a sale', () => {
  const hence = (hours: number) => new Date(Math.ceil(Date.now() / 60_000) * 60_000 + hours * 3_600_000).toISOString();

  /** A sale that takes in what is changed of it. */
  function kept(terms: Partial<SaleView>): { sale: SaleView; answers: Answers } {
    const sale = saleOf(1, { reserveOpensAt: hence(1), reserveClosesAt: hence(2), ...terms });
    const change = (body: unknown) => {
      sale.stock.version++;
      const { accessCode: _, ...changed } = body as Partial<SaleView> & { accessCode?: unknown };
      return good(structuredClone(Object.assign(sale, changed)));
    };
    return {
      sale,
      answers: {
        'GET /ops/sales': () => good({ items: [sale], nextCursor: null }),
        [`GET /ops/sales/${sale.saleId}`]: () => good({ ...overviewOf(sale), accessCode: 'open-sesame' }),
        [`PATCH /sales/${sale.saleId}`]: change,
      },
    };
  }

  test('has a reference and facts of the shop’s own, which are read, corrected and changed', async () => {
    const { sale, answers } = kept({});
    const label = {
      kind: 'sale',
      subjectId: sale.saleId,
      reference: 'launch-1',
      metadata: { channel: 'app', old: 'x' },
    };
    const path = `/ops/labels/sale/${sale.saleId}`;
    const { page, sent } = await consoleAt(`sales/${sale.saleId}`, {
      ...answers,
      'GET /ops/labels': (_, query) =>
        good({ items: query.get('subjectId') === sale.saleId ? [{ ...label, updatedAt: now }] : [], nextCursor: null }),
      [`PATCH ${path}`]: () =>
        sent.length > 1 ? good({ ...label, updatedAt: now }) : { status: 409, code: 'reference_taken' },
    });
    await button(page, 'Notes …').click();
    await expect(asked(page).getByLabel('Reference of the shop').inputValue()).resolves.toBe('launch-1');
    const facts = asked(page).getByLabel('Facts of your own');
    expect(await facts.inputValue()).toBe('channel: app\nold: x');
    await facts.fill('no fact');
    await yes(page, 'Save');
    await asked(page).getByText('Write each line as a name, a colon and a value.', { exact: false }).waitFor();
    await expectFine(page);
    await facts.fill('channel: app\ncampaign: winter: two');
    await asked(page).getByLabel('Reference of the shop').fill('launch-2');
    await yes(page, 'Save');
    await asked(page).getByText('Another one has this reference.').waitFor();
    await yes(page, 'Save');
    await page.getByText('Saved.').waitFor();
    const body = { reference: 'launch-2', metadata: { old: null, campaign: 'winter: two' } };
    expect(sent).toEqual([
      [`PATCH ${path}`, body],
      [`PATCH ${path}`, body],
    ]);
  }, 40_000);

  test('is published at a time, found by its link alone, given another code, and shown to everybody', async () => {
    const { sale, answers } = kept({ publishAt: null, phase: 'scheduled' });
    const { page, sent } = await consoleAt(`sales/${sale.saleId}`, answers);
    await button(page, 'Publish at a time …').click();
    const time = asked(page).getByLabel('Public from');
    const offered = await time.inputValue();
    await time.fill('2099-01-01T00:00');
    await yes(page, 'Publish');
    await asked(page).getByText('It must be public before reservations open.').waitFor();
    await expectFine(page);
    await time.fill(offered);
    await yes(page, 'Publish');
    await page.getByText('The time of publication is set.').waitFor();
    await button(page, 'Only with a link').click();
    await button(page, 'New code …').click();
    await asked(page).getByText('The link that was given out leads nowhere any more.', { exact: false }).waitFor();
    await yes(page, 'New code …');
    await asked(page).waitFor({ state: 'detached' });
    await button(page, 'For everybody …').click();
    await asked(page).getByText('Let everybody find this sale? It appears in the shop’s list.').waitFor();
    await yes(page, 'For everybody …');
    await page.getByText('Everybody can find the sale.').waitFor();
    expect(sent).toEqual(
      [{ publishAt: sale.reserveOpensAt }, { requiresCode: true }, { accessCode: null }, { requiresCode: false }].map(
        (body) => [`PATCH /sales/${sale.saleId}`, body],
      ),
    );
  }, 40_000);

  test('goes on at the times that were announced, once it was asked whether somebody may have less time', async () => {
    const { sale, answers } = kept({ status: 'paused', pausedAt: now });
    const path = `/sales/${sale.saleId}/resume`;
    const { page, sent } = await consoleAt(`sales/${sale.saleId}`, {
      ...answers,
      [`POST ${path}`]: (_, query) =>
        query.has('confirmation')
          ? good({ ...sale, status: 'active', pausedAt: null, stock: { ...sale.stock, version: 2 } })
          : { status: 409, code: 'confirmation_required', more: { confirmation: 'yes, this' } },
    });
    await button(page, 'Resume').click();
    await yes(page, 'Keep the times as they were announced, and give nothing back');
    await asked(page).getByText('leave somebody less time than they were told', { exact: false }).waitFor();
    await yes(page, 'Resume');
    await page.getByText('The sale goes on.').waitFor();
    expect(sent.map(([what]) => what)).toEqual([
      `POST ${path}?keepTimes=true`,
      `POST ${path}?keepTimes=true&confirmation=yes%2C+this`,
    ]);
  }, 40_000);

  test('is moved to times of their own, each of which is named where it is wrong', async () => {
    const { sale, answers } = kept({ purchaseOpensAt: hence(3), purchaseClosesAt: hence(4), phase: 'scheduled' });
    const path = `/sales/${sale.saleId}/reschedule`;
    const later = '2031-01-01T01:00:00.000Z';
    const move = { dryRun: true, dangers: [], concerned: { holding: 1, offered: 0, waiting: 2, shortened: 0 } };
    const { page, sent } = await consoleAt(`sales/${sale.saleId}/move`, {
      ...answers,
      [`POST ${path}`]: () =>
        good({ ...move, confirmation: 'this', sale: { ...sale, purchaseClosesAt: later } } as SaleMove),
    });
    await page.getByLabel('How', { exact: true }).selectOption({ label: 'To times of their own' });
    await page.getByLabel('Purchase closes').fill('2020-01-01T00:00');
    await button(page, 'Preview …').click();
    await page.getByText('This must be later than the time before it.').waitFor();
    expect(await page.getByLabel('Purchase closes').getAttribute('aria-invalid')).toBe('true');
    await page.getByLabel('Purchase closes').fill('2031-01-01T10:00');
    await button(page, 'Preview …').click();
    await asked(page).getByText('Told of it: 1 holding units, 2 waiting.').waitFor();
    await yes(page, 'Move and tell everybody');
    await page.getByText('The sale has new times, and everybody concerned is told.').waitFor();
    expect(sent).toEqual([
      [`POST ${path}`, { purchaseClosesAt: later, dryRun: true }],
      [`POST ${path}`, { purchaseClosesAt: later, confirmation: 'this' }],
    ]);
  }, 40_000);
});
