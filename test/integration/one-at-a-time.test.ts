/**
 * Long work on a sale, one process at a time, on real MySQL, Redis and SQS: of many triggers one works and one looks again,
 * what is left goes on by one message, and a process that dies, fails or comes back late keeps nobody from it.
 */
import { givenLongSale } from '#bench/long-sale.ts';
import { adjustStock } from '#launch/adjust-stock.ts';
import { cancelSale } from '#launch/change-sale.ts';
import { type LongWork, oneAtATime } from '#launch/one-at-a-time.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { openRedis } from '#platform/redis/redis.ts';
import { rowsPerTransaction } from '#reservation/release.ts';
import { newSaleId } from '#sale/sale-id.ts';
import { withDeps } from '../support/deps.ts';
import { type KeptEvents, keepingEvents, receive, trigger } from '../support/long-jobs.ts';
import { openBed } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let opened: Deps;
let deps: Deps;
let kept: KeptEvents;

beforeAll(async () => {
  bed = await testBed();
  opened = await openBed(bed);
});

beforeEach(async () => {
  ({ deps, kept } = keepingEvents(opened));
  while ((await receive(deps)).length > 0);
});

afterAll(async () => {
  await opened?.close();
  await bed?.close();
});

/** Work on one sale of which each slice is ended by the test. */
class Work {
  readonly saleId = newSaleId(10, Date.now());
  /** Slices that were begun. */
  slices = 0;
  readonly sent: { turn: string | undefined; delaySeconds: number }[] = [];
  readonly #atWork: (() => void)[] = [];
  readonly #ends: ((isLeft: boolean | Error) => void)[] = [];

  trigger(turn?: string, environment: Pick<Deps, 'redis' | 'clock'> = deps): Promise<void> {
    const work: LongWork = {
      kind: 'offers',
      saleId: this.saleId,
      turn,
      work: () => {
        this.slices++;
        this.#atWork.shift()?.();
        return new Promise((resolve, reject) => {
          this.#ends.push((outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome)));
        });
      },
      send: async (mine, delaySeconds) => void this.sent.push({ turn: mine, delaySeconds }),
    };
    return oneAtATime(environment, work);
  }

