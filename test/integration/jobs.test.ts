/**
 * The jobs that go over all reservations of a sale in steps (invariant I12, and the end of a sale), on real MySQL, Redis and
 * SQS: stopped after each step, failing in each step, without their messages, and two at once. The test sets the clock.
 */
import { type Crowd, givenLongSale, type LongSaleTerms } from '#bench/long-sale.ts';
import { type Announcement, supersedes } from '#launch/announce.ts';
import { cancelSale, pauseSale, resumeSale } from '#launch/change-sale.ts';
import { JobCommand, readJobs, runJob } from '#launch/jobs.ts';
import { rescheduleSale } from '#launch/reschedule.ts';
import { advanceAll } from '#launch/round.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { type CustomerId, fromBytes, type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { cancelDecided } from '#reservation/cancel.ts';
import { failingAt, withDeps, withoutQueue } from '../support/deps.ts';
import { carryMessages, type KeptEvents, keepingEvents, receive, trigger } from '../support/long-jobs.ts';
import { openBed } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

const hourMs = 3_600_000;
const minuteMs = 60_000;
/** More than two pages of an announcement, and five of an end. */
const holding = 1_200;
const tick = { 'detail-type': 'Scheduled Event' };

let bed: TestBed;
let opened: Deps;
let deps: Deps;
let kept: KeptEvents;
let aheadMs = 0;

beforeAll(async () => {
  bed = await testBed();
  opened = await openBed(bed);
});

beforeEach(async () => {
  aheadMs = 0;
  ({ deps, kept } = keepingEvents(opened, { clock: () => Date.now() + aheadMs }));
  while ((await receive(deps)).length > 0);
});

afterAll(async () => {
  await opened?.close();
  await bed?.close();
});

/** A sale that is about to open, or to close. */
function given(crowd: Crowd, at: 'opening' | 'closing' | 'open', payWithinMs?: number): Promise<SaleId> {
  const nowMs = deps.clock();
  const terms: LongSaleTerms = {
    purchaseOpensAtMs: at === 'opening' ? nowMs - 1 : nowMs - hourMs,
    purchaseClosesAtMs: at === 'closing' ? nowMs - 1 : nowMs + hourMs,
    phase: at === 'opening' ? 'reserved' : 'purchasing',
    ...(payWithinMs ? { deadlineMs: nowMs + payWithinMs } : {}),
  };
  return givenLongSale(opened.db, crowd, terms, nowMs);
}

/** A deadline that has passed: every message makes one step. */
const over = () => deps.clock() - 1;

async function jobsOf(saleId: SaleId) {
  return (await readJobs(opened.db, saleId)).map(({ kind, handled, finishedAt, superseded }) => {
    return { kind, handled, isFinished: finishedAt !== null, superseded };
  });
}

/** The message of the job that is under way. */
async function messageOf(saleId: SaleId): Promise<JobCommand> {
  const [row] = await opened.db.rows<{ kind: string; round: number; afterId: Buffer | null }>(
    'SELECT kind, round, after_id AS afterId FROM sale_jobs WHERE sale_id = ? AND finished_at_ms IS NULL',
    [toBytes(saleId)],
  );
  const afterId = row?.afterId ? fromBytes(row.afterId) : null;
  return JobCommand.parse({ saleId, job: { kind: row?.kind, round: row?.round, afterId } });
}

/** Those of a sale in this state, in the order in which jobs go over them. */
async function peopleOf(saleId: SaleId, state: string) {
  const rows = await opened.db.rows<{ id: Buffer; customerId: Buffer }>(
    'SELECT id, customer_id AS customerId FROM reservations WHERE sale_id = ? AND state = ? ORDER BY id',
    [toBytes(saleId), state],
  );
  return rows.map((row) => ({
    reservationId: fromBytes(row.id) as ReservationId,
    customerId: fromBytes(row.customerId) as CustomerId,
  }));
}

const cases = [
  {
    name: 'an opening',
    at: 'opening',
    told: 'purchase-opened',
    kind: 'purchase-opened',
    crowd: { holding, rejected: 100 },
  },
  { name: 'a close', at: 'closing', told: 'expired', kind: 'ending', crowd: { holding: holding - 200, waiting: 200 } },
] as const;

