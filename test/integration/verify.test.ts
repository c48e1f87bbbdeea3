/**
 * The verifier: a consistent world passes, and every defect is reported under the invariant that it breaks.
 */
import { SendMessageCommand } from '@aws-sdk/client-sqs';
import type { RequestLine, SaleAct, SeenTerms } from '#load/log.ts';
import type { InvariantName } from '#load/verify/tally.ts';
import type { Target } from '#load/verify/target.ts';
import { type Verification, verify } from '#load/verify.ts';
import { sqsClient } from '#local/aws-resources.ts';
import { customerField, reservationField } from '#mirror/claims.ts';
import type { ReservationId } from '#platform/kernel/ids.ts';
import { derivePartId } from '#reservation/reservation-id.ts';
import { newId } from '#test/support/ids.ts';
import { type TestBed, testBed } from '../support/stack.ts';
import { StripeDouble } from '../support/stripe-double.ts';
import { type Method, TossDouble } from '../support/toss-double.ts';
import {
  closedSale,
  customers,
  mirrorPlace,
  openSale,
  openWorld,
  pauseOf,
  purchases,
  reservations,
  type World,
} from '../support/verified-world.ts';

let bed: TestBed;
let world: World;

beforeAll(async () => {
  bed = await testBed({ rules: false });
  world = await openWorld(bed);
});

afterAll(async () => {
  await world?.close();
  await bed?.close();
});

beforeEach(() => world.reset());

function look(): Promise<Verification> {
  return verify(world.target, { logs: [world.writeLog()], quietTimeoutMs: 300, stillForMs: 0 });
}

const bytes = (id: string) => Buffer.from(id.replaceAll('-', ''), 'hex');
const change = (sql: string, ...values: unknown[]) => world.sql.query(sql, values);

test('a consistent world passes, and every invariant was checked', async () => {
  const result = await look();
  expect(Object.values(result.invariants).flatMap((one) => one.examples)).toEqual([]);
  expect(result.unchecked).toEqual([]);
  expect(result.quiet.moving).toEqual([]);
  expect(result.holds).toBe(true);
  expect(result.counts).toMatchObject({ sales: 2, accepted: 8, repeats: 8, purchases: 3, captures: 2, refunds: 1 });
  expect(result.latencyMs.accept).toMatchObject({ count: 8, p50: 11, max: 11 });
  expect(result.latencyMs.acceptToDecision.p99).toBe(40);
});

/** Says that an operator has granted so many units of a reservation. */
const grantedIs = (id: string, units: number) =>
  change(
    "INSERT INTO grants (reservation_id, sale_id, units, reason, granted_at_ms) VALUES (?, ?, ?, 'promised', 1)",
    bytes(id),
    bytes(openSale),
    units,
  );

test('I11: whom an operator granted units may have passed the line, and nobody else', async () => {
  const passes = () =>
    change(
      'UPDATE ledger SET at_ms = at_ms + 60000 WHERE kind = ? AND subject_id = ?',
      'ALLOCATE',
      bytes(reservations.offered),
    );
  await passes();
  const passed = (await look()).invariants.I11.examples;
  expect(passed.join()).toMatch(/was given units before/);
  const [, id = ''] = /reservation (\S+) was given/.exec(passed[0] ?? '') ?? [];
  const [rows] = await change('SELECT units FROM ledger WHERE kind = ? AND subject_id = ?', 'ALLOCATE', bytes(id));
  const [{ units } = { units: 0 }] = rows as { units: number }[];
  await grantedIs(id, units);
  const { invariants, counts } = await look();
  expect([invariants.I11.examples, counts.grants]).toEqual([[], 1]);
});

