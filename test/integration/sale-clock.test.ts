/**
 * I12, the clock: what an operator does to a sale's times, and what that does to those who hold its units or wait for them.
 * Real MySQL, Redis and SQS; the test sets the clock, so a pause of an hour takes no hour.
 */

import { setTimeout } from 'node:timers/promises';
import { BusEvent } from '#events/catalog.ts';
import { advanceSale } from '#launch/advance-sale.ts';
import { pauseSale, resumeSale, updateSale } from '#launch/change-sale.ts';
import { getSale } from '#launch/read-sale.ts';
import { rescheduleSale } from '#launch/reschedule.ts';
import { listNotifications } from '#notification/list.ts';
import { notify } from '#notification/notify.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { type CustomerId, type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { requestPurchase } from '#purchase/request.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { cancelReservation } from '#reservation/cancel.ts';
import { getDecidedReservation, listReservations } from '#reservation/read.ts';
import { enterPhase, lockSales, readSales } from '#sale/sale.store.ts';
import { newId } from '#test/support/ids.ts';
import { withDeps } from '../support/deps.ts';
import { delivered, givenSale, openBed, type SaleTerms } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

const secondMs = 1_000;
const minuteMs = 60_000;
const hourMs = 3_600_000;

let bed: TestBed;
let opened: Deps;
let deps: Deps;
/** How far the test's clock is ahead. */
let aheadMs = 0;
/** What was published since the last delivery to the customers. */
let published: BusEvent[] = [];

beforeAll(async () => {
  bed = await testBed();
  opened = await openBed(bed);
});

beforeEach(() => {
  aheadMs = 0;
  published = [];
  deps = withDeps(opened, {
    clock: () => Date.now() + aheadMs,
    bus: {
      publish: async (events) => {
        published.push(
          ...events.map(({ detailType, detail }) =>
            BusEvent.parse({ 'detail-type': detailType, detail: JSON.parse(detail) }),
          ),
        );
        return events.map(() => true);
      },
    },
  });
});

afterAll(async () => {
  await opened?.close();
  await bed?.close();
});

const soon = () => deps.clock() + 20_000;
const pass = (ms: number) => {
  aheadMs += ms;
};
const instant = (fromNowMs: number) => toIso(Math.floor(deps.clock() / 1000) * 1000 + fromNowMs);

/** Begins something that needs the row of a sale, which another transaction holds for a minute of the test's clock. */
async function afterWaiting(saleId: SaleId, begin: () => Promise<unknown>, meanwhile?: (tx: Tx) => Promise<void>) {
  const { waiting } = await deps.db.transaction(async (tx) => {
    await lockSales(tx, [saleId]);
    const begun = begin();
    // Long enough to come to the row.
    await setTimeout(300);
    pass(minuteMs);
    await meanwhile?.(tx);
    return { waiting: begun };
  });
  await waiting;
}

interface Customer {
  readonly customerId: CustomerId;
  readonly reservationId: ReservationId;
}

/** A customer whose request has been decided. */
async function reserving(saleId: SaleId, quantity = 1): Promise<Customer> {
  const customerId: CustomerId = newId();
  const ticket = deps.clock() * 1000 + Math.floor(Math.random() * 1000);
  const request = delivered(saleId, { customerId, quantity, ticket });
  await allocateBatch(deps, [request], soon());
  return { customerId, reservationId: request.message.reservationId };
}

const advance = (saleId: SaleId) => advanceSale(deps, saleId, soon(), 'everything');

async function viewOf({ customerId, reservationId }: Customer) {
  const view = await getDecidedReservation(deps, customerId, reservationId);
  if (isRefusal(view)) throw new Error(view.detail);
  return view;
}

const deadlineOf = async (customer: Customer) => Date.parse((await viewOf(customer)).deadline ?? '');

async function saleOf(saleId: SaleId) {
  const sale = await getSale(deps, saleId, '127.0.0.1');
  if (isRefusal(sale)) throw new Error(sale.detail);
  return sale;
}

const closeOf = async (saleId: SaleId) => {
  const [row] = await deps.db.rows<{ closes: number }>(
    'SELECT purchase_closes_at_ms AS closes FROM sales WHERE id = ?',
    [toBytes(saleId)],
  );
  return row?.closes ?? 0;
};

const buy = ({ customerId, reservationId }: Customer) =>
  requestPurchase(deps, customerId, newId(), { reservationIds: [reservationId], paymentToken: 'tok_ok' });

/** Delivers what was published, each event twice, and returns this customer's new notices: kinds, oldest first. */
async function told(customer: Customer): Promise<{ kind: string; facts: Record<string, unknown>; text: string }[]> {
  const events = published;
  published = [];
  for (const message of [...events, ...events]) {
    await notify(deps, [{ messageId: newId(), message, sentAtMs: deps.clock(), deliveries: 1 }], soon());
  }
  return unread(customer);
}

async function unread({ customerId }: Customer) {
  const page = await listNotifications(deps, customerId, { limit: 100 }, undefined);
  if (isRefusal(page)) throw new Error(page.detail);
  return page.items.map(({ kind, facts, text }) => ({ kind, facts, text })).reverse();
}

/** The reservations whose owners were reminded to pay, in events that have not been delivered yet. */
const reminded = () =>
  published.flatMap((event) =>
    event['detail-type'] === 'reservations.reminded' && event.detail.reason === 'payment-due'
      ? event.detail.recipients.map(({ reservationId }) => reservationId)
      : [],
  );

const kindsOf = async (customer: Customer) => (await told(customer)).map(({ kind }) => kind);

/** A sale of one unit that was allocated, given back and offered to a waiting customer. */
async function offering(terms: Partial<SaleTerms> = {}) {
  const saleId = await givenSale(deps, { allotment: 1, waitlistSize: 10, offerLifeMs: 30 * secondMs, ...terms });
  const first = await reserving(saleId);
  const second = await reserving(saleId);
  const third = await reserving(saleId);
  await cancelReservation(deps, first.customerId, first.reservationId);
  expect(await viewOf(second)).toMatchObject({ state: 'allocated', units: 1 });
  return { saleId, offered: second, waiting: third };
}

