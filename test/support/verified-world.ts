/**
 * A small, consistent world, written by hand: two sales, one of which was paused and resumed, eight reservations in all the
 * states they can end in, three purchases, the provider's books, the mirror and the clients' log. Tests of the verifier
 * break one thing in it and check that the verifier reports it.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { Redis } from 'ioredis';
import mysql, { type Connection } from 'mysql2/promise';
import type { LogLine, PushLine, RequestLine, SaleAct } from '#load/log.ts';
import { namesUnder, type Target } from '#load/verify/target.ts';
import { claimsKey, customerField, reservationField } from '#mirror/claims.ts';
import type { CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { saleTag } from '#sale/sale-id.ts';
import { asId } from './ids.ts';
import type { TestBed } from './stack.ts';

const minuteMs = 60_000;
const cap = 10;
const priceMinor = 1_000;

/** The sale that is still open, and the one that is over. */
export const openSale: SaleId = asId('01a20000-0000-7000-8000-aaaaaaaaaaa1');
export const closedSale: SaleId = asId('01a20000-0000-7000-8000-bbbbbbbbbbb0');
const customerIdOf = (digit: number): CustomerId => asId(`01a20000-0000-7000-8000-${String(digit).repeat(12)}`);
export const customers = [customerIdOf(1), customerIdOf(2), customerIdOf(3), customerIdOf(4)] as const;
const idOf = (sale: SaleId, digit: string): ReservationId =>
  asId(`${sale.slice(-12, -4)}-${sale.slice(-4)}-8${digit.repeat(3)}-8${digit.repeat(3)}-${digit.repeat(12)}`);

/** Reservations by their outcome. */
export const reservations = {
  allocated: idOf(openSale, '1'),
  waitlisted: idOf(openSale, '2'),
  rejected: idOf(openSale, '3'),
  offered: idOf(openSale, '4'),
  purchased: idOf(closedSale, '5'),
  refunded: idOf(closedSale, '6'),
  cancelled: idOf(closedSale, '7'),
  expired: idOf(closedSale, '8'),
};
export const purchases = {
  captured: '11111111-1111-8111-8111-111111111111',
  refunded: '22222222-2222-8222-8222-222222222222',
  declined: '33333333-3333-8333-8333-333333333333',
};

/** The sale that is open was paused for a minute, by these versions of its row, and its window opened with another. */
const rounds = { paused: 5, resumed: 6, opened: 8 };

type Name = keyof typeof reservations;

interface Case {
  sale: SaleId;
  customer: 0 | 1 | 2 | 3;
  quantity: number;
  units: number;
  state: string;
  movements: string[];
  notices: string[];
  purchaseId?: string;
  reason?: string;
}

const cases: Record<Name, Case> = {
  allocated: { ...one(openSale, 0, 3, 3), state: 'allocated', movements: ['ALLOCATE'], notices: ['allocated'] },
  waitlisted: { ...one(openSale, 1, 5, 0), state: 'waitlisted', movements: [], notices: ['waitlisted'] },
  rejected: { ...one(openSale, 2, 9, 0), state: 'rejected', movements: [], notices: ['rejected'], reason: 'sold_out' },
  offered: {
    ...one(openSale, 1, 2, 2),
    ...{ state: 'allocated', movements: ['ALLOCATE'], notices: ['waitlisted', 'offered'] },
  },
  purchased: {
    ...one(closedSale, 0, 4, 4),
    ...{ state: 'purchased', movements: ['ALLOCATE', 'SELL'], notices: ['allocated', 'purchased'] },
    purchaseId: purchases.captured,
  },
  refunded: {
    ...one(closedSale, 2, 2, 2),
    ...{
      state: 'refunded',
      movements: ['ALLOCATE', 'SELL', 'RELEASE'],
      notices: ['allocated', 'purchased', 'refunded'],
    },
    purchaseId: purchases.refunded,
  },
  cancelled: {
    ...one(closedSale, 1, 3, 3),
    ...{ state: 'cancelled', movements: ['ALLOCATE', 'RELEASE'], notices: ['allocated', 'cancelled'] },
  },
  expired: { ...one(closedSale, 3, 5, 0), state: 'expired', movements: [], notices: ['waitlisted', 'expired'] },
};

function one(sale: SaleId, customer: Case['customer'], quantity: number, units: number) {
  return { sale, customer, quantity, units };
}

const letters: Record<string, string> = {
  allocated: 'a',
  waitlisted: 'w',
  rejected: 'x',
  purchased: 'p',
  cancelled: 'c',
  expired: 'e',
  refunded: 'f',
};