describe('the books of Stripe and of Toss Payments', () => {
  const stripe = new StripeDouble();
  const toss = new TossDouble();
  let target: Target;

  beforeAll(async () => {
    const [stripeAt, tossAt] = await Promise.all([stripe.start(), toss.start()]);
    target = { ...world.target, stripe: stripeAt.href, toss: tossAt.href };
  });

  afterAll(() => Promise.all([stripe.stop(), toss.stop()]));

  const examples = async () => {
    const { invariants } = await verify(target, { logs: [world.writeLog()], quietTimeoutMs: 300, stillForMs: 0 });
    return [...invariants.I7.examples, ...invariants.I13.examples].join();
  };

  /** Pays for a purchase at Stripe; the charge is declined, or its id is returned. */
  async function payAtStripe(id: string, amount: number, method = 'pm_card_visa'): Promise<string> {
    const form = { currency: 'eur', confirm: 'true', payment_method: method, 'metadata[reference]': id };
    await fetch(new URL('/v1/payment_intents', new URL(target.stripe ?? '').origin), {
      method: 'POST',
      headers: { authorization: `Bearer ${stripe.apiKey}`, 'idempotency-key': newId() },
      body: new URLSearchParams({ ...form, amount: String(amount) }),
    });
    return stripe.intentOf(id).id;
  }

  /** Pays for a purchase at Toss, or opens an account for that. */
  async function payAtToss(id: string, amount: number, method: Method = 'card'): Promise<string> {
    const paymentKey = toss.allow(id, amount, method, 'EUR');
    await fetch(new URL('/v1/payments/confirm', new URL(target.toss ?? '').origin), {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${toss.secretKey}:`)}`, 'idempotency-key': newId() },
      body: JSON.stringify({ paymentKey, orderId: id, amount }),
    });
    return paymentKey;
  }

  /** What nobody has paid for. */
  async function abandon(provider: 'stripe' | 'toss'): Promise<void> {
    if (provider === 'stripe') await payAtStripe(newId(), 100, 'pm_card_visa_chargeDeclinedInsufficientFunds');
    else toss.cancelByHand(await payAtToss(newId(), 100, 'account'), 100);
  }

  test.each(['stripe', 'toss'] as const)('are compared like the sandbox’s: %s', async (provider) => {
    stripe.clear();
    toss.clear();
    const [charge] = world.books.charges;
    if (!charge) throw new Error('the world has no charge');
    expect(await examples()).toBe('');
    // More than a page of others, whom nobody has paid.
    const pay = provider === 'stripe' ? payAtStripe : payAtToss;
    const chargeId = await pay(purchases.captured, charge.amountMinor);
    for (let count = 0; count < 120; count++) await abandon(provider);
    expect(await examples()).toMatch(/was captured 2 times/);
    // It is the only charge: then it must be at the purchase's own provider.
    world.books.charges.shift();
    await change('UPDATE purchases SET charge_id = ? WHERE id = ?', chargeId, bytes(purchases.captured));
    expect(await examples()).toMatch(new RegExp(`is at ${provider}, its purchase \\S+ at sandbox`));
    await change('UPDATE purchases SET provider = ? WHERE id = ?', provider, bytes(purchases.captured));
    expect(await examples()).toBe('');
    for (let times = 0; times < 2; times++) {
      if (provider === 'toss') toss.cancelByHand(chargeId, 1);
      else stripe.refundByHand(stripe.intentOf(purchases.captured), 1);
    }
    expect(await examples()).toMatch(/the provider refunded 1,1 of charge/);
  });
});

test('a log without anything to check proves nothing', async () => {
  world.log = [];
  await change('DELETE FROM reservations');
  await change('DELETE FROM ledger');
  await change('DELETE FROM notifications');
  await change('DELETE FROM purchases');
  const result = await look();
  expect(result.unchecked).toContain('I4');
  expect(result.holds).toBe(false);
});

test('what does not come to rest is named', async () => {
  await change("INSERT INTO outbox SET id = ?, detail_type = 'x', detail = '{}', created_at_ms = 1", bytes(openSale));
  const result = await look();
  expect(result.quiet).toMatchObject({ reached: false, moving: ['1 events in the outbox'] });
  expect(result.holds).toBe(false);
});

/** One of the four units that were bought was refunded, and so split off. */
async function refundOneUnit(): Promise<{ partId: ReservationId }> {
  const [customerId] = customers;
  const partId = derivePartId(closedSale, { reservationId: reservations.purchased, version: 2 });
  const [part, whole, sale] = [partId, reservations.purchased, closedSale].map(bytes);
  await change(
    `INSERT INTO reservations (id, sale_id, customer_id, nth, ticket, quantity, at_least, state, units, purchase_id, version,
       accepted_at_ms, decided_at_ms, part_of)
     SELECT ?, sale_id, customer_id, -1, ticket, 1, 1, 'refunded', 1, purchase_id, 1, accepted_at_ms, decided_at_ms, id
     FROM reservations WHERE id = ?`,
    part,
    whole,
  );
  await change(
    `UPDATE reservations SET quantity = 3, units = 3, asked_quantity = 4, asked_at_least = at_least, version = 3
     WHERE id = ?`,
    whole,
  );
  await change(
    "INSERT INTO ledger SET subject_id = ?, kind = 'RELEASE', sale_id = ?, units = 1, at_ms = 1",
    part,
    sale,
  );
  await change('UPDATE sales SET sold = sold - 1, available = available + 1 WHERE id = ?', sale);
  await change(
    `INSERT INTO refunds (purchase_id, refund_key, amount_minor, state, reason, releases, refusals, created_at_ms,
       updated_at_ms) SELECT purchase_id, 'part', price_minor, 'refunded', 'ordered', ?, 0, 0, 0
     FROM purchase_items WHERE reservation_id = ? AND purchase_id = ?`,
    JSON.stringify([[reservations.purchased, 1]]),
    whole,
    bytes(purchases.captured),
  );
  const [price] = world.books.refunds;
  if (!price) throw new Error('the world has no refund');
  world.books.refunds.push({ ...price, id: 're_part', chargeId: 'ch_captured', amountMinor: price.amountMinor / 2 });
  const told: [Buffer, number, string][] = [
    [whole as Buffer, 3, 'reservation.reduced'],
    [part as Buffer, 1, 'reservation.refunded'],
    [bytes(purchases.captured), 3, 'purchase.refunded-in-part'],
  ];
  for (const [id, version, kind] of told) {
    await change('INSERT INTO notifications SET ?', {
      ...{ id: bytes(newId()), subject_id: id, version, kind, customer_id: bytes(customerId) },
      ...{ facts: '{}', created_at_ms: Date.now() },
    });
  }
  const key = `sale:{${closedSale.slice(-12)}}`;
  await world.redis.hincrby(key, 'sold', -1);
  await world.redis.hincrby(key, 'available', 1);
  const [bucket, field] = mirrorPlace('purchased');
  const [, , , , , ticket] = ((await world.redis.hget(bucket, field)) ?? '').split(':');
  await world.redis.hset(bucket, field, `p:3:3:3:1:${ticket}:3`);
  await world.redis.hset(bucket, reservationField(partId, customerId), `f:1:1:1::${ticket}:0`);
  await world.redis.hincrby(bucket, customerField(customerId), -1);
  return { partId };
}