describe('I12: a pause stops every clock', () => {
  test('T4: an offer of 30 s is paused for 45 s; afterwards it can be bought', async () => {
    const { saleId, offered } = await offering();
    const before = await deadlineOf(offered);
    await pauseSale(deps, saleId);
    pass(45 * secondMs);
    await advance(saleId);
    expect(await viewOf(offered)).toMatchObject({ state: 'allocated' });
    await resumeSale(deps, saleId);
    const after = await deadlineOf(offered);
    expect(after - before).toBeGreaterThanOrEqual(45 * secondMs);
    expect(after - before).toBeLessThan(55 * secondMs);
    await advance(saleId);
    expect(await buy(offered)).toMatchObject({ state: 'requested' });
  });

  test('T4: what is left of an offer after a pause is not longer than it was; then the next one is offered', async () => {
    const { saleId, offered, waiting } = await offering();
    await pauseSale(deps, saleId);
    pass(hourMs / 2);
    await resumeSale(deps, saleId);
    pass(31 * secondMs);
    expect(await buy(offered)).toMatchObject({ refused: 'deadline_passed' });
    await advance(saleId);
    expect(await viewOf(offered)).toMatchObject({ state: 'expired', reason: 'deadline_passed' });
    expect(await viewOf(waiting)).toMatchObject({ state: 'allocated' });
  });

  test('T4: a pause past the close ends nothing; opening, close and reservation period are later by its length', async () => {
    const saleId = await givenSale(deps, {
      allotment: 2,
      reserveClosesAtMs: Date.now() + 10 * minuteMs,
      purchaseOpensAtMs: Date.now() + 20 * minuteMs,
      purchaseClosesAtMs: Date.now() + 40 * minuteMs,
    });
    const holder = await reserving(saleId);
    const before = await saleOf(saleId);
    const paused = await pauseSale(deps, saleId);
    expect(paused).toMatchObject({ status: 'paused', phase: 'reserving' });
    pass(hourMs);
    await advance(saleId);
    expect(await saleOf(saleId)).toMatchObject({ status: 'paused', phase: 'reserving', pausedAt: expect.any(String) });
    expect(await viewOf(holder)).toMatchObject({ state: 'allocated' });
    await resumeSale(deps, saleId);
    pass(secondMs);
    const after = await saleOf(saleId);
    expect(after).toMatchObject({ status: 'active', phase: 'reserving', pausedAt: null });
    expect(after.reserveOpensAt).toBe(before.reserveOpensAt);
    for (const name of ['reserveClosesAt', 'purchaseOpensAt', 'purchaseClosesAt'] as const) {
      const laterMs = Date.parse(after[name]) - Date.parse(before[name]);
      expect(laterMs).toBeGreaterThanOrEqual(hourMs);
      expect(laterMs).toBeLessThan(hourMs + 10 * secondMs);
    }
  });

  test('T4: pausing and resuming twice is once, and the second call moves and tells nothing', async () => {
    const { saleId, offered } = await offering();
    await pauseSale(deps, saleId);
    pass(10 * secondMs);
    await pauseSale(deps, saleId);
    pass(10 * secondMs);
    await resumeSale(deps, saleId);
    const once = await deadlineOf(offered);
    pass(secondMs);
    await resumeSale(deps, saleId);
    expect(await deadlineOf(offered)).toBe(once);
    const changes = (await kindsOf(offered)).filter((kind) => kind.startsWith('reminder.'));
    expect(changes).toEqual(['reminder.paused', 'reminder.resumed']);
  });

  test('T4: resuming without giving the time back keeps the times, and tells so', async () => {
    const { saleId, offered, waiting } = await offering();
    const before = await saleOf(saleId);
    await pauseSale(deps, saleId);
    pass(45 * secondMs);
    const refused = await resumeSale(deps, saleId, { keepTimes: true });
    expect(refused).toMatchObject({
      refused: 'confirmation_required',
      facts: { dangers: ['takes_time'], concerned: { shortened: 1, waiting: 1 } },
    });
    expect(await resumeSale(deps, saleId, { keepTimes: true, confirmation: 'yes' })).toEqual(refused);
    expect(await saleOf(saleId)).toMatchObject({ status: 'paused' });
    const confirmation = isRefusal(refused) ? String(refused.facts?.confirmation) : '';
    expect(await resumeSale(deps, saleId, { keepTimes: true, confirmation })).toMatchObject({ status: 'active' });
    pass(secondMs);
    expect((await saleOf(saleId)).purchaseClosesAt).toBe(before.purchaseClosesAt);
    expect(await kindsOf(waiting)).toContain('reminder.resumed');
    await advance(saleId);
    expect(await viewOf(offered)).toMatchObject({ state: 'expired' });
  });

  test('resuming a sale whose close passed in the pause ends it only if that is confirmed, and does not tell that it goes on', async () => {
    const { saleId, offered } = await offering();
    await pauseSale(deps, saleId);
    pass(2 * hourMs);
    const refused = await resumeSale(deps, saleId, { keepTimes: true });
    expect(refused).toMatchObject({
      refused: 'confirmation_required',
      facts: { dangers: ['closes_at_once', 'takes_time'] },
    });
    expect(await saleOf(saleId)).toMatchObject({ status: 'paused' });
    const confirmation = isRefusal(refused) ? String(refused.facts?.confirmation) : '';
    expect(await resumeSale(deps, saleId, { keepTimes: true, confirmation })).toMatchObject({ phase: 'closed' });
    await advance(saleId);
    const kinds = await kindsOf(offered);
    expect(kinds).toContain('reservation.expired');
    expect(kinds).not.toContain('reminder.resumed');
  });

  test('a sale that is closed in a pause and resumed then tells its end, and not that it goes on', async () => {
    const { saleId, offered } = await offering();
    await pauseSale(deps, saleId);
    pass(minuteMs);
    const move = { reserveClosesAt: instant(-secondMs), purchaseClosesAt: instant(-secondMs) };
    const preview = await rescheduleSale(deps, saleId, { ...move, dryRun: true });
    if (isRefusal(preview)) throw new Error(preview.detail);
    const confirmation = preview.confirmation ?? '';
    expect(await rescheduleSale(deps, saleId, { ...move, dryRun: false, confirmation })).toMatchObject({ sale: move });
    expect(await resumeSale(deps, saleId)).toMatchObject({ status: 'active', phase: 'closed' });
    await advance(saleId);
    const kinds = await kindsOf(offered);
    expect(kinds).toContain('reservation.expired');
    expect(kinds).not.toContain('reminder.resumed');
  });

  test('a sale that is closed at once tells its end, and nothing of new times', async () => {
    const { saleId, offered } = await offering();
    const move = { reserveClosesAt: instant(-secondMs), purchaseClosesAt: instant(-secondMs) };
    const preview = await rescheduleSale(deps, saleId, { ...move, dryRun: true });
    if (isRefusal(preview)) throw new Error(preview.detail);
    const confirmation = preview.confirmation ?? '';
    expect(await rescheduleSale(deps, saleId, { ...move, dryRun: false, confirmation })).toMatchObject({ sale: move });
    await advance(saleId);
    const kinds = await kindsOf(offered);
    expect(kinds).toContain('reservation.expired');
    expect(kinds).not.toContain('reminder.rescheduled');
  });

  test('whose time a move ends, while the sale goes on, is told of the move and then of the end', async () => {
    const { saleId, offered } = await offering();
    const shift = { shiftSeconds: -40 };
    const preview = await rescheduleSale(deps, saleId, { ...shift, dryRun: true });
    if (isRefusal(preview)) throw new Error(preview.detail);
    expect(preview.dangers).toContain('takes_time');
    const confirmation = preview.confirmation ?? '';
    const moved = await rescheduleSale(deps, saleId, { ...shift, dryRun: false, confirmation });
    expect(isRefusal(moved)).toBe(false);
    await advance(saleId);
    const kinds = (await kindsOf(offered)).filter((kind) => /rescheduled|expired/.test(kind));
    expect(kinds).toEqual(['reminder.rescheduled', 'reservation.expired']);
  });

  test('a time that is named in a pause is the time that it is set to, also if it is the one that the sale had', async () => {
    const { saleId } = await offering();
    const { purchaseClosesAt } = await saleOf(saleId);
    await pauseSale(deps, saleId);
    pass(6 * secondMs);
    const move = { reserveClosesAt: instant(30 * minuteMs), purchaseClosesAt };
    const preview = await rescheduleSale(deps, saleId, { ...move, dryRun: true });
    if (isRefusal(preview)) throw new Error(preview.detail);
    expect(preview.sale).toMatchObject(move);
    const confirmation = preview.confirmation ?? '';
    expect(await rescheduleSale(deps, saleId, { ...move, dryRun: false, confirmation })).toMatchObject({ sale: move });
  });

  test('in a pause, a deadline is shown as it would be if the sale were resumed now, alone and in the list', async () => {
    const { saleId, offered } = await offering();
    const leftMs = (await deadlineOf(offered)) - deps.clock();
    await pauseSale(deps, saleId);
    const [paused] = (await told(offered)).filter(({ kind }) => kind === 'reminder.paused');
    pass(hourMs);
    const shown = await deadlineOf(offered);
    expect(shown - deps.clock()).toBeLessThanOrEqual(leftMs);
    expect(shown - deps.clock()).toBeGreaterThan(leftMs - 2 * secondMs);
    expect(shown).toBeGreaterThan(Date.parse(String(paused?.facts.deadline)));
    const list = await listReservations(deps, offered.customerId, { limit: 10 });
    if (isRefusal(list)) throw new Error(list.detail);
    expect(Date.parse(list.items[0]?.deadline ?? '')).toBeGreaterThanOrEqual(shown);
    await resumeSale(deps, saleId);
    const resumed = await deadlineOf(offered);
    expect(resumed).toBeGreaterThanOrEqual(shown);
    expect(resumed - shown).toBeLessThan(2 * secondMs);
    expect((await told(offered)).at(-1)).toMatchObject({
      kind: 'reminder.resumed',
      facts: { deadline: toIso(resumed) },
    });
  });

  test('whoever is decided in a pause is told no deadline before it ends, and is shown one that has not passed', async () => {
    const saleId = await givenSale(deps, { payWithinMs: minuteMs, purchaseClosesAtMs: Date.now() + 5 * hourMs });
    const ticket = deps.clock() * 1000;
    await pauseSale(deps, saleId);
    pass(hourMs);
    const request = delivered(saleId, { customerId: newId(), ticket });
    await allocateBatch(deps, [request], soon());
    const { customerId, reservationId } = request.message;
    const late = { customerId, reservationId };
    expect((await told(late))[0]?.facts).not.toHaveProperty('deadline');
    expect(await deadlineOf(late)).toBeGreaterThan(deps.clock());
    await resumeSale(deps, saleId);
    expect((await told(late)).at(-1)?.facts.deadline).toBe(toIso(await deadlineOf(late)));
  });

  test('a pause is shown from its beginning, whatever is moved in it, and its phase by where its clock stands', async () => {
    const { saleId } = await offering();
    await pauseSale(deps, saleId);
    const { pausedAt, clockStandsAt } = await saleOf(saleId);
    expect(clockStandsAt).toBe(pausedAt);
    pass(30 * minuteMs);
    await updateSale(deps, saleId, { purchaseClosesAt: instant(5 * hourMs), purchaseOpensAt: instant(-minuteMs) });
    const moved = await saleOf(saleId);
    expect(moved).toMatchObject({ status: 'paused', phase: 'purchasing', pausedAt });
    expect(Date.parse(moved.clockStandsAt ?? '')).toBeGreaterThanOrEqual(Date.parse(pausedAt ?? '') + 30 * minuteMs);
    pass(30 * minuteMs);
    await resumeSale(deps, saleId);
    const after = await saleOf(saleId);
    expect(after).toMatchObject({ status: 'active', pausedAt: null, clockStandsAt: null });
    const laterMs = Date.parse(after.purchaseClosesAt) - Date.parse(moved.purchaseClosesAt);
    expect(Math.abs(laterMs - 30 * minuteMs)).toBeLessThan(2 * secondMs);
    await pauseSale(deps, saleId);
    pass(secondMs);
    const again = await saleOf(saleId);
    expect(Date.parse(again.pausedAt ?? '')).toBeGreaterThanOrEqual(Date.parse(pausedAt ?? '') + hourMs);
    expect(again.clockStandsAt).toBe(again.pausedAt);
  });

  test('a reminder that was told before a pause is told again for the later time', async () => {
    const saleId = await givenSale(deps, {
      reserveClosesAtMs: Date.now() + 5 * minuteMs,
      purchaseClosesAtMs: Date.now() + 5 * minuteMs,
    });
    const holder = await reserving(saleId);
    await advance(saleId);
    await pauseSale(deps, saleId);
    pass(20 * minuteMs);
    await advance(saleId);
    await resumeSale(deps, saleId);
    await advance(saleId);
    await advance(saleId);
    const reminders = (await told(holder)).filter(({ kind }) => kind === 'reminder.closing-soon');
    expect(reminders).toHaveLength(2);
    expect(reminders[1]?.facts.deadline).toBe(toIso(await closeOf(saleId)));
  });

  test('a pause that began before somebody was decided, and waited for the sale, tells them too', async () => {
    const saleId = await givenSale(deps);
    const holder = await reserving(saleId);
    const begunAMinuteAgo = withDeps(deps, { clock: () => deps.clock() - minuteMs });
    await pauseSale(begunAMinuteAgo, saleId);
    expect((await told(holder)).map(({ kind }) => kind)).toContain('reminder.paused');
  });

  test('a pause that waited for the row of its sale begins when it has it', async () => {
    const saleId = await givenSale(deps);
    const calledAtMs = deps.clock();
    await afterWaiting(saleId, () => pauseSale(deps, saleId));
    const sale = (await readSales(deps.db, [saleId])).get(saleId);
    expect(sale?.pausedAtMs).toBeGreaterThanOrEqual(calledAtMs + minuteMs);
  });

  test('whoever waited for the row of a sale does not take it back to an earlier phase', async () => {
    const saleId = await givenSale(deps, { purchaseOpensAtMs: deps.clock() + 30 * secondMs });
    await afterWaiting(
      saleId,
      () => advanceSale(deps, saleId, soon(), 'nothing'),
      (tx) => enterPhase(tx, saleId, { phase: 'purchasing', remindedAtMs: null }),
    );
    expect((await readSales(deps.db, [saleId])).get(saleId)?.phase).toBe('purchasing');
  });

  test('a sale that has closed cannot be paused', async () => {
    const saleId = await givenSale(deps);
    pass(2 * hourMs);
    expect(await pauseSale(deps, saleId)).toMatchObject({ refused: 'illegal_state' });
    expect(await saleOf(saleId)).toMatchObject({ status: 'active', phase: 'closed' });
  });

  test('T2: a sale that is paused before the opening and resumed after it tells of the opening', async () => {
    const saleId = await givenSale(deps, { purchaseOpensAtMs: Date.now() + minuteMs });
    const holder = await reserving(saleId);
    await advance(saleId);
    await pauseSale(deps, saleId);
    pass(2 * minuteMs);
    await advance(saleId);
    await resumeSale(deps, saleId);
    await advance(saleId);
    expect(await kindsOf(holder)).not.toContain('reminder.purchase-opened');
    pass(minuteMs + secondMs);
    await advance(saleId);
    await advance(saleId);
    const opened = (await told(holder)).filter(({ kind }) => kind === 'reminder.purchase-opened');
    expect(opened).toHaveLength(1);
    expect(opened[0]?.facts.deadline).toBe(toIso(await closeOf(saleId)));
  });
});

