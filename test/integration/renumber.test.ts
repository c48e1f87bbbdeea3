/**
 * New places in line, on real MySQL and Redis: after a loss, or after requests that came without the gate, every place is
 * told from the mirror again, as MySQL counts it, whoever asks, leaves or comes meanwhile. Far back in the line MySQL counts
 * no more than so many.
 */
import { givenLongSale } from '#bench/long-sale.ts';
import { readMirroredStatus } from '#mirror/mirror.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { type CustomerId, fromBytes, type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { openRedis, type RedisClient } from '#platform/redis/redis.ts';
import { checkLine, type LinePlace } from '#reconcile/check-line.ts';
import { defaultSizes, type Sizes } from '#reconcile/progress.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { cancelReservation } from '#reservation/cancel.ts';
import { getDecidedReservation, getReservation, listReservations } from '#reservation/read.ts';
import { requestReservation } from '#reservation/request.ts';
import { placesCounted } from '#reservation/reservation.store.ts';
import { bucketsOf, saleTag } from '#sale/sale-id.ts';
import { withDeps } from '../support/deps.ts';
import { newId } from '../support/ids.ts';
import { reconcile } from '../support/reconcile.ts';
import { delivered, givenSale, openBed, soon } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

const hourMs = 3_600_000;
/** Pages of three, so that a short line takes many. */
const tiny: Sizes = { ...defaultSizes, rowsPerPage: 3 };

let bed: TestBed;
let deps: Deps;
let nowhere: RedisClient;

beforeAll(async () => {
  bed = await testBed();
  deps = await openBed(bed);
  nowhere = openRedis('redis://127.0.0.1:1');
});

afterAll(async () => {
  nowhere?.disconnect();
  await deps?.close();
  await bed?.close();
});

interface One {
  readonly reservationId: ReservationId;
  readonly customerId: CustomerId;
}

/** A sale of one unit, with so many who have asked for one. */
async function givenLine(count: number): Promise<{ saleId: SaleId; all: One[] }> {
  const saleId = await givenSale(deps, {
    ...{ allotment: 1, waitlistSize: 1_000, purchaseOpensAtMs: Date.now() + hourMs },
    purchaseClosesAtMs: Date.now() + 2 * hourMs,
  });
  const all: One[] = [];
  for (let n = 0; n < count; n++) all.push(await decided(saleId));
  // Redis did not know the sale, so it is taken to have lost claims until this.
  await reconcile(deps, saleId);
  return { saleId, all };
}

/** Asks for a unit, through the gate. */
async function asked(saleId: SaleId): Promise<One & { ticket: number }> {
  const customerId = newId() as CustomerId;
  const answer = await requestReservation(deps, { customerId }, saleId, 'key', { quantity: 1, fill: 'all' });
  if ('refused' in answer) throw new Error(answer.detail);
  if (answer.ticket === null) throw new Error('accepted without the gate');
  return { reservationId: answer.reservationId, customerId, ticket: answer.ticket };
}

/** Asks for a unit and has it decided. */
async function decided(saleId: SaleId): Promise<One> {
  const { customerId, reservationId, ticket } = await asked(saleId);
  await allocateBatch(deps, [delivered(saleId, { customerId, ticket })], soon());
  return { customerId, reservationId };
}

/** Has a request decided that was accepted while Redis was away. */
async function withoutGate(saleId: SaleId, agoMs = 0): Promise<One> {
  const one = delivered(saleId, { ticket: (Date.now() - agoMs) * 1_000 });
  await allocateBatch(deps, [one], soon());
  return one.message;
}

/** Redis loses what it has of a sale. */
async function lose(saleId: SaleId): Promise<void> {
  const tag = saleTag(saleId);
  await deps.redis.unlink(keys.sale(tag), keys.line(tag), ...bucketsOf(tag).map((bucket) => keys.claims(tag, bucket)));
}

const cancel = ({ customerId, reservationId }: One) => cancelReservation(deps, customerId, reservationId);