test('a purchase of which some units were refunded is consistent', async () => {
  await refundOneUnit();
  const result = await look();
  expect(Object.values(result.invariants).flatMap((one) => one.examples)).toEqual([]);
  expect(result.holds).toBe(true);
});

const request = (more: Partial<RequestLine>): RequestLine => ({
  ...{ type: 'request', op: 'reserve', scheduledMs: 0, sentMs: 0, answeredMs: 1, status: 202, saleId: openSale },
  ...more,
});

const iso = (atMs: number) => new Date(atMs).toISOString();
const timesOf = (sale: string) => {
  const times = world.times[sale];
  if (!times) throw new Error(`sale ${sale} has no times`);
  return times;
};

/** What the operator's log says of an act on a sale. */
function acted(sale: string, act: SaleAct): RequestLine & { terms: SeenTerms } {
  const line = world.log.find((one) => one.type === 'request' && one.saleId === sale && one.act === act);
  if (line?.type !== 'request' || !line.terms) throw new Error(`nobody did ${act} to ${sale}`);
  return { ...line, terms: line.terms };
}

/** Logs another act of an operator on the closed sale, after its creation. */
function addAct(act: SaleAct, atMs: number, terms: Partial<SeenTerms>): void {
  const created = acted(closedSale, 'create');
  const times = { scheduledMs: atMs, sentMs: atMs, firstSentMs: atMs, answeredMs: atMs + 10 };
  world.log.push({ ...created, act, ...times, terms: { ...created.terms, ...terms } });
}

/** A refund of one cent of the purchase that was captured, in both books. */
async function refundOneCent(): Promise<void> {
  world.books.refunds.push({ id: 're_cent', chargeId: 'ch_captured', amountMinor: 1, currency: 'EUR' });
  await change(
    `INSERT INTO refunds (purchase_id, refund_key, amount_minor, state, reason, releases, refusals, created_at_ms,
       updated_at_ms) VALUES (?, 'part', 1, 'refunded', '', '', 0, 0, 0)`,
    bytes(purchases.captured),
  );
}

/** A copy of a notice, of another version and kind or of the same. */
const copyNotice = (subject: string, kind: string, changed: { version?: string; kind?: string; round?: number }) =>
  change(
    `INSERT INTO notifications (id, customer_id, subject_id, version, kind, round, facts, created_at_ms)
     SELECT UNHEX(REVERSE(HEX(id))), customer_id, subject_id, ${changed.version ?? 'version'}, ?, ${changed.round ?? 'round'},
       facts, created_at_ms FROM notifications WHERE subject_id = ? AND kind = ?`,
    changed.kind ?? kind,
    bytes(subject),
    kind,
  );

/** Defects of split reservations, by the invariant that each breaks. */
const faultsOfParts: [InvariantName, string, (partId: ReservationId) => unknown][] = [
  ['I3', 'a part whose units never returned', (id) => change('DELETE FROM ledger WHERE subject_id = ?', bytes(id))],
  [
    'I3',
    'a part with more units than the whole lost',
    (id) => change('UPDATE reservations SET quantity = 2, units = 2 WHERE id = ?', bytes(id)),
  ],
  [
    'I3',
    'a part of nothing',
    (id) => change('UPDATE reservations SET part_of = ? WHERE id = ?', bytes(newId()), bytes(id)),
  ],
  ['I5', 'a part that nobody was told of', (id) => change('DELETE FROM notifications WHERE subject_id = ?', bytes(id))],
  [
    'I7',
    'fewer units returned than were to',
    () => change("UPDATE refunds SET releases = REPLACE(releases, '1]', '2]') WHERE refund_key = 'part'"),
  ],
  [
    'I7',
    'a part of another purchase',
    (id) => change('UPDATE reservations SET purchase_id = ? WHERE id = ?', bytes(newId()), bytes(id)),
  ],
];

test.each(faultsOfParts)('%s notices %s', async (name, _, breakIt) => {
  const { partId } = await refundOneUnit();
  await breakIt(partId);
  const result = await look();
  expect(result.invariants[name].violations).toBeGreaterThan(0);
  expect(result.holds).toBe(false);
});

/** Somebody who has something in both sales, and somebody else who has something in the one that is open. */
const [ada, bob] = customers;

/** What an account shows of the person whose it is. */
interface Shows {
  readonly sinceMs: number | null;
  readonly email?: string;
  readonly externalId?: string;
}

