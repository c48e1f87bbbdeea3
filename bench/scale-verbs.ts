/**
 * The verbs of a large sale, or of many: whom each concerns, what carries it out, and what must have become of everybody.
 * The suite `scale` prepares and checks; `scale-process.ts` carries out, in a process of its own.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { BusEvent } from '#events/catalog.ts';
import { changesPerEvent } from '#events/outbox.ts';
import { adjustStock } from '#launch/adjust-stock.ts';
import { cancelSale, pauseSale, resumeSale } from '#launch/change-sale.ts';
import { listSalePage } from '#launch/read-sale.ts';
import { rescheduleSale } from '#launch/reschedule.ts';
import { primeMirror } from '#mirror/mirror.ts';
import { enterConnection } from '#notification/connections.ts';
import { listNotifications } from '#notification/list.ts';
import { notify } from '#notification/notify.ts';
import { exportList } from '#operations/export.ts';
import { lookUpReservations } from '#operations/look-up.ts';
import { overviewOf } from '#operations/overview.ts';
import { readReport } from '#operations/report.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { Reply } from '#platform/handlers/http.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { newId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import type { Db, Sql } from '#platform/mysql/mysql.ts';
import type { RedisClient } from '#platform/redis/redis.ts';
import { readDisputes, readFailedRefunds } from '#purchase/read.ts';
import { requestPurchase } from '#purchase/request.ts';
import { startReconciliation } from '#reconcile/reconciliation.ts';
import { getReservation, listReservations } from '#reservation/read.ts';
import type { ReservationRow } from '#reservation/reservation.store.ts';
import { type Crowd, type LongSaleTerms, mirrorLongSale, pagesOf } from './long-sale.ts';
import { percentile } from './statistics.ts';
import { untilAnswered } from './unhurried.ts';

const hourMs = 3_600_000;

/** What a verb is carried out with. */
export interface Run {
  /** Those of the function: transactions are measured, messages and events kept. */
  readonly deps: Deps;
  /** For what is not measured; without a time limit. */
  readonly db: Sql;
  readonly saleId: SaleId;
  /** All of them, of a verb that concerns many. */
  readonly saleIds: readonly SaleId[];
  /** How many reservations they have in all. */
  readonly size: number;
  /** Gives the function what was sent to its queue, until nothing is left. */
  carry(): Promise<void>;
  /** Gives the pay worker what was sent to its queue; returns how many messages that were. */
  pay(): Promise<number>;
  /** Keeps another figure with those of the run. */
  keep(figure: string, value: number): void;
}

export interface Verb {
  /** The function of serverless.yml that carries it out, or whose memory it must fit into. */
  readonly function: string;
  /** Over how many sales so many reservations are spread; one unless given. */
  readonly sales?: (size: number) => number;
  /** Of each sale. */
  readonly crowd: (size: number) => Crowd;
  readonly terms: (nowMs: number) => LongSaleTerms;
  /** Its memory, if it must do with less than the function has. */
  readonly memoryMib?: number;
  /** Whether Redis knows everybody before. */
  readonly isMirrored?: boolean;
  /** How many rows of so many it handles, if not all. */
  readonly handles?: (size: number) => number;
  /** Whether it is done again and again, so that its memory is that of a process that has been at work for a while. */
  readonly isRepeated?: boolean;
  /** The unit of its rate. */
  readonly unit: string;
  /** Of each sale. */
  prepare?(db: Sql, redis: RedisClient, saleId: SaleId, nowMs: number): Promise<void>;
  run(run: Run): Promise<void>;
  /** Finds out what else is kept; its time does not count. */
  afterwards?(run: Run): Promise<void>;
  /** For 1,000,000 reservations: until when the first event must be published and the last, and all be done. */
  readonly within?: { readonly firstMs?: number; readonly lastMs?: number; readonly tookMs?: number };
  /** Whether what it sends to the pay worker is paid by a process of its own meanwhile. */
  readonly paysApart?: boolean;
  /** How often each of the crowd is told, in all. */
  readonly tells?: number;
  /** A count, and what it must be; `:sale` stands for the sale's id. */
  readonly check?: (size: number) => readonly [sql: string, count: number];
}

