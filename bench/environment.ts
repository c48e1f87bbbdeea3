/**
 * The environment of all runs: private databases with durable settings, emptied before every run and verified by SQL
 * after it.
 *
 * Invariant: a figure is reported only for a run whose rows, stock and mirror agree to the unit, with one delivery in a
 * hundred repeated. Called by the suites.
 */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { RowDataPacket } from 'mysql2';
import mysql, { type Pool } from 'mysql2/promise';
import { type Stack, startStack } from '#local/stack.ts';
import { writeMirror } from '#mirror/mirror.ts';
import { newId, toBytes } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { openRedis, redisReady } from '#platform/redis/redis.ts';
import type { SaleRow } from '#sale/sale.store.ts';
import { saleTag } from '#sale/sale-id.ts';
import type { Contender, DatabaseUrls } from './contender.ts';
import { cpuMsOf } from './processor-time.ts';
import { plainStatusKey, plainStockKey } from './rivals/rows.ts';
import type { Run } from './runner.ts';
import { allotmentOf, capPerCustomer, type Plan } from './workload.ts';

const hourMs = 3_600_000;
const emptied = ['reservations', 'ledger', 'outbox', 'waitlist', 'sales', 'bench_units'];
/** RDS gives the log half a gibibyte for each processor, of which there are two here, and the pool three quarters of the memory. */
const redoLogBytes = 1_024 ** 3;
const bufferPoolBytes = 4 * 1_024 ** 3;
/** Rows in one statement while a run is prepared. */
const seedRows = 1_000;

/** Thrown when the state after a run is not exact: the benchmark then fails, however fast it was. */
export class NotExact extends Error {
  override name = 'NotExact';
}

export interface BenchEnvironment extends DatabaseUrls {
  readonly stack: Stack;
  /** Environment variables of a worker process. */
  readonly env: Record<string, string>;
  /** Where each process writes its CPU profile, if wanted. */
  readonly profileFolder: string | undefined;
  /** Empties everything and creates the plan's sales, with enough stock for all requests. */
  prepare(plan: Plan, contender: Pick<Contender, 'mirror' | 'stock'>): Promise<void>;
  /** Compares what was acknowledged with what is stored. Throws `NotExact`. */
  verify(plan: Plan, contender: Pick<Contender, 'name' | 'mirror' | 'stock'>, result: Counts): Promise<void>;
  /** Processor time of the database servers since their start, milliseconds. */
  serverCpuMs(): { mysql: number; redis: number };
  readonly pool: Pool;
  readonly redis: Redis;
  stop(): Promise<void>;
}

export type Counts = Pick<Run, 'reservations' | 'units'>;

/** Starts the databases, the queue server and the stub of the bus. */
export async function startEnvironment(options: {
  dir: string;
  profileFolder?: string | undefined;
}): Promise<BenchEnvironment> {
  const stack = await startStack({
    dir: options.dir,
    whenBusy: 'next',
    fresh: true,
    aws: 'embedded',
    events: false,
    queuesOnDisk: false,
    http: false,
    workers: 0,
    providers: 0,
  });
  const { mysql: mysqlUrl, redis: redisUrl } = stack.addresses;
  const pool = mysql.createPool({ uri: mysqlUrl, connectionLimit: 2, supportBigNumbers: true });
  // A given server keeps its settings.
  if (!process.env.MYSQL_URL) await sizeAsDeployed(pool);
  await pool.query(
    `CREATE TABLE IF NOT EXISTS bench_units (sale_id BINARY(16) NOT NULL, taken TINYINT NOT NULL, unit INT NOT NULL,
       reservation_id BINARY(16), PRIMARY KEY (sale_id, taken, unit))`,
  );
  const redis = new Redis(redisUrl);
  // As in infra/data.yml: Redis holds no data of its own, so it keeps no log. A given server keeps its settings.
  if (!process.env.REDIS_URL) await redis.config('SET', 'appendonly', 'no');
  const mirrorClient = openRedis(redisUrl);
  await redisReady(mirrorClient);
  const bus = await startBusStub();

  const registryFile = join(stack.dir, 'bench-registry.json');
  writeFileSync(registryFile, JSON.stringify(stack.registry), { mode: 0o600 });
  const env = {
    HOLDFAST_LOG_LEVEL: 'error',
    ...stack.env,
    HOLDFAST_REGISTRY: registryFile,
    AWS_ENDPOINT_URL_EVENTBRIDGE: bus.url,
  };

  return {
    mysqlUrl,
    redisUrl,
    stack,
    env,
    profileFolder: options.profileFolder,
    pool,
    redis,
    async prepare(plan, contender) {
      for (const table of emptied) await pool.query(`TRUNCATE TABLE ${table}`);
      await redis.flushdb();
      const records = recordsOf(plan);
      await insertSales(pool, records);
      if (contender.stock === 'unit-rows') await insertUnits(pool, plan);
      if (contender.mirror === 'plain') await seedPlainMirror(redis, records);
      if (contender.mirror === 'holdfast') {
        for (let start = 0; start < records.length; start += seedRows / 5) {
          const part = records.slice(start, start + seedRows / 5);
          await writeMirror({ redis: mirrorClient }, part, [], part);
        }
      }
    },
    verify: (plan, contender, result) => verify(pool, redis, plan, contender, result),
    serverCpuMs: () => ({
      mysql: cpuMsOf(stack.processes.get('mysql')?.pid),
      redis: cpuMsOf(stack.processes.get('redis')?.pid),
    }),
    async stop() {
      redis.disconnect();
      mirrorClient.disconnect();
      await pool.end();
      bus.close();
      await stack.stop();
    },
  };
}