/** Has both sales count by person, and gives accounts to some of those who have something of them. */
async function countsBy(capPer: 'contact' | 'externalId', accounts: Record<string, Shows>): Promise<void> {
  await change('UPDATE sales SET cap_per = ? WHERE id IN (?, ?)', capPer, bytes(openSale), bytes(closedSale));
  await change('DELETE FROM customers');
  for (const [customerId, { sinceMs, email = `${customerId}@example.com`, externalId = null }] of Object.entries(
    accounts,
  )) {
    await change(
      `INSERT INTO customers SET id = ?, email = ?, name = 'Ada', password_hash = 'none', role = 'customer',
         contact_since_ms = ?, external_id = ?, external_since_ms = ?, created_at_ms = 1`,
      bytes(customerId),
      email,
      capPer === 'contact' ? sinceMs : null,
      externalId,
      capPer === 'externalId' ? sinceMs : null,
    );
  }
}

/** Has both sales count by person, and lets each have as much as the one who has most; two accounts show the same person. */
async function countsTwice(
  capPer: 'contact' | 'externalId',
  one: Partial<Shows>,
  other: Partial<Shows>,
): Promise<void> {
  await change('UPDATE sales SET cap_per_customer = 7');
  await countsBy(capPer, { [ada]: { sinceMs: 0, ...one }, [bob]: { sinceMs: 0, ...other } });
}

test('a sale that counts by person may have two persons, and an account whose external id was changed later', async () => {
  await countsBy('contact', {
    [ada]: { sinceMs: 0, email: 'ada@example.com' },
    [bob]: { sinceMs: 1, email: '"ada+two"@example.com' },
  });
  expect((await look()).invariants.I4.examples).toEqual([]);
  // The trail cannot be taken back, so it tells of somebody of whom no other test does.
  const eve = newId();
  await change('UPDATE reservations SET customer_id = ? WHERE customer_id = ?', bytes(eve), bytes(ada));
  await countsBy('externalId', { [eve]: { sinceMs: null }, [bob]: { sinceMs: 0, externalId: 'Member-1' } });
  expect((await look()).invariants.I4.examples).toHaveLength(2);
  await change(
    `INSERT INTO operator_acts SET id = ?, at_ms = ?, act = 'POST /ops/customers/{customerId}/external-id', subject_id = ?,
       asked = '{}'`,
    bytes(newId()),
    Date.now(),
    bytes(eve),
  );
  expect((await look()).invariants.I4.examples).toEqual([]);
});

/** What breaks the world and, where several checks might notice it, the message of the check in question. */
type Fault = (() => unknown) | { breakIt: () => unknown; says: RegExp };