const purchasing = (nowMs: number): LongSaleTerms => ({
  purchaseOpensAtMs: nowMs - hourMs,
  purchaseClosesAtMs: nowMs + 5 * hourMs,
  phase: 'purchasing',
});
const holders = (size: number): Crowd => ({ holding: size });
const inState = (state: string, count: number) =>
  [`SELECT COUNT(*) AS count FROM reservations WHERE state = '${state}' AND sale_id = :sale`, count] as const;

/** How many questions are asked at the same time, as by an environment that serves many; each is one verb's call. */
const atOnce = 32;
/** Each of them reads five lists, with as many connections to MySQL. */
const listsAtOnce = 2;
/** How many calls of a list, or of a page, are measured. */
const listCalls = 1_000;
const pageCalls = 5;
const searchCalls = 600;
const emptyCalls = 200;
/**
 * How many come in a second, at any size: as if a million asked within a minute, more than API Gateway lets through in an
 * account unless asked to; and as if a fifth of 100,000 bought within a minute, which two processors can serve.
 */
const askPerSecond = 1_000_000 / 60;
/** Those who ask within the millisecond that is the least a timer can wait. */
const askedAtOnce = Math.ceil(askPerSecond / 1_000);
const buyPerSecond = 20_000 / 60;
const crowdMs = 60_000;
const payPollMs = 20;
const operator = { operatorId: null, act: 'a benchmark', asked: {} };
/** One customer in so many is connected when notices are pushed. */
const onePerConnected = 10;
/** Of how many messages a batch of the notify worker consists (serverless.yml). */
const eventsPerBatch = 10;

