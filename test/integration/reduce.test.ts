/**
 * Taking fewer units than were requested, on real MySQL, Redis and SQS. After each test MySQL is compared with its ledger,
 * and the mirror with MySQL: stock, claims, and the gate's counters.
 */
import { noticesOf } from '#notification/notice.ts';
import type { Deps } from '#platform/environment/deps.ts';
import {
  type CustomerId,
  derivedId,
  type PurchaseId,
  type ReservationId,
  type SaleId,
  toBytes,
} from '#platform/kernel/ids.ts';
import { locate } from '#platform/kernel/registry.ts';
import { openTokens, type Tokens } from '#platform/security/access-token.ts';
import { requestPurchase } from '#purchase/request.ts';
import { settlePurchases } from '#purchase/settle.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { cancelDecided } from '#reservation/cancel.ts';
import { expireSale } from '#reservation/expire.ts';
import { reduceDecided } from '#reservation/reduce.ts';
import { requestReservation } from '#reservation/request.ts';
import { newId } from '#test/support/ids.ts';
import { type Answer, type Api, openApi } from '../support/api.ts';
import { withDeps } from '../support/deps.ts';
import { reconcile } from '../support/reconcile.ts';
import { delivered, givenSale, type SaleTerms, soon } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let tokens: Tokens;
/** The sales of the current test. */
let saleIds: SaleId[] = [];
/** The changes that were published. */
let published: string[] = [];