describe.each(cases)('$name', ({ at, told, kind, crowd }) => {
  test('that is stopped after each step goes on by its messages, and reaches everybody once', async () => {
    const saleId = await given(crowd, at);
    await trigger(deps, { saleId }, over());
    expect(await jobsOf(saleId)).toMatchObject([{ kind, isFinished: false }]);
    expect(await carryMessages(deps, kept, over)).toBeGreaterThanOrEqual(2);
    expect(kept.count(told)).toEqual({ told: holding, repeated: 0 });
    expect(await jobsOf(saleId)).toEqual([{ kind, handled: holding, isFinished: true, superseded: false }]);
  });

  test('that fails in each of its steps, before or at its commit, has done nothing of that step', async () => {
    const saleId = await given(crowd, at);
    await trigger(deps, { saleId }, over());
    for (let step = 1; kept.count(told).told < holding; step++) {
      const before = kept.count(told).told;
      const message = await messageOf(saleId);
      for (const statement of [/INSERT INTO outbox/, /UPDATE sale_jobs/]) {
        const failing = withDeps(deps, { db: failingAt(deps.db, statement, 'killed') });
        await expect(runJob(failing, message, over())).rejects.toThrow('killed');
      }
      expect(kept.count(told).told).toBe(before);
      expect(step).toBeLessThan(10);
      await runJob(deps, message, over());
    }
    expect(kept.count(told)).toEqual({ told: holding, repeated: 0 });
  });

  test('whose messages are lost is continued by the minute’s rule, and a message that comes late changes nothing', async () => {
    const saleId = await given(crowd, at);
    const mute = withDeps(deps, { queue: withoutQueue(deps, 'advance', 'lost') });
    await trigger(mute, { saleId }, over());
    const late = await messageOf(saleId);
    await trigger(deps, tick, deps.clock() + 9_000);
    // Another worker may be processing it: the rule leaves the job alone until it has been idle for a while.
    expect(kept.count(told).told).toBeLessThan(holding);
    aheadMs += 11_000;
    await trigger(deps, tick);
    await carryMessages(deps, kept);
    await runJob(deps, late, deps.clock() + 9_000);
    expect(kept.count(told)).toEqual({ told: holding, repeated: 0 });
  });

  test('that two work on at once reaches everybody once', async () => {
    const saleId = await given(crowd, at);
    await Promise.all([trigger(deps, { saleId }, over()), trigger(withDeps(deps, {}), { saleId }, over())]);
    const message = await messageOf(saleId);
    await Promise.all([deps, withDeps(deps, {})].map((one) => runJob(one, message, deps.clock() + 9_000)));
    await carryMessages(deps, kept);
    expect(kept.count(told)).toEqual({ told: holding, repeated: 0 });
    expect(await jobsOf(saleId)).toEqual([{ kind, handled: holding, isFinished: true, superseded: false }]);
  });
});

describe('an announcement whose process stood still before it had the sale', () => {
  /** A database on which every transaction stands still for a minute before it locks a sale; holders are decided meanwhile. */
  function standingStill(saleId: SaleId): Deps['db'] {
    const decide = async () => {
      aheadMs += minuteMs;
      const now = [deps.clock(), toBytes(saleId)];
      await opened.db.change(
        "UPDATE reservations SET decided_at_ms = ? WHERE sale_id = ? AND state = 'allocated'",
        now,
      );
    };
    const rows =
      (tx: Tx): Tx['rows'] =>
      async (sql, values) => {
        if (sql.includes('FROM sales') && sql.includes('FOR UPDATE')) await decide();
        return tx.rows(sql, values);
      };
    return { ...opened.db, transaction: (work) => opened.db.transaction((tx) => work({ ...tx, rows: rows(tx) })) };
  }

  test('reaches everybody who was decided meanwhile: a pause', async () => {
    const saleId = await given({ holding }, 'open');
    await pauseSale(withDeps(deps, { db: standingStill(saleId) }), saleId);
    await carryMessages(deps, kept);
    expect(kept.count('paused')).toEqual({ told: holding, repeated: 0 });
  });

  test('reaches everybody who was decided meanwhile: the opening', async () => {
    const saleId = await given({ holding }, 'opening');
    await trigger(withDeps(deps, { db: standingStill(saleId) }), { saleId }, over());
    await carryMessages(deps, kept);
    expect(kept.count('purchase-opened')).toEqual({ told: holding, repeated: 0 });
  });
});