  /** A trigger that is at work when this resolves, or has ended without. */
  async begin(turn?: string, environment?: Pick<Deps, 'redis' | 'clock'>): Promise<Promise<void>[]> {
    const running = this.trigger(turn, environment);
    await Promise.race([running, new Promise<void>((resolve) => this.#atWork.push(resolve))]);
    return [running];
  }

  async end([running]: readonly Promise<void>[], outcome: boolean | Error): Promise<void> {
    this.#ends.shift()?.(outcome);
    await running;
  }
}

test('of many triggers one works, one is sent again, and then sees what the others were about', async () => {
  const work = new Work();
  const first = await work.begin();
  await Promise.all(Array.from({ length: 20 }, () => work.trigger()));
  expect(work.slices).toBe(1);
  expect(work.sent).toEqual([{ turn: undefined, delaySeconds: 2 }]);
  await work.end(first, false);
  const again = await work.begin();
  expect(work.slices).toBe(2);
  // From now on a trigger may be about something that this slice does not see.
  await work.trigger();
  expect(work.sent).toHaveLength(2);
  await work.end(again, false);
});

test('what is left goes on by one message, and nobody else works until it comes', async () => {
  const work = new Work();
  await work.end(await work.begin(), true);
  expect(work.sent).toEqual([{ turn: expect.any(String), delaySeconds: 0 }]);
  await Promise.all(Array.from({ length: 20 }, () => work.trigger()));
  await work.trigger('a turn from before');
  expect(work.slices).toBe(1);
  const [message] = work.sent;
  const next = await work.begin(message?.turn);
  expect(work.slices).toBe(2);
  // The message may be delivered twice.
  await work.trigger(message?.turn);
  expect(work.slices).toBe(2);
  await work.end(next, true);
  expect(work.sent.filter(({ delaySeconds }) => delaySeconds === 0)).toHaveLength(2);
});

test('work that fails gives its turn back', async () => {
  const work = new Work();
  await expect(work.end(await work.begin(), new Error('failed'))).rejects.toThrow('failed');
  await work.end(await work.begin(), false);
  expect(work.slices).toBe(2);
});

test('the turn of a process that died expires, and if it comes back it leaves the turn of another alone', async () => {
  const work = new Work();
  let aheadMs = 0;
  const slow = await work.begin(undefined, withDeps(deps, { clock: () => Date.now() + aheadMs }));
  const key = keys.turn('offers', work.saleId);
  const lifeMs = await deps.redis.pttl(key);
  expect(lifeMs).toBeGreaterThan(0);
  expect(lifeMs).toBeLessThanOrEqual(5_000);
  await deps.redis.del(key);
  const other = await work.begin();
  expect(work.slices).toBe(2);
  aheadMs = lifeMs;
  await work.end(slow, false);
  await work.trigger();
  expect(work.slices).toBe(2);
  await work.end(other, false);
});

test('without Redis everybody works', async () => {
  const work = new Work();
  const redis = openRedis('redis://127.0.0.1:1');
  try {
    const without = withDeps(deps, { redis });
    const both = [await work.begin(undefined, without), await work.begin(undefined, without)];
    expect(work.slices).toBe(2);
    for (const one of both) await work.end(one, false);
    expect(work.sent).toEqual([]);
  } finally {
    redis.disconnect();
  }
});

/** Sales whose work takes many steps, so that each of them is an event that triggers more. */
const waiting = 8 * rowsPerTransaction;

/** A deadline that has passed: a slice is one step. */
const over = () => deps.clock() - 1;

const statesOf = async (saleId: SaleId) =>
  Object.fromEntries(
    (
      await deps.db.rows<{ state: string; n: number }>(
        'SELECT state, COUNT(*) AS n FROM reservations WHERE sale_id = ? GROUP BY state',
        [toBytes(saleId)],
      )
    ).map(({ state, n }) => [state, Number(n)]),
  );

/** Carries triggers to two processes at a time until none is left; returns the most messages that went on with a turn at once. */
async function carried(hasTurn: (message: unknown) => boolean): Promise<number> {
  const other = withDeps(deps, {});
  let most = 0;
  for (;;) {
    const messages = [...(await receive(deps)), ...kept.released.splice(0)];
    if (messages.length === 0) return most;
    most = Math.max(most, messages.filter(hasTurn).length);
    for (let start = 0; start < messages.length; start += 2) {
      const [one, two] = messages.slice(start, start + 2);
      await Promise.all([trigger(deps, one, over()), two === undefined ? undefined : trigger(other, two, over())]);
    }
  }
}

test('a long line that is offered stock goes on by one message, however many events its offers are', async () => {
  const nowMs = deps.clock();
  const saleId = await givenLongSale(
    opened.db,
    { holding: 1, waiting },
    { purchaseOpensAtMs: nowMs - 1_000, purchaseClosesAtMs: nowMs + 3_600_000, phase: 'purchasing' },
    nowMs,
  );
  await adjustStock(deps, saleId, waiting);
  // The operator's call is repeated as often as messages are delivered twice.
  const [event] = kept.released;
  kept.released.push(...Array.from({ length: 5 }, () => event));
  expect(await carried((message) => typeof (message as { turn?: unknown }).turn === 'string')).toBe(1);
  expect(await statesOf(saleId)).toEqual({ allocated: waiting + 1 });
  expect(kept.count('allocated')).toEqual({ told: waiting, repeated: 0 });
});

test('a sweep over the buyers of a sale that was called off goes on by one message', async () => {
  const nowMs = deps.clock();
  const saleId = await givenLongSale(
    opened.db,
    { holding: 0, bought: 400 },
    { purchaseOpensAtMs: nowMs - 1_000, purchaseClosesAtMs: nowMs + 3_600_000, phase: 'purchasing' },
    nowMs,
  );
  await cancelSale(deps, saleId, { refunds: 'keep' });
  const command = { sweep: { saleId, afterId: null } };
  await Promise.all([1, 2, 3].map(() => trigger(withDeps(deps, {}), command, over())));
  type Sweep = { sweep?: { turn?: unknown } };
  expect(await carried((message) => typeof (message as Sweep).sweep?.turn === 'string')).toBe(1);
  expect(kept.count('called-off-keep')).toEqual({ told: 400, repeated: 0 });
});