beforeAll(async () => {
  bed = await testBed();
  api = openApi();
  deps = await api.deps();
  tokens = await openTokens(locate(bed.registry, 'secret/token-signing-key'), deps.clock);
  const { publish } = deps.bus;
  deps.bus.publish = (events) => {
    published.push(...events.map((event) => event.detail));
    return publish.call(deps.bus, events);
  };
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

beforeEach(() => {
  saleIds = [];
  published = [];
});

afterEach(async () => {
  for (const saleId of saleIds) {
    const { drifts } = await reconcile(deps, saleId);
    expect(drifts).toEqual([]);
  }
});

interface Person {
  readonly customerId: CustomerId;
  readonly reservationId: ReservationId;
  readonly saleId: SaleId;
}

async function openSale(terms: Partial<SaleTerms> = {}): Promise<SaleId> {
  const allotment = terms.allotment ?? 5;
  const saleId = await givenSale(deps, { capPerCustomer: 5, waitlistSize: 10, ...terms, allotment });
  const ownId = Buffer.concat([toBytes(saleId).subarray(10), Buffer.alloc(10, 7)]);
  await deps.db.change(`INSERT INTO ledger (subject_id, kind, sale_id, units, at_ms) VALUES (?, 'ADJUST', ?, ?, 0)`, [
    ownId,
    toBytes(saleId),
    allotment,
  ]);
  saleIds.push(saleId);
  return saleId;
}

let lastTicket = 0;

/** A customer whose request is decided now, after all before. */
async function reserve(
  saleId: SaleId,
  quantity: number,
  atLeast = quantity,
  customerId: CustomerId = newId(),
): Promise<Person> {
  lastTicket = Math.max(lastTicket + 1, Date.now() * 1000);
  const request = delivered(saleId, { customerId, quantity, atLeast, ticket: lastTicket, key: newId() });
  await allocateBatch(deps, [request], soon());
  return { customerId, saleId, reservationId: request.message.reservationId };
}

async function reduce({ customerId, reservationId }: Person, quantity: unknown): Promise<Answer> {
  const token = await tokens.issue({ customerId, role: 'customer' });
  return api.call(`PATCH /reservations/${reservationId}`, { token, json: { quantity } });
}

async function viewOf({ customerId, reservationId }: Person): Promise<Answer['body']> {
  const token = await tokens.issue({ customerId, role: 'customer' });
  return (await api.call(`GET /reservations/${reservationId}`, { token })).body;
}

async function stockOf(saleId: SaleId) {
  const [row] = await deps.db.rows<Record<string, number>>(
    'SELECT available, allocated, sold, waitlisted FROM sales WHERE id = ?',
    [toBytes(saleId)],
  );
  return { ...row };
}

/** The notices that follow from the published events, each in a few words. */
function noticesFor({ customerId }: Person): string[] {
  return published.flatMap((text) => {
    const detail = JSON.parse(text);
    if (!detail.changes) return [];
    const changes = detail.changes.flatMap(({ moves, ...common }: { moves: unknown[][] }) =>
      moves.map(([reservationId, owner, units, quantity, ticket, version]) => ({
        ...{ ...common, reservationId, customerId: owner, units, quantity, ticket, version },
      })),
    );
    return noticesOf({ 'detail-type': 'reservations.changed', detail: { ...detail, changes } })
      .filter((notice) => notice.customerId === customerId)
      .map(({ kind, version, facts }) => `${kind} v${version} ${facts.units}/${facts.quantity}`);
  });
}

/** Buys a reservation; the provider's answer has not come yet. */
async function buy({ customerId, reservationId }: Person): Promise<PurchaseId> {
  const key = newId();
  const bought = await requestPurchase(deps, customerId, key, { reservationIds: [reservationId], paymentToken: 'tok' });
  expect(bought).toMatchObject({ state: 'requested' });
  return derivedId('purchase', customerId, key);
}

/** The provider says that a purchase was captured, as ordered. */
async function capture(purchaseId: PurchaseId): Promise<void> {
  const [row] = await deps.db.rows<{ amountMinor: number; currency: string }>(
    'SELECT amount_minor AS amountMinor, currency FROM purchases WHERE id = ?',
    [toBytes(purchaseId)],
  );
  const order = { amountMinor: Number(row?.amountMinor), currency: row?.currency ?? '', reference: purchaseId };
  await settlePurchases(deps, [
    { purchaseId, answer: { outcome: 'captured', chargeId: `ch_${purchaseId}`, ...order } },
  ]);
}

describe('what is set aside', () => {
  test('the difference goes to the line in the same transaction, and the rest keeps its deadline', async () => {
    const saleId = await openSale({ payWithinMs: 3_600_000 });
    const ada = await reserve(saleId, 5);
    const [bob, cem] = [await reserve(saleId, 2), await reserve(saleId, 2)];
    const before = await viewOf(ada);
    published = [];
    const { status, body } = await reduce(ada, 3);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      state: 'allocated',
      quantity: 3,
      units: 3,
      version: 2,
      fill: 'all',
      ticket: before.ticket,
    });
    expect(body.deadline).toBe(before.deadline);
    expect(await viewOf(bob)).toMatchObject({ state: 'allocated', units: 2 });
    expect(await viewOf(cem)).toMatchObject({ state: 'waitlisted', position: 1 });
    expect(await stockOf(saleId)).toEqual({ available: 0, allocated: 5, sold: 0, waitlisted: 1 });
    expect(noticesFor(ada)).toEqual(['reservation.reduced v2 3/3']);
    expect(noticesFor(bob)).toEqual(['reservation.offered v2 2/2']);
  });

  test('units that nobody waits for are available again, also to the same customer within the cap', async () => {
    const saleId = await openSale();
    const ada = await reserve(saleId, 5);
    await reduce(ada, 1);
    expect(await stockOf(saleId)).toEqual({ available: 4, allocated: 1, sold: 0, waitlisted: 0 });
    expect(await viewOf(await reserve(saleId, 4, 4, ada.customerId))).toMatchObject({ state: 'allocated', units: 4 });
    expect(await viewOf(await reserve(saleId, 1, 1, ada.customerId))).toMatchObject({ reason: 'over_cap' });
  });

  test('a reservation can be reduced again and again, and what was given back is listed as parts of it', async () => {
    const saleId = await openSale();
    const ada = await reserve(saleId, 5, 2);
    for (const quantity of [4, 2, 1])
      expect((await reduce(ada, quantity)).body).toMatchObject({ quantity, units: quantity });
    expect(await viewOf(ada)).toMatchObject({ fill: 'all', version: 4, partOf: null });
    const token = await tokens.issue({ customerId: ada.customerId, role: 'customer' });
    const { items } = (await api.call('GET /reservations', { token })).body;
    const parts = items.filter((item: { partOf: string | null }) => item.partOf === ada.reservationId);
    expect(parts.map(({ state, units }: { state: string; units: number }) => `${state} ${units}`).sort()).toEqual([
      'cancelled 1',
      'cancelled 1',
      'cancelled 2',
    ]);
    expect(await stockOf(saleId)).toEqual({ available: 4, allocated: 1, sold: 0, waitlisted: 0 });
  });

  test('of a reservation that was filled in part, only units beyond the new quantity go back', async () => {
    const saleId = await openSale({ allotment: 3 });
    const ada = await reserve(saleId, 5, 1);
    expect((await reduce(ada, 4)).body).toMatchObject({ quantity: 4, units: 3, fill: { atLeast: 1 } });
    expect((await reduce(ada, 2)).body).toMatchObject({ quantity: 2, units: 2, fill: { atLeast: 1 } });
    expect(await stockOf(saleId)).toEqual({ available: 1, allocated: 2, sold: 0, waitlisted: 0 });
  });

  test('in a pause nothing is offered; what came back reaches the line when the sale goes on', async () => {
    const saleId = await openSale();
    const [ada, bob] = [await reserve(saleId, 5), await reserve(saleId, 2)];
    const operator = await api.operator();
    await api.call(`POST /sales/${saleId}/pause`, { token: operator });
    published = [];
    expect((await reduce(ada, 3)).body).toMatchObject({ units: 3 });
    expect(await viewOf(bob)).toMatchObject({ state: 'waitlisted' });
    // In a pause no deadline runs, so none is told.
    expect(noticesFor(ada)).toEqual(['reservation.reduced v2 3/3']);
    expect(JSON.stringify(published)).not.toContain('deadlineMs');
    await api.call(`POST /sales/${saleId}/resume`, { token: operator });
    expect(await viewOf(bob)).toMatchObject({ state: 'allocated', units: 2 });
  });

  test('an offer that is reduced keeps its deadline, and expires with it', async () => {
    const saleId = await openSale({ offerLifeMs: 1_000 });
    const [ada, bob] = [await reserve(saleId, 5), await reserve(saleId, 4)];
    await cancelDecided(deps, ada.customerId, saleId, ada.reservationId);
    const { deadline } = await viewOf(bob);
    expect((await reduce(bob, 1)).body).toMatchObject({ state: 'allocated', units: 1, deadline });
    const later = withDeps(deps, { clock: () => Date.parse(deadline) });
    await expireSale(later, saleId, soon());
    expect(await viewOf(bob)).toMatchObject({ state: 'expired', units: 1 });
    expect(await stockOf(saleId)).toEqual({ available: 5, allocated: 0, sold: 0, waitlisted: 0 });
  });
});