describe('I12: what follows from a time moves with it', () => {
  test('T5: an offer made before the opening moves with the opening', async () => {
    const purchaseOpensAtMs = Date.now() + 10 * minuteMs;
    const { saleId, offered } = await offering({ purchaseOpensAtMs });
    expect(await deadlineOf(offered)).toBe(purchaseOpensAtMs + 30 * secondMs);
    const opens = instant(30 * minuteMs);
    expect(await updateSale(deps, saleId, { purchaseOpensAt: opens })).toMatchObject({ purchaseOpensAt: opens });
    expect(await deadlineOf(offered)).toBe(Date.parse(opens) + 30 * secondMs);
    pass(11 * minuteMs);
    await advance(saleId);
    expect(await viewOf(offered)).toMatchObject({ state: 'allocated' });
    pass(19 * minuteMs + secondMs);
    expect(await buy(offered)).toMatchObject({ state: 'requested' });
  });

  test('T5: a window that closes again until a new opening stops the clock of its offers', async () => {
    const { saleId, offered } = await offering();
    pass(10 * secondMs);
    const before = await deadlineOf(offered);
    const opens = instant(10 * minuteMs);
    const nowMs = deps.clock();
    await updateSale(deps, saleId, { purchaseOpensAt: opens });
    const movedMs = (await deadlineOf(offered)) - before;
    expect(Math.abs(movedMs - (Date.parse(opens) - nowMs))).toBeLessThan(5 * secondMs);
  });

  test('T7: a close moved to before the end of an offer ends the offer; moved to later, the offer has its full time', async () => {
    const { saleId, offered } = await offering({ offerLifeMs: 20 * minuteMs });
    const before = await deadlineOf(offered);
    const closes = instant(10 * minuteMs);
    const preview = await rescheduleSale(deps, saleId, {
      purchaseClosesAt: closes,
      reserveClosesAt: closes,
      dryRun: true,
    });
    if (isRefusal(preview)) throw new Error(preview.detail);
    expect(preview).toMatchObject({
      dangers: ['takes_time'],
      concerned: { holding: 1, offered: 1, waiting: 1, shortened: 1 },
    });
    const change = { purchaseClosesAt: closes, reserveClosesAt: closes };
    await updateSale(deps, saleId, { ...change, confirmation: preview.confirmation ?? '' });
    expect(await deadlineOf(offered)).toBe(Date.parse(closes));
    await updateSale(deps, saleId, { purchaseClosesAt: instant(hourMs) });
    expect(await deadlineOf(offered)).toBe(before);
  });

  test('T7: an offer made near the close ends with it, and has its full length when the close moves to later', async () => {
    const { saleId, offered } = await offering({
      reserveClosesAtMs: Date.now() + 5 * minuteMs,
      purchaseClosesAtMs: Date.now() + 5 * minuteMs,
      offerLifeMs: 20 * minuteMs,
    });
    expect(await deadlineOf(offered)).toBe(await closeOf(saleId));
    await updateSale(deps, saleId, { purchaseClosesAt: instant(hourMs) });
    const leftMs = (await deadlineOf(offered)) - deps.clock();
    expect(leftMs).toBeGreaterThan(19 * minuteMs);
    expect(leftMs).toBeLessThanOrEqual(20 * minuteMs);
  });

  test('T5: a shift moves everything that is to come, offers in an open window too', async () => {
    const { saleId, offered } = await offering();
    const [before, closed] = [await deadlineOf(offered), await closeOf(saleId)];
    expect(await rescheduleSale(deps, saleId, { shiftSeconds: 1_200, dryRun: false })).toMatchObject({
      dryRun: false,
      dangers: [],
      concerned: { holding: 1, offered: 1, waiting: 1, shortened: 0 },
    });
    expect(await deadlineOf(offered)).toBe(before + 20 * minuteMs);
    expect(await closeOf(saleId)).toBe(closed + 20 * minuteMs);
  });
});