describe('an announcement that is under way', () => {
  test('takes back nothing and tells nobody who has left meanwhile', async () => {
    const saleId = await given({ holding }, 'opening');
    await trigger(deps, { saleId }, over());
    const last = (await peopleOf(saleId, 'allocated')).at(-1);
    if (!last) throw new Error('nobody holds units');
    await cancelDecided(deps, last.customerId, saleId, last.reservationId);
    await carryMessages(deps, kept);
    expect(kept.count('purchase-opened')).toEqual({ told: holding - 1, repeated: 0 });
    expect(kept.announced.has(last.reservationId)).toBe(false);
  });

  test('is superseded by new times: whom it has not reached hears of these only, and nobody of the opening after them', async () => {
    const saleId = await given({ holding, waiting: 300 }, 'opening');
    await trigger(deps, { saleId }, over());
    const opened = kept.count('purchase-opened').told;
    expect(opened).toBeGreaterThan(0);
    const old = await messageOf(saleId);
    const moved = await rescheduleSale(deps, saleId, { shiftSeconds: 600, dryRun: false });
    expect(moved).toMatchObject({ concerned: { holding, waiting: 300 } });
    await runJob(deps, old, deps.clock() + 9_000);
    await carryMessages(deps, kept);
    expect(kept.count('purchase-opened')).toEqual({ told: opened, repeated: 0 });
    expect(kept.count('rescheduled')).toEqual({ told: holding + 300, repeated: 0 });
    expect(new Set([...kept.announced.values()].map(String))).toEqual(
      new Set(['purchase-opened,rescheduled', 'rescheduled']),
    );
    expect(await jobsOf(saleId)).toContainEqual(
      expect.objectContaining({ kind: 'purchase-opened', isFinished: true, superseded: true }),
    );
  });

  const earlier = [
    { what: 'the close', move: { purchaseClosesAt: 3_000 }, crowd: { holding: holding - 200, waiting: 200 } },
    { what: 'the time to pay', move: { shiftSeconds: -57 }, crowd: { holding }, payWithinMs: minuteMs },
  ];

  test.each(earlier)(
    'of earlier times is told to all before $what ends anything',
    async ({ move, crowd, payWithinMs }) => {
      const saleId = await given(crowd, 'open', payWithinMs);
      const { purchaseClosesAt, ...shift } = move;
      const times = purchaseClosesAt ? { purchaseClosesAt: toIso(deps.clock() + purchaseClosesAt) } : shift;
      const preview = await rescheduleSale(deps, saleId, { ...times, dryRun: true });
      const confirmation = 'confirmation' in preview ? (preview.confirmation ?? '') : '';
      expect(await rescheduleSale(deps, saleId, { ...times, dryRun: false, confirmation })).toMatchObject({
        dangers: expect.arrayContaining(['takes_time']),
      });
      aheadMs += 5_000;
      const isTold = async () => (await jobsOf(saleId)).some((job) => job.kind === 'rescheduled' && job.isFinished);
      while (!(await isTold())) {
        await trigger(deps, { saleId });
        expect(kept.count('expired').told).toBe(0);
        await runJob(deps, await messageOf(saleId), over());
      }
      expect(kept.count('rescheduled')).toEqual({ told: holding, repeated: 0 });
      await carryMessages(deps, kept);
      expect(kept.count('expired')).toEqual({ told: holding, repeated: 0 });
      // What comes later in this sale does not wait.
      expect(await opened.db.rows('SELECT ends_wait FROM sales WHERE id = ?', [toBytes(saleId)])).toEqual([
        { ends_wait: 0 },
      ]);
    },
  );

  test('of later times is not told to those whose own time to pay has run out since', async () => {
    const saleId = await given({ holding }, 'open', 20_000);
    const purchaseClosesAt = toIso(deps.clock() + 2 * hourMs);
    expect(await rescheduleSale(deps, saleId, { purchaseClosesAt, dryRun: false })).toMatchObject({ dangers: [] });
    const inTime = kept.count('rescheduled').told;
    aheadMs += 25_000;
    await runJob(deps, await messageOf(saleId), deps.clock() + 9_000);
    expect(kept.count('rescheduled')).toEqual({ told: inTime, repeated: 0 });
    await trigger(deps, { saleId });
    await carryMessages(deps, kept);
    expect(kept.count('expired')).toEqual({ told: holding, repeated: 0 });
  });

  test('of a pause goes on though the close would have passed, since the clock of the sale stands still', async () => {
    const saleId = await given({ holding }, 'open');
    await pauseSale(deps, saleId);
    aheadMs += 2 * hourMs;
    await carryMessages(deps, kept, over);
    expect(kept.count('paused')).toEqual({ told: holding, repeated: 0 });
  });

  test('of earlier times that ends while SQS is away leaves the rest to the minute’s rule', async () => {
    const saleId = await given({ holding }, 'open');
    const times = { purchaseClosesAt: toIso(deps.clock() + 3_000) };
    const preview = await rescheduleSale(deps, saleId, { ...times, dryRun: true });
    const confirmation = 'confirmation' in preview ? (preview.confirmation ?? '') : '';
    await rescheduleSale(deps, saleId, { ...times, dryRun: false, confirmation });
    aheadMs += 12_000;
    const mute = withDeps(deps, { queue: withoutQueue(deps, 'advance', 'lost') });
    await runJob(mute, await messageOf(saleId), deps.clock() + 60_000);
    expect(kept.count('rescheduled')).toEqual({ told: holding, repeated: 0 });
    await trigger(deps, tick);
    await carryMessages(deps, kept);
    expect(kept.count('expired')).toEqual({ told: holding, repeated: 0 });
  });

  test('of a pause is told before new times that are set in the pause, and both before it is resumed', async () => {
    const saleId = await given({ holding }, 'open');
    await pauseSale(deps, saleId);
    await rescheduleSale(deps, saleId, { shiftSeconds: 600, dryRun: false });
    await carryMessages(deps, kept, over);
    expect(new Set([...kept.announced.values()].map(String))).toEqual(new Set(['paused,rescheduled']));
    aheadMs += minuteMs;
    await resumeSale(deps, saleId);
    await pauseSale(deps, saleId);
    await carryMessages(deps, kept, over);
    const told = [...kept.announced.values()].map(String);
    expect(told).toHaveLength(holding);
    expect(new Set(told)).toEqual(new Set(['paused,rescheduled,resumed,paused', 'paused,rescheduled,paused']));
  });
});