describe('who waits', () => {
  test('keeps the place with a smaller demand', async () => {
    const saleId = await openSale();
    const [ada, bob, cem] = [await reserve(saleId, 5), await reserve(saleId, 4), await reserve(saleId, 1)];
    published = [];
    const { body } = await reduce(bob, 2);
    expect(body).toMatchObject({ state: 'waitlisted', quantity: 2, fill: 'all', position: 1, version: 2 });
    expect(noticesFor(bob)).toEqual(['reservation.reduced v2 0/2']);
    await reduce(ada, 3);
    expect(await viewOf(bob)).toMatchObject({ state: 'allocated', units: 2 });
    expect(await viewOf(cem)).toMatchObject({ state: 'waitlisted' });
  });

  test('I11: is served at once by what is available, in ticket order', async () => {
    const saleId = await openSale({ allotment: 7 });
    await reserve(saleId, 5);
    const [bob, cem] = [await reserve(saleId, 4), await reserve(saleId, 5, 3)];
    published = [];
    expect((await reduce(bob, 2)).body).toMatchObject({ state: 'allocated', quantity: 2, units: 2, version: 3 });
    expect(noticesFor(bob)).toEqual(['reservation.reduced v2 0/2', 'reservation.offered v3 2/2']);
    expect(await viewOf(cem)).toMatchObject({ state: 'waitlisted', position: 1 });
    expect(await stockOf(saleId)).toEqual({ available: 0, allocated: 7, sold: 0, waitlisted: 1 });
  });

  test('accepts fewer as well, if the minimum was more than the new quantity', async () => {
    const saleId = await openSale();
    await reserve(saleId, 5);
    const bob = await reserve(saleId, 5, 4);
    expect((await reduce(bob, 3)).body).toMatchObject({ state: 'waitlisted', quantity: 3, fill: 'all' });
    const cem = await reserve(saleId, 5, 1);
    expect((await reduce(cem, 3)).body).toMatchObject({ quantity: 3, fill: { atLeast: 1 } });
  });

  test('I4: counts less against the cap', async () => {
    const saleId = await openSale();
    await reserve(saleId, 5);
    const bob = await reserve(saleId, 5);
    await reduce(bob, 3);
    expect(await viewOf(await reserve(saleId, 2, 2, bob.customerId))).toMatchObject({ state: 'waitlisted' });
    expect(await viewOf(await reserve(saleId, 1, 1, bob.customerId))).toMatchObject({ reason: 'over_cap' });
  });
});

