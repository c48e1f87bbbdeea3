/**
 * What those who wait are told when the line moves up by an operator's act (added stock, a resumed or changed sale): once for
 * the change, with the position that they read themselves; on real MySQL, Redis and SQS. Who did not move is told nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { jest } from '@jest/globals';
import { givenLongSale } from '#bench/long-sale.ts';
import { BusEvent } from '#events/catalog.ts';
import { adjustStock } from '#launch/adjust-stock.ts';
import { pauseSale, resumeSale, updateSale } from '#launch/change-sale.ts';
import { readJobs, runJob } from '#launch/jobs.ts';
import { type Notice, noticesOf } from '#notification/notice.ts';
import { sentenceFor } from '#notification/sentence.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { type CustomerId, fromBytes, type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { readerOf } from '#platform/kernel/reader.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { cancelDecided } from '#reservation/cancel.ts';
import { getReservation } from '#reservation/read.ts';
import { newId } from '#test/support/ids.ts';
import { failingAt, withDeps, withoutQueue } from '../support/deps.ts';
import { carryMessages, KeptEvents, receive } from '../support/long-jobs.ts';
import { delivered, givenSale, openBed, type SaleTerms, soon } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

jest.setTimeout(60_000);

const hourMs = 3_600_000;

let bed: TestBed;
let opened: Deps;
let deps: Deps;
let kept: KeptEvents;
/** The notices of places that follow from what was published. */
let told: Notice[];

beforeAll(async () => {
  bed = await testBed();
  opened = await openBed(bed);
});

beforeEach(async () => {
  kept = new KeptEvents();
  told = [];
  const bus: Deps['bus'] = {
    publish: async (events) => {
      for (const { detailType, detail } of events) {
        kept.add(detailType, detail);
        const event = BusEvent.parse({ 'detail-type': detailType, detail: JSON.parse(detail) });
        told.push(...noticesOf(event).filter(({ kind }) => kind === 'reminder.moved-up'));
      }
      return events.map(() => true);
    },
  };
  deps = withDeps(opened, { bus });
  while ((await receive(deps)).length > 0);
});

afterAll(async () => {
  await opened?.close();
  await bed?.close();
});

interface Person {
  readonly saleId: SaleId;
  readonly customerId: CustomerId;
  readonly reservationId: ReservationId;
}

function open(terms: Partial<SaleTerms> = {}): Promise<SaleId> {
  return givenSale(deps, { allotment: 1, capPerCustomer: 100, waitlistSize: 100, ...terms });
}

let ticket = Date.now() * 1000;

/** A customer who asks after all before. */
async function asks(saleId: SaleId, quantity = 1): Promise<Person> {
  ticket = Math.max(ticket + 1, Date.now() * 1000);
  const request = delivered(saleId, { quantity, atLeast: quantity, ticket, key: newId() });
  await allocateBatch(deps, [request], soon());
  return { saleId, customerId: request.message.customerId, reservationId: request.message.reservationId };
}

async function positionOf({ customerId, reservationId }: Person): Promise<number | null> {
  const view = await getReservation(deps, customerId, reservationId);
  if (isRefusal(view)) throw new Error(view.detail);
  return view.position;
}

/** The places that somebody was told, in order. */
const placesTold = ({ reservationId }: Person) =>
  told.filter(({ subjectId }) => subjectId === reservationId).map(({ facts }) => facts.position);