/**
 * Gives MySQL a redo log as RDS has it, and a buffer pool that holds what a run writes, as that of the declared class would. A
 * log that is soon full makes commits wait until pages are written.
 * Source: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.MySQL.CommonDBATasks.Config.Size.8.4.html
 */
async function sizeAsDeployed(pool: Pool): Promise<void> {
  await pool.query('SET GLOBAL innodb_log_file_size = ?', [redoLogBytes]);
  await pool.query('SET GLOBAL innodb_buffer_pool_size = ?', [bufferPoolBytes]);
}

/** Answers PutEvents as EventBridge does when it takes every entry. Does no more, since it shares the processors. */
async function startBusStub(): Promise<{ url: string; close(): void }> {
  const server = createServer((request, response) => {
    const parts: string[] = [];
    request.setEncoding('latin1');
    request.on('data', (part: string) => parts.push(part));
    request.on('end', () => {
      const entries = parts.join('').split('"DetailType":').length - 1;
      const body = JSON.stringify({ FailedEntryCount: 0, Entries: new Array(entries).fill({ EventId: 'bench' }) });
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' });
      response.end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

function recordsOf(plan: Plan): SaleRow[] {
  const nowMs = Math.floor(plan.firstTicket / 1000);
  const allotment = allotmentOf(plan);
  return plan.saleIds.map((saleId, index) => ({
    saleId,
    productId: newId(nowMs),
    name: `Sale ${index + 1}`,
    status: 'active',
    phase: 'reserving',
    remindedAtMs: null,
    payWithinMs: null,
    offerCutoffMs: 0,
    pausedAtMs: null,
    pauseBeganMs: null,
    clockOffsetMs: 0,
    endsWait: false,
    publicFromMs: 0,
    publishTold: true,
    accessCode: null,
    termsVersion: 0,
    priceMinor: 4_900,
    currency: 'EUR',
    capPerCustomer,
    capPer: 'customer',
    requiresContact: false,
    paymentProvider: null,
    waitlistSize: 1_000,
    offerLifeMs: hourMs,
    reserveOpensAtMs: nowMs - hourMs,
    reserveClosesAtMs: nowMs + 24 * hourMs,
    purchaseOpensAtMs: nowMs + 24 * hourMs,
    purchaseClosesAtMs: nowMs + 48 * hourMs,
    epoch: 1,
    version: 1,
    allotment,
    available: allotment,
    allocated: 0,
    sold: 0,
    waitlisted: 0,
  }));
}

async function insertSales(pool: Pool, records: SaleRow[]): Promise<void> {
  for (let start = 0; start < records.length; start += seedRows) {
    await pool.query(
      `INSERT INTO sales (id, product_id, name, mode, status, phase, price_minor, currency, cap_per_customer,
         waitlist_size, offer_life_ms, reserve_opens_at_ms, reserve_closes_at_ms, purchase_opens_at_ms,
         purchase_closes_at_ms, allotment, available, allocated, sold, waitlisted, epoch, version, fence, created_at_ms)
       VALUES ?`,
      [
        records
          .slice(start, start + seedRows)
          .map((record) => [
            toBytes(record.saleId),
            toBytes(record.productId),
            record.name,
            'fifo',
            record.status,
            'reserving',
            record.priceMinor,
            record.currency,
            record.capPerCustomer,
            record.waitlistSize,
            record.offerLifeMs,
            record.reserveOpensAtMs,
            record.reserveClosesAtMs,
            record.purchaseOpensAtMs,
            record.purchaseClosesAtMs,
            record.allotment,
            record.available,
            0,
            0,
            0,
            record.epoch,
            record.version,
            0,
            record.reserveOpensAtMs,
          ]),
      ],
    );
  }
}

async function seedPlainMirror(redis: Redis, records: SaleRow[]): Promise<void> {
  const pipeline = redis.pipeline();
  for (const { saleId, available } of records) pipeline.hset(plainStockKey(saleId), 'available', available);
  await pipeline.exec();
}

/** One row for each unit, in proportion to what the sales will be asked for. */
async function insertUnits(pool: Pool, plan: Plan): Promise<void> {
  const perSale = unitRowsPerSale(plan);
  const rows: unknown[][] = [];
  plan.saleIds.forEach((saleId, rank) => {
    for (let unit = 0; unit < (perSale[rank] ?? 0); unit++) rows.push([toBytes(saleId), 0, unit, null]);
  });
  for (let start = 0; start < rows.length; start += 5 * seedRows) {
    await pool.query('INSERT INTO bench_units (sale_id, taken, unit, reservation_id) VALUES ?', [
      rows.slice(start, start + 5 * seedRows),
    ]);
  }
}

function unitRowsPerSale(plan: Plan): number[] {
  const weights = plan.saleIds.map((_, rank) => (plan.scenario === 'zipf' ? 1 / (rank + 1) : 1));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  // By chance some sales get more than their share, small ones above all.
  return weights.map((weight) => Math.ceil((weight / sum) * plan.count * 2.2) + 40);
}

async function verify(
  pool: Pool,
  redis: Redis,
  plan: Plan,
  contender: Pick<Contender, 'name' | 'mirror' | 'stock'>,
  result: Counts,
): Promise<void> {
  if (contender.stock === 'nothing-stored') return;
  const sums = async (sql: string): Promise<Record<string, number>> => {
    const [rows] = await pool.query<RowDataPacket[]>(sql);
    return Object.fromEntries(Object.entries(rows[0] ?? {}).map(([name, value]) => [name, Number(value)]));
  };
  const stored = await sums(
    `SELECT COUNT(*) AS reservations, COALESCE(SUM(units), 0) AS units FROM reservations WHERE state = 'allocated'`,
  );
  const ledger = await sums(
    `SELECT COUNT(*) AS movements, COALESCE(SUM(units), 0) AS units FROM ledger WHERE kind = 'ALLOCATE'`,
  );
  const expect = (what: string, found: number | undefined, wanted: number): void => {
    if (found !== wanted) throw new NotExact(`${contender.name}: ${what} is ${found}, not ${wanted}`);
  };
  // Every acknowledged reservation is stored once, and no other.
  expect('reservations stored', stored.reservations, result.reservations);
  expect('units stored', stored.units, result.units);
  expect('movements in the ledger', ledger.movements, stored.reservations ?? 0);
  expect('units in the ledger', ledger.units, stored.units ?? 0);
  const offered = allotmentOf(plan) * plan.saleIds.length;
  if (contender.stock === 'counters') {
    const stock = await sums(
      'SELECT SUM(available) AS available, SUM(allocated) AS allocated, MIN(available) AS least FROM sales',
    );
    expect('units taken from stock', offered - (stock.available ?? 0), result.units);
    expect('units allocated', stock.allocated, result.units);
    if ((stock.least ?? 0) < 0) throw new NotExact(`${contender.name}: a sale was oversold`);
  }
  if (contender.stock === 'unit-rows') {
    const taken = await sums('SELECT COUNT(*) AS units FROM bench_units WHERE taken = 1');
    expect('unit rows taken', taken.units, result.units);
  }
  if (contender.mirror === 'none') return;
  const pipeline = redis.pipeline();
  for (const saleId of plan.saleIds) {
    if (contender.mirror === 'plain') pipeline.hget(plainStockKey(saleId), 'available');
    else pipeline.hget(keys.sale(saleTag(saleId)), 'available');
  }
  const mirrored = ((await pipeline.exec()) ?? []).reduce((sum, [, value]) => sum + Number(value), 0);
  expect('units missing from the mirror', offered - mirrored, result.units);
  if (contender.mirror === 'plain') {
    const states = redis.pipeline();
    for (const saleId of plan.saleIds) states.hlen(plainStatusKey(saleId));
    const known = ((await states.exec()) ?? []).reduce((sum, [, value]) => sum + Number(value), 0);
    expect('states in the mirror', known, result.reservations);
  }
}