describe('once and for all', () => {
  test('the same quantity again changes nothing', async () => {
    const saleId = await openSale();
    const ada = await reserve(saleId, 5);
    const first = await reduce(ada, 3);
    published = [];
    expect((await reduce(ada, 3)).body).toEqual(first.body);
    expect((await reduce(await reserve(saleId, 1), 1)).body).toMatchObject({ version: 1, state: 'allocated' });
    expect(noticesFor(ada)).toEqual([]);
  });

  test('I3: the request that was reduced since is still answered under its key, and no other body is', async () => {
    const saleId = await openSale();
    const customerId = newId() as CustomerId;
    const ask = (quantity: number) =>
      requestReservation(deps, { customerId }, saleId, 'key', { quantity, fill: 'all' });
    const first = (await ask(5)) as { reservationId: ReservationId; ticket: number };
    const command = delivered(saleId, { customerId, quantity: 5, ticket: first.ticket, key: 'key' });
    await allocateBatch(deps, [command], soon());
    expect((await reduce({ customerId, saleId, reservationId: first.reservationId }, 3)).status).toBe(200);
    expect(await ask(5)).toEqual(first);
    expect(await ask(3)).toMatchObject({ refused: 'idempotency_key_reused' });
    // A redelivery of the command does not decide again.
    await allocateBatch(deps, [{ ...command, deliveries: 2 }], soon());
    expect(await viewOf({ customerId, saleId, reservationId: first.reservationId })).toMatchObject({ units: 3 });
  });

  test('what is not decided yet cannot be reduced, and says when to try again', async () => {
    const saleId = await openSale();
    const customerId = newId() as CustomerId;
    const asked = await requestReservation(deps, { customerId }, saleId, 'key', { quantity: 5, fill: 'all' });
    const { reservationId, ticket } = asked as { reservationId: ReservationId; ticket: number };
    const ada = { customerId, saleId, reservationId };
    const refused = await reduce(ada, 3);
    expect(refused).toMatchObject({ status: 409, body: { code: 'not_decided_yet' } });
    expect(refused.headers['retry-after']).toBe('1');
    await allocateBatch(deps, [delivered(saleId, { customerId, quantity: 5, ticket, key: 'key' })], soon());
    expect((await reduce(ada, 3)).body).toMatchObject({ state: 'allocated', units: 3 });
  });
});

describe('refused, and nothing changes', () => {
  const everything = async () => {
    const tables = ['sales', 'reservations', 'waitlist', 'ledger', 'outbox'];
    const rows = await deps.db.rows(`CHECKSUM TABLE ${tables.join(', ')} EXTENDED`);
    const claims = (await deps.redis.keys('*claims:*')).sort();
    return [rows, await Promise.all(claims.map((key) => deps.redis.hgetall(key)))];
  };

  async function refuses(person: Person, quantity: unknown, status: number, code: string): Promise<Answer> {
    const before = await everything();
    const answer = await reduce(person, quantity);
    expect(answer).toMatchObject({ status, body: { code } });
    expect(await everything()).toEqual(before);
    return answer;
  }

  test('an invalid quantity, or a higher one', async () => {
    const saleId = await openSale();
    const ada = await reserve(saleId, 3);
    const { text } = await refuses(ada, 0, 400, 'invalid_input');
    expect(text).toContain('DELETE');
    for (const wrong of [-1, 1.5, '2', null, 10_001]) await refuses(ada, wrong, 400, 'invalid_input');
    expect((await refuses(ada, 4, 409, 'cannot_grow')).body.quantity).toBe(3);
  });

  test("another customer's, and one that does not exist", async () => {
    const saleId = await openSale();
    const ada = await reserve(saleId, 3);
    await refuses({ ...ada, customerId: newId() }, 1, 404, 'not_found');
    await refuses({ ...ada, reservationId: newId() }, 1, 404, 'not_found');
  });

  test('what is over, bought, or being paid for', async () => {
    const saleId = await openSale();
    const [ada, bob] = [await reserve(saleId, 3), await reserve(saleId, 2)];
    await cancelDecided(deps, bob.customerId, saleId, bob.reservationId);
    await refuses(bob, 1, 409, 'already_resolved');
    const purchaseId = await buy(ada);
    await refuses(ada, 1, 409, 'purchase_in_progress');
    await capture(purchaseId);
    await refuses(ada, 1, 409, 'already_resolved');
    await refuses(ada, 3, 409, 'already_resolved');
  });
});