/** Defects, by the invariant that each breaks. */
const faults: Record<InvariantName, Record<string, Fault>> = {
  I1: {
    'a sale that counts fewer units as allocated than its reservations do': () =>
      change('UPDATE sales SET allocated = allocated - 1, available = available + 1 WHERE id = ?', bytes(openSale)),
    'an allotment that the ledger does not know': () =>
      change('UPDATE sales SET allotment = allotment + 1, available = available + 1 WHERE id = ?', bytes(openSale)),
    'a unit that was sold twice, as a client was shown it': () => {
      const stock = { saleId: openSale, epoch: 1, version: 9, allotment: 20, available: 16, allocated: 5, sold: 0 };
      world.log.push(request({ op: 'sale', status: 200, stocks: [{ ...stock, waitlisted: 1 }] }));
    },
  },
  I2: {
    'a reservation that is gone': async () => {
      await change('DELETE FROM reservations WHERE id = ?', bytes(reservations.rejected));
      await change('DELETE FROM notifications WHERE subject_id = ?', bytes(reservations.rejected));
    },
    'a purchase that is gone': async () => {
      world.log.push(request({ op: 'buy', purchaseId: '44444444-4444-8444-8444-444444444444', reservationIds: [] }));
    },
    'a reservation whose sale is over and that still waits': () =>
      change("UPDATE reservations SET state = 'waitlisted' WHERE id = ?", bytes(reservations.expired)),
    'an answer that was taken back': () => {
      const seen = { reservationId: reservations.rejected, state: 'allocated', version: 1, units: 1 };
      world.log.push(request({ op: 'reservation', status: 200, reservations: [seen] }));
    },
    'a reservation of another size than was asked for': () =>
      change('UPDATE reservations SET quantity = quantity + 1 WHERE id = ?', bytes(reservations.waitlisted)),
  },
  I3: {
    'a movement that was made without its state': () =>
      change(
        "INSERT INTO ledger SELECT subject_id, 'RELEASE', sale_id, units, at_ms FROM ledger WHERE subject_id = ?",
        bytes(reservations.allocated),
      ),
    'a movement of other units': () =>
      change('UPDATE ledger SET units = units + 1 WHERE subject_id = ?', bytes(reservations.cancelled)),
    'a key that became two reservations': () => {
      world.log.push({ ...world.accepted('allocated'), reservationId: reservations.offered });
    },
    'a reservation with two tickets': () => {
      world.log.push({ ...world.accepted('allocated'), ticket: 5 });
    },
    'a ticket that is not the one that was given': () =>
      change('UPDATE reservations SET ticket = ticket + 1 WHERE id = ?', bytes(reservations.purchased)),
    'a key that was accepted for another request': () => {
      world.log.push({ ...world.accepted('allocated'), quantity: 9 });
    },
    'a reservation without a request': () => {
      world.log = world.log.filter(
        (line) => !('reservationId' in line) || line.reservationId !== reservations.rejected,
      );
    },
  },
  I4: {
    'more than the cap': () => change('UPDATE sales SET cap_per_customer = 6 WHERE id = ?', bytes(openSale)),
    'who has no contact, where one counts': {
      breakIt: () => countsBy('contact', { [ada]: { sinceMs: null } }),
      says: /counts by contact, with one since null/,
    },
    'whose contact was another’s when the sale was made': {
      breakIt: () => countsBy('contact', { [ada]: { sinceMs: Date.now() } }),
      says: /counts by contact, with one since \d+/,
    },
    'two accounts of one contact, however it is spelled': {
      breakIt: () => countsTwice('contact', { email: 'ada@example.com' }, { email: 'ada+two@example.com' }),
      says: /2 accounts of one person have 10 units .*ada@example.com; the cap is 7/,
    },
    'who has no external id, where one counts': {
      breakIt: () => countsBy('externalId', { [ada]: { sinceMs: null } }),
      says: /counts by externalId, with one since null/,
    },
    'whose external id was another’s when the sale was made': {
      breakIt: () => countsBy('externalId', { [ada]: { sinceMs: Date.now(), externalId: 'member-1' } }),
      says: /counts by externalId, with one since \d+/,
    },
    'two accounts of one external id': {
      breakIt: () => countsTwice('externalId', { externalId: 'member-1' }, { externalId: 'member-1' }),
      says: /2 accounts of one person have 10 units .*member-1; the cap is 7/,
    },
  },
  I5: {
    'a transition without a notice': () =>
      change('DELETE FROM notifications WHERE subject_id = ? AND version = 1', bytes(reservations.cancelled)),
    'a transition that was told twice, in different words': () =>
      change(
        `INSERT INTO notifications (id, customer_id, subject_id, version, kind, facts, created_at_ms, read_at_ms)
         SELECT UNHEX(REVERSE(HEX(id))), customer_id, subject_id, version, 'reservation.expired', facts,
           created_at_ms, read_at_ms FROM notifications WHERE subject_id = ? AND version = 2`,
        bytes(reservations.cancelled),
      ),
    'a notice that went to another customer': () =>
      change(
        'UPDATE notifications SET customer_id = ? WHERE subject_id = ?',
        bytes(customers[3]),
        bytes(reservations.allocated),
      ),
    'a place in line that was told to somebody who does not wait': {
      breakIt: () => copyNotice(reservations.allocated, 'reminder.paused', { kind: 'reminder.moved-up' }),
      says: /was told a place in line at version 1, when it did not wait/,
    },
    'a refund of a part without a notice': { breakIt: refundOneCent, says: /captured with 1 refunds/ },
    'a purchase without a notice': () =>
      change('DELETE FROM notifications WHERE subject_id = ?', bytes(purchases.captured)),
    'a push that was shown after a newer one': () => {
      const pushes = world.log.filter((line) => line.type === 'push');
      const older = pushes.find((line) => line.subjectId === reservations.offered && line.version === 1);
      if (older) world.log.push(older);
    },
    'a notice that a list showed twice': () => {
      const notice = {
        notificationId: 'n',
        subjectId: reservations.allocated,
        version: 1,
        kind: 'reservation.allocated',
      };
      world.log.push(request({ op: 'notifications', status: 200, notices: [notice, notice] }));
    },
  },
  I6: {
    'stock that was falsified': () => world.redis.hset(`sale:{${openSale.slice(-12)}}`, 'available', 99),
    'terms that are out of date': () => world.redis.hset(`sale:{${openSale.slice(-12)}}`, 'cap', 99),
    'a reservation that the mirror has lost': () => world.redis.hdel(...mirrorPlace('purchased')),
    'a reservation in an older state': async () => {
      const [key, field] = mirrorPlace('purchased');
      await world.redis.hset(key, field, String(await world.redis.hget(key, field)).replace('p:2', 'a:1'));
    },
    'an orphaned claim': () => world.redis.hset(mirrorPlace('allocated')[0], 'AAAAAAAAAAAA', 'r:0:0:1:1:1:1'),
    'a gate with a stale count of pending requests': () =>
      world.redis.hset(`sale:{${openSale.slice(-12)}}`, 'pendingUnits', 3),
    'a version that fell, as a client was shown it': () => {
      const seen = { reservationId: reservations.cancelled, state: 'allocated', version: 1, units: 3 };
      const late = Date.now() + 60_000;
      world.log.push(request({ op: 'reservation', status: 200, sentMs: late, answeredMs: late, reservations: [seen] }));
    },
  },
  I7: {
    'a purchase that was charged twice': () => {
      const [charge] = world.books.charges;
      if (charge) world.books.charges.push({ ...charge, id: 'ch_again' });
    },
    'a charge without a purchase': () => {
      const charge = { id: 'ch_x', idempotencyKey: openSale, amountMinor: 1, currency: 'EUR', status: 'captured' };
      world.books.charges.push(charge);
    },
    'a charge that was not refunded': () => {
      world.books.refunds = [];
    },
    'a charge of another amount': () => {
      const [charge] = world.books.charges;
      if (charge) charge.amountMinor += 1;
    },
    'a purchase that was never charged': () => {
      world.books.charges.shift();
    },
    'a declined purchase that was charged': () => {
      const charge = world.books.charges.at(-1);
      if (charge) charge.status = 'captured';
    },
    'a purchase that was charged by another provider than its own': () =>
      change("UPDATE purchases SET provider = 'stripe' WHERE id = ?", bytes(purchases.captured)),
    'a purchase that was charged by another provider than its sale names': () =>
      change("UPDATE sales SET payment_provider = 'toss' WHERE id = ?", bytes(closedSale)),
    'a bought reservation whose purchase was declined': () =>
      change(
        'UPDATE reservations SET purchase_id = ? WHERE id = ?',
        bytes(purchases.declined),
        bytes(reservations.purchased),
      ),
    'a unit at another price': () => change('UPDATE purchase_items SET price_minor = 999'),
  },
  I8: {
    'a reservation that was accepted after the close': () =>
      change(
        'UPDATE reservations SET accepted_at_ms = ? WHERE id = ?',
        world.times[closedSale]?.closes,
        bytes(reservations.purchased),
      ),
    'a reservation in a sale that is still a draft': () => change('UPDATE sales SET public_from_ms = NULL'),
    'a request that was sent after the close and accepted': () => {
      const late = (world.times[closedSale]?.closes ?? 0) + 5;
      for (const line of world.log) {
        if (line.type === 'request' && line.reservationId === reservations.cancelled) line.sentMs = late;
      }
    },
    'a request that was answered before the opening and accepted': () => {
      world.accepted('allocated').answeredMs = (world.times[openSale]?.opens ?? 0) - 1;
    },
    'a request that was refused as too late within the window': () => {
      const sentMs = (world.times[openSale]?.opens ?? 0) + 100;
      world.log.push(request({ status: 409, code: 'sale_closed', key: 'k', sentMs, answeredMs: sentMs + 1 }));
    },
    'a purchase that was ordered before its window': () =>
      change(
        'UPDATE purchases SET created_at_ms = ? WHERE id = ?',
        (world.times[closedSale]?.purchaseOpens ?? 0) - 1,
        bytes(purchases.captured),
      ),
    'a purchase within the window as it is now, and not as it was announced then': {
      breakIt: () => {
        const { purchaseOpens } = timesOf(closedSale);
        const created = acted(closedSale, 'create').terms;
        addAct('reschedule', purchaseOpens + 30_000, { ...created, version: 4 });
        created.purchaseClosesAt = iso(purchaseOpens + 1_000);
      },
      says: /purchase .* outside the window/,
    },
    'a purchase that was ordered in a pause': {
      breakIt: () => {
        const { purchaseOpens } = timesOf(closedSale);
        const pausedAt = iso(purchaseOpens + 3_000);
        addAct('pause', purchaseOpens + 3_000, { version: 4, status: 'paused', pausedAt, clockStandsAt: pausedAt });
        addAct('resume without giving back', purchaseOpens + 8_000, { version: 5 });
      },
      says: /paused or called off/,
    },
    'a purchase in a sale that had been called off': {
      breakIt: async () => {
        addAct('cancel', timesOf(closedSale).purchaseOpens + 1_000, { version: 4, status: 'cancelled' });
        await change("UPDATE sales SET status = 'cancelled' WHERE id = ?", bytes(closedSale));
      },
      says: /paused or called off/,
    },
  },
  I11: {
    'somebody who waits while there are units': async () => {
      await change('UPDATE sales SET allotment = 6, available = 1 WHERE id = ?', bytes(openSale));
      await change('UPDATE ledger SET units = 6 WHERE kind = ? AND sale_id = ?', 'ADJUST', bytes(openSale));
    },
    'somebody who was offered units while another waited in front': () =>
      change(
        'UPDATE ledger SET at_ms = at_ms + 60000 WHERE kind = ? AND subject_id = ?',
        'ALLOCATE',
        bytes(reservations.offered),
      ),
    'a grant of units that nobody was given': {
      breakIt: () => grantedIs(reservations.offered, 77),
      says: /said to have been granted 77 units/,
    },
  },
  I12: {
    'a reservation that expired before the time that its owner was told': () =>
      change(
        `UPDATE notifications SET facts = JSON_OBJECT('deadline', '2099-01-01T00:00:00.000Z')
         WHERE subject_id = ? AND version = 1`,
        bytes(reservations.expired),
      ),
    'a deadline that was brought forward without a notice': {
      breakIt: () =>
        change(
          'UPDATE reservations SET deadline_ms = ? WHERE id = ?',
          timesOf(openSale).purchaseOpens,
          bytes(reservations.allocated),
        ),
      says: /can be bought until/,
    },
    'a deadline after the close': {
      breakIt: () =>
        change(
          "UPDATE notifications SET facts = JSON_OBJECT('deadline', ?) WHERE subject_id = ? AND version = 1",
          iso(timesOf(closedSale).purchaseCloses + 1),
          bytes(reservations.cancelled),
        ),
      says: /after the close/,
    },
    'a reservation that expired in a pause': {
      breakIt: () =>
        change(
          "UPDATE notifications SET kind = 'reservation.expired', facts = '{}', created_at_ms = ? WHERE subject_id = ?",
          pauseOf(timesOf(openSale)).fromMs + 30_000,
          bytes(reservations.rejected),
        ),
      says: /while its sale was paused/,
    },
    'a window that opened in a pause': {
      breakIt: () =>
        change(
          "UPDATE notifications SET created_at_ms = ? WHERE kind = 'reminder.purchase-opened' AND subject_id = ?",
          pauseOf(timesOf(openSale)).fromMs + 30_000,
          bytes(reservations.offered),
        ),
      says: /while its sale was paused/,
    },
    'a pause that was not given back': {
      breakIt: async () => {
        const { terms } = acted(openSale, 'resume');
        terms.purchaseClosesAt = acted(openSale, 'pause').terms.purchaseClosesAt;
        await change(
          'UPDATE sales SET purchase_closes_at_ms = ? WHERE id = ?',
          Date.parse(terms.purchaseClosesAt),
          bytes(openSale),
        );
      },
      says: /was resumed, and times moved by/,
    },
    'a pause of which somebody who waits was not told': {
      breakIt: () =>
        change(
          "DELETE FROM notifications WHERE kind = 'reminder.paused' AND subject_id = ?",
          bytes(reservations.waitlisted),
        ),
      says: /reminder.paused of version 5 0 times/,
    },
    'a pause of which somebody was told twice': {
      breakIt: () => copyNotice(reservations.waitlisted, 'reminder.paused', { version: 'version + 1' }),
      says: /reminder.paused of version 5 2 times/,
    },
    'a buyer who was not told that the sale was called off': {
      breakIt: () =>
        change(
          "INSERT INTO cancellations (sale_id, refunds, called_off_at_ms, swept_at_ms) VALUES (?, 'keep', ?, ?)",
          bytes(closedSale),
          Date.now(),
          Date.now(),
        ),
      says: /was told 0 times that the sale was called off/,
    },
    'a change that was told and never made': {
      breakIt: () => copyNotice(reservations.allocated, 'reminder.paused', { kind: 'reminder.rescheduled' }),
      says: /nothing had changed/,
    },
    'a window that opened without a word to somebody who can buy': {
      breakIt: () =>
        change(
          "DELETE FROM notifications WHERE kind = 'reminder.purchase-opened' AND subject_id = ?",
          bytes(reservations.allocated),
        ),
      says: /reminder.purchase-opened of version - 0 times/,
    },
    'a purchase that was refused as too late before the time that its customer was told': {
      breakIt: () => {
        const refused = { op: 'buy', status: 409, code: 'deadline_passed', key: 'late' } as const;
        const times = { sentMs: Date.now() - 100, answeredMs: Date.now() };
        const [customerId] = customers;
        world.log.push(request({ ...refused, ...times, customerId, reservationIds: [reservations.allocated] }));
      },
      says: /was refused as deadline_passed/,
    },
  },
  I13: {
    'a refund that the books do not know': () => {
      world.books.refunds.push({ id: 're_x', chargeId: 'ch_captured', amountMinor: 1, currency: 'EUR' });
    },
    'a refund that the provider does not know': () => change('UPDATE refunds SET amount_minor = amount_minor - 1'),
    'more to be refunded than was captured': () =>
      change(
        `INSERT INTO refunds (purchase_id, refund_key, amount_minor, state, reason, releases, refusals, created_at_ms,
           updated_at_ms) VALUES (?, 'again', 1, 'pending', '', '*', 0, 0, 0)`,
        bytes(purchases.refunded),
      ),
    'a capture that is not what was ordered': () => {
      const [charge] = world.books.charges;
      if (charge) charge.currency = 'JPY';
    },
    'a refund in another currency': {
      breakIt: () => {
        const [refund] = world.books.refunds;
        if (refund) refund.currency = 'USD';
      },
      says: /in another currency/,
    },
    'a share of a sale that was called off that went back less a cent': {
      breakIt: async () => {
        await change(
          "INSERT INTO cancellations (sale_id, refunds, called_off_at_ms) VALUES (?, 'refund', ?)",
          bytes(closedSale),
          Date.now(),
        );
        await change("UPDATE reservations SET state = 'refunded' WHERE id = ?", bytes(reservations.purchased));
        await change('UPDATE refunds SET amount_minor = amount_minor - 1');
        for (const refund of world.books.refunds) refund.amountMinor -= 1;
      },
      says: /of charge ch_refunded, 1999 was given back and 0 waived, and 2000 was paid/,
    },
    'money that was captured after its sale had been called off, and was kept': {
      breakIt: async () => {
        const calledOffAtMs = Date.now() - 60_000;
        const [charge] = world.books.charges;
        if (charge) charge.createdAt = iso(calledOffAtMs + 5_000);
        await change(
          "INSERT INTO cancellations (sale_id, refunds, called_off_at_ms) VALUES (?, 'keep', ?)",
          bytes(closedSale),
          calledOffAtMs,
        );
      },
      says: /of charge ch_captured, 0 was given back/,
    },
    'money that was kept for a sale that was called off': () =>
      change(
        "INSERT INTO cancellations (sale_id, refunds, called_off_at_ms) VALUES (?, 'refund', ?)",
        bytes(closedSale),
        Date.now(),
      ),
  },
};