/** How many places the mirror knows of those who wait. Each of them must be the one that MySQL counts. */
async function toldByMirror(all: readonly One[]): Promise<{ told: number; waiting: number }> {
  let [told, waiting] = [0, 0];
  for (const { customerId, reservationId } of all) {
    const right = await getDecidedReservation(deps, customerId, reservationId);
    if ('refused' in right) throw new Error(right.detail);
    if (right.state !== 'waitlisted') continue;
    waiting++;
    const mirrored = await readMirroredStatus(deps, reservationId, customerId);
    if (mirrored === undefined || mirrored.placeInLine === null) continue;
    expect(mirrored.placeInLine).toBe(right.position);
    told++;
  }
  return { told, waiting };
}

test('after a loss everybody is told their place again, and so is whoever comes next', async () => {
  const { saleId, all } = await givenLine(12);
  await lose(saleId);
  await reconcile(deps, saleId, tiny);
  expect(await toldByMirror(all)).toEqual({ told: 11, waiting: 11 });
  for (const index of [3, 11, 1]) await cancel(all[index] as One);
  all.push(await decided(saleId), await decided(saleId));
  expect(await toldByMirror(all)).toEqual({ told: 10, waiting: 10 });
  // Nothing is left to do: no place moves a second time.
  const line = await deps.redis.hget(keys.sale(saleTag(saleId)), 'line');
  await reconcile(deps, saleId, tiny);
  expect(await deps.redis.hget(keys.sale(saleTag(saleId)), 'line')).toBe(line);
});

test('after requests without the gate everybody is told their place again', async () => {
  const { saleId, all } = await givenLine(5);
  all.push(await withoutGate(saleId), await withoutGate(saleId), await decided(saleId));
  expect((await toldByMirror(all)).told).toBe(0);
  await reconcile(deps, saleId, tiny);
  expect(await toldByMirror(all)).toEqual({ told: 7, waiting: 7 });
});

test('while a request is undecided nobody gets a new place, since its own is from before', async () => {
  const { saleId, all } = await givenLine(4);
  all.push(await withoutGate(saleId));
  const { ticket, ...late } = await asked(saleId);
  expect(await checkLine(deps, saleId, null, 3)).toEqual({ rows: 0, next: null });
  const { customerId } = late;
  await allocateBatch(deps, [delivered(saleId, { customerId, ticket })], soon());
  all.push(late);
  await reconcile(deps, saleId, tiny);
  expect(await toldByMirror(all)).toEqual({ told: 5, waiting: 5 });
});

test('a request that is sent again with its place from before others moved does not count before them', async () => {
  const { saleId, all } = await givenLine(3);
  const down = withDeps(deps, {
    queue: (name) => ({ ...deps.queue(name), send: () => Promise.reject(new Error('not sent')) }),
  });
  const customerId = newId() as CustomerId;
  const request = { quantity: 1, fill: 'all' } as const;
  await expect(requestReservation(down, { customerId }, saleId, 'key', request)).rejects.toThrow();
  all.push(await withoutGate(saleId), await decided(saleId));
  await reconcile(deps, saleId, tiny);
  expect(await toldByMirror(all)).toEqual({ told: 4, waiting: 4 });
  const again = await requestReservation(deps, { customerId }, saleId, 'key', request);
  if ('refused' in again || again.ticket === null) throw new Error('not accepted');
  await allocateBatch(deps, [delivered(saleId, { customerId, ticket: again.ticket })], soon());
  all.push({ customerId, reservationId: again.reservationId });
  await toldByMirror(all);
  await reconcile(deps, saleId, tiny);
  expect(await toldByMirror(all)).toEqual({ told: 5, waiting: 5 });
});