describe('I12: each change is told once, and what was announced for old times again for the new', () => {
  test('T1: a window that opened is moved to later; when it opens again, that is told again with the new deadline', async () => {
    const saleId = await givenSale(deps);
    const holder = await reserving(saleId);
    await advance(saleId);
    expect((await kindsOf(holder)).filter((kind) => kind === 'reminder.purchase-opened')).toHaveLength(1);
    const closes = instant(2 * hourMs);
    await updateSale(deps, saleId, { purchaseOpensAt: instant(75 * secondMs), purchaseClosesAt: closes });
    // Nothing advances the sale before it has opened again.
    pass(80 * secondMs);
    await advance(saleId);
    await advance(saleId);
    const notices = (await told(holder)).filter(({ kind }) => kind === 'reminder.purchase-opened');
    expect(notices).toHaveLength(2);
    expect(notices[1]?.facts.deadline).toBe(closes);
  });

  test('T3: after “closing soon” the close moves to later; the reminder comes again for the new close, and a new name repeats nothing', async () => {
    const saleId = await givenSale(deps, {
      purchaseClosesAtMs: Date.now() + minuteMs,
      reserveClosesAtMs: Date.now() + minuteMs,
    });
    const holder = await reserving(saleId);
    await advance(saleId);
    expect(await kindsOf(holder)).toContain('reminder.closing-soon');
    const count = (await unread(holder)).length;
    await updateSale(deps, saleId, { name: 'Another name' });
    await advance(saleId);
    expect(await kindsOf(holder)).toHaveLength(count);
    const closes = instant(3 * hourMs);
    await updateSale(deps, saleId, { purchaseClosesAt: closes });
    await advance(saleId);
    expect((await kindsOf(holder)).filter((kind) => kind === 'reminder.closing-soon')).toHaveLength(1);
    pass(3 * hourMs - minuteMs);
    await advance(saleId);
    await advance(saleId);
    const reminders = (await told(holder)).filter(({ kind }) => kind === 'reminder.closing-soon');
    expect(reminders).toHaveLength(2);
    expect(reminders[1]?.facts.deadline).toBe(closes);
  });

  test('T6: moving both times, pausing and resuming are one notice each for holders and waiters, with the time', async () => {
    const { saleId, offered, waiting } = await offering({ purchaseOpensAtMs: Date.now() + 10 * minuteMs });
    const [opens, closes] = [instant(20 * minuteMs), instant(4 * hourMs)];
    await updateSale(deps, saleId, { purchaseOpensAt: opens, purchaseClosesAt: closes });
    await pauseSale(deps, saleId);
    pass(minuteMs);
    await resumeSale(deps, saleId);
    for (const customer of [offered, waiting]) {
      const changes = (await told(customer)).filter(({ kind }) => kind.startsWith('reminder.'));
      expect(changes.map(({ kind }) => kind)).toEqual(['reminder.rescheduled', 'reminder.paused', 'reminder.resumed']);
      expect(changes[0]?.facts).toMatchObject({ purchaseOpensAt: opens, purchaseClosesAt: closes });
      expect(changes[1]?.facts).toMatchObject({ pausedAt: expect.any(String) });
      expect(changes[2]?.facts).toMatchObject({ purchaseClosesAt: toIso(await closeOf(saleId)) });
    }
    const deadlines = (await unread(offered)).map(({ facts }) => facts.deadline).filter(Boolean);
    expect(deadlines.at(-1)).toBe(toIso(await deadlineOf(offered)));
    expect(deadlines.at(-3)).toBe(toIso(Date.parse(opens) + 30 * secondMs));
    expect((await unread(waiting)).filter(({ facts }) => facts.deadline !== undefined)).toEqual([]);
  });

  test.each([
    { name: 'an offer', terms: { offerLifeMs: 30 * secondMs } },
    { name: 'a time to pay', terms: { payWithinMs: 30 * secondMs } },
  ])(
    'T6: whoever had $name that was over is told of its end, and of no pause, new times or resuming',
    async ({ terms }) => {
      const saleId = await givenSale(deps, { allotment: 1, waitlistSize: 10, ...terms });
      const first = await reserving(saleId);
      const late = terms.payWithinMs === undefined ? await reserving(saleId) : first;
      const waiting = await reserving(saleId);
      if (late !== first) await cancelReservation(deps, first.customerId, first.reservationId);
      expect(await viewOf(late)).toMatchObject({ state: 'allocated' });
      await told(late);
      await told(waiting);
      pass(31 * secondMs);
      await pauseSale(deps, saleId);
      pass(minuteMs);
      await updateSale(deps, saleId, { purchaseClosesAt: instant(5 * hourMs) });
      pass(minuteMs);
      await resumeSale(deps, saleId);
      await advance(saleId);
      const changes = ['reminder.paused', 'reminder.rescheduled', 'reminder.resumed'];
      const kinds = await kindsOf(late);
      expect(kinds.at(-1)).toBe('reservation.expired');
      expect(kinds.filter((kind) => changes.includes(kind))).toEqual([]);
      expect((await unread(waiting)).map(({ kind }) => kind).filter((kind) => changes.includes(kind))).toEqual(changes);
    },
  );

  test('T6: whose time a shift brings back is told of it, and whose time a shift in a pause ends is told before the end', async () => {
    const { saleId, offered } = await offering();
    await told(offered);
    pass(31 * secondMs);
    await pauseSale(deps, saleId);
    await rescheduleSale(deps, saleId, { shiftSeconds: 60, dryRun: false });
    const deadlines = async () =>
      (await told(offered)).flatMap(({ kind, facts }) =>
        kind === 'reminder.rescheduled' ? [Date.parse(String(facts.deadline)) > deps.clock()] : [],
      );
    expect(await deadlines()).toEqual([true]);
    expect((await unread(offered)).map(({ kind }) => kind)).not.toContain('reminder.paused');
    const back = { shiftSeconds: -60, dryRun: false };
    const preview = await rescheduleSale(deps, saleId, { ...back, dryRun: true });
    if (isRefusal(preview)) throw new Error(preview.detail);
    await rescheduleSale(deps, saleId, { ...back, confirmation: preview.confirmation ?? undefined });
    expect(await deadlines()).toEqual([true, false]);
  });

  test('T6: a change that moves nothing tells nothing', async () => {
    const { saleId, offered } = await offering();
    const sale = await saleOf(saleId);
    const count = (await told(offered)).length;
    await updateSale(deps, saleId, {
      purchaseOpensAt: sale.purchaseOpensAt,
      purchaseClosesAt: sale.purchaseClosesAt,
      capPerCustomer: 9,
    });
    await updateSale(deps, saleId, { reserveClosesAt: instant(30 * minuteMs), offerLifeSeconds: 90 });
    expect(await told(offered)).toHaveLength(count);
  });
});