interface Times {
  opens: number;
  closes: number;
  purchaseOpens: number;
  purchaseCloses: number;
}

export interface World {
  sql: Connection;
  redis: Redis;
  /** The clients' log; written to a file when the world is verified. */
  log: LogLine[];
  books: { charges: Charge[]; refunds: Refund[] };
  target: Target;
  /** When the windows of a sale begin and end. */
  times: Record<string, Times>;
  /** Writes the log and returns its file. */
  writeLog(): string;
  /** The answer of 202 to a reservation's request. */
  accepted(name: Name): RequestLine;
  /** Resets everything to the consistent state. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

interface Charge {
  id: string;
  idempotencyKey: string;
  amountMinor: number;
  currency: string;
  status: string;
  createdAt?: string;
}

interface Refund {
  id: string;
  chargeId: string;
  amountMinor: number;
  currency: string;
}

/** Opens the world on a bed. Call `reset` before each use. */
export async function openWorld(bed: TestBed): Promise<World> {
  const sql = await mysql.createConnection({ uri: bed.mysqlUrl });
  const redis = new Redis(bed.redisUrl);
  const file = join(dirname(bed.registryFile), `${bed.id}-clients.jsonl`);
  const provider = createServer((_, response) => response.end(JSON.stringify(world.books)));
  await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
  const world: World = {
    sql,
    redis,
    log: [],
    books: { charges: [], refunds: [] },
    times: timesAt(Date.now()),
    target: {
      mysqlUrl: bed.mysqlUrl,
      redisUrl: bed.redisUrl,
      redisPrefix: '',
      sqs: { endpoint: bed.endpoints.sqs, region: bed.endpoints.region },
      queues: namesUnder(bed.registry, 'queue/'),
      deadLetters: namesUnder(bed.registry, 'dead/'),
      providers: [`http://127.0.0.1:${(provider.address() as AddressInfo).port}`],
      providerKey: 'key',
    },
    writeLog() {
      writeFileSync(file, world.log.map((line) => `${JSON.stringify(line)}\n`).join(''));
      return file;
    },
    accepted(name) {
      const line = world.log.find(
        (l) => l.type === 'request' && l.op === 'reserve' && l.reservationId === reservations[name],
      );
      if (line?.type !== 'request') throw new Error(`no 202 was logged for ${name}`);
      return line;
    },
    async reset() {
      world.times = timesAt(Date.now());
      await writeRows(sql, world.times);
      await writeMirror(redis, world.times);
      world.log = logOf(world.times);
      world.books = books();
    },
    async close() {
      await sql.end();
      redis.disconnect();
      await new Promise((resolve) => provider.close(resolve));
      rmSync(file, { force: true });
    },
  };
  return world;
}

function timesAt(nowMs: number): World['times'] {
  const from = (opens: number, closes: number, purchaseOpens: number, purchaseCloses: number) => ({
    opens: nowMs + opens * minuteMs,
    closes: nowMs + closes * minuteMs,
    purchaseOpens: nowMs + purchaseOpens * minuteMs,
    purchaseCloses: nowMs + purchaseCloses * minuteMs,
  });
  return { [openSale]: from(-60, 60, -30, 90), [closedSale]: from(-120, -100, -90, -10) };
}

/** The pause of the open sale. */
export const pauseOf = ({ opens }: Times) => ({ fromMs: opens + 10 * minuteMs, toMs: opens + 11 * minuteMs });
const pausedForMs = minuteMs;
/** How long a call takes to be answered. */
const callMs = 20;

const bytes = (id: string) => Buffer.from(id.replaceAll('-', ''), 'hex');
const names = Object.keys(cases) as Name[];

/** The place in line of a reservation, in microseconds, and when it was accepted. */
function acceptance(name: Name, times: World['times']): { ticket: number; acceptedAtMs: number } {
  const acceptedAtMs = (times[cases[name].sale]?.opens ?? 0) + 1_000 + names.indexOf(name);
  return { ticket: acceptedAtMs * 1_000 + 7, acceptedAtMs };
}

/** Somebody waits in the open sale, so no units are left. */
const allotments: Record<string, number> = { [openSale]: 5, [closedSale]: 20 };

/** Stock as the cases add up to it. */
function stockOf(sale: string) {
  const of = (state: string) => names.filter((name) => cases[name].sale === sale && cases[name].state === state);
  const sum = (state: string) => of(state).reduce((total, name) => total + cases[name].units, 0);
  const [allotment, allocated, sold] = [allotments[sale] ?? 0, sum('allocated'), sum('purchased')];
  return { allotment, available: allotment - allocated - sold, allocated, sold, waitlisted: of('waitlisted').length };
}

async function writeRows(sql: Connection, times: World['times']): Promise<void> {
  for (const table of [
    'sales',
    'reservations',
    'waitlist',
    'ledger',
    'notifications',
    'purchases',
    'refunds',
    'cancellations',
    'purchase_items',
    'outbox',
    'grants',
  ]) {
    await sql.query(`DELETE FROM ${table}`);
  }
  for (const [sale, { opens, closes, purchaseOpens, purchaseCloses }] of Object.entries(times)) {
    const row = {
      ...{ id: bytes(sale), product_id: bytes(sale), name: 'A sale', mode: 'fifo', status: 'active' },
      ...{ phase: sale === openSale ? 'purchasing' : 'closed', price_minor: priceMinor, currency: 'EUR' },
      ...{ cap_per_customer: cap, waitlist_size: 50, offer_life_ms: 60_000, created_at_ms: opens - minuteMs },
      ...{ reserve_opens_at_ms: opens, reserve_closes_at_ms: closes },
      ...{ purchase_opens_at_ms: purchaseOpens, purchase_closes_at_ms: purchaseCloses },
      ...{ epoch: 1, version: 9, fence: 0, clock_offset_ms: sale === openSale ? pausedForMs : 0 },
      ...stockOf(sale),
    };
    await sql.query('INSERT INTO sales SET ?', [row]);
    const subject_id = bytes(idOf(asId(sale), '9'));
    await sql.query('INSERT INTO ledger SET ?', [
      { subject_id, kind: 'ADJUST', sale_id: bytes(sale), units: allotments[sale], at_ms: opens },
    ]);
  }
  for (const name of names) await writeCase(sql, name, times);
  const settled = (times[closedSale]?.purchaseOpens ?? 0) + 5_000;
  for (const [state, id] of Object.entries(purchases)) {
    const name: Name = state === 'refunded' ? 'refunded' : 'purchased';
    const { customer, units } = cases[name];
    const amount = units * priceMinor;
    await sql.query('INSERT INTO purchases SET ?', [
      {
        ...{
          id: bytes(id),
          customer_id: bytes(customers[customer]),
          state,
          amount_minor: amount,
          currency: 'EUR',
        },
        ...{ fingerprint: 'f'.repeat(64), charge_id: state === 'declined' ? null : `ch_${state}`, attempts: 1 },
        ...{ version: state === 'refunded' ? 4 : 2, created_at_ms: settled, updated_at_ms: settled },
      },
    ]);
    await sql.query('INSERT INTO purchase_items SET ?', [
      {
        ...{ purchase_id: bytes(id), reservation_id: bytes(reservations[name]), sale_id: bytes(closedSale) },
        ...{ units, price_minor: priceMinor },
      },
    ]);
    const toldOf = { subject: id, customer, atMs: settled };
    await notice(sql, { ...toldOf, version: 2, kind: `purchase.${state === 'declined' ? 'declined' : 'captured'}` });
    if (state === 'refunded') {
      await sql.query('INSERT INTO refunds SET ?', [
        {
          ...{
            purchase_id: bytes(id),
            refund_key: 'refund',
            amount_minor: amount,
            state: 'refunded',
            reason: 'ordered',
          },
          ...{ releases: '*', refusals: 0, created_at_ms: settled, updated_at_ms: settled },
        },
      ]);
    }
    if (state === 'refunded') await notice(sql, { ...toldOf, version: 4, kind: 'purchase.refunded' });
  }
}

let reservationsWritten = 0;

async function writeCase(sql: Connection, name: Name, times: World['times']): Promise<void> {
  const { sale, customer, quantity, units, state, movements, notices, purchaseId, reason = null } = cases[name];
  const id = bytes(reservations[name]);
  const { ticket, acceptedAtMs } = acceptance(name, times);
  await sql.query('INSERT INTO reservations SET ?', [
    {
      ...{ id, sale_id: bytes(sale), customer_id: bytes(customers[customer]), nth: reservationsWritten++ },
      ...{ ticket, quantity },
      ...{ at_least: 1, state, units, reason, purchase_id: purchaseId ? bytes(purchaseId) : null },
      ...{ version: notices.length, accepted_at_ms: acceptedAtMs, decided_at_ms: acceptedAtMs + 40 },
    },
  ]);
  for (const kind of movements) {
    await sql.query('INSERT INTO ledger SET ?', [
      { subject_id: id, kind, sale_id: bytes(sale), units, at_ms: acceptedAtMs },
    ]);
  }
  const ofSale = times[sale];
  if (!ofSale) throw new Error(`sale ${sale} has no times`);
  const told = { subject: reservations[name], customer, sale, ofSale };
  for (const [index, kind] of notices.entries()) {
    const atMs = kind === 'expired' ? ofSale.purchaseCloses + 1_000 : acceptedAtMs + 40 + index;
    await notice(sql, { ...told, version: index + 1, kind: `reservation.${kind}`, atMs });
  }
  if (sale !== openSale || state === 'rejected') return;
  const { fromMs, toMs } = pauseOf(ofSale);
  const version = notices.length;
  await notice(sql, { ...told, version, kind: 'reminder.paused', round: rounds.paused, atMs: fromMs });
  await notice(sql, { ...told, version, kind: 'reminder.resumed', round: rounds.resumed, atMs: toMs });
  if (state !== 'allocated') return;
  const openedAtMs = ofSale.purchaseOpens + 300;
  await notice(sql, { ...told, version, kind: 'reminder.purchase-opened', round: rounds.opened, atMs: openedAtMs });
}

let noticesWritten = 0;

interface Told {
  subject: string;
  version: number;
  kind: string;
  customer: Case['customer'];
  atMs: number;
  round?: number;
  /** For what is about a reservation. */
  sale?: SaleId;
  ofSale?: Times;
}

/** What an owner was told of a reservation: until when its units can be bought, by the close as it was then. */
function factsOf({ kind, atMs, sale, ofSale }: Told): object {
  if (!ofSale) return {};
  const isBeforeResume = sale === openSale && atMs < pauseOf(ofSale).toMs;
  const deadlineMs = ofSale.purchaseCloses - (isBeforeResume ? pausedForMs : 0);
  const deadline = { deadline: new Date(deadlineMs).toISOString() };
  return { saleId: sale, ...(kind === 'reservation.expired' ? {} : deadline) };
}

async function notice(sql: Connection, told: Told): Promise<void> {
  const id = Buffer.alloc(16);
  id.writeUInt32BE(++noticesWritten);
  const { subject, version, kind, round = 0, customer, atMs } = told;
  await sql.query('INSERT INTO notifications SET ?', [
    {
      ...{ id, subject_id: bytes(subject), version, kind, round, customer_id: bytes(customers[customer]) },
      ...{ facts: JSON.stringify(factsOf(told)), created_at_ms: atMs },
    },
  ]);
}

/** The key and field under which the workers keep a reservation: their own naming, which the verifier must know too. */
export function mirrorPlace(name: Name): [string, string] {
  const { sale, customer } = cases[name];
  const customerId = customers[customer];
  return [claimsKey(saleTag(sale), customerId), reservationField(reservations[name], customerId)];
}

async function writeMirror(redis: Redis, times: World['times']): Promise<void> {
  await redis.flushdb();
  for (const [sale, { opens, closes }] of Object.entries(times)) {
    const terms = { opens, closes, status: 'active', cap, waitlistSize: 50 };
    await redis.hset(`sale:{${sale.slice(-12)}}`, { epoch: 1, version: 9, ...stockOf(sale), ...terms, line: 4 });
  }
  for (const name of names) {
    const { customer, quantity, units, state, notices } = cases[name];
    const [key, field] = mirrorPlace(name);
    const { ticket } = acceptance(name, times);
    await redis.hset(
      key,
      field,
      `${letters[state]}:${notices.length}:${units}:${quantity}:${quantity === 1 ? '' : 1}:${ticket.toString(16)}:3`,
    );
    const claimed = state === 'waitlisted' ? quantity : state === 'allocated' || state === 'purchased' ? units : 0;
    if (claimed > 0) await redis.hincrby(key, customerField(customers[customer]), claimed);
  }
}

function logOf(times: World['times']): LogLine[] {
  const lines: LogLine[] = [];
  const request = (op: RequestLine['op'], atMs: number, status: number, more: Partial<RequestLine>): void => {
    lines.push({ type: 'request', op, scheduledMs: atMs - 2, sentMs: atMs - 1, answeredMs: atMs + 9, status, ...more });
  };
  let connection = 0;
  for (const name of names) {
    const { sale, customer, quantity, state, units, notices } = cases[name];
    const { ticket, acceptedAtMs } = acceptance(name, times);
    const customerId = customers[customer];
    const reservationId = reservations[name];
    const asked = {
      customerId,
      saleId: sale,
      key: `key-${name}`,
      quantity,
      atLeast: 1,
      reservationId,
      ticket,
      position: 3,
    };
    request('reserve', acceptedAtMs, 202, asked);
    request('reserve', acceptedAtMs + 20, 202, asked);
    connection++;
    for (const [index, kind] of notices.entries()) {
      const told = kind === 'offered' ? 'allocated' : kind;
      const push: PushLine = {
        ...{ type: 'push', connection, customerId, receivedMs: acceptedAtMs + 100 + index, about: 'reservation' },
        ...{ subjectId: reservationId, version: index + 1, state: told, kind: `reservation.${kind}`, shown: true },
      };
      lines.push(push);
    }
    request('reservations', Date.now(), 200, {
      ...{ customerId, reservations: [{ reservationId, state, version: notices.length, units }] },
    });
  }
  const closed = times[closedSale];
  const [buyer] = customers;
  const boughtAtMs = (closed?.purchaseOpens ?? 0) + 5_000;
  const order = {
    customerId: buyer,
    reservationIds: [reservations.purchased],
    amountMinor: 4 * priceMinor,
    currency: 'EUR',
  };
  request('buy', boughtAtMs - 100, 202, { ...order, key: 'first card', purchaseId: purchases.declined });
  request('buy', boughtAtMs, 202, { ...order, key: 'second card', purchaseId: purchases.captured });
  const early = { saleId: openSale, customerId: buyer, key: 'early', quantity: 1, atLeast: 1, code: 'sale_not_open' };
  request('reserve', (times[openSale]?.opens ?? 0) - 500, 409, early);
  const late = { saleId: closedSale, customerId: buyer, key: 'late', quantity: 1, atLeast: 1, code: 'sale_closed' };
  request('reserve', (closed?.closes ?? 0) + 500, 409, late);
  lines.push(...actsOf(times));
  request('sale', Date.now(), 200, { stocks: [{ saleId: openSale, epoch: 1, version: 9, ...stockOf(openSale) }] });
  request('notifications', Date.now(), 200, {
    notices: [{ notificationId: 'n', subjectId: reservations.allocated, version: 1, kind: 'reservation.allocated' }],
  });
  return lines;
}

/** What the operator did: created both sales, paused the one that is open, and resumed it. */
function actsOf(times: World['times']): RequestLine[] {
  const { [openSale]: open, [closedSale]: closed } = times;
  if (!open || !closed) throw new Error('a sale has no times');
  const pause = pauseOf(open);
  const before = Object.fromEntries(
    Object.entries(open).map(([name, atMs]) => [name, name === 'opens' ? atMs : atMs - pausedForMs]),
  ) as unknown as Times;
  const answer = (saleId: SaleId, act: SaleAct, version: number, atMs: number, held: Times): RequestLine => ({
    ...{ type: 'request', op: 'operator', saleId, act, status: 200, scheduledMs: atMs, sentMs: atMs },
    ...{ firstSentMs: atMs - callMs / 2, answeredMs: atMs + callMs / 2 },
    terms: {
      ...{ version, status: act === 'pause' ? 'paused' : 'active' },
      pausedAt: act === 'pause' ? new Date(pause.fromMs).toISOString() : null,
      clockStandsAt: act === 'pause' ? new Date(pause.fromMs).toISOString() : null,
      reserveOpensAt: new Date(held.opens).toISOString(),
      reserveClosesAt: new Date(held.closes).toISOString(),
      purchaseOpensAt: new Date(held.purchaseOpens).toISOString(),
      purchaseClosesAt: new Date(held.purchaseCloses).toISOString(),
    },
  });
  return [
    answer(closedSale, 'create', 1, closed.opens - minuteMs, closed),
    answer(openSale, 'create', 1, open.opens - minuteMs, before),
    answer(openSale, 'pause', rounds.paused, pause.fromMs, before),
    answer(openSale, 'resume', rounds.resumed, pause.toMs, open),
  ];
}

function books(): World['books'] {
  const charge = (name: keyof typeof purchases, units: number): Charge => ({
    ...{ id: `ch_${name}`, idempotencyKey: purchases[name], amountMinor: units * priceMinor, currency: 'EUR' },
    status: name === 'declined' ? 'declined' : 'captured',
  });
  return {
    charges: [charge('captured', 4), charge('refunded', 2), charge('declined', 4)],
    refunds: [{ id: 're_1', chargeId: 'ch_refunded', amountMinor: 2 * priceMinor, currency: 'EUR' }],
  };
}
