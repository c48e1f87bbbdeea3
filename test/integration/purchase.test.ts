/**
 * Purchases on real MySQL, Redis and SQS, with the sandbox provider in processes of its own. Fault rows 34 to 36, and the
 * rows of the bad-input matrix that purchases and the webhook can receive.
 *
 * After each test the books are compared: units with reservations, the ledger with stock, and the provider's charges with
 * purchases. Invariants I1, I3 and I7 must hold after every test.
 */

import { createHmac } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { DeleteMessageCommand, GetQueueAttributesCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { jest } from '@jest/globals';
import { createProduct } from '#catalog/product.ts';
import { BusEvent } from '#events/catalog.ts';
import { createPurchaseRoute } from '#functions/http/purchase.routes.ts';
import { handler as pay } from '#functions/queue/pay.ts';
import { handler as advance } from '#functions/schedule/advance.ts';
import { handler as settle } from '#functions/schedule/settle.ts';
import { keepingRefusals } from '#idempotency/kept-answer.ts';
import { adjustStock } from '#launch/adjust-stock.ts';
import { sweepCancellation } from '#launch/cancellation.ts';
import { createSale } from '#launch/create-sale.ts';
import { waitFor } from '#local/wait.ts';
import { readMirroredStatus } from '#mirror/mirror.ts';
import { listNotifications } from '#notification/list.ts';
import { notify } from '#notification/notify.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, refuse } from '#platform/kernel/errors.ts';
import {
  type CustomerId,
  derivedId,
  fromBytes,
  type ReservationId,
  type SaleId,
  toBytes,
} from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { locate } from '#platform/kernel/registry.ts';
import { keys } from '#platform/redis/keys.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { openTokens, type Tokens } from '#platform/security/access-token.ts';
import { actionAfterCloseAtMostMs, actionGraceMs, actionLifeAtMostMs } from '#purchase/action.ts';
import { paymentGateway } from '#purchase/payment-gateway.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { expireSale } from '#reservation/expire.ts';
import { deriveReservationId } from '#reservation/reservation-id.ts';
import { saleTag } from '#sale/sale-id.ts';
import { newId } from '#test/support/ids.ts';
import { type Answer, type Api, openApi } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { startProviders, type TestProviders } from '../support/provider.ts';
import { reconcile } from '../support/reconcile.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let tokens: Tokens;
let providers: TestProviders;
let webhookSecret: string;
/** The details of all events that were published, as one text. */
const details = () => published.map(({ detail }) => detail).join();

/** All events that were published. */
const published: { detailType: string; detail: string }[] = [];

beforeAll(async () => {
  bed = await testBed();
  const secrets = {
    apiKey: locate(bed.registry, 'secret/payment-api-key'),
    webhookSecret: locate(bed.registry, 'secret/payment-webhook'),
  };
  webhookSecret = secrets.webhookSecret;
  providers = await startProviders(2, secrets, async ({ headers, body }) => {
    return (await tell({ headers, body })).status;
  });
  const registry = { ...bed.registry, 'provider/payments': providers.addresses.join(',') };
  writeFileSync(bed.registryFile, JSON.stringify(registry), { mode: 0o600 });
  api = openApi();
  deps = await api.deps();
  tokens = await openTokens(locate(registry, 'secret/token-signing-key'), deps.clock);
  await redisReady(deps.redis);
  const { publish } = deps.bus;
  deps.bus.publish = (events) => {
    published.push(...events);
    return publish.call(deps.bus, events);
  };
});

afterAll(async () => {
  await api?.close();
  await providers?.stop();
  await bed?.close();
});

beforeEach(() => {
  providers.webhooks = 'lose';
  providers.received.length = 0;
});

afterEach(async () => {
  await providers.faults();
  await expectBooksToAgree();
});

const minutes = (count: number) => count * 60_000;

interface Scene {
  saleId: SaleId;
  customers: { customerId: CustomerId; token: string; reservationId: ReservationId }[];
}

/** A sale whose purchase window is open, with one allocated or waitlisted reservation of `units` for each customer. */
async function scene(options: { customers?: number; units?: number; allotment?: number; currency?: string } = {}) {
  const { customers: count = 1, units = 2, allotment = count * units, currency = 'EUR' } = options;
  const nowMs = Date.now();
  const price = { amountMinor: 1_250, currency };
  const product = await createProduct(deps, { sku: newId(), name: 'A thing', description: '', price });
  if (isRefusal(product)) throw new Error(product.detail);
  const sale = await createSale(deps, {
    productId: product.productId,
    name: 'A sale',
    requiresCode: false,
    allotment,
    ...{ capPerCustomer: units, capPer: 'customer', requiresContact: false },
    waitlistSize: count,
    offerLifeSeconds: 600,
    reserveOpensAt: toIso(nowMs - minutes(1)),
    reserveClosesAt: toIso(nowMs + minutes(60)),
    purchaseOpensAt: toIso(nowMs - minutes(1)),
    purchaseClosesAt: toIso(nowMs + minutes(120)),
  });
  if (isRefusal(sale)) throw new Error(sale.detail);
  const { saleId } = sale;
  const customers = await Promise.all(
    Array.from({ length: count }, async () => {
      const customerId = newId();
      const token = await tokens.issue({ customerId, role: 'customer' });
      return { customerId, token, reservationId: deriveReservationId(saleId, customerId, 'reserve') };
    }),
  );
  await reserve(saleId, customers, units);
  return { saleId, customers } satisfies Scene;
}

async function reserve(saleId: SaleId, customers: Scene['customers'], units: number): Promise<void> {
  const sentAtMs = Date.now();
  const batch = customers.map(({ customerId, reservationId }, index) => ({
    messageId: String(index),
    message: { reservationId, saleId, customerId, quantity: units, atLeast: units, ticket: sentAtMs * 1000 + index },
    sentAtMs,
    deliveries: 1,
  }));
  await allocateBatch(deps, batch, Date.now() + 10_000);
}

function first(scene: Scene): Scene['customers'][number] {
  return nth(scene, 0);
}

function nth(scene: Scene, index: number): Scene['customers'][number] {
  const customer = scene.customers[index];
  if (!customer) throw new Error(`the scene has no customer ${index}`);
  return customer;
}

const buy = (token: string, reservationIds: string[], paymentToken: string, key: string = newId()): Promise<Answer> =>
  api.call('POST /purchases', { token, key, json: { reservationIds, paymentToken } });

const look = (token: string, purchaseId: string): Promise<Answer> =>
  api.call(`GET /purchases/${purchaseId}`, { token });

const refund = (token: string, purchaseId: string): Promise<Answer> =>
  api.call(`POST /purchases/${purchaseId}/refund`, { token });

const cancel = (token: string, reservationId: string): Promise<Answer> =>
  api.call(`DELETE /reservations/${reservationId}`, { token });

const operator = () => tokens.issue({ customerId: newId(), role: 'operator' });

async function stateOf(purchaseId: string): Promise<string | undefined> {
  const [row] = await deps.db.rows<{ state: string }>('SELECT state FROM purchases WHERE id = ?', [
    toBytes(purchaseId),
  ]);
  return row?.state;
}

interface ReservationFacts {
  state: string;
  units: number;
  version: number;
  purchaseId: string | null;
}

async function reservation(reservationId: string): Promise<ReservationFacts> {
  const [row] = await deps.db.rows<Omit<ReservationFacts, 'purchaseId'> & { purchaseId: Buffer | null }>(
    'SELECT state, units, version, purchase_id AS purchaseId FROM reservations WHERE id = ?',
    [toBytes(reservationId)],
  );
  if (!row) throw new Error('no such reservation');
  return { ...row, purchaseId: row.purchaseId && fromBytes(row.purchaseId) };
}

/** Runs the pay worker on the real queue until a purchase, or all of them, is in one of these states. */
async function work(purchaseIds: string[], states: string[], timeoutMs = 25_000): Promise<void> {
  const worked = async () => {
    await workOnce();
    const now = await Promise.all(purchaseIds.map(stateOf));
    return now.every((state) => state !== undefined && states.includes(state));
  };
  await waitFor(`purchases to be ${states.join(' or ')}`, worked, { timeoutMs });
}

/** One poll of the queue and one batch. */
async function workOnce(): Promise<number> {
  const { url } = deps.queue('purchases');
  const { Messages = [] } = await deps.sqs.send(
    new ReceiveMessageCommand({
      QueueUrl: url,
      MaxNumberOfMessages: 10,
      WaitTimeSeconds: 1,
      MessageSystemAttributeNames: ['ApproximateReceiveCount'],
    }),
  );
  if (Messages.length === 0) return 0;
  const repeat = await deliver(
    pay,
    Messages.map(({ MessageId = '', Body = '', Attributes }) => ({
      messageId: MessageId,
      body: Body,
      deliveries: Number(Attributes?.ApproximateReceiveCount ?? 1),
    })),
  );
  for (const { MessageId = '', ReceiptHandle } of Messages) {
    if (!repeat.includes(MessageId)) await deps.sqs.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle }));
  }
  return Messages.length;
}