test('whoever holds, waits or has bought in a sale that is called off is told so once', async () => {
  const saleId = await given({ holding: 600, waiting: 300, bought: 300, rejected: 100 }, 'opening');
  await trigger(deps, { saleId }, over());
  await cancelSale(deps, saleId, { refunds: 'keep' });
  await carryMessages(deps, kept, over);
  expect(kept.count('cancelled')).toEqual({ told: 900, repeated: 0 });
  expect(kept.count('called-off-keep')).toEqual({ told: 300, repeated: 0 });
  const after = await jobsOf(saleId);
  expect(after).toContainEqual({ kind: 'ending', handled: 900, isFinished: true, superseded: false });
});

test('a sale that is over cannot be paused, and its end goes on', async () => {
  const saleId = await given({ holding }, 'closing');
  await trigger(deps, { saleId }, over());
  expect(await pauseSale(deps, saleId)).toMatchObject({ refused: 'illegal_state' });
  await carryMessages(deps, kept);
  expect(kept.count('expired')).toEqual({ told: holding, repeated: 0 });
});

test('a round of the minute’s rule that is too short for all sales goes on by a message at once', async () => {
  const saleIds = await Promise.all([1, 2, 3].map(() => given({ holding: 1 }, 'opening')));
  await advanceAll(deps, over());
  const rounds: unknown[] = [];
  for (let messages = await receive(deps); messages.length > 0; messages = await receive(deps)) {
    // A boundary that an earlier test has scheduled may come due meanwhile; it is carried, and is no round.
    rounds.push(...messages.filter((message) => Object.hasOwn(Object(message), 'detail-type')));
    for (const message of messages) await trigger(deps, message);
  }
  expect(rounds).toHaveLength(1);
  for (const saleId of saleIds) {
    const [sale] = await opened.db.rows<{ phase: string }>('SELECT phase FROM sales WHERE id = ?', [toBytes(saleId)]);
    expect(sale).toMatchObject({ phase: 'purchasing' });
  }
});

test('what is announced supersedes what it makes untrue, and never what it does not say', () => {
  const all: Announcement[] = ['rescheduled', 'paused', 'resumed', 'purchase-opened', 'closing-soon'];
  const superseded = (newer: Announcement) => all.filter((older) => supersedes(newer, older));
  expect(superseded('rescheduled')).toEqual(['rescheduled', 'resumed', 'purchase-opened', 'closing-soon']);
  expect(superseded('paused')).toEqual(all);
  expect(superseded('resumed')).toEqual(all);
  expect(superseded('closing-soon')).toEqual(['purchase-opened', 'closing-soon']);
});