describe('I12: a slip of the hand cannot end a sale', () => {
  test('T8: a close in the past, or one that takes time from holders, is refused without the confirmation of its preview', async () => {
    const { saleId, offered } = await offering();
    const before = await saleOf(saleId);
    const past = { purchaseOpensAt: instant(-2 * hourMs), reserveOpensAt: instant(-2 * hourMs) };
    const change = { ...past, purchaseClosesAt: instant(-minuteMs), reserveClosesAt: instant(-minuteMs) };
    expect(await updateSale(deps, saleId, change)).toMatchObject({
      refused: 'confirmation_required',
      facts: { dangers: ['closes_at_once', 'takes_time'], concerned: { shortened: 1 } },
    });
    expect(await updateSale(deps, saleId, { ...change, confirmation: 'yes' })).toMatchObject({
      refused: 'confirmation_required',
    });
    expect(await rescheduleSale(deps, saleId, { shiftSeconds: -3_650, dryRun: false })).toMatchObject({
      refused: 'confirmation_required',
    });
    expect(await saleOf(saleId)).toEqual(before);
    expect(await viewOf(offered)).toMatchObject({ state: 'allocated' });

    const preview = await rescheduleSale(deps, saleId, { ...change, dryRun: true });
    if (isRefusal(preview)) throw new Error(preview.detail);
    expect(preview).toMatchObject({
      dryRun: true,
      sale: { phase: 'closed' },
      dangers: ['closes_at_once', 'takes_time'],
    });
    expect(await saleOf(saleId)).toEqual(before);
    const confirmation = preview.confirmation ?? '';
    const other = { ...change, purchaseClosesAt: instant(-2 * minuteMs), reserveClosesAt: instant(-2 * minuteMs) };
    expect(await updateSale(deps, saleId, { ...other, confirmation })).toMatchObject({
      refused: 'confirmation_required',
    });
    expect(await updateSale(deps, saleId, { ...change, confirmation })).toMatchObject({ phase: 'closed' });
  });

  test('a confirmation stands for the sale as it was at the preview: it does not work again after the move was taken back', async () => {
    const { saleId } = await offering();
    const { reserveClosesAt, purchaseClosesAt } = await saleOf(saleId);
    const earlier = { reserveClosesAt: instant(20 * minuteMs), purchaseClosesAt: instant(20 * minuteMs) };
    const preview = await rescheduleSale(deps, saleId, { ...earlier, dryRun: true });
    if (isRefusal(preview)) throw new Error(preview.detail);
    const again = { ...earlier, dryRun: false, confirmation: preview.confirmation ?? '' };
    expect(await rescheduleSale(deps, saleId, again)).toMatchObject({ sale: earlier });
    await updateSale(deps, saleId, { reserveClosesAt, purchaseClosesAt });
    const before = await saleOf(saleId);
    expect(await rescheduleSale(deps, saleId, again)).toMatchObject({ refused: 'confirmation_required' });
    expect(await saleOf(saleId)).toEqual(before);
  });

  test('new times with another cut-off for offers are confirmed by the preview of both', async () => {
    const { saleId } = await offering();
    await updateSale(deps, saleId, { offerCutoffSeconds: 600 });
    const change = {
      reserveClosesAt: instant(8 * minuteMs),
      purchaseClosesAt: instant(8 * minuteMs),
      offerCutoffSeconds: 10,
    };
    expect(await updateSale(deps, saleId, change)).toMatchObject({ refused: 'confirmation_required' });
    const preview = await rescheduleSale(deps, saleId, { ...change, dryRun: true });
    if (isRefusal(preview)) throw new Error(preview.detail);
    expect(preview.sale).toMatchObject(change);
    const confirmation = preview.confirmation ?? '';
    expect(await updateSale(deps, saleId, { ...change, confirmation })).toMatchObject(change);
    const back = { ...change, offerCutoffSeconds: 5, purchaseClosesAt: instant(hourMs) };
    expect(await rescheduleSale(deps, saleId, { ...back, dryRun: false })).toMatchObject({ sale: back });
  });

  test.each([
    [
      'a close in 2 s, with somebody waiting and nobody holding',
      { reserveClosesAt: 2, purchaseClosesAt: 2 },
      ['takes_time', 'short_window', 'ends_reserving'],
    ],
    ['an opening a minute before the close', { purchaseOpensAt: 3_540 }, ['short_window']],
    ['a reservation period that is over', { reserveClosesAt: -60 }, ['ends_reserving']],
  ])('T8: %s is refused without a confirmation', async (_, seconds, dangers) => {
    const saleId = await givenSale(deps, { allotment: 2, waitlistSize: 10 });
    const holder = await reserving(saleId, 2);
    await buy(holder);
    const waiting = await reserving(saleId);
    const before = await saleOf(saleId);
    const moved = Object.entries(seconds).map(([name, from]) => [name, instant(from * secondMs)]);
    const change: { purchaseClosesAt?: string } = Object.fromEntries(moved);
    const closes = 'purchaseClosesAt' in seconds;
    expect(await updateSale(deps, saleId, change)).toMatchObject({
      refused: 'confirmation_required',
      facts: { dangers: closes ? dangers : expect.arrayContaining(dangers) },
    });
    expect(await rescheduleSale(deps, saleId, { ...change, dryRun: false })).toMatchObject({
      refused: 'confirmation_required',
    });
    expect(await saleOf(saleId)).toEqual(before);
    expect(await viewOf(waiting)).toMatchObject({ state: 'waitlisted' });
    const preview = await rescheduleSale(deps, saleId, { ...change, dryRun: true });
    if (isRefusal(preview)) throw new Error(preview.detail);
    const confirmation = preview.confirmation ?? '';
    expect(await updateSale(deps, saleId, { ...change, confirmation })).toMatchObject(change);
  });

  test('T8: a confirmation is for the sale as it was previewed', async () => {
    const { saleId } = await offering();
    const change = { purchaseClosesAt: instant(10 * secondMs), reserveClosesAt: instant(10 * secondMs) };
    const preview = await rescheduleSale(deps, saleId, { ...change, dryRun: true });
    if (isRefusal(preview)) throw new Error(preview.detail);
    await updateSale(deps, saleId, { purchaseClosesAt: instant(5 * hourMs) });
    const late = { ...change, confirmation: preview.confirmation ?? '' };
    expect(await updateSale(deps, saleId, late)).toMatchObject({ refused: 'confirmation_required' });
    pass(11 * secondMs);
    expect(await rescheduleSale(deps, saleId, { ...late, dryRun: false })).toMatchObject({
      refused: 'confirmation_required',
    });
  });

  test('T8: a preview of nothing has nothing to confirm', async () => {
    const { saleId } = await offering();
    expect(await rescheduleSale(deps, saleId, { shiftSeconds: 0, dryRun: true })).toMatchObject({
      dangers: [],
      confirmation: null,
    });
  });
});