/** A webhook as the provider would sign it. */
function signed(body: unknown, { atMs = Date.now(), id = `msg_${newId()}`, secret = webhookSecret } = {}) {
  const text = JSON.stringify(body);
  const timestamp = String(Math.floor(atMs / 1000));
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${text}`).digest('base64');
  const headers = { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
  return { headers, body: text };
}

const tell = ({ headers, body }: { headers: Record<string, string>; body: string }): Promise<Answer> =>
  api.call('POST /webhooks/payments', { headers, text: body });

const told = (type: string, purchaseId: string, change: object = {}) => ({
  type,
  timestamp: toIso(Date.now()),
  data: {
    ...{ chargeId: 'ch_elsewhere', idempotencyKey: purchaseId, reference: purchaseId, declineCode: 'card_declined' },
    ...{ amountMinor: 2_500, currency: 'EUR' },
    ...change,
  },
});

async function expectBooksToAgree(): Promise<void> {
  const wrong = await deps.db.rows(
    `SELECT HEX(s.id) AS sale, s.available, s.allocated, s.sold, s.allotment, r.allocated AS held, r.sold AS bought
     FROM sales s LEFT JOIN (SELECT sale_id, SUM(IF(state = 'allocated', units, 0)) AS allocated,
       SUM(IF(state = 'purchased', units, 0)) AS sold FROM reservations GROUP BY sale_id) r ON r.sale_id = s.id
     WHERE s.available + s.allocated + s.sold <> s.allotment OR s.allocated <> COALESCE(r.allocated, 0)
       OR s.sold <> COALESCE(r.sold, 0)`,
  );
  expect(wrong).toEqual([]);
  const unrecorded = await deps.db.rows(
    `SELECT HEX(r.id) AS id, r.state, COUNT(l.kind) AS movements FROM reservations r
     LEFT JOIN ledger l ON l.subject_id = r.id AND l.kind = 'SELL'
     WHERE NOT (r.part_of IS NOT NULL AND r.state = 'refunded' AND r.version = 1)
     GROUP BY r.id, r.state HAVING (r.state IN ('purchased', 'refunded')) <> (movements = 1)`,
  );
  expect(unrecorded).toEqual([]);

  const { charges, refunds } = await providers.ledger();
  const captured = charges.filter((charge) => charge.status === 'captured');
  expect(new Set(captured.map((charge) => charge.idempotencyKey)).size).toBe(captured.length);
  for (const charge of captured) {
    const state = await stateOf(charge.idempotencyKey);
    // Open purchases are still to be settled, disputed ones to be decided; all others agree with the provider about the
    // money.
    if (state === 'requested' || state === 'unknown' || state === 'refunding' || state === 'disputed') continue;
    const atProvider = refunds
      .filter((one) => one.chargeId === charge.id)
      .reduce((sum, one) => sum + one.amountMinor, 0);
    const whole = atProvider === charge.amountMinor;
    expect([charge.idempotencyKey, whole ? state : 'in part']).toEqual([
      charge.idempotencyKey,
      whole ? 'refunded' : 'in part',
    ]);
    const [row] = await deps.db.rows<{ amountMinor: number | null }>(
      "SELECT SUM(amount_minor) AS amountMinor FROM refunds WHERE purchase_id = ? AND state = 'refunded'",
      [toBytes(charge.idempotencyKey)],
    );
    expect([charge.idempotencyKey, Number(row?.amountMinor ?? 0)]).toEqual([charge.idempotencyKey, atProvider]);
  }
  const paid = await deps.db.rows<{ id: Buffer; amountMinor: number; currency: string }>(
    `SELECT id, amount_minor AS amountMinor, currency FROM purchases WHERE state = 'captured'`,
  );
  for (const { id, amountMinor, currency } of paid) {
    const own = captured.filter((charge) => charge.idempotencyKey === fromBytes(id));
    expect(own).toMatchObject([{ amountMinor, currency }]);
  }
}

async function stockOf(saleId: SaleId) {
  const [row] = await deps.db.rows<Record<string, number>>(
    'SELECT available, allocated, sold, waitlisted FROM sales WHERE id = ?',
    [toBytes(saleId)],
  );
  return { ...row };
}

/** MySQL agrees with its ledger, and the mirror with MySQL. */
async function expectNoDrift(...saleIds: SaleId[]): Promise<void> {
  for (const saleId of saleIds) {
    expect((await reconcile(deps, saleId)).drifts).toEqual([]);
  }
}

async function depth(name: `queue/${string}` | `dead/${string}`): Promise<number> {
  const { Attributes } = await deps.sqs.send(
    new GetQueueAttributesCommand({
      QueueUrl: locate(deps.registry, name),
      AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
    }),
  );
  return Number(Attributes?.ApproximateNumberOfMessages) + Number(Attributes?.ApproximateNumberOfMessagesNotVisible);
}

describe('a purchase', () => {
  it('of reservations in several sales is one payment, and makes them bought', async () => {
    const [here, there] = [await scene(), await scene({ units: 3 })];
    const buyer = first(here);
    const other = { ...buyer, reservationId: deriveReservationId(there.saleId, buyer.customerId, 'reserve') };
    await deps.db.change('UPDATE sales SET allotment = allotment + 3, available = available + 3 WHERE id = ?', [
      toBytes(there.saleId),
    ]);
    await reserve(there.saleId, [other], 3);

    const accepted = await buy(buyer.token, [buyer.reservationId, other.reservationId], 'tok_approve');
    expect(accepted).toMatchObject({
      status: 202,
      body: { state: 'requested', amount: { amountMinor: 5 * 1_250, currency: 'EUR' } },
    });
    const { purchaseId, statusUrl } = accepted.body;
    expect(accepted.headers.location).toBe(statusUrl);
    expect(statusUrl).toBe(`/purchases/${purchaseId}`);
    await work([purchaseId], ['captured']);

    expect(await look(buyer.token, purchaseId)).toMatchObject({
      status: 200,
      body: { state: 'captured', reason: null, amount: { amountMinor: 6_250, currency: 'EUR' } },
    });
    for (const { reservationId, saleId } of [
      { ...buyer, saleId: here.saleId },
      { ...other, saleId: there.saleId },
    ]) {
      expect(await reservation(reservationId)).toMatchObject({ state: 'purchased', version: 2, purchaseId });
      expect(await readMirroredStatus(deps, reservationId, buyer.customerId)).toMatchObject({
        state: 'purchased',
        version: 2,
      });
      const mirrored = await deps.redis.hmget(keys.sale(saleTag(saleId)), 'sold', 'allocated');
      const [row] = await deps.db.rows<{ sold: number; allocated: number }>(
        'SELECT sold, allocated FROM sales WHERE id = ?',
        [toBytes(saleId)],
      );
      expect(mirrored.map(Number)).toEqual([row?.sold, row?.allocated]);
    }
    const [tokenKept] = await deps.db.rows<{ payment_token: string | null }>(
      'SELECT payment_token FROM purchases WHERE id = ?',
      [toBytes(purchaseId)],
    );
    expect(tokenKept?.payment_token).toBeNull();
  });

  it('is visible to its owner and operators only (I10)', async () => {
    const stage = await scene({ customers: 2 });
    const [owner, stranger] = stage.customers;
    const { body } = await buy(first(stage).token, [first(stage).reservationId], 'tok_approve');
    expect(await look(stranger?.token ?? '', body.purchaseId)).toMatchObject({ status: 404 });
    expect(await look(owner?.token ?? '', body.purchaseId)).toMatchObject({ status: 200 });
    expect(await look(await operator(), body.purchaseId)).toMatchObject({ status: 200 });
    const list = (token = '') => api.call('GET /purchases', { token });
    expect((await list(stranger?.token)).body).toEqual({ items: [], nextCursor: null });
    expect((await list(owner?.token)).body.items).toMatchObject([{ purchaseId: body.purchaseId }]);
    await work([body.purchaseId], ['captured']);
  });

  it('shows in pages, newest first, each once', async () => {
    const stages = await Promise.all([scene(), scene(), scene()]);
    const buyer = first(stages[0]);
    const bought: string[] = [];
    for (const { saleId } of stages) {
      const reservationId = deriveReservationId(saleId, buyer.customerId, 'reserve');
      if (saleId !== stages[0].saleId) {
        await deps.db.change('UPDATE sales SET allotment = allotment + 2, available = available + 2 WHERE id = ?', [
          toBytes(saleId),
        ]);
        await reserve(saleId, [{ ...buyer, reservationId }], 2);
      }
      bought.unshift((await buy(buyer.token, [reservationId], 'tok_approve')).body.purchaseId);
    }
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const after: string = cursor === null ? '' : `&cursor=${cursor}`;
      const page: Answer = await api.call(`GET /purchases?limit=1${after}`, { token: buyer.token });
      expect(page.status).toBe(200);
      seen.push(...page.body.items.map((item: { purchaseId: string }) => item.purchaseId));
      cursor = page.body.nextCursor;
    } while (cursor !== null);
    expect(seen).toEqual(bought);
    await work(bought, ['captured']);
  });

  it('declined frees its units, and the customer can try again', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const refused = await buy(token, [reservationId], 'tok_decline_insufficient_funds');
    await work([refused.body.purchaseId], ['declined']);
    expect(await look(token, refused.body.purchaseId)).toMatchObject({
      body: { state: 'declined', reason: 'insufficient_funds' },
    });
    expect(await reservation(reservationId)).toMatchObject({ state: 'allocated', purchaseId: null });
    const again = await buy(token, [reservationId], 'tok_approve');
    expect(again.status).toBe(202);
    await work([again.body.purchaseId], ['captured']);
  });

  it('of an offer takes the customer off the waitlist', async () => {
    const stage = await scene({ customers: 2, allotment: 2 });
    const [leaver, waiter] = stage.customers;
    if (!leaver || !waiter) throw new Error('two customers');
    expect(await reservation(waiter.reservationId)).toMatchObject({ state: 'waitlisted' });
    await cancel(leaver.token, leaver.reservationId);
    expect(await reservation(waiter.reservationId)).toMatchObject({ state: 'allocated' });
    const { body } = await buy(waiter.token, [waiter.reservationId], 'tok_approve');
    await work([body.purchaseId], ['captured']);
    const rows = await deps.db.rows('SELECT 1 FROM waitlist WHERE sale_id = ?', [toBytes(stage.saleId)]);
    expect(rows).toEqual([]);
  });
});

describe('an Idempotency-Key', () => {
  it('with the same request gives the same answer, also after the purchase is settled, and buys once', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const key = newId();
    const answer = await buy(token, [reservationId], 'tok_approve', key);
    expect(await buy(token, [reservationId], 'tok_approve', key)).toMatchObject({ status: 202, body: answer.body });
    await work([answer.body.purchaseId], ['captured']);
    expect(await buy(token, [reservationId], 'tok_approve', key)).toMatchObject({ status: 202, body: answer.body });
  });

  it('with another request is refused', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const key = newId();
    const { body } = await buy(token, [reservationId], 'tok_approve', key);
    expect(await buy(token, [reservationId], 'tok_decline', key)).toMatchObject({
      status: 422,
      body: { code: 'idempotency_key_reused' },
    });
    expect(await buy(token, [newId()], 'tok_approve', key)).toMatchObject({ status: 422 });
    await work([body.purchaseId], ['captured']);
  });

  it('is told of a refusal again, marked, and of what was bought under it before that', async () => {
    const stage = await scene();
    const { token, customerId, reservationId } = first(stage);
    const key = newId();
    const unknown = newId();
    const answers = [await buy(token, [unknown], 'tok_approve', key), await buy(token, [unknown], 'tok_approve', key)];
    expect(answers.map(({ status, headers }) => [status, headers['idempotent-replayed']])).toEqual([
      [404, undefined],
      [404, 'true'],
    ]);
    expect((await buy(token, [reservationId], 'tok_approve', key)).body.code).toBe('idempotency_key_reused');
    // Two calls under one key that were judged at once: one was refused, the other carried out.
    let made: { purchaseId: string } | undefined;
    const ask = keepingRefusals(
      createPurchaseRoute,
      async () => refuse('not_found', 'There is nothing of that name.'),
      async () => made,
    );
    const caller = { customerId, role: 'customer' as const };
    const call = {
      deps,
      caller,
      params: undefined,
      query: undefined,
      body: {},
      rawBody: '{}',
      idempotencyKey: newId(),
    };
    const asked = { ...call, tokens, headers: {}, sourceIp: '127.0.0.1' };
    expect(await ask(asked)).toMatchObject({ refused: 'not_found' });
    expect(await ask(asked)).toMatchObject({ refused: 'not_found' });
    made = { purchaseId: newId() };
    expect(await ask(asked)).toEqual(made);
  });

  it('is needed, and is each customer’s own', async () => {
    const stage = await scene({ customers: 2 });
    const [one, two] = stage.customers;
    const body = { reservationIds: [one?.reservationId], paymentToken: 'tok_approve' };
    expect(await api.call('POST /purchases', { token: one?.token ?? '', json: body })).toMatchObject({ status: 400 });
    const key = newId();
    const answers = await Promise.all(
      [one, two].map((customer) => buy(customer?.token ?? '', [customer?.reservationId ?? ''], 'tok_approve', key)),
    );
    expect(answers.map((answer) => answer.status)).toEqual([202, 202]);
    await work(
      answers.map((answer) => answer.body.purchaseId),
      ['captured'],
    );
  });

  it('whose first request is still running is answered 409, and works afterwards', async () => {
    const stage = await scene();
    const { token, customerId, reservationId } = first(stage);
    const key = newId();
    const claim = keys.running('purchase', derivedId('purchase', customerId, key));
    await deps.redis.set(claim, '1', 'PX', 60_000);
    expect(await buy(token, [reservationId], 'tok_approve', key)).toMatchObject({
      status: 409,
      body: { code: 'idempotency_in_progress' },
    });
    await deps.redis.del(claim);
    const { status, body } = await buy(token, [reservationId], 'tok_approve', key);
    expect(status).toBe(202);
    expect(await deps.redis.exists(claim)).toBe(0);
    await work([body.purchaseId], ['captured']);
  });

  it.each([
    ['together', []],
    ['together, with the claims out of reach', ['unavailable']],
  ])('used by ten requests %s makes one purchase', async (_, [unavailable]) => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const key = newId();
    const set = deps.redis.set;
    if (unavailable)
      deps.redis.set = (() => Promise.reject(new Error('Redis is unavailable'))) as unknown as typeof set;
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => buy(token, [reservationId], 'tok_approve', key)),
    ).finally(() => {
      deps.redis.set = set;
    });
    const accepted = answers.filter((answer) => answer.status === 202);
    expect(accepted.length).toBeGreaterThanOrEqual(1);
    expect(new Set(accepted.map((answer) => answer.body.purchaseId)).size).toBe(1);
    for (const answer of answers.filter((one) => one.status !== 202)) {
      expect(answer).toMatchObject({ status: 409, body: { code: 'idempotency_in_progress' } });
    }
    if (unavailable) expect(accepted).toHaveLength(10);
    await work([accepted[0]?.body.purchaseId], ['captured']);
  });
});

describe('a purchase is refused', () => {
  it.each([
    ['nothing to buy', { reservationIds: [] }],
    ['the same reservation twice', { reservationIds: Array(2).fill(newId()) }],
    ['too many reservations', { reservationIds: Array.from({ length: 51 }, () => newId()) }],
    ['an id that is none', { reservationIds: ["' OR 1=1"] }],
    ['ids that are not text', { reservationIds: [{ $gt: '' }] }],
    ['no token', { paymentToken: '' }],
    ['a token with a line break', { paymentToken: 'tok\r\nx' }],
    ['a token without end', { paymentToken: 'x'.repeat(201) }],
    ['a field that we do not know', { amountMinor: 1 }],
  ])('for %s', async (_, change) => {
    const stage = await scene();
    const body = { reservationIds: [first(stage).reservationId], paymentToken: 'tok_approve', ...change };
    const sent = { token: first(stage).token, key: newId(), json: body };
    expect(await api.call('POST /purchases', sent)).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
    expect(await reservation(first(stage).reservationId)).toMatchObject({ state: 'allocated', purchaseId: null });
  });

  it('for another customer’s reservation, alone or among one’s own; nothing is bound', async () => {
    const stage = await scene({ customers: 2 });
    const [one, two] = stage.customers;
    for (const ids of [[two?.reservationId ?? ''], stage.customers.map((customer) => customer.reservationId)]) {
      expect(await buy(one?.token ?? '', ids, 'tok_approve')).toMatchObject({
        status: 404,
        body: { code: 'not_found' },
      });
    }
    for (const { reservationId } of stage.customers) {
      expect(await reservation(reservationId)).toMatchObject({ purchaseId: null });
    }
  });

  it('while another purchase of the reservation is under way, and after it has been bought', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const answers = await Promise.all(Array.from({ length: 8 }, () => buy(token, [reservationId], 'tok_approve')));
    const accepted = answers.filter((answer) => answer.status === 202);
    expect(accepted).toHaveLength(1);
    for (const answer of answers.filter((one) => one.status !== 202)) {
      expect(answer).toMatchObject({ status: 409, body: { code: 'purchase_in_progress' } });
    }
    await work([accepted[0]?.body.purchaseId], ['captured']);
    expect(await buy(token, [reservationId], 'tok_approve')).toMatchObject({
      status: 409,
      body: { code: 'already_resolved' },
    });
  });

  it.each([
    ['before the window', { purchase_opens_at_ms: Date.now() + minutes(5) }, 'window_not_open'],
    ['after the window', { purchase_closes_at_ms: Date.now() - 1 }, 'window_closed'],
    ['while the sale is paused', { status: 'paused' }, 'sale_paused'],
    ['in a cancelled sale', { status: 'cancelled' }, 'sale_cancelled'],
  ])('%s', async (_, change, code) => {
    const stage = await scene();
    await deps.db.change('UPDATE sales SET ? WHERE id = ?', [change, toBytes(stage.saleId)]);
    expect(await buy(first(stage).token, [first(stage).reservationId], 'tok_approve')).toMatchObject({
      status: 409,
      body: { code },
    });
  });

  it('after the reservation has expired or was cancelled', async () => {
    const stage = await scene({ customers: 2 });
    const [leaver, late] = stage.customers;
    if (!leaver || !late) throw new Error('two customers');
    await cancel(leaver.token, leaver.reservationId);
    expect(await buy(leaver.token, [leaver.reservationId], 'tok_approve')).toMatchObject({
      status: 409,
      body: { code: 'illegal_state' },
    });
    await closeWindow(stage.saleId);
    await expireSale(deps, stage.saleId, Date.now() + 10_000);
    expect(await buy(late.token, [late.reservationId], 'tok_approve')).toMatchObject({
      status: 409,
      body: { code: 'deadline_passed' },
    });
  });

  it('for two currencies in one payment', async () => {
    const [euro, dollar] = [await scene(), await scene({ currency: 'USD' })];
    const buyer = first(euro);
    const reservationId = deriveReservationId(dollar.saleId, buyer.customerId, 'reserve');
    await deps.db.change('UPDATE sales SET allotment = allotment + 2, available = available + 2 WHERE id = ?', [
      toBytes(dollar.saleId),
    ]);
    await reserve(dollar.saleId, [{ ...buyer, reservationId }], 2);
    expect(await buy(buyer.token, [buyer.reservationId, reservationId], 'tok_approve')).toMatchObject({
      status: 422,
      body: { code: 'mixed_currencies' },
    });
  });

  it('without a sign-in', async () => {
    expect(await buy('', [newId()], 'tok_approve')).toMatchObject({ status: 401 });
  });
});

async function closeWindow(saleId: SaleId): Promise<void> {
  await deps.db.change('UPDATE sales SET purchase_closes_at_ms = ? WHERE id = ?', [Date.now() - 1, toBytes(saleId)]);
}

describe('a provider that misbehaves (row 34, I7)', () => {
  it('slow: captured', async () => {
    const stage = await scene();
    const { body } = await buy(first(stage).token, [first(stage).reservationId], 'tok_slow_1500');
    await work([body.purchaseId], ['captured']);
  });

  it('failing: unknown, its units set aside past the end of the window, then captured', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_flaky_2');
    await work([body.purchaseId], ['unknown']);
    expect(await look(token, body.purchaseId)).toMatchObject({ body: { reason: 'awaiting_provider' } });
    await closeWindow(stage.saleId);
    expect(await expireSale(deps, stage.saleId, Date.now() + 10_000)).toBe(0);
    expect(await cancel(token, reservationId)).toMatchObject({ status: 409, body: { code: 'purchase_in_progress' } });
    expect(await reservation(reservationId)).toMatchObject({ state: 'allocated', purchaseId: body.purchaseId });
    await work([body.purchaseId], ['captured']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased' });
  });

  it('charging and never answering: unknown, then found; one capture', async () => {
    const stage = await scene();
    const { body } = await buy(first(stage).token, [first(stage).reservationId], 'tok_charged_timeout');
    await work([body.purchaseId], ['unknown']);
    await work([body.purchaseId], ['captured']);
    const { charges } = await providers.ledger();
    expect(charges.filter((charge) => charge.idempotencyKey === body.purchaseId)).toHaveLength(1);
  });

  it('cutting the connection after the charge, for half of them: every one is captured once', async () => {
    await providers.faults({ lostAnswerRate: 0.5, seed: 5 });
    const stage = await scene({ customers: 10 });
    const answers = await Promise.all(
      stage.customers.map(({ token, reservationId }) => buy(token, [reservationId], 'tok_approve')),
    );
    const ids = answers.map((answer) => answer.body.purchaseId);
    await work(ids, ['captured', 'unknown', 'requested'], 10_000);
    await providers.faults();
    await work(ids, ['captured'], 30_000);
  });

  it('telling by webhook before it answers, and twice: settled once', async () => {
    providers.webhooks = 'deliver';
    await providers.faults({ webhookFirst: true, webhookTwice: true });
    const stage = await scene();
    const { body } = await buy(first(stage).token, [first(stage).reservationId], 'tok_charged_timeout');
    // The webhook has settled it while the worker is still waiting for the answer.
    const worker = work([body.purchaseId], ['captured']);
    await waitFor('the webhook to settle it', async () => (await stateOf(body.purchaseId)) === 'captured', {
      timeoutMs: 2_500,
    });
    await worker;
    await waitFor('both webhooks', () => providers.received.length >= 2, { timeoutMs: 5_000 });
    expect(await reservation(first(stage).reservationId)).toMatchObject({ state: 'purchased', version: 2 });
  });

  it('telling of a decline by webhook alone', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    expect(await tell(signed(told('payment.declined', body.purchaseId)))).toMatchObject({ status: 200 });
    expect(await look(token, body.purchaseId)).toMatchObject({ body: { state: 'declined', reason: 'card_declined' } });
    expect(await reservation(reservationId)).toMatchObject({ state: 'allocated', purchaseId: null });
    await workOnce();
    expect((await providers.ledger()).charges.some((charge) => charge.idempotencyKey === body.purchaseId)).toBe(false);
  });

  it('capturing after the decline: the charge is refunded, and the reservation can be bought again', async () => {
    providers.webhooks = 'deliver';
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    await tell(signed(told('payment.declined', body.purchaseId)));
    const again = await buy(token, [reservationId], 'tok_approve');
    // A request that the network kept until now reaches the provider.
    await fetch(`${providers.addresses[0]}/v1/charges`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${locate(bed.registry, 'secret/payment-api-key')}`,
        'idempotency-key': body.purchaseId,
      },
      body: JSON.stringify({ amountMinor: 2_500, currency: 'EUR', token: 'tok_approve', reference: body.purchaseId }),
    });
    await waitFor('the late capture', async () => (await stateOf(body.purchaseId)) !== 'declined', {
      timeoutMs: 5_000,
    });
    await work([body.purchaseId], ['refunded']);
    expect(await look(token, body.purchaseId)).toMatchObject({ body: { reason: 'captured_after_decline' } });
    await work([again.body.purchaseId], ['captured']);
    expect(await reservation(reservationId)).toMatchObject({
      state: 'purchased',
      purchaseId: again.body.purchaseId,
    });
  });
});

