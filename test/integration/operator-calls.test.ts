/**
 * Operators' calls, on real servers: sent twice under one Idempotency-Key they are one call (M8), and none of their numbers
 * exceeds what a column can hold (M9).
 */

import { answersKeptMs, forgetOldAnswers } from '#idempotency/kept-answer.ts';
import { adjustStock } from '#launch/adjust-stock.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { maxUnits } from '#sale/sale.shapes.ts';
import { newId } from '#test/support/ids.ts';
import { type Answer, type Api, openApi } from '../support/api.ts';
import { failingAt, withDeps } from '../support/deps.ts';
import { givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let operator: string;
let productId: string;

const chair = { sku: 'CHAIR', name: 'Chair', description: '', price: { amountMinor: 100, currency: 'EUR' } };

beforeAll(async () => {
  bed = await testBed();
  api = openApi();
  deps = await api.deps();
  operator = await api.operator();
  productId = (await api.call('POST /products', { json: chair, token: operator })).body.productId;
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

const newSale = () => ({
  productId,
  name: 'Chairs',
  allotment: 10,
  capPerCustomer: 2,
  reserveOpensAt: '2030-05-01T18:00:00Z',
  reserveClosesAt: '2030-05-03T18:00:00Z',
  purchaseOpensAt: '2030-05-04T18:00:00Z',
  purchaseClosesAt: '2030-05-06T18:00:00Z',
});
const count = async (table: 'sales' | 'products' | 'kept_answers') =>
  Number((await deps.db.rows<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`))[0]?.n);
const allotmentOf = async (saleId: SaleId) =>
  (await deps.db.rows<{ allotment: number }>('SELECT allotment FROM sales WHERE id = ?', [toBytes(saleId)]))[0]
    ?.allotment;
const addStock = (saleId: SaleId, units: number, key?: string, token = operator) =>
  api.call(`POST /sales/${saleId}/stock`, { json: { units }, token, ...(key === undefined ? {} : { key }) });

describe('M8: an operator’s call under an Idempotency-Key', () => {
  test('M8: adds stock once, and gives the same answer again, also after something else has changed', async () => {
    const saleId = await givenSale(deps, { allotment: 10 });
    const first = await addStock(saleId, 100, 'one');
    await addStock(saleId, 5);
    const again = await addStock(saleId, 100, 'one');
    expect(first.body.stock).toMatchObject({ allotment: 110, available: 110 });
    expect([again.status, again.text]).toEqual([first.status, first.text]);
    expect(await allotmentOf(saleId)).toBe(115);
  });

  test('M8: is marked where it is the first answer again, and the key is the same in quotes', async () => {
    const saleId = await givenSale(deps, { allotment: 10 });
    const answers = [
      await addStock(saleId, 100, 'marked'),
      await addStock(saleId, 100, 'marked'),
      await addStock(saleId, 100, '"marked"'),
    ];
    expect(answers.map(({ headers }) => headers['idempotent-replayed'])).toEqual([undefined, 'true', 'true']);
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(await allotmentOf(saleId)).toBe(110);
  });

  test('M8: a refusal for how things are is given again, though its cause is gone', async () => {
    const saleId = await givenSale(deps, { allotment: 10 });
    const first = await addStock(saleId, -100, 'refused');
    expect([first.status, first.body.code]).toEqual([409, 'illegal_state']);
    await addStock(saleId, 200);
    const again = await addStock(saleId, -100, 'refused');
    expect([again.status, again.text]).toEqual([first.status, first.text]);
    expect([first, again].map(({ headers }) => headers['idempotent-replayed'])).toEqual([undefined, 'true']);
    expect((await addStock(saleId, -99, 'refused')).body.code).toBe('idempotency_key_reused');
    expect(await allotmentOf(saleId)).toBe(210);
  });

  test('M8: what is malformed, or does not go together, uses up no key', async () => {
    const call = (json: object) => api.call('POST /sales', { json, token: operator, key: 'corrected' });
    expect((await call({ ...newSale(), allotment: 0 })).body.code).toBe('invalid_input');
    expect((await call({ ...newSale(), purchaseClosesAt: newSale().reserveOpensAt })).body.code).toBe('unprocessable');
    expect((await call(newSale())).status).toBe(201);
  });

  test('M8: creates one sale, and one product, and counts an import once', async () => {
    const [sales, products] = [await count('sales'), await count('products')];
    const lamp = { ...chair, sku: 'LAMP' };
    const file = 'sku,name,description,price_minor,currency\nTABLE,Table,,100,EUR\n';
    const calls = [
      ['POST /sales', { json: newSale() }, 201],
      ['POST /products', { json: lamp }, 201],
      ['POST /products/import', { text: file, headers: { 'content-type': 'text/csv' } }, 200],
    ] as const;
    for (const [line, sent, status] of calls) {
      const answers: Answer[] = [];
      for (let n = 0; n < 3; n++) answers.push(await api.call(line, { ...sent, token: operator, key: 'made-once' }));
      expect(answers.map((answer) => [answer.status, answer.text])).toEqual(
        Array.from({ length: 3 }, () => [status, answers[0]?.text]),
      );
    }
    expect([await count('sales'), await count('products')]).toEqual([sales + 1, products + 2]);
  });

  test('M8: is one call also if it comes eight times at once', async () => {
    const saleId = await givenSale(deps, { allotment: 10 });
    const sales = await count('sales');
    const stock = await Promise.all(Array.from({ length: 8 }, () => addStock(saleId, 100, 'at-once')));
    expect(new Set(stock.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(stock[0]?.status).toBe(200);
    expect(await allotmentOf(saleId)).toBe(110);
    const made = await Promise.all(
      Array.from({ length: 8 }, () => api.call('POST /sales', { json: newSale(), token: operator, key: 'at-once' })),
    );
    expect(new Set(made.map(({ status, body }) => `${status} ${body.saleId}`)).size).toBe(1);
    expect(await count('sales')).toBe(sales + 1);
  });

  test('M8: is one call also if what it does would refuse its twin', async () => {
    const saleId = await givenSale(deps, { allotment: 10 });
    const taken = await Promise.all(Array.from({ length: 8 }, () => addStock(saleId, -10, 'all-of-it')));
    expect(taken.map(({ status, text }) => [status, text])).toEqual(taken.map(() => [200, taken[0]?.text]));
    const desk = { ...chair, sku: 'DESK' };
    const made = await Promise.all(
      Array.from({ length: 8 }, () => api.call('POST /products', { json: desk, token: operator, key: 'one-desk' })),
    );
    expect(made.map(({ status, text }) => [status, text])).toEqual(made.map(() => [201, made[0]?.text]));
    expect(await allotmentOf(saleId)).toBe(0);
  });

  test('M8: is refused with another body, and the order of fields makes no other body', async () => {
    const saleId = await givenSale(deps, { allotment: 10 });
    expect((await addStock(saleId, 100, 'body')).status).toBe(200);
    const other = await addStock(saleId, 101, 'body');
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused']);
    expect(await allotmentOf(saleId)).toBe(110);
    const first = await api.call('POST /sales', { json: newSale(), token: operator, key: 'order' });
    const reversed = Object.fromEntries(Object.entries(newSale()).reverse());
    const again = await api.call('POST /sales', { json: reversed, token: operator, key: 'order' });
    expect(again.body).toEqual(first.body);
  });

  const closesOf = async (saleId: SaleId) =>
    (
      await deps.db.rows<{ atMs: number }>('SELECT purchase_closes_at_ms AS atMs FROM sales WHERE id = ?', [
        toBytes(saleId),
      ])
    )[0]?.atMs ?? 0;

  test('M8: moves a sale once, also if the answer to the first call was lost', async () => {
    const saleId = await givenSale(deps);
    const closes = await closesOf(saleId);
    const move = (shiftSeconds: number) =>
      api.call(`POST /sales/${saleId}/reschedule`, { json: { shiftSeconds }, token: operator, key: 'moved' });
    const answers = await Promise.all([move(600), move(600)]);
    answers.push(await move(600));
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(answers[0]?.status).toBe(200);
    expect((await move(601)).body.code).toBe('idempotency_key_reused');
    expect(await closesOf(saleId)).toBe(closes + 600_000);
  });

  test('M8: pauses, resumes, changes and calls off once', async () => {
    const saleId = await givenSale(deps);
    const calls = [
      [`POST /sales/${saleId}/pause`, undefined],
      [`POST /sales/${saleId}/resume`, undefined],
      [`PATCH /sales/${saleId}`, { capPerCustomer: 5 }],
      [`POST /sales/${saleId}/reschedule`, { shiftSeconds: 60, dryRun: true }],
      [`POST /sales/${saleId}/cancel`, { refunds: 'keep' }],
    ] as const;
    for (const [line, json] of calls) {
      const sent = { token: operator, key: 'once', ...(json ? { json } : {}) };
      const first = await api.call(line, sent);
      const again = await api.call(line, sent);
      expect([line, first.status, again.text]).toEqual([line, 200, first.text]);
    }
    const other = [
      [`PATCH /sales/${saleId}`, { capPerCustomer: 6 }],
      [`POST /sales/${saleId}/resume?keepTimes=true`, undefined],
      [`POST /sales/${saleId}/cancel`, { refunds: 'refund' }],
    ] as const;
    for (const [line, json] of other) {
      const { status, body } = await api.call(line, { token: operator, key: 'once', ...(json ? { json } : {}) });
      expect([line, status, body.code]).toEqual([line, 422, 'idempotency_key_reused']);
    }
    const [row] = await deps.db.rows('SELECT refunds FROM cancellations WHERE sale_id = ?', [toBytes(saleId)]);
    expect(row).toEqual({ refunds: 'keep' });
  });

  test('M8: is refused with a body that it does not read, and changes nothing', async () => {
    const saleId = await givenSale(deps);
    await api.call(`POST /sales/${saleId}/pause`, { token: operator });
    const sent = { token: operator, key: newId(), json: { keepTimes: true } };
    for (const act of ['pause', 'resume']) {
      const { status, body } = await api.call(`POST /sales/${saleId}/${act}`, sent);
      expect([act, status, body.code]).toEqual([act, 400, 'invalid_input']);
    }
    expect((await api.call(`GET /sales/${saleId}`)).body).toMatchObject({ status: 'paused' });
  });

  test('M8: begins one run of reconcile, and redrives once', async () => {
    const saleId = await givenSale(deps);
    const calls = [
      ['POST /ops/reconcile', { saleId }, { saleId, restored: true }],
      ['POST /ops/dead-letters/redrive', { queue: 'settle', messageIds: 'all' }, { queue: 'pay', messageIds: 'all' }],
    ] as const;
    for (const [line, json, other] of calls) {
      const first = await api.call(line, { json, token: operator, key: 'once' });
      const again = await api.call(line, { json, token: operator, key: 'once' });
      expect([again.status, again.text, again.headers.location]).toEqual([
        first.status,
        first.text,
        first.headers.location,
      ]);
      expect((await api.call(line, { json: other, token: operator, key: 'once' })).body.code).toBe(
        'idempotency_key_reused',
      );
    }
    const runs = await deps.db.rows('SELECT id FROM reconciliations WHERE sale_id = ?', [toBytes(saleId)]);
    expect(runs).toHaveLength(1);
  });

  test('M8: is the same call after Redis has lost everything', async () => {
    const saleId = await givenSale(deps, { allotment: 10 });
    const first = await addStock(saleId, 100, 'flushed');
    await deps.redis.flushdb();
    expect((await addStock(saleId, 100, 'flushed')).text).toBe(first.text);
    expect((await addStock(saleId, 99, 'flushed')).body.code).toBe('idempotency_key_reused');
    expect(await allotmentOf(saleId)).toBe(110);
  });

  test('M8: belongs to one operator and one address', async () => {
    const [one, other] = [await givenSale(deps, { allotment: 10 }), await givenSale(deps, { allotment: 10 })];
    for (const saleId of [one, other]) expect((await addStock(saleId, 100, 'mine')).status).toBe(200);
    expect((await addStock(one, 7, 'mine', await api.operator())).status).toBe(200);
    expect([await allotmentOf(one), await allotmentOf(other)]).toEqual([117, 110]);
  });

  test('M8: changes nothing if its answer cannot be kept', async () => {
    const saleId = await givenSale(deps, { allotment: 10 });
    const failing = withDeps(deps, { db: failingAt(deps.db, /kept_answers/, 'gone') });
    const insert = async <T>(tx: { change(sql: string): Promise<number> }, answer: T) => {
      await tx.change('INSERT INTO kept_answers () VALUES ()');
      return answer;
    };
    const keep = Object.assign(insert, { before: async () => undefined });
    await expect(adjustStock(failing, saleId, 100, keep)).rejects.toThrow('gone');
    expect(await allotmentOf(saleId)).toBe(10);
  });

  test('M8: needs a key of printable ASCII, if any, and is a new call each time without one', async () => {
    const saleId = await givenSale(deps, { allotment: 10 });
    for (const key of ['', 'two words', 'ü', 'k'.repeat(256)]) {
      expect((await addStock(saleId, 100, key)).body.code).toBe('idempotency_key_missing');
    }
    await addStock(saleId, 1);
    await addStock(saleId, 1);
    expect(await allotmentOf(saleId)).toBe(12);
  });

  test('M8: keeps its answer for a day, and then it is forgotten', async () => {
    const saleId = await givenSale(deps, { allotment: 10 });
    await addStock(saleId, 100, 'a-day');
    const kept = await count('kept_answers');
    expect(kept).toBeGreaterThan(0);
    const later = (ms: number) => withDeps(deps, { clock: () => Date.now() + ms });
    expect(await forgetOldAnswers(later(answersKeptMs - 300_000))).toBe(0);
    expect(await forgetOldAnswers(later(answersKeptMs + 1_000))).toBe(kept);
    expect(await count('kept_answers')).toBe(0);
  });
});

test('the stock of a sale that is over cannot be changed', async () => {
  const calledOff = await givenSale(deps, { allotment: 10 });
  await api.call(`POST /sales/${calledOff}/cancel`, { token: operator });
  const past = Date.now() - 60_000;
  const closed = await givenSale(deps, { allotment: 10, reserveClosesAtMs: past, purchaseClosesAtMs: past });
  const pausedAfter = await givenSale(deps, { allotment: 10, reserveClosesAtMs: past, purchaseClosesAtMs: past });
  await deps.db.change("UPDATE sales SET status = 'paused', paused_at_ms = ? WHERE id = ?", [
    past + 1_000,
    toBytes(pausedAfter),
  ]);
  for (const [saleId, code] of [
    [calledOff, 'sale_cancelled'],
    [closed, 'illegal_state'],
    [pausedAfter, 'illegal_state'],
  ] as const) {
    for (const units of [5, -5]) expect((await addStock(saleId, units)).body.code).toBe(code);
    expect(await allotmentOf(saleId)).toBe(10);
  }
  expect((await api.call(`POST /sales/${closed}/pause`, { token: operator })).body.code).toBe('illegal_state');
});

test('a sale has a cut-off for offers by itself, and none that is as long as its window', async () => {
  const { body } = await api.call('POST /sales', { json: newSale(), token: operator });
  expect(body.offerCutoffSeconds).toBe(60);
  const offerCutoffSeconds = 2 * 24 * 60 * 60;
  const refusals = [
    await api.call('POST /sales', { json: { ...newSale(), offerCutoffSeconds }, token: operator }),
    await api.call(`PATCH /sales/${body.saleId}`, { json: { offerCutoffSeconds }, token: operator }),
  ];
  for (const { status, body } of refusals) expect([status, body.code]).toEqual([422, 'unprocessable']);
  expect((await api.call(`GET /sales/${body.saleId}`)).body.offerCutoffSeconds).toBe(60);
});

describe('times after which the purchase window is not longer than its cut-off for offers', () => {
  const close = Date.parse(newSale().purchaseClosesAt);
  /** A purchase window of two days, in which the last day is too late for offers. */
  const cutoffSeconds = 24 * 60 * 60;
  const at = (seconds: number) => new Date(close + seconds * 1000).toISOString();
  const created = async (): Promise<SaleId> => {
    const json = { ...newSale(), offerCutoffSeconds: cutoffSeconds };
    return (await api.call('POST /sales', { json, token: operator })).body.saleId;
  };
  const timesOf = async (saleId: SaleId) => {
    const { reserveClosesAt, purchaseOpensAt, purchaseClosesAt, offerCutoffSeconds } = (
      await api.call(`GET /sales/${saleId}`)
    ).body;
    return { reserveClosesAt, purchaseOpensAt, purchaseClosesAt, offerCutoffSeconds };
  };

  const tooShort = { purchaseClosesAt: at(-cutoffSeconds) };
  test.each<[string, string, object]>([
    ['an earlier close', 'PATCH', tooShort],
    ['a later opening', 'PATCH', { purchaseOpensAt: at(-cutoffSeconds) }],
    [
      'an earlier close, with the cut-off that it would need one second shorter',
      'PATCH',
      { ...tooShort, offerCutoffSeconds: cutoffSeconds },
    ],
    [
      'a longer window, with a cut-off that is longer still',
      'PATCH',
      { purchaseClosesAt: at(60), offerCutoffSeconds: 3 * cutoffSeconds },
    ],
    ['a longer cut-off', 'PATCH', { offerCutoffSeconds: 2 * cutoffSeconds }],
    ['rescheduling', 'POST', tooShort],
    ['a preview', 'POST', { ...tooShort, dryRun: true }],
    ['rescheduling with a confirmation', 'POST', { ...tooShort, confirmation: 'x'.repeat(32) }],
  ])('are refused, and nothing changes: %s', async (_what, method, json) => {
    const saleId = await created();
    const before = await timesOf(saleId);
    const line = method === 'PATCH' ? `PATCH /sales/${saleId}` : `POST /sales/${saleId}/reschedule`;
    const { status, body } = await api.call(line, { json, token: operator });
    expect([status, body.code]).toEqual([422, 'unprocessable']);
    expect(body.detail).toContain('offerCutoffSeconds');
    expect(await timesOf(saleId)).toEqual(before);
  });

  test('are refused by a shift that only moves the close of an open window', async () => {
    const now = Date.now();
    const saleId = await givenSale(deps, { purchaseOpensAtMs: now - 60_000, offerCutoffMs: 3_000_000 });
    const call = { json: { shiftSeconds: -1_200 }, token: operator };
    const { status, body } = await api.call(`POST /sales/${saleId}/reschedule`, call);
    expect([status, body.code]).toEqual([422, 'unprocessable']);
  });

  test('a new cut-off that is not shorter than what is left of an open window is refused, alone and with times', async () => {
    const now = Date.now();
    const hourMs = 3_600_000;
    const times = { reserveOpensAtMs: now - 3 * hourMs, reserveClosesAtMs: now, purchaseOpensAtMs: now - 2 * hourMs };
    const saleId = await givenSale(deps, { ...times, purchaseClosesAtMs: now + hourMs, offerCutoffMs: 60_000 });
    const later = { purchaseClosesAt: new Date(now + hourMs + 60_000).toISOString() };
    for (const json of [{ offerCutoffSeconds: 3_601 }, { ...later, offerCutoffSeconds: 3_661 }]) {
      const { status, body } = await api.call(`PATCH /sales/${saleId}`, { json, token: operator });
      expect([status, body.code]).toEqual([422, 'unprocessable']);
    }
    expect((await timesOf(saleId)).offerCutoffSeconds).toBe(60);
    const fits = { json: { offerCutoffSeconds: 3_000 }, token: operator };
    expect((await api.call(`PATCH /sales/${saleId}`, fits)).status).toBe(200);
  });

  test('are accepted with a cut-off that fits, in one call', async () => {
    const saleId = await created();
    const json = { ...tooShort, offerCutoffSeconds: cutoffSeconds - 1 };
    const { status, body } = await api.call(`PATCH /sales/${saleId}`, { json, token: operator });
    expect([status, body.offerCutoffSeconds]).toEqual([200, cutoffSeconds - 1]);
    expect(Date.parse(body.purchaseClosesAt)).toBe(close - cutoffSeconds * 1000);
  });

  test('need a confirmation if only what is left of the window is as short, also to resume with its times kept', async () => {
    const now = Date.now();
    const minuteMs = 60_000;
    const [reserveOpensAtMs, purchaseClosesAtMs] = [now - 121 * minuteMs, now + 40 * minuteMs];
    const terms = { reserveOpensAtMs, purchaseOpensAtMs: now - 120 * minuteMs, purchaseClosesAtMs };
    const moved = await givenSale(deps, { ...terms, reserveClosesAtMs: now, offerCutoffMs: 20 * minuteMs });
    const json = { purchaseClosesAt: new Date(now + 20 * minuteMs).toISOString() };
    const paused = await givenSale(deps, { ...terms, reserveClosesAtMs: now, offerCutoffMs: 45 * minuteMs });
    await deps.db.change("UPDATE sales SET status = 'paused', paused_at_ms = ? WHERE id = ?", [
      now - 30 * minuteMs,
      toBytes(paused),
    ]);
    const refusals = [
      await api.call(`PATCH /sales/${moved}`, { json, token: operator }),
      await api.call(`POST /sales/${paused}/resume?keepTimes=true`, { token: operator }),
    ];
    for (const { status, body } of refusals) {
      expect([status, body.code]).toEqual([409, 'confirmation_required']);
      expect(body.dangers).toContain('short_window');
    }
  });
});

describe('M9: numbers', () => {
  test('M9: added stock that the counter cannot hold is refused, and nothing changes', async () => {
    const saleId = await givenSale(deps, { allotment: 10 });
    expect((await addStock(saleId, maxUnits - 10)).body.stock).toMatchObject({ allotment: maxUnits });
    for (const units of [1, 100, maxUnits]) {
      const answer = await addStock(saleId, units, newId());
      expect([answer.status, answer.body.code]).toEqual([409, 'illegal_state']);
    }
    expect(await allotmentOf(saleId)).toBe(maxUnits);
    expect((await addStock(saleId, -1)).body.stock).toMatchObject({ allotment: maxUnits - 1 });
  });

  const tooLarge = [2 ** 31 - 1, 2 ** 31, 2 ** 53, 1e21, 1e308, -(2 ** 31), -1e21, 0.5];
  test.each(tooLarge)(
    'M9: %d is refused for every number of an operator’s call, and nothing changes',
    async (value) => {
      const saleId = await givenSale(deps, { allotment: 10 });
      const before = [await count('sales'), await count('products'), await count('kept_answers')];
      const sale = newSale();
      const sent = [
        ['POST /sales', { ...sale, allotment: value }],
        ['POST /sales', { ...sale, capPerCustomer: value }],
        ['POST /sales', { ...sale, waitlistSize: value }],
        ['POST /sales', { ...sale, offerLifeSeconds: value }],
        [`PATCH /sales/${saleId}`, { capPerCustomer: value }],
        [`PATCH /sales/${saleId}`, { waitlistSize: value }],
        [`PATCH /sales/${saleId}`, { offerLifeSeconds: value }],
        [`POST /sales/${saleId}/stock`, { units: value }],
      ] as const;
      for (const [line, json] of sent) {
        const { status, body } = await api.call(line, { json, token: operator, key: newId() });
        expect([line, status, body.code]).toEqual([line, 400, 'invalid_input']);
      }
      expect([await count('sales'), await count('products'), await count('kept_answers')]).toEqual(before);
      expect(await allotmentOf(saleId)).toBe(10);
    },
  );

  test.each([0, -1, 0.5, 100_000_000_001, 2 ** 53, 1e21])('M9: a price of %d is refused', async (amountMinor) => {
    const products = await count('products');
    const json = { ...chair, sku: newId(), price: { amountMinor, currency: 'EUR' } };
    expect((await api.call('POST /products', { json, token: operator })).body.code).toBe('invalid_input');
    const changed = await api.call(`PATCH /products/${productId}`, { json: { price: json.price }, token: operator });
    expect(changed.body.code).toBe('invalid_input');
    expect(await count('products')).toBe(products);
    expect((await api.call(`GET /products/${productId}`)).body.price).toEqual(chair.price);
  });
});