describe('added stock', () => {
  test('tells those who move up their new place once, and nobody else', async () => {
    const saleId = await open();
    const [holder, first, second, third] = [
      await asks(saleId),
      await asks(saleId),
      await asks(saleId),
      await asks(saleId),
    ];
    expect(await positionOf(third)).toBe(3);
    await adjustStock(deps, saleId, 1);
    for (const waiting of [second, third]) expect(placesTold(waiting)).toEqual([await positionOf(waiting)]);
    expect([placesTold(holder), placesTold(first)]).toEqual([[], []]);
    expect(await positionOf(third)).toBe(2);
    await adjustStock(deps, saleId, 1);
    expect(placesTold(third)).toEqual([2, 1]);
    expect(new Set(told.map(({ id }) => id)).size).toBe(told.length);
    expect(await readJobs(deps.db, saleId)).toEqual([]);
  });

  test('is told in words, in the language of the reader', async () => {
    const saleId = await open();
    for (let count = 0; count < 4; count++) await asks(saleId);
    await adjustStock(deps, saleId, 1);
    const textsIn = (locale: string) =>
      told.map(({ kind, facts }) => sentenceFor(kind, facts, readerOf({ locale, timeZone: 'Asia/Seoul' })));
    expect(textsIn('en').sort()).toEqual([
      'You have moved up on the waitlist: you are next.',
      'You have moved up on the waitlist: you are number 2 now.',
    ]);
    expect(textsIn('ko-KR').sort()).toEqual([
      '대기 순서가 앞당겨졌습니다. 이제 1번째입니다.',
      '대기 순서가 앞당겨졌습니다. 이제 2번째입니다.',
    ]);
  });

  test('tells nobody if it moves nobody', async () => {
    const saleId = await open({ allotment: 5 });
    await asks(saleId, 5);
    const [large, small] = [await asks(saleId, 5), await asks(saleId, 1)];
    // Too few for the only one who waits before; and then for nobody.
    await adjustStock(deps, saleId, 1);
    expect(await positionOf(small)).toBeNull();
    await adjustStock(deps, saleId, 2);
    await adjustStock(deps, saleId, -2);
    expect(await positionOf(large)).toBe(1);
    const empty = await open();
    await adjustStock(deps, empty, 5);
    expect(told).toEqual([]);
  });

  test('tells only those behind the ones who get an offer', async () => {
    const saleId = await open({ allotment: 5 });
    await asks(saleId, 5);
    const [large, small, last] = [await asks(saleId, 5), await asks(saleId), await asks(saleId)];
    await adjustStock(deps, saleId, 1);
    expect([placesTold(large), placesTold(small), placesTold(last)]).toEqual([[], [], [2]]);
  });

  test('is not told of what customers do themselves', async () => {
    const saleId = await open();
    const holder = await asks(saleId);
    for (let count = 0; count < 2; count++) await asks(saleId);
    await cancelDecided(deps, holder.customerId, saleId, holder.reservationId);
    expect(told).toEqual([]);
  });

  test('tells nothing if its transaction fails', async () => {
    const saleId = await open();
    for (let count = 0; count < 3; count++) await asks(saleId);
    const failing = withDeps(deps, { db: failingAt(deps.db, /INSERT INTO outbox/, 'killed') });
    await expect(adjustStock(failing, saleId, 1)).rejects.toThrow('killed');
    expect(told).toEqual([]);
    await adjustStock(deps, saleId, 1);
    expect(told.length).toBe(1);
  });
});

describe('other acts of an operator', () => {
  test('stock that is added in a pause is told when the sale is resumed', async () => {
    const saleId = await open();
    const [, , second, third] = [await asks(saleId), await asks(saleId), await asks(saleId), await asks(saleId)];
    await pauseSale(deps, saleId);
    await adjustStock(deps, saleId, 1);
    expect(told).toEqual([]);
    await resumeSale(deps, saleId);
    expect([placesTold(second), placesTold(third)]).toEqual([[1], [2]]);
    expect(await positionOf(third)).toBe(2);
  });

  test('a changed sale that lets units be offered, such as by a shorter cut-off or with a raised waitlist, is told', async () => {
    const nowMs = Date.now();
    const saleId = await open({ purchaseClosesAtMs: nowMs + hourMs, offerCutoffMs: 1.5 * hourMs });
    const [, , second] = [await asks(saleId), await asks(saleId), await asks(saleId)];
    await adjustStock(deps, saleId, 1);
    expect(told).toEqual([]);
    await updateSale(deps, saleId, { waitlistSize: 200, offerCutoffSeconds: 60 });
    expect(placesTold(second)).toEqual([1]);
    // The same again moves nobody.
    await updateSale(deps, saleId, { waitlistSize: 300 });
    expect(told.length).toBe(1);
  });
});