describe('I12: units that nobody pays for go on', () => {
  test('M11: eight units of accounts that never pay reach the one who waits while the window is open', async () => {
    const purchaseOpensAtMs = Date.now() + 10 * minuteMs;
    const terms = { allotment: 8, waitlistSize: 10, payWithinMs: 5 * minuteMs, purchaseOpensAtMs };
    const saleId = await givenSale(deps, terms);
    const first = await reserving(saleId);
    const second = await reserving(saleId);
    for (let n = 2; n < 8; n++) await reserving(saleId);
    const honest = await reserving(saleId, 2);
    const deadline = purchaseOpensAtMs + 5 * minuteMs;
    expect(await deadlineOf(first)).toBe(deadline);
    const [allocated] = await told(first);
    expect(allocated?.facts.deadline).toBe(toIso(deadline));
    pass(9 * minuteMs);
    await advance(saleId);
    expect(await viewOf(first)).toMatchObject({ state: 'allocated' });
    pass(2 * minuteMs);
    expect(await buy(second)).toMatchObject({ state: 'requested' });
    await advance(saleId);
    expect(await viewOf(first)).toMatchObject({ state: 'allocated' });
    const opening = (await told(first)).find(({ kind }) => kind === 'reminder.purchase-opened');
    expect(opening?.facts.deadline).toBe(toIso(deadline));
    pass(4 * minuteMs);
    expect(await buy(first)).toMatchObject({ refused: 'deadline_passed' });
    await advance(saleId);
    expect(await viewOf(first)).toMatchObject({ state: 'expired', reason: 'deadline_passed' });
    // What a purchase is paying for is left alone.
    expect(await viewOf(second)).toMatchObject({ state: 'allocated' });
    expect(await viewOf(honest)).toMatchObject({ state: 'allocated', units: 2 });
    expect(await buy(honest)).toMatchObject({ state: 'requested' });
  });

  test('M11: the time to pay starts with the opening, moves with it, and stands still in a pause', async () => {
    const purchaseOpensAtMs = Date.now() + 10 * minuteMs;
    const terms = { payWithinMs: 5 * minuteMs, purchaseOpensAtMs, purchaseClosesAtMs: Date.now() + 5 * hourMs };
    const saleId = await givenSale(deps, terms);
    const holder = await reserving(saleId);
    const opens = instant(20 * minuteMs);
    await updateSale(deps, saleId, { purchaseOpensAt: opens });
    expect(await deadlineOf(holder)).toBe(Date.parse(opens) + 5 * minuteMs);
    pass(22 * minuteMs);
    await pauseSale(deps, saleId);
    pass(10 * minuteMs);
    await advance(saleId);
    await resumeSale(deps, saleId);
    await advance(saleId);
    expect(await viewOf(holder)).toMatchObject({ state: 'allocated' });
    pass(2 * minuteMs);
    expect(await buy(holder)).toMatchObject({ state: 'requested' });
  });

  test('M11: whoever has not paid is told once before the time to pay ends, and again if that moves', async () => {
    const purchaseOpensAtMs = Date.now() + 10 * minuteMs;
    const terms = { allotment: 3, payWithinMs: 50 * minuteMs, offerLifeMs: hourMs, purchaseOpensAtMs };
    const saleId = await givenSale(deps, { ...terms, purchaseClosesAtMs: Date.now() + 5 * hourMs });
    const [holder, paying, other] = [await reserving(saleId), await reserving(saleId), await reserving(saleId)];
    const due = async (customer: Customer) =>
      (await told(customer)).filter(({ kind }) => kind === 'reminder.payment-due');
    const deadline = purchaseOpensAtMs + 50 * minuteMs;
    pass(49 * minuteMs);
    await buy(paying);
    await advance(saleId);
    expect(await due(holder)).toEqual([]);
    pass(2 * minuteMs);
    await advance(saleId);
    await advance(saleId);
    const reminders = await due(holder);
    expect(reminders).toMatchObject([{ facts: { deadline: toIso(deadline), units: 1 } }]);
    expect(reminders[0]?.text).toMatch(
      /^Your time to pay ends soon: you can buy your 1 unit until .*; after that it goes to the next in line\.$/,
    );
    expect(await due(other)).toHaveLength(1);
    expect(await due(paying)).toEqual([]);
    expect(await deps.db.rows('SELECT sale_id FROM due_reminders WHERE sale_id = ?', [toBytes(saleId)])).toHaveLength(
      1,
    );

    await pauseSale(deps, saleId);
    pass(20 * minuteMs);
    await advance(saleId);
    await resumeSale(deps, saleId);
    await advance(saleId);
    await advance(saleId);
    const resumed = toIso(await deadlineOf(holder));
    expect(await due(holder)).toHaveLength(2);
    await rescheduleSale(deps, saleId, { shiftSeconds: 1_800, dryRun: false });
    await advance(saleId);
    expect(await due(holder)).toHaveLength(2);
    pass(30 * minuteMs);
    await advance(saleId);
    expect((await due(holder)).map(({ facts }) => facts.deadline)).toEqual([
      toIso(deadline),
      resumed,
      toIso(await deadlineOf(holder)),
    ]);
    pass(10 * minuteMs);
    await advance(saleId);
    expect(await viewOf(holder)).toMatchObject({ state: 'expired', reason: 'deadline_passed' });
    expect(await due(holder)).toHaveLength(3);
  });

  test('M11: any number of holders with one deadline are reminded, each once', async () => {
    const purchaseOpensAtMs = Date.now() + minuteMs;
    const payWithinMs = 10 * minuteMs;
    const terms = { allotment: 600, payWithinMs, offerLifeMs: hourMs, purchaseOpensAtMs };
    const saleId = await givenSale(deps, { ...terms, purchaseClosesAtMs: purchaseOpensAtMs + payWithinMs + 1 });
    const requests = Array.from({ length: 600 }, (_, index) =>
      delivered(saleId, { customerId: newId(), quantity: 1, ticket: deps.clock() * 1000 + index }),
    );
    await allocateBatch(deps, requests, soon());
    published = [];
    pass(10 * minuteMs);
    await advance(saleId);
    expect(new Set(reminded()).size).toBe(600);
    expect(reminded()).toHaveLength(600);
    published = [];
    await advance(saleId);
    expect(reminded()).toEqual([]);
  });

  test('M11: whose time to pay ends with the window is told of the close alone', async () => {
    const purchaseOpensAtMs = Date.now() + minuteMs;
    const times = { purchaseOpensAtMs, purchaseClosesAtMs: purchaseOpensAtMs + 10 * minuteMs };
    const saleId = await givenSale(deps, { payWithinMs: 10 * minuteMs, ...times });
    await reserving(saleId);
    pass(10 * minuteMs);
    await advance(saleId);
    expect(reminded()).toEqual([]);
  });

  test('M11: units allocated while the window is open have their whole time, and none lies after the close', async () => {
    const saleId = await givenSale(deps, { payWithinMs: 20 * minuteMs });
    const leftMs = (await deadlineOf(await reserving(saleId))) - deps.clock();
    expect(leftMs).toBeGreaterThan(19 * minuteMs);
    expect(leftMs).toBeLessThanOrEqual(20 * minuteMs);
    pass(50 * minuteMs);
    expect(await deadlineOf(await reserving(saleId))).toBe(await closeOf(saleId));
  });

  test('M11: nothing is offered after the cut-off', async () => {
    const saleId = await givenSale(deps, { allotment: 1, waitlistSize: 5, offerCutoffMs: 10 * minuteMs });
    const holder = await reserving(saleId);
    const waiting = await reserving(saleId);
    pass(51 * minuteMs);
    await cancelReservation(deps, holder.customerId, holder.reservationId);
    await advance(saleId);
    expect(await viewOf(waiting)).toMatchObject({ state: 'waitlisted' });
  });
});