const ofOneSale = {
  opening: {
    function: 'advance',
    unit: 'told/s',
    crowd: holders,
    terms: (nowMs) => ({ ...purchasing(nowMs), purchaseOpensAtMs: nowMs - 1, phase: 'reserved' }),
    run: begin,
    tells: 1,
    within: { firstMs: 5_000, lastMs: 180_000 },
  },
  reminder: {
    function: 'advance',
    unit: 'told/s',
    crowd: holders,
    terms: (nowMs) => ({ ...purchasing(nowMs), purchaseClosesAtMs: nowMs + hourMs / 6 }),
    run: begin,
    tells: 1,
  },
  closing: {
    function: 'advance',
    unit: 'ended/s',
    crowd: (size) => ({ holding: Math.ceil(size / 2), waiting: Math.floor(size / 2) }),
    terms: (nowMs) => ({ ...purchasing(nowMs), purchaseClosesAtMs: nowMs - 1 }),
    run: begin,
    tells: 1,
    within: { tookMs: 300_000 },
    check: (size) => inState('expired', size),
  },
  'cancelling with refunds': {
    function: 'advance',
    unit: 'refunds ordered/s',
    crowd: (size) => ({ holding: 0, bought: size }),
    terms: purchasing,
    run: async ({ deps, saleId, carry }) => {
      await cancelSale(deps, saleId, { refunds: 'refund' });
      await carry();
    },
    tells: 1,
    afterwards: async ({ pay, keep }) => {
      const startedMs = performance.now();
      keep('refundsPerSecond', ((await pay()) * 1_000) / (performance.now() - startedMs));
    },
    check: (size) => ['SELECT COUNT(*) AS count FROM refunds WHERE sale_id = :sale', size],
  },
  'stock for a long line': {
    function: 'advance',
    unit: 'offers/s',
    crowd: (size) => ({ holding: 0, waiting: size }),
    terms: purchasing,
    run: async ({ deps, saleId, size, carry }) => {
      await adjustStock(deps, saleId, size);
      await carry();
    },
    tells: 1,
    check: (size) => inState('allocated', size),
  },
  'expiry at once': {
    function: 'advance',
    unit: 'ended/s',
    crowd: holders,
    terms: (nowMs) => ({ ...purchasing(nowMs), deadlineMs: nowMs - 1 }),
    run: begin,
    tells: 1,
    check: (size) => inState('expired', size),
  },
  'a pause and a move': {
    function: 'advance',
    unit: 'told/s',
    crowd: holders,
    terms: (nowMs) => ({ ...purchasing(nowMs), deadlineMs: nowMs + hourMs }),
    handles: (size) => 3 * size,
    run: async ({ deps, saleId, carry }) => {
      for (const change of [
        () => pauseSale(deps, saleId),
        () => resumeSale(deps, saleId, {}),
        () => rescheduleSale(deps, saleId, { shiftSeconds: 600, dryRun: false }),
      ]) {
        const answer = await change();
        if (isRefusal(answer)) throw new Error(answer.detail);
        await carry();
      }
    },
    tells: 3,
  },
  'repair of an empty Redis': {
    function: 'reconcile',
    unit: 'rows/s',
    crowd: mixed,
    terms: reserved,
    run: async ({ deps, saleId, carry }) => {
      await primeMirror(deps, saleId);
      await carry();
    },
    check: (size) => [`SELECT MAX(drifts_found) >= ${size} AS count FROM reconciliations`, 1],
  },
  reconcile: {
    function: 'reconcile',
    memoryMib: 256,
    unit: 'rows/s',
    crowd: mixed,
    terms: reserved,
    isMirrored: true,
    run: async ({ deps, saleId, carry }) => {
      await startReconciliation(deps, { saleId, restored: false });
      await carry();
    },
    check: () => [`SELECT COUNT(*) AS count FROM reconciliations WHERE state = 'done' AND drifts_found < 10`, 1],
  },
  "operator's page": {
    function: 'get-sale-operations',
    unit: 'rows/s',
    crowd: mixed,
    terms: reserved,
    isMirrored: true,
    handles: (size) => pageCalls * size,
    run: async ({ deps, saleId }) => {
      for (let call = 0; call < pageCalls; call++) await showPage(deps, saleId);
    },
    afterwards: async ({ deps, saleId, keep }) => {
      const startedMs = performance.now();
      await showPage(deps, saleId);
      keep('pageMs', performance.now() - startedMs);
    },
  },
  report: {
    function: 'operate-look-up',
    unit: 'rows/s',
    crowd: (size) => ({ holding: Math.ceil(size / 2), bought: Math.floor(size / 2) }),
    terms: purchasing,
    run: async ({ deps, saleId, size, keep }) => {
      const partsMs: number[] = [];
      let [requests, purchases] = [0, 0];
      let cursor: string | undefined;
      do {
        const startedMs = performance.now();
        const part = await readReport(deps, saleId, { cursor });
        if (isRefusal(part)) throw new Error(part.detail);
        partsMs.push(performance.now() - startedMs);
        requests += part.turns.reduce((sum, turn) => sum + turn.requests, 0);
        purchases += part.money.purchases;
        cursor = part.nextCursor ?? undefined;
      } while (cursor);
      if (requests !== size || purchases !== Math.floor(size / 2)) {
        throw new Error(`the report knows of ${requests} requests and ${purchases} purchases`);
      }
      keep('parts', partsMs.length);
      keep('longestPartMs', Math.max(...partsMs));
    },
  },
  lists: {
    function: 'customer-lists',
    unit: 'lists/s',
    crowd: mixed,
    terms: reserved,
    isMirrored: true,
    handles: () => 5 * listCalls,
    run: async ({ deps, db, saleId }) => {
      const [page = []] = await firstPages(db, saleId, 1, listCalls);
      await inParallel(
        Array.from({ length: listCalls }, (_, n) => page[n % page.length] as ReservationRow),
        (row) =>
          Promise.all([
            listReservations(deps, row.customerId, { limit: 20 }),
            listNotifications(deps, row.customerId, { limit: 20 }, undefined),
            listSalePage(deps, { limit: 20 }),
            readDisputes(deps, { limit: 20 }),
            readFailedRefunds(deps, { limit: 20 }),
          ]),
        listsAtOnce,
      );
    },
  },
  exports: {
    function: 'operate-look-up',
    unit: 'rows/s',
    crowd: mixed,
    terms: reserved,
    handles: (size) => 2 * size,
    isRepeated: true,
    prepare: giveAccounts,
    run: async ({ deps, saleId, size, keep }) => {
      const partsMs: number[] = [];
      let rows = 0;
      let largest = 0;
      for (const list of ['reservations', 'customers'] as const) {
        let cursor: string | undefined;
        do {
          const startedMs = performance.now();
          const part = await exportList(deps, operator, saleId, list, { cursor });
          if (!(part instanceof Reply)) throw new Error(part.detail);
          partsMs.push(performance.now() - startedMs);
          largest = Math.max(largest, Buffer.byteLength(part.body));
          rows += part.body.split('\r\n').length - 1;
          cursor = part.headers['x-next-cursor'];
        } while (cursor);
      }
      // Each file has a header.
      if (rows !== 2 * size + 2) throw new Error(`the files have ${rows} lines`);
      keep('parts', partsMs.length);
      keep('partP99Ms', percentile(partsMs, 0.99));
      keep('largestPartBytes', largest);
    },
  },
  searches: {
    function: 'operate-look-up',
    unit: 'searches/s',
    crowd: mixed,
    terms: reserved,
    handles: () => searchCalls,
    prepare: giveAccounts,
    run: async ({ deps, db, saleId, keep }) => {
      const found = await db.rows<{ email: string }>('SELECT email FROM customers LIMIT ?', [searchCalls]);
      const beginning = new Date(0).toISOString();
      const searchesMs: number[] = [];
      for (let call = 0; call < searchCalls; call++) {
        const { email } = found[call % found.length] ?? { email: '' };
        // In turn: who has this address, a page of a state, a page of a time, and a page of all.
        const search = [{ email }, { state: 'waitlisted' }, { from: beginning }, {}][call % 4];
        const startedMs = performance.now();
        const page = await lookUpReservations(deps, saleId, { limit: 100, ...search });
        searchesMs.push(performance.now() - startedMs);
        if (isRefusal(page) || page.items.length === 0) throw new Error('a search has found nothing');
      }
      keep('searchP99Ms', percentile(searchesMs, 0.99));
    },
    // What is rare costs most: a page goes over a window of the sale and finds nothing in it.
    afterwards: async ({ deps, saleId, keep }) => {
      const emptyMs: number[] = [];
      for (let call = 0; call < emptyCalls; call++) {
        const startedMs = performance.now();
        const page = await lookUpReservations(deps, saleId, { limit: 100, state: 'refunded' });
        emptyMs.push(performance.now() - startedMs);
        if (isRefusal(page) || page.items.length > 0) throw new Error('a search has found what is not there');
      }
      keep('emptyPageP99Ms', percentile(emptyMs, 0.99));
    },
  },
  'notices and pushes': {
    function: 'notify',
    unit: 'notices/s',
    crowd: holders,
    terms: purchasing,
    prepare: async (db, redis, saleId, nowMs) => {
      const deps = { redis, clock: () => nowMs };
      const expiresAtMs = nowMs + hourMs;
      for await (const page of pagesOf(db, saleId, 1_000)) {
        const connected = page.filter((_, index) => index % onePerConnected === 0);
        await Promise.all(
          connected.map(({ customerId }) =>
            untilAnswered(() => enterConnection(deps, { customerId, expiresAtMs }, newId())),
          ),
        );
      }
    },
    run: async ({ deps, db, saleId }) => {
      for await (const page of pagesOf(db, saleId, eventsPerBatch * changesPerEvent)) {
        const batch = [...inParts(page, changesPerEvent)].map((rows) => ({
          ...{ messageId: newId(), sentAtMs: deps.clock(), deliveries: 1 },
          message: openingOf(saleId, rows, deps.clock()),
        }));
        const failed = [...(await notify(deps, batch, deps.clock() + 9_000))];
        if (failed.length > 0) throw new Error('notices could not be stored');
      }
    },
    check: (size) => ['SELECT COUNT(*) AS count FROM notifications', size],
  },
  'purchase rush': {
    function: 'create-purchase',
    paysApart: true,
    unit: 'bought/s',
    crowd: holders,
    terms: purchasing,
    handles: buyersOf,
    within: { tookMs: crowdMs + 5_000 },
    run: async ({ deps, db, saleId, size, pay, keep }) => {
      const buyers = await firstRows(db, saleId, buyersOf(size));
      const latenciesMs: number[] = [];
      const startedMs = performance.now();
      let isOver = false;
      const buying = Promise.all(
        buyers.map(async ({ customerId, reservationId }, place) => {
          const dueMs = startedMs + (1_000 * place) / buyPerSecond;
          await sleep(Math.max(0, dueMs - performance.now()));
          const order = { reservationIds: [reservationId], paymentToken: 'tok_ok' };
          const answer = await requestPurchase(deps, customerId, 'rush', order);
          if (isRefusal(answer)) throw new Error(answer.detail);
          latenciesMs.push(performance.now() - dueMs);
        }),
      ).finally(() => {
        isOver = true;
      });
      const paying = (async () => {
        for (;;) {
          const wasOver = isOver;
          const paid = await pay();
          if (paid === 0 && wasOver) return;
          if (paid === 0) await sleep(payPollMs);
        }
      })();
      await Promise.all([buying, paying]);
      keep('ownP99Ms', percentile(latenciesMs, 0.99));
    },
    check: (size) => inState('purchased', buyersOf(size)),
  },
  'everybody asks': {
    function: 'get-reservation',
    unit: 'statuses/s',
    crowd: mixed,
    terms: purchasing,
    isMirrored: true,
    within: { tookMs: crowdMs + 5_000 },
    run: ({ deps, db, saleId }) => askAll(deps, db, saleId),
    afterwards: async ({ deps, db, saleId, keep }) => {
      const [page = []] = await firstPages(db, saleId, 1, 1_000);
      let asked = 0;
      const counting: Db = {
        ...deps.db,
        rows: (text, values) => {
          asked++;
          return deps.db.rows(text, values);
        },
      };
      const environment: Deps = Object.create(deps, { db: { value: counting } });
      await inParallel(page, (row) => askOne(environment, row));
      keep('askedMysqlOf1000', asked);
    },
  },
} satisfies Readonly<Record<string, Verb>>;