describe.each(Object.entries(faults))('%s notices', (name, broken) => {
  test.each(Object.entries(broken))('%s', async (_, fault) => {
    const { breakIt, says } = typeof fault === 'function' ? { breakIt: fault, says: /./ } : fault;
    await breakIt();
    const result = await look();
    expect(result.invariants[name as InvariantName].examples).toContainEqual(expect.stringMatching(says));
    expect(result.invariants[name as InvariantName].violations).toBeGreaterThan(0);
    expect(result.invariants[name as InvariantName].examples[0]).toEqual(expect.any(String));
    expect(result.holds).toBe(false);
  });
});

test('who waits may be told a new place in line', async () => {
  await copyNotice(reservations.waitlisted, 'reminder.paused', { kind: 'reminder.moved-up', round: 90 });
  const result = await look();
  expect([result.holds, result.invariants.I5.examples]).toEqual([true, []]);
});

/** Gives a reservation a ticket, in MySQL and in the mirror. */
async function setTicket(name: 'allocated', ticket: number): Promise<void> {
  await change('UPDATE reservations SET ticket = ? WHERE id = ?', ticket, bytes(reservations[name]));
  const [bucket, field] = mirrorPlace(name);
  const packed = (await world.redis.hget(bucket, field)) ?? '';
  await world.redis.hset(bucket, field, packed.split(':').with(5, ticket.toString(16)).join(':'));
}