describe('messages and workers', () => {
  it('commands delivered many times, at once and after each other, charge and sell once', async () => {
    const stage = await scene();
    const { body } = await buy(first(stage).token, [first(stage).reservationId], 'tok_slow_300');
    const { purchaseId } = body;
    const command = (messageId: string, deliveries: number) => ({
      messageId,
      deliveries,
      body: JSON.stringify({ purchaseId, attempt: 0 }),
    });
    const repeats = await Promise.all(
      [1, 2, 3, 4].map((deliveries) => deliver(pay, [command(`m${deliveries}`, deliveries), command('copy', 1)])),
    );
    expect(repeats.flat()).toEqual([]);
    expect(await stateOf(purchaseId)).toBe('captured');
    await deliver(pay, [command('late', 5)]);
    expect(await reservation(first(stage).reservationId)).toMatchObject({ state: 'purchased', version: 2 });
  });

  it('a worker that died after charging: the next one asks first, and finds the charge', async () => {
    const stage = await scene();
    const { body } = await buy(first(stage).token, [first(stage).reservationId], 'tok_approve');
    const { purchaseId } = body;
    await deps.db.change('UPDATE purchases SET attempts = 1 WHERE id = ?', [toBytes(purchaseId)]);
    await fetch(`${providers.addresses[1]}/v1/charges`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${locate(bed.registry, 'secret/payment-api-key')}`,
        'idempotency-key': purchaseId,
      },
      body: JSON.stringify({ amountMinor: 2_500, currency: 'EUR', token: 'tok_approve', reference: purchaseId }),
    });
    const redelivered = { messageId: 'm1', deliveries: 2, body: JSON.stringify({ purchaseId, attempt: 0 }) };
    expect(await deliver(pay, [redelivered])).toEqual([]);
    expect(await stateOf(purchaseId)).toBe('captured');
  });

  it('a purchase whose message was lost is found by the settle job; one that is parked is left alone', async () => {
    const stage = await scene({ customers: 2 });
    const [lost, parked] = stage.customers;
    const answers = [
      await buy(lost?.token ?? '', [lost?.reservationId ?? ''], 'tok_approve'),
      await buy(parked?.token ?? '', [parked?.reservationId ?? ''], 'tok_approve'),
    ];
    const [lostId, parkedId] = answers.map((answer) => answer.body.purchaseId);
    await drain();
    await deps.db.change('UPDATE purchases SET updated_at_ms = ? WHERE id = ?', [Date.now() - 61_000, toBytes(lostId)]);
    expect(await deliver(settle, [{ messageId: 'tick', body: '{}' }])).toEqual([]);
    await work([lostId], ['captured']);
    expect(await stateOf(parkedId)).toBe('requested');
    await deliver(pay, [{ messageId: 'm', body: JSON.stringify({ purchaseId: parkedId }) }]);
    expect(await stateOf(parkedId)).toBe('captured');
  });

  it('an unreadable message is retried alone, and one for an unknown purchase is dropped', async () => {
    const stage = await scene();
    const { body } = await buy(first(stage).token, [first(stage).reservationId], 'tok_approve');
    const repeat = await deliver(pay, [
      { messageId: 'poison', body: '{"purchaseId":"nonsense"}' },
      { messageId: 'nobody', body: JSON.stringify({ purchaseId: newId() }) },
      { messageId: 'good', body: JSON.stringify({ purchaseId: body.purchaseId, attempt: 0 }) },
    ]);
    expect(repeat).toEqual(['poison']);
    expect(await stateOf(body.purchaseId)).toBe('captured');
  });
});

/** Empties the queue. */
async function drain(): Promise<void> {
  const { url } = deps.queue('purchases');
  while ((await depth('queue/purchases')) > 0) {
    const { Messages = [] } = await deps.sqs.send(
      new ReceiveMessageCommand({ QueueUrl: url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1 }),
    );
    for (const { ReceiptHandle } of Messages) {
      await deps.sqs.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle }));
    }
  }
}

describe('expiry races payment (row 35)', () => {
  it('each reservation is bought or expired, never both, and every accepted purchase is captured', async () => {
    const stage = await scene({ customers: 40, units: 1 });
    const closesAtMs = Date.now() + 400;
    await deps.db.change('UPDATE sales SET purchase_closes_at_ms = ? WHERE id = ?', [
      closesAtMs,
      toBytes(stage.saleId),
    ]);
    let expired = 0;
    const expiring = (async () => {
      while (Date.now() < closesAtMs + 400) {
        expired += await expireSale(deps, stage.saleId, Date.now() + 10_000);
      }
    })();
    const answers = await Promise.all(
      stage.customers.map(async ({ token, reservationId }, index) => {
        const atMs = closesAtMs - 200 + index * 10;
        await waitFor('its turn', () => Date.now() >= atMs, { timeoutMs: 2_000, lookAgainMs: 1 });
        return buy(token, [reservationId], 'tok_approve');
      }),
    );
    await expiring;
    const accepted = answers.flatMap((answer) => (answer.status === 202 ? [answer.body.purchaseId] : []));
    expect(accepted.length).toBeGreaterThan(0);
    expect(expired).toBeGreaterThan(0);
    for (const answer of answers.filter((one) => one.status !== 202)) {
      expect(['window_closed', 'deadline_passed']).toContain(answer.body.code);
    }
    await work(accepted, ['captured']);
    expect(accepted.length + expired).toBe(40);
  });

  it('a capture that meets an expiry of the same row: exactly one wins, and a losing capture is refunded', async () => {
    const stage = await scene({ customers: 12, units: 1 });
    const answers = await Promise.all(
      stage.customers.map(({ token, reservationId }) => buy(token, [reservationId], 'tok_slow_100')),
    );
    const ids = answers.map((answer) => answer.body.purchaseId as string);
    await closeWindow(stage.saleId);
    // What must not happen, a purchase losing its hold while it is being charged, is done by hand to some of them.
    const robbed = stage.customers.slice(0, 4).map((customer) => toBytes(customer.reservationId));
    const paying = work(ids, ['captured', 'refunding', 'refunded']);
    await deps.db.change('UPDATE reservations SET purchase_id = NULL WHERE id IN (?) AND state = ?', [
      robbed,
      'allocated',
    ]);
    await expireSale(deps, stage.saleId, Date.now() + 10_000);
    await paying;
    await work(ids, ['captured', 'refunded']);
    const winners = await Promise.all(
      stage.customers.map(async ({ reservationId }, index) => [
        (await reservation(reservationId)).state,
        await stateOf(ids[index] ?? ''),
      ]),
    );
    for (const pair of winners) {
      expect([
        ['purchased', 'captured'],
        ['expired', 'refunded'],
      ]).toContainEqual(pair);
    }
    expect(winners.filter(([state]) => state === 'purchased').length).toBeGreaterThanOrEqual(8);
  });
});

describe('the webhook', () => {
  it('is refused if unsigned, altered, signed with another secret, too old or from the future; nothing changes', async () => {
    const stage = await scene();
    const { body } = await buy(first(stage).token, [first(stage).reservationId], 'tok_approve');
    const good = signed(told('payment.captured', body.purchaseId));
    const bad = [
      { headers: {}, body: good.body },
      { ...good, body: good.body.replace('captured', 'declined') },
      { ...good, headers: { ...good.headers, 'webhook-signature': 'v1,AAAA' } },
      { ...good, headers: { ...good.headers, 'webhook-id': 'msg_other' } },
      signed(told('payment.captured', body.purchaseId), { atMs: Date.now() - 301_000 }),
      signed(told('payment.captured', body.purchaseId), { atMs: Date.now() + 302_000 }),
      signed(told('payment.captured', body.purchaseId), { secret: 'whsec_Z3Vlc3NlZA==' }),
    ];
    for (const webhook of bad) {
      expect(await tell(webhook)).toMatchObject({ status: 401, body: { code: 'invalid_signature' } });
    }
    expect(await stateOf(body.purchaseId)).toBe('requested');
    await work([body.purchaseId], ['captured']);
  });

  it('replayed is harmless', async () => {
    providers.webhooks = 'lose';
    const stage = await scene();
    const { body } = await buy(first(stage).token, [first(stage).reservationId], 'tok_approve');
    await work([body.purchaseId], ['captured']);
    await waitFor('the webhook', () => providers.received.length > 0, { timeoutMs: 5_000 });
    const [webhook] = providers.received;
    if (!webhook) throw new Error('no webhook');
    for (let turn = 0; turn < 3; turn++) expect((await tell(webhook)).status).toBe(200);
    const [row] = await deps.db.rows<{ version: number }>('SELECT version FROM purchases WHERE id = ?', [
      toBytes(body.purchaseId),
    ]);
    expect(row?.version).toBe(2);
  });

  it('of an unknown type, or of an unknown purchase, is acknowledged', async () => {
    for (const body of [
      { type: 'account.updated', data: {} },
      { type: 'payment.captured', data: { chargeId: 'ch_1', idempotencyKey: 'not an id of ours' } },
      told('payment.captured', newId()),
      [],
    ]) {
      expect(await tell(signed(body))).toMatchObject({ status: 200, body: { received: true } });
    }
  });
});

describe('a refund', () => {
  it('returns the money first, then the units, once however often it is ordered', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    await work([body.purchaseId], ['captured']);
    const by = await operator();
    await providers.faults({ failRate: 1 });
    expect(await refund(by, body.purchaseId)).toMatchObject({ status: 202, body: { state: 'refunding' } });
    await workOnce();
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased' });
    await providers.faults();
    expect(await refund(by, body.purchaseId)).toMatchObject({ status: 202, body: { state: 'refunding' } });
    await work([body.purchaseId], ['refunded']);
    expect(await refund(by, body.purchaseId)).toMatchObject({ status: 202, body: { state: 'refunded' } });
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded' });
    const [sale] = await deps.db.rows<{ available: number; sold: number }>(
      'SELECT available, sold FROM sales WHERE id = ?',
      [toBytes(stage.saleId)],
    );
    expect(sale).toEqual({ available: 2, sold: 0 });
    const movements = await deps.db.rows<{ kind: string; units: number }>(
      'SELECT kind, units FROM ledger WHERE subject_id = ? ORDER BY kind',
      [toBytes(reservationId)],
    );
    expect(movements.map(({ kind, units }) => `${kind} ${units}`).sort()).toEqual([
      'ALLOCATE 2',
      'RELEASE 2',
      'SELL 2',
    ]);
    expect(await buy(token, [reservationId], 'tok_approve')).toMatchObject({ body: { code: 'illegal_state' } });
  });

  it('is for operators, and for purchases that took money', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_decline');
    const by = await operator();
    expect(await refund(token, body.purchaseId)).toMatchObject({ status: 403 });
    expect(await refund(by, newId())).toMatchObject({ status: 404 });
    expect(await refund(by, body.purchaseId)).toMatchObject({ status: 409, body: { code: 'illegal_state' } });
    await work([body.purchaseId], ['declined']);
    expect(await refund(by, body.purchaseId)).toMatchObject({ status: 409, body: { code: 'illegal_state' } });
  });
});

/** Calls a sale off, as an operator does. */
const callOff = async (saleId: string, json?: object): Promise<Answer> =>
  api.call(`POST /sales/${saleId}/cancel`, { token: await operator(), ...(json ? { json } : {}) });

const decide = async (purchaseId: string, decision: string): Promise<Answer> =>
  api.call(`POST /purchases/${purchaseId}/dispute`, { token: await operator(), json: { decision } });

/** Decides about a refund that contradicts its purchase. */
const decideRefund = async (purchaseId: string, json: object): Promise<Answer> =>
  api.call(`POST /purchases/${purchaseId}/dispute`, { token: await operator(), json });

/** What waits for an operator's decision about a purchase. */
async function disputesOf(purchaseId: string) {
  const { body } = await api.call('GET /ops/disputes?limit=100', { token: await operator() });
  return body.items.filter((one: { purchaseId: string }) => one.purchaseId === purchaseId);
}

async function chargesOf(purchaseId: string) {
  const { charges, refunds } = await providers.ledger();
  const own = charges.filter((charge) => charge.idempotencyKey === purchaseId);
  return { charges: own, refunds: refunds.filter((one) => own.some((charge) => charge.id === one.chargeId)) };
}

/** A charge or a refund that was made directly at the provider. */
async function atProvider(path: string, key: string, body: object): Promise<{ id: string }> {
  const answer = await fetch(`${providers.addresses[0]}/v1/${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${locate(bed.registry, 'secret/payment-api-key')}`,
      'idempotency-key': key,
    },
    body: JSON.stringify(body),
  });
  return (await answer.json()) as { id: string };
}

describe('a sale that is called off (M1)', () => {
  it('M1: a payment under way that nobody has taken up is never charged, and its customer is told', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    expect((await callOff(stage.saleId)).status).toBe(200);
    await work([body.purchaseId], ['declined']);
    expect(await look(token, body.purchaseId)).toMatchObject({ body: { reason: 'sale_cancelled' } });
    expect((await chargesOf(body.purchaseId)).charges).toEqual([]);
    await expireSale(deps, stage.saleId, Date.now() + 10_000);
    expect(await reservation(reservationId)).toMatchObject({ state: 'cancelled' });
  });

  it('M1: a payment that was parked while the providers were down is never charged', async () => {
    await providers.faults({ down: true });
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    await work([body.purchaseId], ['unknown', 'requested']);
    await callOff(stage.saleId);
    await providers.faults();
    await work([body.purchaseId], ['declined'], 60_000);
    expect(await look(token, body.purchaseId)).toMatchObject({ body: { reason: 'sale_cancelled' } });
    expect((await chargesOf(body.purchaseId)).charges).toEqual([]);
  }, 90_000);

  it('M1: a payment that was captured, and whose answer was lost, is given back; the units are not bought', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_charged_timeout');
    await work([body.purchaseId], ['unknown']);
    await callOff(stage.saleId);
    await work([body.purchaseId], ['refunded']);
    expect(await look(token, body.purchaseId)).toMatchObject({ body: { reason: 'sale_cancelled' } });
    const { refunds } = await chargesOf(body.purchaseId);
    expect(refunds).toMatchObject([{ amountMinor: 2_500 }]);
    await expireSale(deps, stage.saleId, Date.now() + 10_000);
    expect(await reservation(reservationId)).toMatchObject({ state: 'cancelled' });
    const [told] = await deps.db.rows<{ amount: number }>(
      'SELECT amount_minor AS amount FROM refunds WHERE sale_id = ?',
      [toBytes(stage.saleId)],
    );
    expect(told).toEqual({ amount: 2_500 });
  });

  it('M1: every holder, waiter and buyer is told once in the inbox, and so is who was just paying', async () => {
    const stage = await scene({ customers: 4, allotment: 6 });
    const [buyer, payer, holder, waiter] = stage.customers;
    if (!buyer || !payer || !holder || !waiter) throw new Error('the scene has too few customers');
    const bought = await buy(buyer.token, [buyer.reservationId], 'tok_approve');
    await work([bought.body.purchaseId], ['captured']);
    const paying = await buy(payer.token, [payer.reservationId], 'tok_approve');
    await callOff(stage.saleId);
    await sweep(stage.saleId);
    await work([paying.body.purchaseId], ['declined']);
    await work([bought.body.purchaseId], ['refunded']);
    await expireSale(deps, stage.saleId, Date.now() + 10_000);
    await notifyTwice();

    const off = { reason: 'sale_cancelled' };
    const told = async (who: Scene['customers'][number]) =>
      (await inboxOf(who.customerId)).map(({ kind, facts }) => [kind, facts.reason]);
    expect(await told(buyer)).toEqual(
      [
        ['reservation.allocated', undefined],
        ['purchase.captured', undefined],
        ['reservation.purchased', undefined],
        ['reminder.called-off-refund', undefined],
        ['purchase.refunded', off.reason],
        ['reservation.refunded', undefined],
      ].sort(),
    );
    expect(await told(payer)).toEqual(
      [
        ['reservation.allocated', undefined],
        ['purchase.declined', off.reason],
        ['reservation.cancelled', off.reason],
      ].sort(),
    );
    expect(await told(holder)).toEqual(
      [
        ['reservation.allocated', undefined],
        ['reservation.cancelled', off.reason],
      ].sort(),
    );
    expect(await told(waiter)).toEqual([
      ['reservation.cancelled', off.reason],
      ['reservation.waitlisted', undefined],
    ]);
  });
});

/** Delivers what was published so far to the inbox, each event twice, as queues may. */
async function notifyTwice(): Promise<void> {
  const messages = published.map(({ detailType, detail }) =>
    BusEvent.parse({ 'detail-type': detailType, detail: JSON.parse(detail) }),
  );
  const batch = [...messages, ...messages].map((message) => ({
    ...{ messageId: newId(), message, sentAtMs: Date.now(), deliveries: 1 },
  }));
  for (let start = 0; start < batch.length; start += 50) {
    await notify(deps, batch.slice(start, start + 50), Date.now() + 10_000);
  }
}

/** All that a customer has been told, in the order of kinds. */
async function inboxOf(customerId: CustomerId) {
  const page = await listNotifications(deps, customerId, { limit: 100 }, undefined);
  if (isRefusal(page)) throw new Error(page.detail);
  return page.items.sort((one, other) => (one.kind < other.kind ? -1 : 1));
}

/** Runs what the queue `advance` would: the sweep over the buyers of a sale that was called off. */
const sweep = (saleId: string) =>
  deliver(advance, [{ messageId: 'sweep', body: JSON.stringify({ sweep: { saleId, afterId: null } }) }]);

const progress = async (saleId: string): Promise<Answer> =>
  api.call(`GET /ops/sales/${saleId}/cancellation`, { token: await operator() });

/** The reminders that the buyer of a reservation got, in order. */
function toldBuyer(reservationId: string): string[] {
  return published
    .map(({ detail }) => JSON.parse(detail) as { reason?: string; recipients?: { reservationId: string }[] })
    .flatMap(({ reason = '', recipients = [] }) =>
      recipients.filter((one) => one.reservationId === reservationId).map(() => reason),
    );
}

describe('what was paid in a sale that is called off (M2, M3)', () => {
  it('M2: is given back to every buyer, in steps that may come twice; progress is shown', async () => {
    const stage = await scene({ customers: 5 });
    const [holder, ...buyers] = stage.customers;
    const answers = await Promise.all(
      buyers.map(({ token, reservationId }) => buy(token, [reservationId], 'tok_approve')),
    );
    const ids = answers.map((answer) => answer.body.purchaseId as string);
    await work(ids, ['captured']);
    expect(await progress(stage.saleId)).toMatchObject({ status: 404 });
    expect((await callOff(stage.saleId)).status).toBe(200);
    expect((await callOff(stage.saleId, { refunds: 'refund' })).status).toBe(200);
    expect(await callOff(stage.saleId, { refunds: 'keep' })).toMatchObject({
      status: 409,
      body: { code: 'illegal_state' },
    });
    expect(await progress(stage.saleId)).toMatchObject({
      status: 200,
      body: { refunds: 'refund', done: false, sweptAt: null, currency: 'EUR', reservations: { purchased: 4 } },
    });
    await Promise.all([sweep(stage.saleId), sweep(stage.saleId)]);
    await sweep(stage.saleId);
    const swept = await progress(stage.saleId);
    expect(swept.body).toMatchObject({ sweptAt: expect.any(String), done: false });
    expect(swept.body.refundsByState.pending.refunds).toBe(4);
    await work(ids, ['refunded']);
    await expireSale(deps, stage.saleId, Date.now() + 10_000);
    expect((await progress(stage.saleId)).body).toMatchObject({
      done: true,
      reservations: { refunded: 4, cancelled: 1, purchased: 0, allocated: 0 },
      refundsByState: {
        refunded: { refunds: 4, amountMinor: 10_000 },
        failed: { refunds: 0 },
        pending: { refunds: 0 },
      },
    });
    for (const id of ids) expect((await chargesOf(id)).refunds).toMatchObject([{ amountMinor: 2_500 }]);
    for (const { reservationId } of buyers) {
      expect(await reservation(reservationId)).toMatchObject({ state: 'refunded' });
      expect(toldBuyer(reservationId)).toEqual(['called-off-refund']);
    }
    expect(await reservation(holder?.reservationId ?? '')).toMatchObject({ state: 'cancelled' });
  });

  it('M2: is kept if the operator says so, and its buyers are told; later it may be given back after all', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    await work([body.purchaseId], ['captured']);
    expect(await callOff(stage.saleId, { refunds: 'perhaps' })).toMatchObject({ status: 400 });
    expect(await progress(stage.saleId)).toMatchObject({ status: 404 });
    expect((await callOff(stage.saleId, { refunds: 'keep' })).status).toBe(200);
    await sweep(stage.saleId);
    expect((await progress(stage.saleId)).body).toMatchObject({ refunds: 'keep', done: true });
    expect(await stateOf(body.purchaseId)).toBe('captured');
    expect(toldBuyer(reservationId)).toEqual(['called-off-keep']);
    expect((await callOff(stage.saleId, { refunds: 'refund' })).status).toBe(200);
    await sweep(stage.saleId);
    await work([body.purchaseId], ['refunded']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded' });
  });

  it('M2: a sweep whose message was lost is continued by the rule of every minute', async () => {
    const stage = await scene();
    const { body } = await buy(first(stage).token, [first(stage).reservationId], 'tok_approve');
    await work([body.purchaseId], ['captured']);
    await callOff(stage.saleId);
    await deliver(advance, [{ messageId: 'tick', body: JSON.stringify({ 'detail-type': 'Scheduled Event' }) }]);
    await work([body.purchaseId], ['refunded']);
    expect((await progress(stage.saleId)).body).toMatchObject({ done: true });
  });

  /** One purchase of one customer over two sales: two units of the first, three of the second. */
  async function overTwoSales(paymentToken: string) {
    const [here, there] = [await scene(), await scene({ units: 3 })];
    const buyer = first(here);
    const other = { ...buyer, reservationId: deriveReservationId(there.saleId, buyer.customerId, 'reserve') };
    await deps.db.change('UPDATE sales SET allotment = allotment + 3, available = available + 3 WHERE id = ?', [
      toBytes(there.saleId),
    ]);
    await reserve(there.saleId, [other], 3);
    const { body } = await buy(buyer.token, [buyer.reservationId, other.reservationId], paymentToken);
    return { here, there, buyer, other, purchaseId: body.purchaseId as string };
  }

  it('M3: of a purchase over two sales only the share of the one that is called off goes back', async () => {
    const { here, there, buyer, other, purchaseId } = await overTwoSales('tok_approve');
    await work([purchaseId], ['captured']);
    await callOff(here.saleId);
    await sweep(here.saleId);
    expect(await stateOf(purchaseId)).toBe('refunding');
    await work([purchaseId], ['captured']);
    expect((await chargesOf(purchaseId)).refunds).toMatchObject([{ amountMinor: 2_500 }]);
    expect(await reservation(buyer.reservationId)).toMatchObject({ state: 'refunded' });
    expect(await reservation(other.reservationId)).toMatchObject({ state: 'purchased' });
    await callOff(there.saleId);
    await sweep(there.saleId);
    await work([purchaseId], ['refunded']);
    expect((await chargesOf(purchaseId)).refunds.map((one) => one.amountMinor).sort()).toEqual([2_500, 3_750]);
    expect(await reservation(other.reservationId)).toMatchObject({ state: 'refunded' });
  });

  it('M3: all that is left of a purchase over two sales is given back while a share is pending', async () => {
    const { here, buyer, other, purchaseId } = await overTwoSales('tok_approve');
    await work([purchaseId], ['captured']);
    await callOff(here.saleId);
    await sweep(here.saleId);
    expect(await refund(await operator(), purchaseId)).toMatchObject({ status: 202, body: { state: 'refunding' } });
    await work([purchaseId], ['refunded']);
    expect((await chargesOf(purchaseId)).refunds.map((one) => one.amountMinor).sort()).toEqual([2_500, 3_750]);
    expect(await reservation(buyer.reservationId)).toMatchObject({ state: 'refunded' });
    expect(await reservation(other.reservationId)).toMatchObject({ state: 'refunded' });
  });

  it('M2: what was captured goes back, not what was ordered', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    await providers.faults({ otherAmountRate: 1 });
    const { body } = await buy(token, [reservationId], 'tok_approve');
    await work([body.purchaseId], ['disputed']);
    await providers.faults();
    expect(await decide(body.purchaseId, 'accept')).toMatchObject({ status: 202, body: { state: 'captured' } });
    await callOff(stage.saleId);
    await sweep(stage.saleId);
    await work([body.purchaseId], ['refunded']);
    expect((await chargesOf(body.purchaseId)).refunds).toMatchObject([{ amountMinor: 2_501 }]);
    expect((await progress(stage.saleId)).body).toMatchObject({
      ...{ done: true, refundsByState: { refunded: { refunds: 1, amountMinor: 2_501 } } },
    });
  });

  it('M3: of a purchase for which less was captured, each sale gives back its part, and both all of it', async () => {
    const { here, there, purchaseId } = await overTwoSales('tok_approve');
    await deps.db.change('UPDATE purchases SET attempts = 1 WHERE id = ?', [toBytes(purchaseId)]);
    const order = { amountMinor: 1_001, currency: 'EUR', reference: purchaseId, token: 'tok_approve' };
    await atProvider('charges', purchaseId, order);
    await deliver(pay, [{ messageId: 'm', body: JSON.stringify({ purchaseId }) }]);
    expect(await decide(purchaseId, 'accept')).toMatchObject({ status: 202, body: { state: 'captured' } });
    for (const [{ saleId }, state] of [[here, 'captured'] as const, [there, 'refunded'] as const]) {
      await callOff(saleId);
      await sweep(saleId);
      // The books compare a purchase that is captured with its order, so this one must not stay so.
      await work([purchaseId], [state]);
    }
    const amounts = (await chargesOf(purchaseId)).refunds.map((one) => one.amountMinor);
    expect(amounts.reduce((sum, amount) => sum + amount, 0)).toBe(1_001);
    expect(Math.abs((amounts[0] ?? 0) - 1_001 * (2 / 5))).toBeLessThan(1);
  });

  it.each([
    ['the whole', {}, { refunds: 1, amountMinor: 2_500 }],
    ['a part', { amountMinor: 500 }, { refunds: 1, amountMinor: 500 }],
  ])('M2: the report is not done while the provider has refused %s, ordered before', async (_, json, failed) => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    await work([purchaseId], ['captured']);
    await providers.faults({ refuseRefunds: 402 });
    const by = await operator();
    await api.call(`POST /purchases/${purchaseId}/refund`, { token: by, json, key: newId() });
    await work([purchaseId], ['refund_failed']);
    await providers.faults();
    await callOff(stage.saleId);
    await sweep(stage.saleId);
    await work([purchaseId], ['refund_failed']);
    expect((await progress(stage.saleId)).body).toMatchObject({ done: false, refundsByState: { failed } });
    expect(await refund(by, purchaseId)).toMatchObject({ status: 202, body: { state: 'refunding' } });
    expect((await progress(stage.saleId)).body).toMatchObject({ done: false, refundsByState: { pending: failed } });
    await work([purchaseId], ['refunded']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded' });
    expect((await progress(stage.saleId)).body).toMatchObject({
      done: true,
      refundsByState: { failed: { refunds: 0 } },
    });
  });

  it('M2: the report is done once the provider has given back by hand what it had refused', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    await work([purchaseId], ['captured']);
    await providers.faults({ refuseRefunds: 404 });
    await callOff(stage.saleId);
    await sweep(stage.saleId);
    await work([purchaseId], ['refund_failed']);
    await providers.faults();
    expect((await progress(stage.saleId)).body).toMatchObject({
      done: false,
      refundsByState: { failed: { refunds: 1 } },
    });
    const { charges } = await chargesOf(purchaseId);
    await atProvider(`charges/${charges[0]?.id}/refunds`, newId(), { amountMinor: 2_500 });
    const facts = { chargeId: charges[0]?.id, refundId: 're_elsewhere', amountMinor: 2_500, refundKey: 'elsewhere' };
    await tell(signed(told('payment.refunded', purchaseId, facts)));
    await work([purchaseId], ['refunded']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded' });
    expect((await progress(stage.saleId)).body).toMatchObject({
      done: true,
      refundsByState: { failed: { refunds: 0 } },
    });
  });

  it('M4: in a bundle, a refused share that was given back by hand is closed: no money moves, the report is done', async () => {
    const [here, there] = [await scene({ units: 2 }), await scene({ units: 3 })];
    const buyer = first(here);
    const other = { ...buyer, reservationId: deriveReservationId(there.saleId, buyer.customerId, 'reserve') };
    await adjustStock(deps, there.saleId, 3);
    await reserve(there.saleId, [other], 3);
    const bought = await buy(buyer.token, [buyer.reservationId, other.reservationId], 'tok_approve');
    const { purchaseId } = bought.body;
    await work([purchaseId], ['captured']);
    const by = await operator();
    const close = (json: object, key: string) =>
      api.call(`POST /purchases/${purchaseId}/refund`, { token: by, json, ...(key ? { key } : {}) });
    const waive = { waiveFailed: true };
    const nothingFailed = { status: 409, body: { code: 'illegal_state' } };
    expect(await close(waive, newId())).toMatchObject(nothingFailed);
    await providers.faults({ refuseRefunds: 404 });
    await callOff(there.saleId);
    await expireSale(deps, there.saleId, Date.now() + 10_000);
    await sweep(there.saleId);
    await work([purchaseId], ['refund_failed']);
    await providers.faults();
    const { charges } = await chargesOf(purchaseId);
    await atProvider(`charges/${charges[0]?.id}/refunds`, newId(), { amountMinor: 3_750 });
    const facts = { chargeId: charges[0]?.id, refundId: 're_elsewhere', amountMinor: 3_750, refundKey: 'elsewhere' };
    await tell(signed(told('payment.refunded', purchaseId, facts)));
    await work([purchaseId], ['refund_failed']);
    expect((await progress(there.saleId)).body).toMatchObject({ done: false });

    for (const json of [
      ...[
        { ...waive, amountMinor: 5 },
        { ...waive, cancel: [buyer.reservationId] },
      ],
      ...[
        { ...waive, retryFailed: true },
        { ...waive, items: [{ reservationId: buyer.reservationId, units: 1 }] },
      ],
    ]) {
      expect(await close(json, newId())).toMatchObject({ status: 422, body: { code: 'unprocessable' } });
    }
    const malformed = { status: 400, body: { code: 'invalid_input' } };
    expect(await close({ waiveFailed: false }, newId())).toMatchObject(malformed);
    expect((await progress(there.saleId)).body).toMatchObject({
      done: false,
      refundsByState: { failed: { refunds: 1 } },
    });
    published.length = 0;
    const key = newId();
    const closed = await close(waive, key);
    expect(closed).toMatchObject({ status: 202, body: { state: 'refunding' } });
    await work([purchaseId], ['captured']);
    expect(await close(waive, key)).toEqual(expect.objectContaining({ status: 202, body: closed.body }));
    expect(await close({ retryFailed: true }, newId())).toMatchObject(nothingFailed);
    expect(await close({ retryFailed: true }, key)).toMatchObject({
      ...{ status: 422, body: { code: 'idempotency_key_reused' } },
    });

    expect((await chargesOf(purchaseId)).refunds.map((one) => one.amountMinor)).toEqual([3_750]);
    expect(await reservation(other.reservationId)).toMatchObject({ state: 'refunded', units: 3 });
    expect(await reservation(buyer.reservationId)).toMatchObject({ state: 'purchased', units: 2 });
    expect((await progress(there.saleId)).body).toMatchObject({
      ...{ done: true, refundsByState: { pending: { refunds: 0 }, failed: { refunds: 0 } } },
    });
    const seen = await api.call(`GET /purchases/${purchaseId}`, { token: by });
    expect(seen.body.state).toBe('captured');
    expect(seen.body.refunds).toMatchObject([
      { amount: { amountMinor: 0 }, state: 'refunded', reason: 'closed_by_operator', failure: null },
      { amount: { amountMinor: 3_750 }, state: 'refunded', reason: 'refunded_by_provider' },
    ]);
    // The money was told when it went back.
    expect(published.map(({ detailType }) => detailType)).not.toContain('purchase.changed');
    expect((await api.call(`GET /ops/failed-refunds?saleId=${there.saleId}`, { token: by })).body.items).toEqual([]);
    // The other sale's share is not touched by it.
    await callOff(here.saleId);
    await sweep(here.saleId);
    await work([purchaseId], ['refunded']);
    expect((await chargesOf(purchaseId)).refunds.map((one) => one.amountMinor).sort()).toEqual([2_500, 3_750]);
    expect((await progress(here.saleId)).body).toMatchObject({ done: true });
    await expectNoDrift(here.saleId, there.saleId);
  });

  it('M2: units whose money went back before return as well', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    await work([purchaseId], ['captured']);
    const whole = { token: await operator(), json: { amountMinor: 2_500 }, key: newId() };
    await api.call(`POST /purchases/${purchaseId}/refund`, whole);
    await work([purchaseId], ['refunded']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased' });
    await callOff(stage.saleId);
    await sweep(stage.saleId);
    expect((await progress(stage.saleId)).body).toMatchObject({ done: false });
    await work([purchaseId], ['refunded']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded' });
    expect((await progress(stage.saleId)).body).toMatchObject({ done: true });
    expect((await chargesOf(purchaseId)).refunds).toMatchObject([{ amountMinor: 2_500 }]);
  });

  it.each([
    ['all of it', {}],
    ['all of its money', { amountMinor: 2_500 }],
  ])('M2: a sale is called off while %s goes back: its buyer is told once that it was refunded', async (_, json) => {
    const stage = await scene();
    const { customerId, token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    await work([purchaseId], ['captured']);
    published.length = 0;
    await api.call(`POST /purchases/${purchaseId}/refund`, { token: await operator(), json, key: newId() });
    await callOff(stage.saleId);
    await sweep(stage.saleId);
    await work([purchaseId], ['refunded']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded' });
    expect((await progress(stage.saleId)).body).toMatchObject({ done: true });
    expect((await chargesOf(purchaseId)).refunds.map((one) => one.amountMinor)).toEqual([2_500]);
    await notifyTwice();
    const kinds = (await inboxOf(customerId)).map(({ kind }) => kind).filter((kind) => kind.startsWith('purchase.'));
    expect(kinds).toEqual(['purchase.refunded']);
  });

  it('M2: what was paid for units that returned without their money goes back as well', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    await work([purchaseId], ['captured']);
    const units = { token: await operator(), json: { cancel: [reservationId] }, key: newId() };
    expect(await api.call(`POST /purchases/${purchaseId}/refund`, units)).toMatchObject({ status: 202 });
    await work([purchaseId], ['captured']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded' });
    await callOff(stage.saleId);
    await sweep(stage.saleId);
    expect((await progress(stage.saleId)).body).toMatchObject({ done: false });
    await work([purchaseId], ['refunded']);
    expect((await progress(stage.saleId)).body).toMatchObject({ done: true });
    expect((await chargesOf(purchaseId)).refunds).toMatchObject([{ amountMinor: 2_500 }]);
    expect(await stockOf(stage.saleId)).toMatchObject({ available: 2, sold: 0 });
  });

  it('M2: a disputed capture that is given back is in the report', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    await providers.faults({ otherAmountRate: 1 });
    const { body } = await buy(token, [reservationId], 'tok_approve');
    await work([body.purchaseId], ['disputed']);
    await providers.faults();
    await callOff(stage.saleId);
    await sweep(stage.saleId);
    expect((await progress(stage.saleId)).body).toMatchObject({ done: false });
    expect(await decide(body.purchaseId, 'accept')).toMatchObject({ status: 409 });
    expect(await decide(body.purchaseId, 'refund')).toMatchObject({ status: 202, body: { state: 'refunding' } });
    const all = { refunds: 1, amountMinor: 2_501 };
    expect((await progress(stage.saleId)).body).toMatchObject({ done: false, refundsByState: { pending: all } });
    await work([body.purchaseId], ['refunded']);
    await expireSale(deps, stage.saleId, Date.now() + 10_000);
    expect((await progress(stage.saleId)).body).toMatchObject({ done: true, refundsByState: { refunded: all } });
  });

  it('M3: who must confirm a payment over two sales is told at once that one was called off, and of all that follows', async () => {
    const { here, buyer, other, purchaseId } = await overTwoSales('tok_action');
    await work([purchaseId], ['requires_action']);
    const { url } = (await look(buyer.token, purchaseId)).body.action;
    await callOff(here.saleId);
    await sweep(here.saleId);
    await expireSale(deps, here.saleId, Date.now() + 10_000);
    // Nothing of that sale is bound any more; the rest of the payment goes on.
    const off = { state: 'cancelled', purchaseId: null };
    expect(await reservation(buyer.reservationId)).toMatchObject(off);
    expect(await stockOf(here.saleId)).toMatchObject({ allocated: 0, sold: 0 });
    expect(await reservation(other.reservationId)).toMatchObject({ state: 'allocated', purchaseId });
    expect((await progress(here.saleId)).body).toMatchObject({ done: false, openPayments: 1 });
    await notifyTwice();
    const told = async () => (await inboxOf(buyer.customerId)).map(({ kind, text }) => [kind, text]);
    expect(await told()).toContainEqual([
      'reservation.cancelled',
      'Your reservation was cancelled: the sale was cancelled; what your payment takes for it will be refunded.',
    ]);
    await fetch(url, { method: 'POST', body: new URLSearchParams({ decision: 'confirm' }) });
    await work([purchaseId], ['captured']);
    expect(await reservation(buyer.reservationId)).toMatchObject(off);
    expect(await reservation(other.reservationId)).toMatchObject({ state: 'purchased', purchaseId });
    expect((await chargesOf(purchaseId)).refunds).toMatchObject([{ amountMinor: 2_500 }]);
    expect((await progress(here.saleId)).body).toMatchObject({ done: true, openPayments: 0 });
    await notifyTwice();
    expect((await told()).map(([kind]) => kind)).toEqual(
      [
        ...['reservation.allocated', 'reservation.allocated', 'purchase.requires_action', 'reservation.cancelled'],
        ...['purchase.captured', 'reservation.purchased', 'purchase.refunded-in-part'],
      ].sort(),
    );
    expect(await told()).toContainEqual(['purchase.captured', 'Your payment of €62.50 was taken. Thank you.']);
    await expectNoDrift(here.saleId);
  });

  it('M3: who does not confirm it loses nothing more: the payment is stopped, the other units stay', async () => {
    const { here, buyer, other, purchaseId } = await overTwoSales('tok_action');
    await work([purchaseId], ['requires_action']);
    await callOff(here.saleId);
    await sweep(here.saleId);
    await expireSale(deps, here.saleId, Date.now() + 10_000);
    await deps.db.change('UPDATE purchases SET action_deadline_ms = ? WHERE id = ?', [
      Date.now() - 1,
      toBytes(purchaseId),
    ]);
    await deliver(pay, [{ messageId: 'm', body: JSON.stringify({ purchaseId }), deliveries: 2 }]);
    expect(await look(buyer.token, purchaseId)).toMatchObject({
      body: { state: 'declined', reason: 'action_expired' },
    });
    expect(await reservation(other.reservationId)).toMatchObject({ state: 'allocated', purchaseId: null });
    expect((await chargesOf(purchaseId)).charges.filter(({ status }) => status === 'captured')).toEqual([]);
    expect((await progress(here.saleId)).body).toMatchObject({ done: true, openPayments: 0 });
  });

  it('M1: the report is open while a payment under way may still be captured, though its units have been released', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_charged_timeout');
    await work([body.purchaseId], ['unknown']);
    await callOff(stage.saleId);
    await sweep(stage.saleId);
    await expireSale(deps, stage.saleId, Date.now() + 10_000);
    expect(await reservation(reservationId)).toMatchObject({ state: 'cancelled', purchaseId: null });
    expect((await progress(stage.saleId)).body).toMatchObject({ done: false, openPayments: 1 });
    await work([body.purchaseId], ['refunded']);
    expect((await progress(stage.saleId)).body).toMatchObject({
      ...{ done: true, openPayments: 0, refundsByState: { refunded: { refunds: 1, amountMinor: 2_500 } } },
    });
    await expectNoDrift(stage.saleId);
  });

  it('M3: captured after one of its sales was called off, it buys the other and gives back the share', async () => {
    const { here, buyer, other, purchaseId } = await overTwoSales('tok_approve');
    await callOff(here.saleId);
    await work([purchaseId], ['captured']);
    expect((await chargesOf(purchaseId)).refunds).toMatchObject([{ amountMinor: 2_500 }]);
    const told = published
      .map(({ detail }) => JSON.parse(detail) as { purchaseId?: string; state?: string; givenBackMinor?: number })
      .filter((one) => one.purchaseId === purchaseId);
    expect(told.map(({ state, givenBackMinor }) => [state, givenBackMinor])).toEqual([
      ['captured', undefined],
      ['captured', 2_500],
    ]);
    // What it leaves behind ends in the same transaction.
    expect(await reservation(buyer.reservationId)).toMatchObject({ state: 'cancelled', purchaseId: null });
    expect(await reservation(other.reservationId)).toMatchObject({ state: 'purchased' });
  });
});

describe('what the provider says is checked (M5, M6)', () => {
  it.each([
    ['amount and currency', { amountMinor: 1, currency: 'JPY' }, 'currency_mismatch'],
    ['amount', { amountMinor: 2_499 }, 'amount_mismatch'],
    ['reference', { reference: newId() }, 'reference_mismatch'],
  ])(
    'M6: a genuine webhook of a capture of another %s is no purchase, and is decided by an operator',
    async (_, change, reason) => {
      const stage = await scene();
      const { token, reservationId } = first(stage);
      const { body } = await buy(token, [reservationId], 'tok_approve');
      const { purchaseId } = body;
      const order = { amountMinor: 2_500, currency: 'EUR', reference: purchaseId, ...change };
      const charge = await atProvider('charges', purchaseId, { ...order, token: 'tok_approve' });
      const webhook = () => tell(signed(told('payment.captured', purchaseId, { ...order, chargeId: charge.id })));
      expect(await webhook()).toMatchObject({ status: 200 });
      expect(await look(token, purchaseId)).toMatchObject({ body: { state: 'disputed', reason } });
      expect(await disputesOf(purchaseId)).toMatchObject([{ refund: null, reason, told: { chargeId: charge.id } }]);
      expect(await reservation(reservationId)).toMatchObject({ state: 'allocated', purchaseId });
      expect(await webhook()).toMatchObject({ status: 200 });
      await workOnce();
      expect(await stateOf(purchaseId)).toBe('disputed');
      expect(await refund(await operator(), purchaseId)).toMatchObject({ status: 409 });
      expect(await decide(purchaseId, 'nothing')).toMatchObject({ status: 400 });
      expect(await decide(purchaseId, 'refund')).toMatchObject({ status: 202, body: { state: 'refunding' } });
      expect(await decide(purchaseId, 'accept')).toMatchObject({ status: 409 });
      await work([purchaseId], ['refunded']);
      expect((await chargesOf(purchaseId)).refunds).toMatchObject([{ amountMinor: order.amountMinor }]);
      expect(await reservation(reservationId)).toMatchObject({ state: 'allocated', purchaseId: null });
    },
  );

  it('M6: an answer of another amount is disputed too, and accepted it is a purchase', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    await deps.db.change('UPDATE purchases SET attempts = 1 WHERE id = ?', [toBytes(purchaseId)]);
    await atProvider('charges', purchaseId, {
      ...{ amountMinor: 2_600, currency: 'EUR', reference: purchaseId, token: 'tok_approve' },
    });
    await deliver(pay, [{ messageId: 'm', body: JSON.stringify({ purchaseId }) }]);
    expect(await look(token, purchaseId)).toMatchObject({ body: { state: 'disputed', reason: 'amount_mismatch' } });
    expect(await decide(purchaseId, 'accept')).toMatchObject({ status: 202, body: { state: 'captured' } });
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased', purchaseId });
    // What was captured is what it cost, and what can be given back.
    expect(await refund(await operator(), purchaseId)).toMatchObject({ status: 202 });
    await work([purchaseId], ['refunded']);
    expect((await chargesOf(purchaseId)).refunds).toMatchObject([{ amountMinor: 2_600 }]);
  });

  it.each(['accept', 'refund'])(
    'M8: a decision to %s is made once under its Idempotency-Key, and answered the same',
    async (decision) => {
      const { token, reservationId } = first(await scene());
      await providers.faults({ otherAmountRate: 1 });
      const { body } = await buy(token, [reservationId], 'tok_approve');
      await work([body.purchaseId], ['disputed']);
      await providers.faults();
      const [by, key] = [await operator(), newId()];
      const under = (json: object) => api.call(`POST /purchases/${body.purchaseId}/dispute`, { token: by, key, json });
      const made = await under({ decision });
      expect(made.status).toBe(202);
      const again = await under({ decision });
      expect([again.status, again.text]).toEqual([made.status, made.text]);
      const other = await under({ decision: decision === 'accept' ? 'refund' : 'accept' });
      expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused']);
      expect(await refund(by, body.purchaseId)).toMatchObject({ status: 202 });
      await work([body.purchaseId], ['refunded']);
    },
  );

  it.each([
    ['less', { amountMinor: 1_000, currency: 'EUR' }],
    ['another currency', { amountMinor: 500_000, currency: 'JPY' }],
  ])('M6: accepted for %s, that is what it cost: in the view, in notices and in refunds', async (_, amount) => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    const order = { ...amount, reference: purchaseId };
    const charge = await atProvider('charges', purchaseId, { ...order, token: 'tok_approve' });
    await tell(signed(told('payment.captured', purchaseId, { ...order, chargeId: charge.id })));
    const by = await operator();
    expect(await decide(purchaseId, 'accept')).toMatchObject({ status: 202, body: { amount } });
    expect(await look(token, purchaseId)).toMatchObject({ body: { state: 'captured', amount } });
    const part = (json: object) => api.call(`POST /purchases/${purchaseId}/refund`, { token: by, key: newId(), json });
    // The price of a unit is in the currency of the order, and was not paid.
    expect(await part({ items: [{ reservationId, units: 1 }] })).toMatchObject({
      ...{ status: 409, body: { code: 'illegal_state', captured: amount } },
    });
    expect(await part({ amountMinor: 100 })).toMatchObject({ status: 202, body: { amount } });
    await work([purchaseId], ['captured']);
    expect(await refund(by, purchaseId)).toMatchObject({ status: 202, body: { amount } });
    await work([purchaseId], ['refunded']);
    const events = published
      .map(({ detail }) => JSON.parse(detail) as Record<string, unknown>)
      .filter((one) => one.purchaseId === purchaseId);
    expect(events).toMatchObject([
      { state: 'captured', ...amount },
      { state: 'captured', ...amount, givenBackMinor: 100 },
      { state: 'refunded', ...amount, givenBackMinor: amount.amountMinor - 100 },
    ]);
  });

  it('M6: of decisions that arrive together one is carried out, and nobody is told otherwise', async () => {
    const { token, reservationId } = first(await scene());
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    const order = { amountMinor: 2_600, currency: 'EUR', reference: purchaseId };
    const charge = await atProvider('charges', purchaseId, { ...order, token: 'tok_approve' });
    await tell(signed(told('payment.captured', purchaseId, { ...order, chargeId: charge.id })));
    const decisions = ['accept', 'refund', 'accept', 'refund'];
    const answers = await Promise.all(decisions.map((decision) => decide(purchaseId, decision)));
    const state = await stateOf(purchaseId);
    const carriedOut = state === 'captured' ? 'accept' : 'refund';
    for (const [index, answer] of answers.entries()) {
      if (answer.status === 202) expect([decisions[index], answer.body.state]).toEqual([carriedOut, state]);
      else expect(answer).toMatchObject({ status: 409, body: { code: 'illegal_state', state } });
    }
    expect(answers.map(({ status }) => status)).toContain(202);
    if (state === 'captured') await refund(await operator(), purchaseId);
    await work([purchaseId], ['refunded']);
  });

  it('M6: a webhook that does not say what was captured settles nothing', async () => {
    const stage = await scene();
    const { body } = await buy(first(stage).token, [first(stage).reservationId], 'tok_approve');
    const { purchaseId } = body;
    await tell(signed(told('payment.captured', purchaseId, { amountMinor: undefined })));
    expect(await stateOf(purchaseId)).toBe('requested');
    await work([purchaseId], ['captured']);
  });

  it('M5: a part given back at the provider is recorded and changes no units; the rest takes them with it', async () => {
    providers.webhooks = 'deliver';
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    await work([purchaseId], ['captured']);
    const { charges } = await chargesOf(purchaseId);
    const path = `charges/${charges[0]?.id}/refunds`;
    await atProvider(path, 'goodwill', { amountMinor: 700 });
    const rows = () =>
      deps.db.rows(
        'SELECT amount_minor AS amountMinor, state FROM refunds WHERE purchase_id = ? ORDER BY created_at_ms',
        [toBytes(purchaseId)],
      );
    await waitFor('the refund to be recorded', async () => (await rows()).length === 1, { timeoutMs: 10_000 });
    expect(await rows()).toEqual([{ amountMinor: 700, state: 'refunded' }]);
    expect(await stateOf(purchaseId)).toBe('captured');
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased', version: 2 });
    // An operator refunds the rest: what is left, not what it cost.
    expect(await refund(await operator(), purchaseId)).toMatchObject({ status: 202 });
    await work([purchaseId], ['refunded']);
    expect((await chargesOf(purchaseId)).refunds.map((one) => one.amountMinor).sort()).toEqual([1_800, 700]);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded' });
  });

  it.each([
    ['in another currency', { amountMinor: 2_500, currency: 'JPY' }],
    ['of more than is left', { amountMinor: 1_801 }],
    ['of another charge', { amountMinor: 100, chargeId: 'ch_other' }],
    ['with another reference', { amountMinor: 100, reference: newId() }],
    ['that names our refund with another amount', { amountMinor: 701, refundKey: 'ours' }],
  ])('M6: a genuine webhook of a refund %s changes nothing, and raises an alarm', async (_, change) => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    await work([purchaseId], ['captured']);
    const { charges } = await chargesOf(purchaseId);
    const key = newId();
    await api.call(`POST /purchases/${purchaseId}/refund`, {
      token: await operator(),
      json: { amountMinor: 700 },
      key,
    });
    const facts = { chargeId: charges[0]?.id, refundId: 're_elsewhere', refundKey: 'elsewhere', ...change };
    if (facts.refundKey === 'elsewhere') await work([purchaseId], ['captured']);
    const rows = () =>
      deps.db.rows<{ refundKey: string; state: string }>(
        'SELECT refund_key AS refundKey, amount_minor AS amountMinor, state FROM refunds WHERE purchase_id = ?',
        [toBytes(purchaseId)],
      );
    const before = await rows();
    const refundKey = facts.refundKey === 'ours' ? `${purchaseId}:${before[0]?.refundKey}` : facts.refundKey;
    const alarm = jest.spyOn(log, 'error').mockImplementation(() => undefined);
    expect(await tell(signed(told('payment.refunded', purchaseId, { ...facts, refundKey })))).toMatchObject({
      status: 200,
    });
    expect(alarm).toHaveBeenCalledWith(
      'the provider tells of a refund that is not of this purchase',
      expect.anything(),
    );
    alarm.mockClear();
    await tell(signed(told('payment.refunded', purchaseId, { ...facts, refundKey })));
    expect(alarm).not.toHaveBeenCalled();
    alarm.mockRestore();
    expect(await rows()).toEqual(before);
    const [dispute, ...more] = await disputesOf(purchaseId);
    expect(more).toEqual([]);
    expect(dispute).toMatchObject({
      ordered: { amountMinor: 2_500, currency: 'EUR' },
      told: { amountMinor: facts.amountMinor },
    });
    expect(await decideRefund(purchaseId, { decision: 'reject', refund: dispute.refund })).toMatchObject({
      status: 202,
    });
    expect(await decideRefund(purchaseId, { decision: 'reject', refund: dispute.refund })).toMatchObject({
      status: 202,
    });
    expect(await decideRefund(purchaseId, { decision: 'accept', refund: dispute.refund })).toMatchObject({
      ...{ status: 409, body: { code: 'illegal_state', decided: 'rejected' } },
    });
    expect(await disputesOf(purchaseId)).toEqual([]);
    await work([purchaseId], ['captured']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased' });
    expect(await refund(await operator(), purchaseId)).toMatchObject({ status: 202 });
    await work([purchaseId], ['refunded']);
    expect((await chargesOf(purchaseId)).refunds.map((one) => one.amountMinor).sort()).toEqual([1_800, 700]);
  });

  /** A purchase of which 700 was refunded at the provider, and whose webhook says something else. */
  async function disputedRefund(change: object) {
    const { token, reservationId } = first(await scene());
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const purchaseId: string = body.purchaseId;
    await work([purchaseId], ['captured']);
    const { charges } = await chargesOf(purchaseId);
    await atProvider(`charges/${charges[0]?.id}/refunds`, newId(), { amountMinor: 700 });
    const facts = { chargeId: charges[0]?.id, refundId: 're_elsewhere', amountMinor: 700, ...change };
    await tell(signed(told('payment.refunded', purchaseId, { ...facts, refundKey: 'elsewhere' })));
    const [dispute] = await disputesOf(purchaseId);
    return { token, purchaseId, reservationId, refund: dispute.refund as string, reason: dispute.reason as string };
  }

  it.each([
    ['in another currency', { amountMinor: 70_000, currency: 'JPY' }, 'currency_mismatch', { captured: {} }],
    ['of more than is left', { amountMinor: 2_501 }, 'amount_mismatch', { leftMinor: 2_500 }],
  ])('M6: a refund %s is accepted for what it gave back, and the books agree', async (_, change, why, missing) => {
    const { token, purchaseId, reservationId, refund: key, reason } = await disputedRefund(change);
    expect(reason).toBe(why);
    const accept = { decision: 'accept', refund: key };
    expect(await decideRefund(purchaseId, accept)).toMatchObject({ status: 409, body: missing });
    expect(await decideRefund(purchaseId, { ...accept, amountMinor: 2_501 })).toMatchObject({ status: 409 });
    expect(await disputesOf(purchaseId)).toHaveLength(1);
    expect((await look(token, purchaseId)).body).toMatchObject({ state: 'captured', refunds: [] });
    published.length = 0;
    for (let turn = 0; turn < 2; turn++) {
      const answer = await decideRefund(purchaseId, { ...accept, amountMinor: 700 });
      expect(answer).toMatchObject({ status: 202, body: { state: 'captured' } });
    }
    expect(await decideRefund(purchaseId, { ...accept, amountMinor: 800 })).toMatchObject({
      ...{ status: 409, body: { code: 'illegal_state', recordedMinor: 700 } },
    });
    expect(await disputesOf(purchaseId)).toEqual([]);
    expect((await look(token, purchaseId)).body).toMatchObject({
      refunds: [{ amount: { amountMinor: 700, currency: 'EUR' }, state: 'refunded', reason: 'refunded_by_provider' }],
    });
    expect(details().match(/"givenBackMinor":700/g)).toHaveLength(1);
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased' });
    expect(await decideRefund(purchaseId, { decision: 'reject', refund: key })).toMatchObject({ status: 409 });
  });

  it('M6: of decisions about a refund that arrive together one is carried out; others are bad input', async () => {
    const { purchaseId, refund: key } = await disputedRefund({ reference: newId() });
    for (const json of [
      { decision: 'reject' },
      { decision: 'refund', refund: key },
      { decision: 'accept', amountMinor: 5 },
      { decision: 'reject', refund: key, amountMinor: 5 },
    ]) {
      expect(await decideRefund(purchaseId, json)).toMatchObject({ status: 422, body: { code: 'unprocessable' } });
    }
    const nothing = { decision: 'accept', refund: key, amountMinor: 0 };
    expect(await decideRefund(purchaseId, nothing)).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
    expect(await decideRefund(purchaseId, { decision: 'accept', refund: 'another' })).toMatchObject({ status: 404 });
    expect(await decideRefund(purchaseId, { decision: 'accept' })).toMatchObject({ status: 409 });
    const answers = await Promise.all(
      ['accept', 'reject', 'accept', 'reject'].map(async (decision) => {
        const { status } = await decideRefund(purchaseId, { decision, refund: key });
        return `${decision} ${status}`;
      }),
    );
    const [row] = await deps.db.rows<{ state: string }>('SELECT state FROM refund_disputes WHERE purchase_id = ?', [
      toBytes(purchaseId),
    ]);
    const isAccepted = row?.state === 'accepted';
    expect(answers.sort()).toEqual(
      (isAccepted ? ['accept 202', 'reject 409'] : ['accept 409', 'reject 202']).flatMap((one) => [one, one]),
    );
    const refunds = await deps.db.rows('SELECT 1 FROM refunds WHERE purchase_id = ?', [toBytes(purchaseId)]);
    expect(refunds).toHaveLength(isAccepted ? 1 : 0);
    // The provider has given it back in any case.
    if (!isAccepted) await tell(signed(told('payment.refunded', purchaseId, await refundMade(purchaseId))));
  });

  it('M6: a refused refund that the provider tells of later is not tried again before somebody decides', async () => {
    const { token, reservationId } = first(await scene());
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const purchaseId: string = body.purchaseId;
    await work([purchaseId], ['captured']);
    const by = await operator();
    const order = (json: object) => api.call(`POST /purchases/${purchaseId}/refund`, { token: by, json, key: newId() });
    await providers.faults({ refuseRefunds: 404 });
    await order({ amountMinor: 700 });
    await work([purchaseId], ['refund_failed']);
    await providers.faults();
    const { charges } = await chargesOf(purchaseId);
    const [row] = await deps.db.rows<{ refund: string }>(
      'SELECT refund_key AS refund FROM refunds WHERE purchase_id = ?',
      [toBytes(purchaseId)],
    );
    const refundKey = `${purchaseId}:${row?.refund}`;
    await atProvider(`charges/${charges[0]?.id}/refunds`, refundKey, { amountMinor: 700 });
    const facts = { chargeId: charges[0]?.id, refundId: 're_late', amountMinor: 700, refundKey };
    await tell(signed(told('payment.refunded', purchaseId, facts)));
    const [dispute] = await disputesOf(purchaseId);
    expect(dispute).toMatchObject({ refund: row?.refund, reason: 'refunded_after_refusal' });
    for (const json of [{ retryFailed: true }, {}]) {
      expect(await order(json)).toMatchObject({
        ...{ status: 409, body: { code: 'illegal_state', refund: row?.refund, reason: 'refunded_after_refusal' } },
      });
    }
    expect(await decideRefund(purchaseId, { decision: 'accept', refund: dispute.refund })).toMatchObject({
      status: 202,
    });
    await work([purchaseId], ['captured']);
    expect((await chargesOf(purchaseId)).refunds.map((one) => one.amountMinor)).toEqual([700]);
    // What was told as refused after it had gone back changes no books either.
    const late = { ...facts, failureReason: 'account_closed' };
    await tell(signed(told('payment.refund_failed', purchaseId, late)));
    const seen = await api.call(`GET /purchases/${purchaseId}`, { token: by });
    expect(seen.body).toMatchObject({
      state: 'captured',
      refunds: [{ amount: { amountMinor: 700 }, state: 'refunded' }],
    });
  });

  it('I7: a second charge of a purchase changes nothing, and waits for an operator', async () => {
    const { token, reservationId } = first(await scene());
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const purchaseId: string = body.purchaseId;
    await work([purchaseId], ['captured']);
    const before = await api.call(`GET /purchases/${purchaseId}`, { token: await operator() });
    const alarm = jest.spyOn(log, 'error').mockImplementation(() => undefined);
    const second = told('payment.captured', purchaseId, { chargeId: 'ch_second', amountMinor: 2_500 });
    for (const _ of [1, 2]) expect(await tell(signed(second))).toMatchObject({ status: 200 });
    expect(alarm).toHaveBeenCalledTimes(1);
    alarm.mockRestore();
    expect((await api.call(`GET /purchases/${purchaseId}`, { token: await operator() })).body).toEqual(before.body);
    const [dispute, ...more] = await disputesOf(purchaseId);
    expect(more).toEqual([]);
    expect(dispute).toMatchObject({ reason: 'second_charge', refund: 'charge:ch_second' });
    expect(await decideRefund(purchaseId, { decision: 'accept', refund: dispute.refund })).toMatchObject({
      ...{ status: 409, body: { code: 'illegal_state', reason: 'second_charge' } },
    });
    expect(await decideRefund(purchaseId, { decision: 'reject', refund: dispute.refund })).toMatchObject({
      status: 202,
    });
    expect(await disputesOf(purchaseId)).toEqual([]);
  });

  it('M6: a refund of ours that is settled before the decision keeps its amount', async () => {
    const { token, reservationId } = first(await scene());
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const purchaseId: string = body.purchaseId;
    await work([purchaseId], ['captured']);
    const order = { token: await operator(), json: { amountMinor: 700 }, key: newId() };
    await api.call(`POST /purchases/${purchaseId}/refund`, order);
    const { charges } = await chargesOf(purchaseId);
    const [row] = await deps.db.rows<{ refund: string }>(
      'SELECT refund_key AS refund FROM refunds WHERE purchase_id = ?',
      [toBytes(purchaseId)],
    );
    const refund = row?.refund;
    const facts = { chargeId: charges[0]?.id, amountMinor: 701, refundKey: `${purchaseId}:${refund}` };
    await tell(signed(told('payment.refunded', purchaseId, facts)));
    expect(await disputesOf(purchaseId)).toMatchObject([{ refund, reason: 'amount_mismatch' }]);
    await work([purchaseId], ['captured']);
    expect(await decideRefund(purchaseId, { decision: 'accept', refund })).toMatchObject({
      ...{ status: 409, body: { code: 'illegal_state', recordedMinor: 700 } },
    });
    expect(await decideRefund(purchaseId, { decision: 'reject', refund })).toMatchObject({ status: 202 });
    expect(await disputesOf(purchaseId)).toEqual([]);
  });

  /** What the provider should have told of the refund that it has made. */
  async function refundMade(purchaseId: string) {
    const { charges } = await chargesOf(purchaseId);
    return { chargeId: charges[0]?.id, refundId: 're_elsewhere', refundKey: 'elsewhere', amountMinor: 700 };
  }

  it('M5: a refund that was made at the provider is not ours, though ours of the same amount is pending', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    await work([purchaseId], ['captured']);
    const part = { token: await operator(), json: { amountMinor: 500 }, key: newId() };
    expect(await api.call(`POST /purchases/${purchaseId}/refund`, part)).toMatchObject({ status: 202 });
    const { charges } = await chargesOf(purchaseId);
    providers.received.length = 0;
    await atProvider(`charges/${charges[0]?.id}/refunds`, newId(), { amountMinor: 500 });
    await waitFor('the webhook', () => providers.received.length > 0, { timeoutMs: 10_000 });
    const [webhook] = providers.received;
    if (!webhook) throw new Error('no webhook');
    published.length = 0;
    for (let turn = 0; turn < 2; turn++) expect(await tell(webhook)).toMatchObject({ status: 200 });
    expect(await stateOf(purchaseId)).toBe('refunding');
    await work([purchaseId], ['captured']);
    expect((await chargesOf(purchaseId)).refunds).toMatchObject([{ amountMinor: 500 }, { amountMinor: 500 }]);
    expect(
      await deps.db.rows('SELECT amount_minor AS amountMinor, state FROM refunds WHERE purchase_id = ?', [
        toBytes(purchaseId),
      ]),
    ).toEqual([
      { amountMinor: 500, state: 'refunded' },
      { amountMinor: 500, state: 'refunded' },
    ]);
    expect(details().match(/"givenBackMinor":500/g)).toHaveLength(2);
  });

  it('M5: our refund that no longer fits beside one made at the provider is tried again with what is left', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    await work([purchaseId], ['captured']);
    const by = await operator();
    expect(await refund(by, purchaseId)).toMatchObject({ status: 202 });
    const { charges } = await chargesOf(purchaseId);
    providers.webhooks = 'deliver';
    await atProvider(`charges/${charges[0]?.id}/refunds`, newId(), { amountMinor: 500 });
    const rows = () => deps.db.rows('SELECT 1 FROM refunds WHERE purchase_id = ?', [toBytes(purchaseId)]);
    await waitFor('the refund to be recorded', async () => (await rows()).length === 2, { timeoutMs: 10_000 });
    await work([purchaseId], ['refund_failed']);
    expect(await refund(by, purchaseId)).toMatchObject({ status: 202 });
    await work([purchaseId], ['refunded']);
    expect((await chargesOf(purchaseId)).refunds.map((one) => one.amountMinor).sort()).toEqual([2_000, 500]);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded' });
  });
});

describe('a refund of a part (I13)', () => {
  const part = async (purchaseId: string, json: object, key: string | undefined = newId()): Promise<Answer> =>
    api.call(`POST /purchases/${purchaseId}/refund`, { token: await operator(), json, ...(key ? { key } : {}) });

  it('by units and by amount: each once, pending ones counted, never more than was captured; units stay unless cancelled', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    await work([purchaseId], ['captured']);
    const key = newId();
    const oneUnit = { items: [{ reservationId, units: 1 }] };
    expect(await part(purchaseId, oneUnit, key)).toMatchObject({ status: 202, body: { state: 'refunding' } });
    expect(await part(purchaseId, oneUnit, key)).toMatchObject({ status: 202, body: { state: 'refunding' } });
    expect(await part(purchaseId, { amountMinor: 5 }, key)).toMatchObject({ status: 422 });
    expect(await part(purchaseId, { amountMinor: 1_251 })).toMatchObject({ status: 409, body: { leftMinor: 1_250 } });
    await work([purchaseId], ['captured']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased', version: 2 });
    expect(await part(purchaseId, oneUnit, key)).toMatchObject({ status: 202, body: { state: 'captured' } });
    expect((await chargesOf(purchaseId)).refunds.map((one) => one.amountMinor)).toEqual([1_250]);
    expect(await part(purchaseId, { amountMinor: 250, cancel: [reservationId] })).toMatchObject({ status: 202 });
    await work([purchaseId], ['captured']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded' });
    expect((await chargesOf(purchaseId)).refunds.map((one) => one.amountMinor).sort()).toEqual([1_250, 250]);
  });

  it('is refused without an Idempotency-Key, for units that were not bought, and for nothing; nothing changes', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const { purchaseId } = body;
    await work([purchaseId], ['captured']);
    expect(await part(purchaseId, { amountMinor: 5 }, '')).toMatchObject({
      ...{ status: 422, body: { code: 'unprocessable' } },
    });
    for (const json of [
      { items: [{ reservationId, units: 3 }] },
      { items: [{ reservationId: newId(), units: 1 }] },
      { items: [{ reservationId, units: 1 }], amountMinor: 5 },
      { amountMinor: 5, cancel: [newId()] },
      { amountMinor: 5, cancel: [{ reservationId, units: 3 }] },
      { amountMinor: 5, cancel: [reservationId, { reservationId, units: 1 }] },
      { cancel: [] },
    ]) {
      expect(await part(purchaseId, json)).toMatchObject({ status: 422, body: { code: 'unprocessable' } });
    }
    for (const json of [
      { items: [] },
      { amountMinor: 0 },
      { amountMinor: 1.5 },
      { amountMinor: 5, cancel: [{ reservationId, units: 0 }] },
    ]) {
      expect(await part(purchaseId, json)).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
    }
    expect(await deps.db.rows('SELECT 1 FROM refunds WHERE purchase_id = ?', [toBytes(purchaseId)])).toEqual([]);
    expect(await stateOf(purchaseId)).toBe('captured');
  });
});

describe('buying fewer units than are set aside', () => {
  const buyItems = (token: string, items: object[], paymentToken = 'tok_approve', key: string = newId()) =>
    api.call('POST /purchases', { token, key, json: { items, paymentToken } });
  const partsOf = async (token: string, reservationId: string) => {
    const { items } = (await api.call('GET /reservations', { token })).body;
    return items.filter((item: { partOf: string | null }) => item.partOf === reservationId);
  };

  it('keeps the rest, as a reservation of its own that can be bought, until the same deadline', async () => {
    const { saleId, customers } = await scene({ units: 5 });
    const [{ token, reservationId }] = [first({ saleId, customers })];
    const { deadline } = (await api.call(`GET /reservations/${reservationId}`, { token })).body;
    const accepted = await buyItems(token, [{ reservationId, units: 2, rest: 'keep' }]);
    expect(accepted).toMatchObject({ status: 202, body: { amount: { amountMinor: 2 * 1_250 } } });
    const [rest] = await partsOf(token, reservationId);
    expect(rest).toMatchObject({ state: 'allocated', units: 3, quantity: 3, deadline, purchaseId: null, version: 1 });
    await work([accepted.body.purchaseId], ['captured']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased', units: 2 });
    expect(await stockOf(saleId)).toEqual({ available: 0, allocated: 3, sold: 2, waitlisted: 0 });
    await expectNoDrift(saleId);
    const second = await buy(token, [rest.reservationId], 'tok_approve');
    expect(second.body.amount.amountMinor).toBe(3 * 1_250);
    await work([second.body.purchaseId], ['captured']);
    expect(await stockOf(saleId)).toEqual({ available: 0, allocated: 0, sold: 5, waitlisted: 0 });
    await expectNoDrift(saleId);
  });

  it('gives the rest to the line when it is accepted, whatever becomes of the payment', async () => {
    const stage = await scene({ customers: 2, units: 4, allotment: 4 });
    const [buyer, waiter] = [nth(stage, 0), nth(stage, 1)];
    await api.call(`PATCH /reservations/${waiter.reservationId}`, { token: waiter.token, json: { quantity: 3 } });
    const items = [{ reservationId: buyer.reservationId, units: 1, rest: 'give_back' }];
    const { body } = await buyItems(buyer.token, items, 'tok_decline');
    expect(await reservation(waiter.reservationId)).toMatchObject({ state: 'allocated', units: 3 });
    await work([body.purchaseId], ['declined']);
    expect(await reservation(buyer.reservationId)).toMatchObject({ state: 'allocated', units: 1, purchaseId: null });
    expect(await stockOf(stage.saleId)).toEqual({ available: 0, allocated: 4, sold: 0, waitlisted: 0 });
    await expectNoDrift(stage.saleId);
  });

  it('after a decline both are still set aside, each to be bought or given back by itself', async () => {
    const stage = await scene({ units: 3 });
    const { token, reservationId } = first(stage);
    const { body } = await buyItems(token, [{ reservationId, units: 1 }], 'tok_decline');
    await work([body.purchaseId], ['declined']);
    const [rest] = await partsOf(token, reservationId);
    expect(await cancel(token, rest.reservationId)).toMatchObject({ status: 200, body: { state: 'cancelled' } });
    expect(await reservation(reservationId)).toMatchObject({ state: 'allocated', units: 1, purchaseId: null });
    expect(await stockOf(stage.saleId)).toEqual({ available: 2, allocated: 1, sold: 0, waitlisted: 0 });
    await expectNoDrift(stage.saleId);
  });

  it('over several sales: each item its own units, one payment for exactly these', async () => {
    const [here, there] = [await scene({ units: 4 }), await scene({ units: 3 })];
    const buyer = first(here);
    const other = { ...buyer, reservationId: deriveReservationId(there.saleId, buyer.customerId, 'reserve') };
    await adjustStock(deps, there.saleId, 3);
    await reserve(there.saleId, [other], 3);
    const { body } = await buyItems(buyer.token, [
      { reservationId: buyer.reservationId, units: 1, rest: 'give_back' },
      { reservationId: other.reservationId, units: 2, rest: 'keep' },
    ]);
    expect(body.amount.amountMinor).toBe(3 * 1_250);
    await work([body.purchaseId], ['captured']);
    expect(await stockOf(here.saleId)).toEqual({ available: 3, allocated: 0, sold: 1, waitlisted: 0 });
    expect(await stockOf(there.saleId)).toEqual({ available: 0, allocated: 4, sold: 2, waitlisted: 0 });
    const { items } = (await look(buyer.token, body.purchaseId)).body;
    expect(items.map((item: { units: number }) => item.units).sort()).toEqual([1, 2]);
    await expectNoDrift(here.saleId, there.saleId);
  });

  it('several items of one sale can give back and keep in one purchase', async () => {
    const { saleId, customers } = await scene({ customers: 3, units: 3, allotment: 6 });
    const { customerId, token, reservationId } = nth({ saleId, customers }, 0);
    const [second, waiter] = [nth({ saleId, customers }, 1), nth({ saleId, customers }, 2)];
    await deps.db.change('UPDATE reservations SET customer_id = ?, nth = 1 WHERE id = ?', [
      toBytes(customerId),
      toBytes(second.reservationId),
    ]);
    const { status, body } = await buyItems(token, [
      { reservationId, units: 1, rest: 'give_back' },
      { reservationId: second.reservationId, units: 2, rest: 'give_back' },
    ]);
    expect(status).toBe(202);
    expect(await reservation(waiter.reservationId)).toMatchObject({ state: 'allocated', units: 3 });
    expect(await stockOf(saleId)).toEqual({ available: 0, allocated: 6, sold: 0, waitlisted: 0 });
    await work([body.purchaseId], ['captured']);
    expect(await stockOf(saleId)).toEqual({ available: 0, allocated: 3, sold: 3, waitlisted: 0 });
  });

  it('the same key again is the same purchase; other units, or another rest, are another request', async () => {
    const stage = await scene({ units: 4 });
    const { token, reservationId } = first(stage);
    const key = newId();
    const item = { reservationId, units: 2, rest: 'keep' };
    const accepted = await buyItems(token, [item], 'tok_approve', key);
    expect((await buyItems(token, [item], 'tok_approve', key)).body).toEqual(accepted.body);
    for (const other of [{ ...item, units: 1 }, { ...item, rest: 'give_back' }, { reservationId }]) {
      expect(await buyItems(token, [other], 'tok_approve', key)).toMatchObject({
        ...{ status: 422, body: { code: 'idempotency_key_reused' } },
      });
    }
    expect(await partsOf(token, reservationId)).toHaveLength(1);
    await work([accepted.body.purchaseId], ['captured']);
    // A repeated message finds nothing to do.
    await deliver(pay, [{ messageId: 'm', body: JSON.stringify({ purchaseId: accepted.body.purchaseId }) }]);
    expect(await stockOf(stage.saleId)).toEqual({ available: 0, allocated: 2, sold: 2, waitlisted: 0 });
    await expectNoDrift(stage.saleId);
  });

  it('is refused for more units than there are, and where the request says two things; nothing changes', async () => {
    const stage = await scene({ units: 2 });
    const { token, reservationId } = first(stage);
    expect(await buyItems(token, [{ reservationId, units: 3 }])).toMatchObject({
      ...{ status: 409, body: { code: 'cannot_grow', reservationId, units: 2 } },
    });
    for (const [json, status] of [
      [{ items: [{ reservationId, units: 1 }], reservationIds: [reservationId] }, 422],
      [{}, 422],
      [{ items: [] }, 400],
      [{ items: [{ reservationId, units: 0 }] }, 400],
      [{ items: [{ reservationId, units: 1.5 }] }, 400],
      [{ items: [{ reservationId, units: 1, rest: 'sell' }] }, 400],
      [{ items: [{ reservationId, units: 1 }, { reservationId }] }, 422],
    ] as const) {
      const answer = await api.call('POST /purchases', { token, key: newId(), json: { ...json, paymentToken: 'tok' } });
      expect(answer).toMatchObject({ status, body: { code: status === 400 ? 'invalid_input' : 'unprocessable' } });
    }
    const stranger = await tokens.issue({ customerId: newId(), role: 'customer' });
    expect(await buyItems(stranger, [{ reservationId, units: 1 }])).toMatchObject({ status: 404 });
    expect(await reservation(reservationId)).toMatchObject({ state: 'allocated', units: 2, version: 1 });
    expect(await partsOf(token, reservationId)).toEqual([]);
    await expectNoDrift(stage.saleId);
  });

  it('two purchases of parts at once: one is accepted, and every unit is sold or set aside once', async () => {
    for (let round = 0; round < 6; round++) {
      const stage = await scene({ units: 4 });
      const { token, reservationId } = first(stage);
      const answers = await Promise.all([
        buyItems(token, [{ reservationId, units: 1, rest: 'keep' }]),
        buyItems(token, [{ reservationId, units: 3, rest: 'give_back' }]),
        api.call(`PATCH /reservations/${reservationId}`, { token, json: { quantity: 3 } }),
      ]);
      const accepted = answers.slice(0, 2).filter(({ status }) => status === 202);
      expect(accepted).toHaveLength(1);
      expect(answers.every(({ status }) => [200, 202, 409].includes(status))).toBe(true);
      await work([accepted[0]?.body.purchaseId], ['captured']);
      await expectNoDrift(stage.saleId);
    }
  });
});

describe('units and money of a refund, each by itself (I13)', () => {
  const part = async (purchaseId: string, json: object, key: string = newId()): Promise<Answer> =>
    api.call(`POST /purchases/${purchaseId}/refund`, { token: await operator(), json, key });
  const refundsOf = async (purchaseId: string) =>
    (await chargesOf(purchaseId)).refunds.map((one) => one.amountMinor).sort((one, other) => one - other);
  const returnedOf = async (reservationId: string) => {
    const rows = await deps.db.rows<{ units: number }>(
      "SELECT units FROM reservations WHERE part_of = ? AND state = 'refunded' ORDER BY units",
      [toBytes(reservationId)],
    );
    return rows.map(({ units }) => units);
  };

  async function bought(units: number, customers = 1) {
    const stage = await scene({ customers, units, allotment: units });
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_approve');
    await work([body.purchaseId], ['captured']);
    return { ...stage, token, reservationId, purchaseId: body.purchaseId as string };
  }

  it('some units of a reservation return with their price, and go to the line; the others stay bought', async () => {
    const { saleId, customers, purchaseId, reservationId } = await bought(5, 2);
    const waiter = nth({ saleId, customers }, 1);
    await api.call(`PATCH /reservations/${waiter.reservationId}`, { token: waiter.token, json: { quantity: 2 } });
    published.length = 0;
    const both = { items: [{ reservationId, units: 2 }], cancel: [{ reservationId, units: 2 }] };
    expect(await part(purchaseId, both)).toMatchObject({ status: 202, body: { state: 'refunding' } });
    await work([purchaseId], ['captured']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased', units: 3 });
    expect(await returnedOf(reservationId)).toEqual([2]);
    expect(await reservation(waiter.reservationId)).toMatchObject({ state: 'allocated', units: 2 });
    expect(await stockOf(saleId)).toEqual({ available: 0, allocated: 2, sold: 3, waitlisted: 0 });
    expect(await refundsOf(purchaseId)).toEqual([2_500]);
    await expectNoDrift(saleId);

    // Less money than the price, or none, is the operator's decision.
    expect(await part(purchaseId, { amountMinor: 100, cancel: [{ reservationId, units: 1 }] })).toMatchObject({
      status: 202,
    });
    await work([purchaseId], ['captured']);
    published.length = 0;
    expect(await part(purchaseId, { cancel: [{ reservationId, units: 1 }] })).toMatchObject({ status: 202 });
    await work([purchaseId], ['captured']);
    expect(details()).not.toContain('amountMinor');
    expect(details()).toContain('units_returned');
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased', units: 1 });
    expect(await returnedOf(reservationId)).toEqual([1, 1, 2]);
    expect(await refundsOf(purchaseId)).toEqual([100, 2_500]);
    expect(await stockOf(saleId)).toEqual({ available: 2, allocated: 2, sold: 1, waitlisted: 0 });
    await expectNoDrift(saleId);

    // A whole refund is what is left.
    expect(await refund(await operator(), purchaseId)).toMatchObject({ status: 202 });
    await work([purchaseId], ['refunded']);
    expect(await refundsOf(purchaseId)).toEqual([100, 2_500, 3_650]);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded', units: 1 });
    expect(await stockOf(saleId)).toEqual({ available: 3, allocated: 2, sold: 0, waitlisted: 0 });
    await expectNoDrift(saleId);
  });

  it('what is pending counts: neither money nor units are given twice, and a key orders once', async () => {
    const { purchaseId, reservationId, saleId } = await bought(5);
    const key = newId();
    const three = { items: [{ reservationId, units: 3 }], cancel: [{ reservationId, units: 3 }] };
    const answers = await Promise.all([part(purchaseId, three, key), part(purchaseId, three)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 409]);
    const refused = answers.find(({ status }) => status === 409);
    expect(refused?.body).toMatchObject({ code: 'illegal_state', leftMinor: 2_500 });
    expect(await part(purchaseId, { amountMinor: 1, cancel: [{ reservationId, units: 3 }] })).toMatchObject({
      ...{ status: 409, body: { code: 'illegal_state', leftUnits: 2 } },
    });
    expect(await part(purchaseId, { amountMinor: 2_501 })).toMatchObject({
      ...{ status: 409, body: { code: 'illegal_state', leftMinor: 2_500 } },
    });
    if (answers[0]?.status === 202) {
      expect(await part(purchaseId, three, key)).toMatchObject({ status: 202 });
      expect(await part(purchaseId, { ...three, cancel: [{ reservationId, units: 2 }] }, key)).toMatchObject({
        ...{ status: 422, body: { code: 'idempotency_key_reused' } },
      });
    }
    await work([purchaseId], ['captured']);
    // A repeated message, and one from before refunds were split, find nothing to do.
    await deliver(pay, [{ messageId: 'm', body: JSON.stringify({ purchaseId }), deliveries: 2 }]);
    expect(await refundsOf(purchaseId)).toEqual([3_750]);
    expect(await returnedOf(reservationId)).toEqual([3]);
    expect(await stockOf(saleId)).toEqual({ available: 3, allocated: 0, sold: 2, waitlisted: 0 });
    await expectNoDrift(saleId);
  });

  it('all that is left is ordered while a part is pending', async () => {
    const { purchaseId, reservationId, saleId } = await bought(2);
    expect(await part(purchaseId, { amountMinor: 100 })).toMatchObject({ status: 202 });
    for (let turn = 0; turn < 2; turn++) {
      expect(await part(purchaseId, {})).toMatchObject({ status: 202, body: { state: 'refunding' } });
    }
    await work([purchaseId], ['refunded']);
    expect(await refundsOf(purchaseId)).toEqual([100, 2_400]);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded', units: 2 });
    await expectNoDrift(saleId);
  });

  it('all of it is given back after a part was refused: the part again, and the rest with its units', async () => {
    const { purchaseId, reservationId, saleId } = await bought(2);
    await providers.faults({ refuseRefunds: 402 });
    await part(purchaseId, { amountMinor: 500 });
    await work([purchaseId], ['refund_failed']);
    await providers.faults();
    const [token, key] = [await operator(), newId()];
    const all = () => api.call(`POST /purchases/${purchaseId}/refund`, { token, json: {}, key });
    const first = await all();
    expect(first).toMatchObject({ status: 202, body: { state: 'refunding' } });
    await work([purchaseId], ['refunded']);
    expect((await all()).body).toEqual(first.body);
    expect(await part(purchaseId, {})).toMatchObject({ status: 202, body: { state: 'refunded' } });
    expect(await refundsOf(purchaseId)).toEqual([500, 2_000]);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded', units: 2 });
    await expectNoDrift(saleId);
  });

  it('without a body and with an empty one it is the same request under one key', async () => {
    const bodies = [[undefined, {}] as const, [{}, undefined] as const];
    for (const [one, other] of bodies) {
      const { purchaseId } = await bought(2);
      const [token, key] = [await operator(), newId()];
      const call = (json: object | undefined) =>
        api.call(`POST /purchases/${purchaseId}/refund`, { token, key, ...(json && { json }) });
      const ordered = await call(one);
      expect(ordered).toMatchObject({ status: 202, body: { state: 'refunding' } });
      await work([purchaseId], ['refunded']);
      expect(await call(other)).toMatchObject({ status: 202, body: ordered.body });
      expect(await call({ amountMinor: 1 })).toMatchObject({ status: 422 });
      expect(await refundsOf(purchaseId)).toEqual([2_500]);
    }
  });

  it('all of it is given back after all of the money was: the units return', async () => {
    const { purchaseId, reservationId, saleId } = await bought(2);
    await part(purchaseId, { amountMinor: 2_500 });
    await work([purchaseId], ['refunded']);
    expect(await part(purchaseId, {})).toMatchObject({ status: 202, body: { state: 'refunding' } });
    await work([purchaseId], ['refunded']);
    expect(await refundsOf(purchaseId)).toEqual([2_500]);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded', units: 2 });
    await expectNoDrift(saleId);
  });

  it('what was refused can be asked for again by itself; the rest stays', async () => {
    const { purchaseId, reservationId } = await bought(2);
    const retry = { retryFailed: true };
    expect(await part(purchaseId, retry)).toMatchObject({ status: 409, body: { code: 'illegal_state' } });
    for (const json of [
      { ...retry, amountMinor: 5 },
      { ...retry, cancel: [reservationId] },
    ]) {
      expect(await part(purchaseId, json)).toMatchObject({ status: 422, body: { code: 'unprocessable' } });
    }
    const malformed = { status: 400, body: { code: 'invalid_input' } };
    expect(await part(purchaseId, { retryFailed: false })).toMatchObject(malformed);
    await providers.faults({ refuseRefunds: 402 });
    await part(purchaseId, { amountMinor: 500 });
    await work([purchaseId], ['refund_failed']);
    await providers.faults();
    expect(await part(purchaseId, retry)).toMatchObject({ status: 202, body: { state: 'refunding' } });
    await work([purchaseId], ['captured']);
    expect(await part(purchaseId, retry)).toMatchObject({ status: 409 });
    expect(await refundsOf(purchaseId)).toEqual([500]);
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased', units: 2 });
  });

  it('a key orders once, whatever it orders: a refund of all that is left is no other order under it', async () => {
    const { purchaseId } = await bought(2);
    const token = await operator();
    const call = (json: object, key: string) => api.call(`POST /purchases/${purchaseId}/refund`, { token, json, key });
    const [one, all] = [newId(), newId()];
    const ordered = await call({ amountMinor: 100 }, one);
    expect(ordered).toMatchObject({ status: 202, body: { state: 'refunding' } });
    const reused = { status: 422, body: { code: 'idempotency_key_reused' } };
    expect(await call({}, one)).toMatchObject(reused);
    await work([purchaseId], ['captured']);
    expect(await refundsOf(purchaseId)).toEqual([100]);
    expect((await call({ amountMinor: 100 }, one)).body).toEqual(ordered.body);
    const rest = await call({}, all);
    expect(rest).toMatchObject({ status: 202, body: { state: 'refunding' } });
    expect(await call({ amountMinor: 1 }, all)).toMatchObject(reused);
    await work([purchaseId], ['refunded']);
    expect((await call({}, all)).body).toEqual(rest.body);
    expect(await call({ amountMinor: 1 }, all)).toMatchObject(reused);
    expect(await refundsOf(purchaseId)).toEqual([100, 2_400]);
  });

  it('units return once, and their return is not told as money', async () => {
    const [whole, money] = [await bought(2), await bought(2)];
    expect(await part(whole.purchaseId, {})).toMatchObject({ status: 202 });
    expect(await part(money.purchaseId, { amountMinor: 2_500 })).toMatchObject({ status: 202 });
    await work([whole.purchaseId, money.purchaseId], ['refunded']);
    expect(await reservation(money.reservationId)).toMatchObject({ state: 'purchased' });
    published.length = 0;
    for (const entry of [whole.reservationId, { reservationId: whole.reservationId, units: 1 }]) {
      expect(await part(whole.purchaseId, { cancel: [entry] })).toMatchObject({
        ...{ status: 409, body: { code: 'illegal_state', leftUnits: 0 } },
      });
    }
    expect(await part(money.purchaseId, { cancel: [money.reservationId] })).toMatchObject({ status: 202 });
    await work([money.purchaseId], ['refunded']);
    expect(await part(money.purchaseId, { cancel: [money.reservationId] })).toMatchObject({ status: 409 });
    expect(await reservation(money.reservationId)).toMatchObject({ state: 'refunded', units: 2 });
    expect(published.map(({ detailType }) => detailType)).not.toContain('purchase.changed');
    await expectNoDrift(whole.saleId, money.saleId);
  });

  it('a refund from before units were counted returns whole reservations', async () => {
    const { purchaseId, reservationId, saleId } = await bought(2);
    await part(purchaseId, { amountMinor: 10, cancel: [reservationId] });
    const [row] = await deps.db.rows<{ releases: string }>('SELECT releases FROM refunds WHERE purchase_id = ?', [
      toBytes(purchaseId),
    ]);
    expect(row?.releases).toBe(JSON.stringify([reservationId]));
    await work([purchaseId], ['captured']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded', units: 2 });
    expect(await stockOf(saleId)).toEqual({ available: 2, allocated: 0, sold: 0, waitlisted: 0 });
  });

  it('M3: of a sale that is called off goes back what was not given back before', async () => {
    const [here, there] = [await scene({ units: 2 }), await scene({ units: 3 })];
    const buyer = first(here);
    const other = { ...buyer, reservationId: deriveReservationId(there.saleId, buyer.customerId, 'reserve') };
    await adjustStock(deps, there.saleId, 3);
    await reserve(there.saleId, [other], 3);
    const { body } = await buy(buyer.token, [buyer.reservationId, other.reservationId], 'tok_approve');
    const { purchaseId } = body;
    await work([purchaseId], ['captured']);
    const { reservationId } = other;
    await part(purchaseId, { items: [{ reservationId, units: 2 }], cancel: [{ reservationId, units: 1 }] });
    await work([purchaseId], ['captured']);
    const token = await operator();
    expect(await api.call(`POST /sales/${there.saleId}/cancel`, { token, json: { refunds: 'refund' } })).toMatchObject({
      status: 200,
    });
    await sweepCancellation(deps, there.saleId, Date.now() + 10_000);
    await work([purchaseId], ['captured']);
    expect(await refundsOf(purchaseId)).toEqual([1_250, 2_500]);
    expect(await reservation(reservationId)).toMatchObject({ state: 'refunded', units: 2 });
    expect(await reservation(buyer.reservationId)).toMatchObject({ state: 'purchased', units: 2 });
    await expectNoDrift(here.saleId, there.saleId);
  });

  it('M3: of a sale that is called off an amount that came with its units is not given back again', async () => {
    const [here, there] = [await scene({ units: 2 }), await scene({ units: 3 })];
    const buyer = first(here);
    const other = { ...buyer, reservationId: deriveReservationId(there.saleId, buyer.customerId, 'reserve') };
    await adjustStock(deps, there.saleId, 3);
    await reserve(there.saleId, [other], 3);
    const { body } = await buy(buyer.token, [buyer.reservationId, other.reservationId], 'tok_approve');
    const { purchaseId } = body;
    await work([purchaseId], ['captured']);
    await part(purchaseId, { amountMinor: 1_000, cancel: [{ reservationId: other.reservationId, units: 1 }] });
    await work([purchaseId], ['captured']);
    const token = await operator();
    await api.call(`POST /sales/${there.saleId}/cancel`, { token, json: { refunds: 'refund' } });
    await sweepCancellation(deps, there.saleId, Date.now() + 10_000);
    await work([purchaseId], ['captured']);
    expect(await refundsOf(purchaseId)).toEqual([1_000, 2_750]);
    expect(await reservation(buyer.reservationId)).toMatchObject({ state: 'purchased', units: 2 });
    await expectNoDrift(here.saleId, there.saleId);
  });

  it('whatever is ordered back in whichever order, money and units add up', async () => {
    let seed = 1_129;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * below);
    };
    const { purchaseId, reservationId, saleId } = await bought(6);
    let [money, paid, returned] = [0, 0, 0];
    for (let step = 0; step < 14; step++) {
      const units = 1 + random(3);
      const back = random(3);
      const cancel = back > 0 ? { cancel: [{ reservationId, units: back }] } : {};
      const isAmount = random(3) === 0;
      const amount = isAmount ? 1 + random(900) : units * 1_250;
      const json = isAmount ? { amountMinor: amount, ...cancel } : { items: [{ reservationId, units }], ...cancel };
      const fits = money + amount <= 7_500 && (isAmount || paid + units <= 6) && returned + back <= 6;
      const { status } = await part(purchaseId, json);
      expect([step, status]).toEqual([step, fits ? 202 : 409]);
      if (!fits) continue;
      money += amount;
      paid += isAmount ? 0 : units;
      returned += back;
    }
    await work([purchaseId], ['captured', 'refunded']);
    expect((await refundsOf(purchaseId)).reduce((sum, one) => sum + one, 0)).toBe(money);
    expect(await stockOf(saleId)).toMatchObject({ available: returned, sold: 6 - returned });
    expect(money).toBeGreaterThan(0);
    await expectNoDrift(saleId);
  });
});

describe('a refund that the provider refuses (M4)', () => {
  it.each([402, 404])(
    'M4: %s is an answer: refund_failed with the reason; others go on; a retry works',
    async (status) => {
      const stage = await scene({ customers: 13, units: 1 });
      const by = await operator();
      const buyers = stage.customers.slice(0, 12);
      const answers = await Promise.all(
        buyers.map(({ token, reservationId }) => buy(token, [reservationId], 'tok_approve')),
      );
      const ids = answers.map((answer) => answer.body.purchaseId as string);
      await work(ids, ['captured'], 40_000);
      await providers.faults({ refuseRefunds: status });
      for (const id of ids) expect(await refund(by, id)).toMatchObject({ status: 202, body: { state: 'refunding' } });
      await work(ids, ['refund_failed'], 40_000);
      expect(await look(by, ids[0] ?? '')).toMatchObject({
        body: { state: 'refund_failed', reason: 'refund_refused' },
      });
      const states = deps.once(paymentGateway).instances();
      expect(states.map(({ state }) => state)).toEqual(['closed', 'closed']);
      const healthy = stage.customers[12];
      const bought = await buy(healthy?.token ?? '', [healthy?.reservationId ?? ''], 'tok_approve');
      await work([bought.body.purchaseId], ['captured'], 10_000);
      await providers.faults();
      for (const id of ids) expect(await refund(by, id)).toMatchObject({ status: 202, body: { state: 'refunding' } });
      await work(ids, ['refunded'], 40_000);
    },
    120_000,
  );
});

describe('refunds can be seen', () => {
  interface Failed {
    purchaseId: string;
  }
  const failedOnes = async (query: string): Promise<Answer> =>
    api.call(`GET /ops/failed-refunds?${query}`, { token: await operator() });

  it('M2: those of a purchase by its owner, with amount, state, reason and units; the reason is never an old one', async () => {
    const { token, reservationId } = first(await scene());
    const { body } = await buy(token, [reservationId], 'tok_approve');
    const purchaseId: string = body.purchaseId;
    await work([purchaseId], ['captured']);
    const by = await operator();
    const seen = async () => (await look(token, purchaseId)).body;
    expect(await seen()).toMatchObject({ reason: null, refunds: [] });
    const cancel = [{ reservationId, units: 1 }];
    await api.call(`POST /purchases/${purchaseId}/refund`, {
      token: by,
      key: newId(),
      json: { amountMinor: 100, cancel },
    });
    const amount = { amountMinor: 100, currency: 'EUR' };
    const part = { amount, reason: 'refund_ordered', failure: null, units: cancel };
    expect(await seen()).toMatchObject({ reason: 'refund_ordered', refunds: [{ ...part, state: 'pending' }] });
    await work([purchaseId], ['captured']);
    expect(await seen()).toMatchObject({ reason: null, refunds: [{ ...part, state: 'refunded' }] });
    await providers.faults({ refuseRefunds: 402 });
    await refund(by, purchaseId);
    await work([purchaseId], ['refund_failed']);
    const all = { amount: { amountMinor: 2_400, currency: 'EUR' }, units: [{ reservationId, units: null }] };
    expect(await seen()).toMatchObject({
      reason: 'refund_refused',
      refunds: [
        { ...part, state: 'refunded' },
        { ...all, state: 'failed', failure: 'refund_refused' },
      ],
    });
    await providers.faults();
    await refund(by, purchaseId);
    await work([purchaseId], ['refunded']);
    expect(await seen()).toMatchObject({ reason: 'refund_ordered', refunds: [{}, { ...all, state: 'refunded' }] });
    const { body: list } = await api.call('GET /purchases', { token });
    expect(list.items).toEqual([await seen()]);
    // What the customer was told names no refusal that was made up for.
    const told = published
      .map(({ detail }) => JSON.parse(detail) as { purchaseId?: string; state?: string; reason?: string })
      .filter((one) => one.purchaseId === purchaseId);
    expect(told.map(({ state, reason }) => [state, reason])).toEqual([
      ['captured', undefined],
      ['captured', 'refund_ordered'],
      ['refunded', 'refund_ordered'],
    ]);
  });

  it('M2: operators list those that the provider refused, of all sales or of one, in pages', async () => {
    const here = await scene({ customers: 3, units: 1 });
    const there = await scene({ units: 1 });
    const by = await operator();
    const ids = await Promise.all(
      [...here.customers, ...there.customers].map(async ({ token, reservationId }): Promise<string> => {
        return (await buy(token, [reservationId], 'tok_approve')).body.purchaseId;
      }),
    );
    await work(ids, ['captured']);
    await providers.faults({ refuseRefunds: 402 });
    for (const id of ids) await refund(by, id);
    await work(ids, ['refund_failed']);
    const ofHere = `saleId=${here.saleId}`;
    const { body: one } = await failedOnes(`${ofHere}&limit=2`);
    const { body: other } = await failedOnes(`${ofHere}&limit=2&cursor=${one.nextCursor}`);
    const found = [...one.items, ...other.items];
    expect([one.items.length, other.items.length, other.nextCursor]).toEqual([2, 1, null]);
    expect(found.map(({ purchaseId }: Failed) => purchaseId)).toEqual(ids.slice(0, 3).sort());
    const amount = { amountMinor: 1_250, currency: 'EUR' };
    expect(found[0]).toMatchObject({ amount, state: 'failed', failure: 'refund_refused', reason: 'refund_ordered' });
    const everywhere = (await failedOnes('limit=100')).body.items.map(({ purchaseId }: Failed) => purchaseId);
    expect(everywhere).toEqual(expect.arrayContaining(ids));
    expect(await failedOnes('cursor=x')).toMatchObject({ status: 422 });
    expect(await api.call('GET /ops/failed-refunds', { token: first(here).token })).toMatchObject({ status: 403 });
    await providers.faults();
    for (const id of ids) await refund(by, id);
    await work(ids, ['refunded']);
    expect((await failedOnes(ofHere)).body.items).toEqual([]);
  });
});

describe('a payment that needs its customer (row 47)', () => {
  const open = async (token: string, purchaseId: string): Promise<{ url: string; deadline: string } | null> =>
    (await look(token, purchaseId)).body.action;

  /** What the customer does on the provider's page; answers its status. */
  async function atBank(url: string | undefined, decision: 'confirm' | 'refuse'): Promise<number> {
    return (await fetch(url ?? '', { method: 'POST', body: new URLSearchParams({ decision }) })).status;
  }

  const giveUp = (token: string, purchaseId: string): Promise<Answer> =>
    api.call(`DELETE /purchases/${purchaseId}`, { token });

  /** Makes the next attempt now, whenever it is due. */
  const ask = (purchaseId: string) => deliver(pay, [{ messageId: 'm', body: JSON.stringify({ purchaseId }) }]);

  const endAction = (purchaseId: string, agoMs = 1) =>
    deps.db.change('UPDATE purchases SET action_deadline_ms = ? WHERE id = ?', [
      Date.now() - agoMs,
      toBytes(purchaseId),
    ]);

  const toldOf = (purchaseId: string) =>
    published
      .map(
        ({ detail }) =>
          JSON.parse(detail) as { purchaseId?: string; state?: string; reason?: string; deadlineMs?: number },
      )
      .filter((one) => one.purchaseId === purchaseId)
      .map(({ state, reason, deadlineMs }) => ({ state, reason, deadlineMs }));

  /** A customer who has ordered with a card that requires an action, and was told the address. */
  async function asked(options: Parameters<typeof scene>[0] & { card?: string } = {}) {
    const { card = 'tok_action', ...rest } = options;
    const stage = await scene(rest);
    const { token, reservationId, customerId } = first(stage);
    const { body } = await buy(token, [reservationId], card);
    const purchaseId: string = body.purchaseId;
    await ask(purchaseId);
    const shown = await open(token, purchaseId);
    expect(await stateOf(purchaseId)).toBe('requires_action');
    return { ...stage, token, reservationId, customerId, purchaseId, url: shown?.url, deadline: shown?.deadline ?? '' };
  }

  it('shows where and until when, keeps the units, and is bought once the customer has confirmed', async () => {
    const { token, reservationId, purchaseId, url, deadline, saleId } = await asked();
    const leftMs = Date.parse(deadline) - Date.now();
    expect(leftMs).toBeGreaterThan(minutes(14));
    expect(leftMs).toBeLessThanOrEqual(minutes(15));
    expect(toldOf(purchaseId)).toEqual([
      { state: 'requires_action', reason: undefined, deadlineMs: Date.parse(deadline) },
    ]);
    // Asking again changes neither, and asks the customer nothing.
    await ask(purchaseId);
    expect(await open(token, purchaseId)).toEqual({ url, deadline, transferTo: null });
    expect(toldOf(purchaseId)).toHaveLength(1);
    expect(await cancel(token, reservationId)).toMatchObject({ status: 409, body: { code: 'purchase_in_progress' } });
    expect(await buy(token, [reservationId], 'tok_approve')).toMatchObject({ status: 409 });
    expect(await refund(await operator(), purchaseId)).toMatchObject({ status: 409, body: { code: 'illegal_state' } });
    expect(await expireSale(deps, saleId, Date.now() + 10_000)).toBe(0);
    expect(await atBank(url, 'confirm')).toBe(200);
    await work([purchaseId], ['captured']);
    expect(await look(token, purchaseId)).toMatchObject({ body: { state: 'captured', action: null, reason: null } });
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased', purchaseId });
    const [row] = await deps.db.rows(
      'SELECT action_url AS url, action_deadline_ms AS deadlineMs, payment_token AS card FROM purchases WHERE id = ?',
      [toBytes(purchaseId)],
    );
    expect(row).toEqual({ url: null, deadlineMs: null, card: null });
  });

  it('is settled by webhooks alone, in any order and however often they come', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_action');
    const { purchaseId } = body;
    // Held back until all of them are there.
    await ask(purchaseId);
    await atBank((await open(token, purchaseId))?.url, 'confirm');
    const typesReceived = () => providers.received.map((one) => (JSON.parse(one.body) as { type: string }).type).sort();
    await waitFor('both webhooks', () => providers.received.length === 2, { timeoutMs: 5_000 });
    expect(typesReceived()).toEqual(['payment.captured', 'payment.requires_action']);
    const [one, other] = providers.received;
    const captured = one?.body.includes('payment.captured') ? one : other;
    const required = captured === one ? other : one;
    for (const webhook of [required, captured, required, captured, captured]) {
      if (webhook) expect(await tell(webhook)).toMatchObject({ status: 200 });
    }
    expect(await look(token, purchaseId)).toMatchObject({ body: { state: 'captured', action: null } });
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased', version: 2 });
    expect(toldOf(purchaseId).map(({ state }) => state)).toEqual(['requires_action', 'captured']);
  });

  it('is told by the webhook before the answer; one that names no address to go to changes nothing', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { purchaseId } = (await buy(token, [reservationId], 'tok_action')).body;
    const wants = (wanted: object | undefined) =>
      tell(signed(told('payment.requires_action', purchaseId, { action: wanted })));
    const expiresAt = toIso(Date.now() + minutes(5));
    for (const wanted of [
      undefined,
      {},
      { url: 'javascript:alert(1)' },
      { url: 'nowhere' },
      { url: 'https://a.example', expiresAt: 5 },
    ]) {
      expect(await wants(wanted)).toMatchObject({ status: 200 });
      expect(await stateOf(purchaseId)).toBe('requested');
    }
    expect(await wants({ url: 'https://bank.example/confirm?x=1', expiresAt })).toMatchObject({ status: 200 });
    expect(await open(token, purchaseId)).toEqual({
      url: 'https://bank.example/confirm?x=1',
      deadline: expiresAt,
      transferTo: null,
    });
    // The provider has no such charge after all, and none is made again.
    await ask(purchaseId);
    expect(await stateOf(purchaseId)).toBe('requires_action');
    await endAction(purchaseId);
    await ask(purchaseId);
    expect(await look(token, purchaseId)).toMatchObject({ body: { state: 'declined', reason: 'action_expired' } });
    expect((await chargesOf(purchaseId)).charges).toEqual([]);
  });

  it('that the customer refuses is declined, and another card can be tried', async () => {
    const { token, reservationId, purchaseId, url } = await asked();
    expect(await atBank(url, 'refuse')).toBe(200);
    await work([purchaseId], ['declined']);
    expect(await look(token, purchaseId)).toMatchObject({ body: { reason: 'refused_by_customer', action: null } });
    const again = await buy(token, [reservationId], 'tok_approve');
    await work([again.body.purchaseId], ['captured']);
    expect(await atBank(url, 'confirm')).toBe(404);
  });

  it('of which nothing is heard is stopped at the provider, and its units go to the line in the same transaction', async () => {
    const stage = await scene({ customers: 3, allotment: 2 });
    const [leaver, holder, waiter] = stage.customers;
    if (!leaver || !holder || !waiter) throw new Error('three customers');
    await cancel(leaver.token, leaver.reservationId);
    expect(await reservation(holder.reservationId)).toMatchObject({ state: 'allocated' });
    const { purchaseId } = (await buy(holder.token, [holder.reservationId], 'tok_action_86400')).body;
    await ask(purchaseId);
    const shown = await open(holder.token, purchaseId);
    // However long the provider would wait.
    expect(Date.parse(shown?.deadline ?? '')).toBeLessThanOrEqual(Date.now() + actionLifeAtMostMs);
    for (const row of [
      'waitlist SET deadline_ms = ? WHERE reservation_id',
      'reservations SET deadline_ms = ? WHERE id',
    ]) {
      await deps.db.change(`UPDATE ${row} = ?`, [Date.now() - 1, toBytes(holder.reservationId)]);
    }
    await expireSale(deps, stage.saleId, Date.now() + 10_000);
    expect(await reservation(holder.reservationId)).toMatchObject({ state: 'allocated', purchaseId });
    await endAction(purchaseId);
    expect(await open(holder.token, purchaseId)).toBeNull();
    await ask(purchaseId);
    expect(await look(holder.token, purchaseId)).toMatchObject({
      body: { state: 'declined', reason: 'action_expired' },
    });
    expect(toldOf(purchaseId).at(-1)).toMatchObject({ state: 'declined', reason: 'action_expired' });
    expect(await reservation(holder.reservationId)).toMatchObject({ state: 'expired' });
    expect(await reservation(waiter.reservationId)).toMatchObject({ state: 'allocated' });
    expect((await chargesOf(purchaseId)).charges).toMatchObject([{ status: 'declined' }]);
    expect(await atBank(shown?.url, 'confirm')).toBe(404);
  });

  it('whose time ends at the provider is declined; units whose own time is left stay with the customer (I12)', async () => {
    const { token, reservationId, purchaseId, url } = await asked({ card: 'tok_action_1' });
    await work([purchaseId], ['declined']);
    expect(await look(token, purchaseId)).toMatchObject({ body: { reason: 'action_expired' } });
    expect(await atBank(url, 'confirm')).toBe(404);
    expect(await reservation(reservationId)).toMatchObject({ state: 'allocated', purchaseId: null });
    expect((await buy(token, [reservationId], 'tok_approve')).status).toBe(202);
  });

  it('outlives the close by a bounded time, and what was told is kept', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const closesAtMs = Date.now() + minutes(1);
    await deps.db.change('UPDATE sales SET purchase_closes_at_ms = ? WHERE id = ?', [
      closesAtMs,
      toBytes(stage.saleId),
    ]);
    const { purchaseId } = (await buy(token, [reservationId], 'tok_action_86400')).body;
    await ask(purchaseId);
    const shown = await open(token, purchaseId);
    expect(Date.parse(shown?.deadline ?? '')).toBe(closesAtMs + actionAfterCloseAtMostMs);
    await closeWindow(stage.saleId);
    expect(await expireSale(deps, stage.saleId, Date.now() + 10_000)).toBe(0);
    expect(await open(token, purchaseId)).toEqual(shown);
    await atBank(shown?.url, 'confirm');
    await work([purchaseId], ['captured']);
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased' });
  });

  it('asked for only after the close still leaves time; what is not confirmed ends with the payment', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { purchaseId } = (await buy(token, [reservationId], 'tok_action_86400')).body;
    await closeWindow(stage.saleId);
    await ask(purchaseId);
    const leftMs = Date.parse((await open(token, purchaseId))?.deadline ?? '') - Date.now();
    expect(leftMs).toBeGreaterThan(actionAfterCloseAtMostMs - minutes(1));
    expect(leftMs).toBeLessThanOrEqual(actionAfterCloseAtMostMs);
    await endAction(purchaseId);
    await ask(purchaseId);
    expect(await stateOf(purchaseId)).toBe('declined');
    expect(await reservation(reservationId)).toMatchObject({ state: 'expired', purchaseId: null });
  });

  it('M6: confirmed with another amount is disputed', async () => {
    await providers.faults({ confirmShiftMinor: 100 });
    const { token, reservationId, purchaseId, url } = await asked();
    await atBank(url, 'confirm');
    await work([purchaseId], ['disputed']);
    expect(await look(token, purchaseId)).toMatchObject({ body: { reason: 'amount_mismatch', action: null } });
    expect(await reservation(reservationId)).toMatchObject({ state: 'allocated', purchaseId });
    expect(await decide(purchaseId, 'refund')).toMatchObject({ status: 202 });
    await work([purchaseId], ['refunded']);
    expect((await chargesOf(purchaseId)).refunds).toMatchObject([{ amountMinor: 2_600 }]);
  });

  it('confirmed after the deadline, and before it was stopped, is bought: nobody else has the units', async () => {
    const { reservationId, purchaseId, url } = await asked({ card: 'tok_action_86400' });
    await endAction(purchaseId);
    await atBank(url, 'confirm');
    await ask(purchaseId);
    expect(await stateOf(purchaseId)).toBe('captured');
    expect(await reservation(reservationId)).toMatchObject({ state: 'purchased', purchaseId });
  });

  it('lets its units go after the deadline if the provider cannot be asked; what was confirmed is given back (I13)', async () => {
    const { token, reservationId, purchaseId, url } = await asked({ card: 'tok_action_86400' });
    await atBank(url, 'confirm');
    await providers.faults({ down: true });
    await endAction(purchaseId);
    await ask(purchaseId);
    expect(await reservation(reservationId)).toMatchObject({ state: 'allocated', purchaseId });
    await endAction(purchaseId, actionGraceMs);
    await ask(purchaseId);
    expect(await look(token, purchaseId)).toMatchObject({ body: { state: 'requires_action', action: null } });
    expect(await reservation(reservationId)).toMatchObject({ state: 'allocated', purchaseId: null });
    await ask(purchaseId);
    const again = await buy(token, [reservationId], 'tok_approve');
    expect(again.status).toBe(202);
    await providers.faults();
    await work([purchaseId, again.body.purchaseId], ['refunded', 'captured'], 60_000);
    expect(await look(token, purchaseId)).toMatchObject({ body: { state: 'refunded', reason: 'reservation_gone' } });
    expect((await chargesOf(purchaseId)).refunds).toMatchObject([{ amountMinor: 2_500 }]);
    expect(await reservation(reservationId)).toMatchObject({ purchaseId: again.body.purchaseId });
  }, 90_000);

  it('can be given up by its customer, once, and by nobody else', async () => {
    const { token, reservationId, purchaseId, url, customers } = await asked({ customers: 2 });
    const stranger = customers[1]?.token ?? '';
    expect(await giveUp(stranger, purchaseId)).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect(await giveUp(token, newId())).toMatchObject({ status: 404 });
    expect(await giveUp(token, 'x')).toMatchObject({ status: 404 });
    expect(await giveUp('', purchaseId)).toMatchObject({ status: 401 });
    expect(await open(token, purchaseId)).not.toBeNull();
    for (let times = 0; times < 2; times++) {
      expect(await giveUp(token, purchaseId)).toMatchObject({ status: 202, body: { state: 'requires_action' } });
      expect(await open(token, purchaseId)).toBeNull();
    }
    await work([purchaseId], ['declined']);
    expect(await look(token, purchaseId)).toMatchObject({ body: { reason: 'given_up' } });
    expect(await giveUp(token, purchaseId)).toMatchObject({ status: 202, body: { state: 'declined' } });
    expect(await atBank(url, 'confirm')).toBe(404);
    expect(await reservation(reservationId)).toMatchObject({ state: 'allocated', purchaseId: null });

    const again = (await buy(token, [reservationId], 'tok_approve')).body.purchaseId;
    expect(await giveUp(token, again)).toMatchObject({ status: 409, body: { code: 'purchase_in_progress' } });
    await work([again], ['captured']);
    expect(await giveUp(token, again)).toMatchObject({ status: 409, body: { code: 'already_resolved' } });
  });

  it('is stopped at the provider when its sale is called off, and its customer is told', async () => {
    const { token, reservationId, purchaseId, url, saleId } = await asked();
    expect((await callOff(saleId)).status).toBe(200);
    await ask(purchaseId);
    expect(await look(token, purchaseId)).toMatchObject({ body: { state: 'declined', reason: 'sale_cancelled' } });
    expect(toldOf(purchaseId).at(-1)).toMatchObject({ state: 'declined', reason: 'sale_cancelled' });
    expect((await chargesOf(purchaseId)).charges).toMatchObject([{ status: 'declined' }]);
    expect(await atBank(url, 'confirm')).toBe(404);
    expect(await reservation(reservationId)).toMatchObject({ state: 'cancelled', purchaseId: null });
  });

  it('confirmed before its sale was called off, and heard of after, is given back', async () => {
    const { token, reservationId, purchaseId, url, saleId } = await asked();
    await atBank(url, 'confirm');
    await callOff(saleId);
    await work([purchaseId], ['refunded']);
    expect(await look(token, purchaseId)).toMatchObject({ body: { reason: 'sale_cancelled' } });
    expect((await chargesOf(purchaseId)).refunds).toMatchObject([{ amountMinor: 2_500 }]);
    expect(await reservation(reservationId)).toMatchObject({ state: 'cancelled' });
  });

  it('of a sale that was called off meanwhile is asked of nobody', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { purchaseId } = (await buy(token, [reservationId], 'tok_action')).body;
    await deps.db.change('UPDATE purchases SET attempts = 1 WHERE id = ?', [toBytes(purchaseId)]);
    const order = { amountMinor: 2_500, currency: 'EUR', reference: purchaseId, token: 'tok_action' };
    await atProvider('charges', purchaseId, order);
    await callOff(stage.saleId);
    await waitFor('the webhook', () => providers.received.length > 0, { timeoutMs: 5_000 });
    for (const webhook of providers.received) await tell(webhook);
    expect(await stateOf(purchaseId)).toBe('requested');
    await ask(purchaseId);
    expect(await look(token, purchaseId)).toMatchObject({ body: { state: 'declined', reason: 'sale_cancelled' } });
    expect(toldOf(purchaseId).map(({ state }) => state)).toEqual(['declined']);
  });

  it('goes on in a pause, and keeps its deadline; units that are not paid for then wait for the end of the pause', async () => {
    const [paying, idle] = [await asked(), await asked()];
    for (const { saleId, token, purchaseId, url, deadline } of [paying, idle]) {
      expect((await api.call(`POST /sales/${saleId}/pause`, { token: await operator() })).status).toBe(200);
      expect(await open(token, purchaseId)).toEqual({ url, deadline, transferTo: null });
    }
    await atBank(paying.url, 'confirm');
    await endAction(idle.purchaseId);
    await ask(idle.purchaseId);
    await work([paying.purchaseId], ['captured']);
    expect(await stateOf(idle.purchaseId)).toBe('declined');
    expect(await reservation(idle.reservationId)).toMatchObject({ state: 'allocated', purchaseId: null });
  });

  it('whose message was lost is found by the settle job after its deadline', async () => {
    const { purchaseId } = await asked();
    await drain();
    await endAction(purchaseId);
    await deps.db.change('UPDATE purchases SET updated_at_ms = ? WHERE id = ?', [
      Date.now() - 61_000,
      toBytes(purchaseId),
    ]);
    expect(await deliver(settle, [{ messageId: 'tick', body: '{}' }])).toEqual([]);
    await work([purchaseId], ['declined']);
  });
});

describe('a card that fails for technical reasons (M10)', () => {
  it('M10: is given up once the provider has said often enough that it knows of no charge', async () => {
    const stage = await scene();
    const { token, reservationId } = first(stage);
    const { body } = await buy(token, [reservationId], 'tok_error');
    const { purchaseId } = body;
    const ask = () => deliver(pay, [{ messageId: 'm', body: JSON.stringify({ purchaseId }) }]);
    let asked = 0;
    // Every pause between two attempts is taken to be over.
    for (; asked < 20 && (await stateOf(purchaseId)) !== 'declined'; asked++) {
      await ask();
      await deps.db.change('UPDATE purchases SET updated_at_ms = ? WHERE id = ?', [
        Date.now() - 10_000,
        toBytes(purchaseId),
      ]);
    }
    expect(asked).toBe(9);
    expect(await look(token, purchaseId)).toMatchObject({
      body: { state: 'declined', reason: 'provider_unavailable' },
    });
    expect(await reservation(reservationId)).toMatchObject({ state: 'allocated', purchaseId: null });
  });
});

// Last, because they leave breakers open.
describe('a provider that is unavailable (row 36)', () => {
  it('one instance killed under load fails no purchase', async () => {
    const stage = await scene({ customers: 30, units: 1 });
    const answers = await Promise.all(
      stage.customers.map(({ token, reservationId }) => buy(token, [reservationId], 'tok_slow_200')),
    );
    const ids = answers.map((answer) => answer.body.purchaseId);
    const working = work(ids, ['captured'], 40_000);
    await waitFor('some to be captured', async () => (await Promise.all(ids.map(stateOf))).includes('captured'), {
      timeoutMs: 20_000,
    });
    await providers.kill(1);
    await working;
    await providers.start(1);
  });

  it('all instances down: purchases are accepted and parked, nothing is released or dead-lettered, all are captured later', async () => {
    await providers.faults({ down: true });
    const stage = await scene({ customers: 25, units: 1 });
    const answers = await Promise.all(
      stage.customers.map(({ token, reservationId }) => buy(token, [reservationId], 'tok_approve')),
    );
    expect(answers.every((answer) => answer.status === 202)).toBe(true);
    const ids = answers.map((answer) => answer.body.purchaseId as string);
    const parked = async () => {
      await workOnce();
      const rows = await deps.db.rows<{ attempts: number }>('SELECT attempts FROM purchases WHERE id IN (?)', [
        ids.map(toBytes),
      ]);
      const open = deps
        .once(paymentGateway)
        .instances()
        .every(({ state }) => state === 'open');
      return open && rows.every((row) => row.attempts >= 2);
    };
    await waitFor('every purchase to be tried twice, and every breaker to open', parked, { timeoutMs: 40_000 });
    await closeWindow(stage.saleId);
    expect(await expireSale(deps, stage.saleId, Date.now() + 10_000)).toBe(0);
    for (const id of ids) expect(['requested', 'unknown']).toContain(await stateOf(id));
    for (const breaker of breakers()) expect(await deps.redis.exists(breaker)).toBe(1);

    await providers.faults();
    await work(ids, ['captured'], 60_000);
    expect(await depth('dead/purchases')).toBe(0);
    // An instance that no purchase happened to reach again is forgiven when its breaker's time is over.
    await waitFor('every breaker to be closed', async () => (await deps.redis.exists(...breakers())) === 0, {
      timeoutMs: 40_000,
    });
  }, 120_000);

  it('a breaker opened by another process: nothing is sent until its reset time, then purchases go on', async () => {
    const untilMs = Date.now() + 2_000;
    for (const breaker of breakers()) await deps.redis.set(breaker, untilMs, 'PX', 30_000);
    const stage = await scene();
    const { body } = await buy(first(stage).token, [first(stage).reservationId], 'tok_approve');
    await workOnce();
    expect(await stateOf(body.purchaseId)).toBe('requested');
    expect((await providers.ledger()).charges.some((charge) => charge.idempotencyKey === body.purchaseId)).toBe(false);
    await work([body.purchaseId], ['captured']);
    expect(Date.now()).toBeGreaterThan(untilMs);
  });
});

/** Where the breaker of each instance tells the other processes. */
const breakers = () => providers.addresses.map((address) => keys.breaker(`payments:${new URL(address).host}`));