test('a run that another has overtaken takes no place back', async () => {
  const { saleId, all } = await givenLine(9);
  // The first in line is the one without a place, and so the last to get one.
  all.push(await withoutGate(saleId, hourMs / 2));
  let slow = (await checkLine(deps, saleId, null, 2)).next;
  for (let fast: LinePlace | null = null; ; ) {
    fast = (await checkLine(deps, saleId, fast, 2)).next;
    if (fast === null) break;
  }
  expect(await toldByMirror(all)).toEqual({ told: 9, waiting: 9 });
  while (slow !== null) {
    slow = (await checkLine(deps, saleId, slow, 2)).next;
    expect(await toldByMirror(all)).toEqual({ told: 9, waiting: 9 });
  }
});

/** Random numbers by a seed, so that a failure can be repeated. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test.each([1, 2, 3, 4])('at no moment of two runs at once is a wrong place told (seed %i)', async (seed) => {
  const draw = numbers(seed);
  const { saleId, all } = await givenLine(14);
  if (seed % 2 === 0) await lose(saleId);
  all.push(await withoutGate(saleId), await decided(saleId), await withoutGate(saleId, hourMs / 2));
  // What was lost is written again first, as reconcile does.
  await reconcile(deps, saleId, tiny);
  all.push(await withoutGate(saleId, hourMs / 3));
  const runs: { place: LinePlace | null; isOver: boolean }[] = [0, 1].map(() => ({ place: null, isOver: false }));
  for (let step = 0; step < 60; step++) {
    const act = draw(6);
    const run = runs[act] ?? runs[draw(2)];
    if (act < 4 && run && !run.isOver) {
      const { next } = await checkLine(deps, saleId, run.place, 1 + draw(3));
      run.isOver = next === null && run.place !== null;
      // Dying before it is recorded repeats a step.
      if (draw(4) > 0) run.place = next;
    } else if (act === 4) {
      await cancel(all[draw(all.length)] as One);
    } else {
      all.push(await decided(saleId));
    }
    await toldByMirror(all);
  }
  await reconcile(deps, saleId, tiny);
  const { told, waiting } = await toldByMirror(all);
  expect(told).toBe(waiting);
  expect(waiting).toBeGreaterThan(5);
});

test('far back in a line that the mirror does not know, MySQL counts no more than so many', async () => {
  const nowMs = Date.now();
  const waiting = placesCounted + 2;
  const times = { purchaseOpensAtMs: nowMs + hourMs, purchaseClosesAtMs: nowMs + 2 * hourMs };
  const saleId = await givenLongSale(deps.db, { holding: 0, waiting }, { ...times, phase: 'reserved' }, nowMs);
  const rows = await deps.db.rows<{ id: Buffer; customerId: Buffer }>(
    'SELECT id, customer_id AS customerId FROM reservations WHERE sale_id = ? ORDER BY ticket',
    [toBytes(saleId)],
  );
  const line = rows.map(({ id, customerId }): One => {
    return { reservationId: fromBytes(id), customerId: fromBytes(customerId) };
  });
  const placesOf = async (environment: Deps) =>
    Promise.all(
      [0, 1, placesCounted - 1, placesCounted, placesCounted + 1].map(async (index) => {
        const { customerId, reservationId } = line[index] as One;
        const [one, list] = [
          await getReservation(environment, customerId, reservationId),
          await listReservations(environment, customerId, { limit: 5 }),
        ];
        if ('refused' in one || 'refused' in list) throw new Error('refused');
        expect(list.items).toEqual([one]);
        return one.position;
      }),
    );
  const counted = [1, 2, placesCounted, null, null];
  expect(await placesOf(withDeps(deps, { redis: nowhere }))).toEqual(counted);
  await reconcile(deps, saleId);
  expect(await placesOf(deps)).toEqual([1, 2, placesCounted, placesCounted + 1, placesCounted + 2]);
  // An environment that has lost its connection counts first, and asks the mirror for what lies beyond.
  const doubting = withDeps(deps, { clock: () => deps.redis.lostAtMs + 1 });
  expect(await placesOf(doubting)).toEqual([1, 2, placesCounted, placesCounted + 1, placesCounted + 2]);
});