describe('races', () => {
  /** Runs both at the same time, many times; `check` is told what each led to. */
  async function race(
    rounds: number,
    run: (ada: Person, saleId: SaleId) => [Promise<unknown>, Promise<unknown>],
    check: (ada: Person, saleId: SaleId, outcomes: unknown[]) => Promise<void>,
  ): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      const saleId = await openSale({ offerLifeMs: 60_000 });
      const ada = await reserve(saleId, 5);
      await reserve(saleId, 2);
      await check(ada, saleId, await Promise.all(run(ada, saleId)));
    }
  }

  test('against a purchase: either it is reduced before and bought as it then is, or refused', async () => {
    await race(
      8,
      (ada) => [buy(ada), reduceDecided(deps, ada.customerId, ada.saleId, ada.reservationId, 3)],
      async (ada, saleId, [purchaseId, reduced]) => {
        await capture(purchaseId as PurchaseId);
        const units = 'refused' in (reduced as object) ? 5 : 3;
        expect(await viewOf(ada)).toMatchObject({ state: 'purchased', units });
        const [item] = await deps.db.rows<{ units: number }>('SELECT units FROM purchase_items WHERE purchase_id = ?', [
          toBytes(purchaseId as string),
        ]);
        expect(item?.units).toBe(units);
        expect(await stockOf(saleId)).toMatchObject({ sold: units, allocated: units === 5 ? 0 : 2 });
      },
    );
  });

  test('against the end of the window: whichever is first, every unit comes back once', async () => {
    await race(
      8,
      (ada, saleId) => [
        expireSale(withDeps(deps, { clock: () => Date.now() + 7_200_000 }), saleId, soon() + 7_200_000),
        reduceDecided(deps, ada.customerId, saleId, ada.reservationId, 3),
      ],
      async (ada, saleId) => {
        expect((await viewOf(ada)).state).toBe('expired');
        expect(await stockOf(saleId)).toMatchObject({ sold: 0, waitlisted: 0 });
      },
    );
  });

  test('two at once: the lower quantity stands, or the higher was refused', async () => {
    await race(
      8,
      (ada, saleId) => [
        reduceDecided(deps, ada.customerId, saleId, ada.reservationId, 4),
        reduceDecided(deps, ada.customerId, saleId, ada.reservationId, 2),
      ],
      async (ada, saleId, [higher]) => {
        expect(await viewOf(ada)).toMatchObject({
          quantity: 2,
          units: 2,
          version: 'refused' in (higher as object) ? 2 : 3,
        });
        expect(await stockOf(saleId)).toEqual({ available: 1, allocated: 4, sold: 0, waitlisted: 0 });
      },
    );
  });
});

test('I1, I4 and I11: whatever many customers reduce, cancel and ask, in any order, adds up', async () => {
  const saleId = await openSale({ allotment: 30, waitlistSize: 50 });
  // A generator of its own, so that a failure can be repeated.
  let seed = 20_261_129;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const people: Person[] = [];
  for (let step = 0; step < 120; step++) {
    const one = people[random(people.length)];
    const act = random(10);
    if (act < 4 || !one) {
      const quantity = 1 + random(5);
      people.push(await reserve(saleId, quantity, 1 + random(quantity)));
    } else if (act < 9) {
      await reduceDecided(deps, one.customerId, saleId, one.reservationId, 1 + random(4));
    } else {
      await cancelDecided(deps, one.customerId, saleId, one.reservationId);
    }
    const [row] = await deps.db.rows<{ available: number; held: string | null; least: number | null }>(
      `SELECT s.available,
         (SELECT SUM(units) FROM reservations WHERE sale_id = s.id AND state = 'allocated') AS held,
         (SELECT MIN(at_least) FROM reservations WHERE sale_id = s.id AND state = 'waitlisted') AS least
       FROM sales s WHERE s.id = ?`,
      [toBytes(saleId)],
    );
    expect(Number(row?.available) + Number(row?.held ?? 0)).toBe(30);
    expect(row?.least ?? Number.POSITIVE_INFINITY).toBeGreaterThan(Number(row?.available));
  }
  const [asked] = await deps.db.rows<{ wrong: number }>(
    `SELECT COUNT(*) AS wrong FROM reservations r WHERE sale_id = ? AND part_of IS NULL AND COALESCE(asked_quantity, quantity) <
       units + (SELECT COALESCE(SUM(units), 0) FROM reservations p WHERE p.part_of = r.id)`,
    [toBytes(saleId)],
  );
  expect(asked?.wrong).toBe(0);
});