describe('a line of more than one step', () => {
  const waiting = 3_100;
  const over = () => deps.clock() - 1;

  async function longLine(): Promise<SaleId> {
    const nowMs = deps.clock();
    return givenLongSale(
      opened.db,
      { holding: 1, waiting },
      { purchaseOpensAtMs: nowMs - hourMs, purchaseClosesAtMs: nowMs + hourMs, phase: 'purchasing' },
      nowMs,
    );
  }

  /** Those who wait, with their places. */
  async function line(saleId: SaleId): Promise<Map<string, number>> {
    const rows = await opened.db.rows<{ id: Buffer }>(
      `SELECT reservation_id AS id FROM waitlist WHERE sale_id = ? AND deadline_ms IS NULL ORDER BY ticket`,
      [toBytes(saleId)],
    );
    return new Map(rows.map(({ id }, index) => [fromBytes(id), index + 1]));
  }

  /** Each reservation's last told place; throws if one was told twice of the same change. */
  function lastTold(): Map<string, unknown> {
    expect(new Set(told.map(({ subjectId, round }) => `${subjectId} ${round}`)).size).toBe(told.length);
    return new Map(told.map(({ subjectId, facts }) => [subjectId, facts.position]));
  }

  /** Carries messages, delayed ones too, until no job is under way. */
  async function carryAll(saleId: SaleId): Promise<void> {
    for (let tries = 0; tries < 20; tries++) {
      await carryMessages(deps, kept, over);
      if ((await readJobs(deps.db, saleId)).every(({ finishedAt }) => finishedAt !== null)) return;
      await sleep(300);
    }
    throw new Error('a job does not end');
  }

  test('is told in steps: the first in the transaction, the others by messages, each once', async () => {
    const saleId = await longLine();
    await adjustStock(deps, saleId, 3);
    expect(told.length).toBe(500);
    expect(await readJobs(deps.db, saleId)).toMatchObject([{ kind: 'moved-up', handled: 500, finishedAt: null }]);
    await carryAll(saleId);
    expect(lastTold()).toEqual(await line(saleId));
    expect(told.length).toBe(waiting - 3);
    expect(await readJobs(deps.db, saleId)).toMatchObject([{ handled: waiting - 3, superseded: false }]);
  });

  test('goes on if a step fails or its message is lost, and nobody is told twice', async () => {
    const saleId = await longLine();
    const mute = withDeps(deps, { queue: withoutQueue(deps, 'advance', 'lost') });
    await adjustStock(mute, saleId, 1);
    const [row] = await opened.db.rows<{ round: number; afterId: Buffer }>(
      'SELECT round, after_id AS afterId FROM sale_jobs WHERE sale_id = ?',
      [toBytes(saleId)],
    );
    if (!row) throw new Error('there is no job');
    const command = { saleId, job: { kind: 'moved-up', round: row.round, afterId: fromBytes(row.afterId) } } as const;
    for (const statement of [/INSERT INTO outbox/, /UPDATE sale_jobs/]) {
      const failing = withDeps(deps, { db: failingAt(deps.db, statement, 'killed') });
      await expect(runJob(failing, command, over())).rejects.toThrow('killed');
    }
    expect(told.length).toBe(500);
    await Promise.all([runJob(deps, command, soon()), runJob(deps, command, soon())]);
    expect(lastTold()).toEqual(await line(saleId));
  });

  test('is counted once for the steps of a slice, and anew whenever somebody has left', async () => {
    const saleId = await longLine();
    await adjustStock(deps, saleId, 1);
    const places = await line(saleId);
    const leaver = [...places.keys()][100];
    const [owner] = await opened.db.rows<{ id: Buffer }>('SELECT customer_id AS id FROM reservations WHERE id = ?', [
      toBytes(leaver as ReservationId),
    ]);
    const counts: number[] = [];
    let steps = 0;
    const transaction: Deps['db']['transaction'] = async (work) => {
      // One of those in front leaves after the second step.
      if (++steps === 3) await cancelDecided(deps, fromBytes(owner?.id as Buffer), saleId, leaver as ReservationId);
      return opened.db.transaction((tx) => {
        const rows: typeof tx.rows = (sql, values) => {
          if (sql.includes('COUNT(*)')) counts.push(steps);
          return tx.rows(sql, values);
        };
        return work({ ...tx, rows });
      });
    };
    const [row] = await opened.db.rows<{ round: number; afterId: Buffer }>(
      'SELECT round, after_id AS afterId FROM sale_jobs WHERE sale_id = ?',
      [toBytes(saleId)],
    );
    const job = { kind: 'moved-up', round: row?.round as number, afterId: fromBytes(row?.afterId as Buffer) } as const;
    await runJob(withDeps(deps, { db: { ...opened.db, transaction } }), { saleId, job }, soon());
    expect(steps).toBeGreaterThan(4);
    expect(counts).toEqual([1, 3]);
    const [before, after] = [places, await line(saleId)];
    const shown = lastTold();
    const right = [...before].filter(([id]) => id !== leaver);
    right.forEach(([id, place], index) => {
      // The first page was told by the change itself, two more before the leaver left.
      expect(shown.get(id)).toBe(index < 1_499 ? place : after.get(id));
    });
  });

  test('hears of a second change instead of the first where it had not been told yet', async () => {
    const saleId = await longLine();
    await adjustStock(deps, saleId, 1);
    await adjustStock(deps, saleId, 1);
    await carryAll(saleId);
    const places = await line(saleId);
    expect(new Map([...lastTold()].filter(([id]) => places.has(id)))).toEqual(places);
    const times = Map.groupBy(told, ({ subjectId }) => subjectId);
    // The first page heard of both changes, except for the one who got an offer by the second; the others of the second only.
    expect([...times.values()].filter((notices) => notices.length === 2).length).toBe(499);
    const kinds = (await readJobs(deps.db, saleId)).map(({ superseded }) => superseded).sort();
    expect(kinds).toEqual([false, true]);
  });

  test('hears its place when the last of many offers has been made, and not in between', async () => {
    const saleId = await longLine();
    await adjustStock(deps, saleId, 600);
    expect(told).toEqual([]);
    await carryAll(saleId);
    expect(lastTold()).toEqual(await line(saleId));
    expect(told.length).toBe(waiting - 600);
  });

  test('is left to the job where many wait in front who need more, so that the sale is not held while they are counted', async () => {
    const inFront = 1_500;
    const saleId = await longLine();
    const [last] = [...(await line(saleId)).keys()].slice(inFront - 1) as ReservationId[];
    const [place] = await opened.db.rows<{ ticket: number }>('SELECT ticket FROM reservations WHERE id = ?', [
      toBytes(last as ReservationId),
    ]);
    const isInFront = [toBytes(saleId), place?.ticket];
    await opened.db.change(
      "UPDATE reservations SET quantity = 2, at_least = 2 WHERE sale_id = ? AND ticket <= ? AND state = 'waitlisted'",
      isInFront,
    );
    await opened.db.change('UPDATE waitlist SET at_least = 2 WHERE sale_id = ? AND ticket <= ?', isInFront);
    const asked: string[] = [];
    const transaction: Deps['db']['transaction'] = (work) =>
      opened.db.transaction((tx) => {
        const rows: typeof tx.rows = (sql, values) => {
          asked.push(sql);
          return tx.rows(sql, values);
        };
        return work({ ...tx, rows });
      });
    await adjustStock(withDeps(deps, { db: { ...opened.db, transaction } }), saleId, 1);
    expect(asked.filter((sql) => sql.includes('COUNT(*)'))).toEqual([]);
    expect(told).toEqual([]);
    await carryAll(saleId);
    expect(lastTold()).toEqual(new Map([...(await line(saleId))].filter(([, position]) => position > inFront)));
    expect(told.length).toBe(waiting - inFront - 1);
  });
});