describe('a ticket that is another than the one that was given', () => {
  const second = 1_000_000;
  /** Another request under the key, sent five seconds before the one that was given a ticket. */
  const earlier = (more: Partial<RequestLine>): RequestLine => {
    const given = world.accepted('allocated');
    const sentMs = given.sentMs - 5_000;
    return { ...given, sentMs, scheduledMs: sentMs, answeredMs: sentMs + 10, ...more };
  };
  const given = () => Number(world.accepted('allocated').ticket);
  const examples = async () => (await look()).invariants.I3.examples;
  const wrong = [expect.stringContaining('was given ticket')];
  const unanswered = () => earlier({ status: 0, reservationId: undefined, ticket: undefined });

  test('is wrong if no other request under the key can have had it', async () => {
    await setTicket('allocated', given() - 1);
    expect(await examples()).toEqual(wrong);
  });

  test('may be the time at which the queue took a request that was accepted without the gate, and no other', async () => {
    const line = earlier({ ticket: null });
    world.log.unshift(line);
    await setTicket('allocated', (line.sentMs + 5) * 1_000);
    expect(await examples()).toEqual([]);
    for (const ticket of [line.sentMs * 1_000 + 5_001, (line.sentMs - 1) * 1_000, (line.answeredMs + 1) * 1_000]) {
      await setTicket('allocated', ticket);
      expect(await examples()).toEqual(wrong);
    }
  });

  test('may be one that a request without an answer was given, and none from before it was sent', async () => {
    const line = unanswered();
    world.log.unshift(line);
    await setTicket('allocated', line.sentMs * 1_000 + 1);
    expect(await examples()).toEqual([]);
    await setTicket('allocated', line.sentMs * 1_000 - 1);
    expect(await examples()).toEqual(wrong);
  });

  test('may be that time too if the request without the gate came later, and no other', async () => {
    const given = world.accepted('allocated');
    const line = { ...given, ticket: null, sentMs: given.answeredMs + 5, answeredMs: given.answeredMs + 15 };
    world.log.push(line);
    await setTicket('allocated', (line.sentMs + 5) * 1_000);
    expect(await examples()).toEqual([]);
    for (const ticket of [line.sentMs * 1_000 + 5_001, (line.sentMs - 1) * 1_000, (line.answeredMs + 1) * 1_000]) {
      await setTicket('allocated', ticket);
      expect(await examples()).toEqual(wrong);
    }
  });

  test('is no other later one', async () => {
    world.log.unshift(earlier({ ticket: null }), unanswered());
    await setTicket('allocated', given() + second);
    expect(await examples()).toEqual(wrong);
  });
});

test('I2 notices dead letters', async () => {
  const sqs = sqsClient(bed.endpoints);
  await sqs.send(new SendMessageCommand({ QueueUrl: world.target.deadLetters.reservations, MessageBody: 'poison' }));
  sqs.destroy();
  const result = await look();
  expect(result.invariants.I2.examples).toEqual(['1 dead letters of reservations']);
  expect(result.holds).toBe(false);
});

test('books that cannot be read are a failure and not a pass', async () => {
  const broken = { ...world.target, providers: ['http://127.0.0.1:9'] };
  await expect(verify(broken, { logs: [world.writeLog()], quietTimeoutMs: 300, stillForMs: 0 })).rejects.toThrow(
    'cannot be read',
  );
});