export const verbs: Readonly<Record<string, Verb>> = {
  ...ofOneSale,
  'opening of many sales': { ...ofOneSale.opening, sales: manySales },
  'closing of many sales': { ...ofOneSale.closing, sales: manySales },
  'expiry in many sales': { ...ofOneSale['expiry at once'], sales: manySales },
  // The minute's rule must be through with all of them before it comes again.
  'a round over quiet sales': {
    function: 'advance',
    unit: 'sales/s',
    sales: quietSales,
    crowd: (size) => ({ holding: size }),
    terms: reserved,
    handles: quietSales,
    isRepeated: true,
    within: { tookMs: 60_000 },
    run: async ({ deps, carry }) => {
      await deps.queue('advance').send({ body: { 'detail-type': 'Scheduled Event' } });
      await carry();
    },
  },
};

/** A hundred reservations in each sale, and more where there would be more than a thousand sales. */
function manySales(size: number): number {
  return Math.min(1_000, Math.ceil(size / 100));
}

/** Sales of a hundred reservations, in which nothing happens for an hour. */
function quietSales(size: number): number {
  return Math.ceil(size / 100);
}

/** Gives one customer in a hundred of a sale an account. */
async function giveAccounts(db: Sql, _redis: RedisClient, saleId: SaleId): Promise<void> {
  await db.change(
    `INSERT INTO customers (id, email, name, password_hash, role, created_at_ms)
     SELECT customer_id, CONCAT(LOWER(HEX(customer_id)), '@example.com'), 'Ada', 'x', 'customer', 1
     FROM reservations WHERE sale_id = ? AND MOD(ticket, 100) = 0`,
    [toBytes(saleId)],
  );
}

async function showPage(deps: Deps, saleId: SaleId): Promise<void> {
  const answer = await overviewOf(deps, saleId);
  if (isRefusal(answer)) throw new Error(answer.detail);
}

/** The boundary of each sale comes, in all of them at once. */
async function begin({ deps, saleIds, carry }: Run): Promise<void> {
  for (const saleId of saleIds) await deps.queue('advance').send({ body: { saleId } });
  await carry();
}

/** Everybody asks, so many a second, or as fast as they are answered if that takes longer. */
async function askAll(deps: Deps, db: Sql, saleId: SaleId): Promise<void> {
  const startedMs = performance.now();
  let asked = 0;
  for await (const page of pagesOf(db, saleId, 1_000)) {
    for (const some of inParts(page, askedAtOnce)) {
      const aheadMs = startedMs + (1_000 * asked) / askPerSecond - performance.now();
      if (aheadMs > 0) await sleep(aheadMs);
      await inParallel(some, (row) => askOne(deps, row));
      asked += some.length;
    }
  }
}

async function askOne(deps: Deps, { customerId, reservationId, state, version }: ReservationRow): Promise<void> {
  const view = await getReservation(deps, customerId, reservationId);
  if (isRefusal(view) || view.state !== state || view.version !== version) {
    throw new Error(`${reservationId} is ${JSON.stringify(view)}, not ${state}`);
  }
}

/** A fifth of the holders buys; of a sale with more than 100,000 no more than of that. */
function buyersOf(size: number): number {
  return Math.min(20_000, Math.floor(size / 5));
}

/** Half of them hold units, a quarter waits, and a quarter was rejected. */
function mixed(size: number): Crowd {
  const waiting = Math.floor(size / 4);
  const rejected = Math.floor(size / 4);
  return { holding: size - waiting - rejected, waiting, rejected };
}

function reserved(nowMs: number): LongSaleTerms {
  return { purchaseOpensAtMs: nowMs + hourMs, purchaseClosesAtMs: nowMs + 5 * hourMs, phase: 'reserved' };
}

function openingOf(saleId: SaleId, rows: readonly ReservationRow[], nowMs: number): BusEvent {
  const recipients = rows.map(({ reservationId, customerId, units, version }) => ({
    ...{ reservationId, customerId, units, version },
    deadlineMs: nowMs + hourMs,
  }));
  const envelope = { schemaVersion: 1, eventId: newId(), occurredAtMs: nowMs };
  const detail = { ...envelope, saleId, reason: 'purchase-opened' as const, recipients };
  return { 'detail-type': 'reservations.reminded', detail };
}

function* inParts<T>(all: readonly T[], size: number): Generator<T[]> {
  for (let start = 0; start < all.length; start += size) yield all.slice(start, start + size);
}

async function firstRows(db: Sql, saleId: SaleId, count: number): Promise<ReservationRow[]> {
  const pages = await firstPages(db, saleId, Math.ceil(count / 500), 500);
  return pages.flat().slice(0, count);
}

async function firstPages(db: Sql, saleId: SaleId, pages: number, rows: number): Promise<ReservationRow[][]> {
  const found: ReservationRow[][] = [];
  for await (const page of pagesOf(db, saleId, rows)) {
    found.push(page);
    if (found.length === pages) break;
  }
  return found;
}

/** Does it for all, so many at the same time. */
async function inParallel<T>(all: readonly T[], work: (one: T) => Promise<unknown>, width = atOnce): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let one = all[next++]; one !== undefined; one = all[next++]) await work(one);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** Prepares the sales of a verb. */
export async function prepareVerb(
  verb: Verb,
  db: Sql,
  redis: RedisClient,
  saleIds: readonly SaleId[],
  nowMs: number,
): Promise<void> {
  for (const saleId of saleIds) {
    if (verb.isMirrored) await mirrorLongSale(db, redis, saleId);
    await verb.prepare?.(db, redis, saleId, nowMs);
  }
}
