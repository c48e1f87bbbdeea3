/**
 * An account is deleted while something is written of its owner: a message that was under way, a call, a mail. Each writer is stopped
 * before each of its statements and its commit while the account is deleted, and each deletion while the writer runs, on a real
 * server. Whichever is first, nothing of the person is left, and what names no person stays.
 */
import { jest } from '@jest/globals';
import type { BusEvent } from '#events/catalog.ts';
import { issueCode } from '#identity/codes.ts';
import { findOrMakeCustomer } from '#identity/external-customer.ts';
import { deleteAccount } from '#identity/passwords.ts';
import { waitFor } from '#local/wait.ts';
import { byMail } from '#notification/by-mail.ts';
import { recordMails } from '#notification/mail-notices.ts';
import { changeLabel } from '#operations/labels.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import type { ApiKeyId, CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { fromBytes, toBytes } from '#platform/kernel/ids.ts';
import type { Db, Sql } from '#platform/mysql/mysql.ts';
import { requestPurchase } from '#purchase/request.ts';
import { allocateBatch } from '#reservation/allocate.ts';
import { recordEvents } from '#webhooks/record.ts';
import { withDeps } from '../support/deps.ts';
import { asId, newId } from '../support/ids.ts';
import { delivered, givenSale, openBed, soon } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

jest.setTimeout(300_000);

let bed: TestBed;
let deps: Deps;
let saleId: SaleId;

beforeAll(async () => {
  bed = await testBed({ rules: false, registry: { 'limit/password-change': '100000/1000000' } });
  deps = await openBed(bed);
  saleId = await givenSale(deps, { allotment: 100_000 });
  const times = { overlap_until_ms: 0, turn_until_ms: 0, wake_at_ms: 0, created_at_ms: 0, updated_at_ms: 0 };
  await deps.db.change('INSERT INTO webhook_endpoints SET ?', [
    {
      ...{ id: toBytes(newId()), url: 'https://shop.example.com/hooks', description: '', secret_number: 1 },
      ...{ events: 'reservations.changed', state: 'active', ...times },
    },
  ]);
});

afterAll(async () => {
  await deps?.close();
  await bed?.close();
});

/** What the shop notes: who the person is, and the name of an order. */
const secret = 'a gift for Bob';
const noted = () => ({ reference: `order-${newId()}`, metadata: { note: secret } });
const keyId = newId() as ApiKeyId;

const newCustomer = async (): Promise<CustomerId> =>
  (await findOrMakeCustomer(deps, `member-${newId()}`, `${newId()}@example.com`)).customerId;

/** A request for a reservation, as the queue delivers it. */
const requested = (customerId: CustomerId, label?: { reference: string | null; metadata: Record<string, string> }) =>
  delivered(saleId, { customerId, key: newId(), ...(label ? { label, keyId } : {}) });

async function reserve(customerId: CustomerId, label?: ReturnType<typeof noted>): Promise<ReservationId> {
  const command = requested(customerId, label);
  await allocateBatch(deps, [command], soon());
  return command.message.reservationId;
}

const remove = (by: Deps, customerId: CustomerId) =>
  deleteAccount(by, { customerId, role: 'customer' }, {}, { address: '127.0.0.1' }, async () => undefined);

const exists = async (customerId: CustomerId) =>
  (await deps.db.rows('SELECT 1 FROM customers WHERE id = ?', [toBytes(customerId)])).length > 0;

/** Everything that the database has of a person: metadata and what it could be guessed by, mails, codes. */
async function leftOf(customerId: CustomerId): Promise<unknown[]> {
  const id = toBytes(customerId);
  return deps.db.rows(
    `SELECT l.kind, l.metadata FROM labels l
      WHERE l.subject_id IN (SELECT id FROM reservations WHERE customer_id = ? UNION SELECT id FROM purchases WHERE customer_id = ?)
        AND (l.metadata IS NOT NULL OR (l.given_digest IS NOT NULL AND l.reference IS NULL))
     UNION ALL SELECT 'mail', kind FROM mails WHERE customer_id = ?
     UNION ALL SELECT 'code', purpose FROM customer_codes WHERE customer_id = ?`,
    [id, id, id, id],
  );
}

/** What is written of a person, and whether what names no person is there afterwards. */
interface Writer {
  readonly name: string;
  /** Makes what the writing needs, for a new customer. */
  prepare(customerId: CustomerId): Promise<{
    write(by: Deps): Promise<unknown>;
    /** What has to be there, whoever was first. */
    stays?(): Promise<void>;
    /** What must not be there if the account was deleted before it was written. */
    leftIfLater?(): Promise<unknown[]>;
  }>;
}

const referenceOf = async (subjectId: string) =>
  (
    await deps.db.rows<{ reference: string }>('SELECT reference FROM labels WHERE subject_id = ?', [toBytes(subjectId)])
  )[0]?.reference;

const writers: Writer[] = [
  {
    name: 'a request for a reservation',
    prepare: async (customerId) => {
      const label = noted();
      const command = requested(customerId, label);
      const other = requested(await newCustomer(), noted());
      return {
        write: (by) => allocateBatch(by, [command, other], soon()),
        stays: async () => {
          expect(await referenceOf(command.message.reservationId)).toBe(label.reference);
          expect(await leftOf(other.message.customerId)).toHaveLength(1);
        },
      };
    },
  },
  {
    name: 'a request for a reservation that is delivered again',
    prepare: async (customerId) => {
      const label = noted();
      const command = { ...requested(customerId, label), deliveries: 2 };
      return {
        write: (by) => allocateBatch(by, [command], soon()),
        stays: async () => expect(await referenceOf(command.message.reservationId)).toBe(label.reference),
      };
    },
  },
  {
    name: 'a purchase',
    prepare: async (customerId) => {
      const reservationIds = [await reserve(customerId)];
      const label = noted();
      let purchaseId = '';
      return {
        write: async (by) => {
          const order = { reservationIds, paymentToken: 'tok', ...label };
          const answer = await requestPurchase(by, customerId, 'one', order, keyId);
          if (isRefusal(answer)) throw new Error(answer.detail);
          purchaseId = answer.purchaseId;
        },
        stays: async () => expect(await referenceOf(purchaseId)).toBe(label.reference),
      };
    },
  },
  {
    name: 'an operator’s note',
    prepare: async (customerId) => {
      const subjectId = await reserve(customerId, noted());
      const change = { metadata: { other: secret } };
      return { write: (by) => changeLabel(by, { kind: 'reservation', subjectId }, change) };
    },
  },
  {
    name: 'what a webhook tells',
    prepare: async (customerId) => {
      const reservationId = await reserve(customerId, noted());
      const changes = [
        {
          reservationId,
          saleId,
          customerId,
          from: 'requested',
          to: 'allocated',
          units: 1,
          quantity: 1,
          ticket: 1,
          version: 1,
        },
      ];
      const event = {
        'detail-type': 'reservations.changed',
        detail: {
          ...{ eventId: newId(), schemaVersion: 1, occurredAtMs: Date.now() },
          ...{ changes, stocks: [], released: false },
        },
      } as unknown as BusEvent;
      return {
        write: (by) => recordEvents(by, [event]),
        leftIfLater: () =>
          deps.db.rows('SELECT body FROM webhook_messages WHERE body LIKE ? AND body LIKE ?', [
            `%${reservationId}%`,
            `%${secret}%`,
          ]),
      };
    },
  },
  {
    name: 'a notice by mail',
    prepare: async (customerId) => {
      const event = {
        'detail-type': 'purchase.changed',
        detail: {
          ...{ eventId: newId(), schemaVersion: 1, occurredAtMs: Date.now() },
          ...{ purchaseId: newId(), customerId, state: 'captured', amountMinor: 1, currency: 'EUR' },
          ...{ reservationIds: [newId()], version: 2 },
        },
      } as unknown as BusEvent;
      return { write: (by) => recordMails(by, byMail, [event]) };
    },
  },
  {
    name: 'a code that a mail is to carry',
    prepare: async (customerId) => ({ write: (by) => issueCode(by, customerId, 'contact', Date.now()) }),
  },
];

/** A database that stops before one of its steps, counted from 0: a statement, or the commit of a transaction. */
function stoppingAt(real: Db, at: number) {
  const [reached, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let steps = 0;
  let connectionId: number | undefined;
  const step = async () => {
    if (steps++ !== at) return;
    reached.resolve();
    await go.promise;
  };
  const stopping = (sql: Sql): Sql => ({
    rows: async (...args) => {
      await step();
      return sql.rows(...args);
    },
    change: async (...args) => {
      await step();
      return sql.change(...args);
    },
  });
  const db: Db = {
    ...real,
    ...stopping(real),
    transaction: (work) =>
      real.transaction(async (tx) => {
        connectionId = (await tx.rows<{ id: number }>('SELECT CONNECTION_ID() AS id'))[0]?.id;
        const result = await work({ ...stopping(tx), inTransaction: true });
        await step();
        return result;
      }),
  };
  /** Whether a statement of its transaction waits for a lock of another. */
  const isWaiting = async () => {
    const sql = "SELECT 1 FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = ? AND trx_state = 'LOCK WAIT'";
    return connectionId !== undefined && (await real.rows(sql, [connectionId])).length > 0;
  };
  return { db, reached: reached.promise, go: go.resolve, isWaiting };
}

/** Not a step of any of these: nobody reaches it. */
const never = -1;

/** The server takes a new look at who waits only if nobody has asked for 100 ms. */
const looking = { timeoutMs: 20_000, lookAgainMs: 120 };

interface Raced {
  /** Whether the one that was to be stopped has so many steps. */
  readonly stopped: boolean;
  /** Whether the other was through before the one that was stopped went on. */
  readonly otherFirst: boolean;
}

/** Stops `one` at a step, lets `other` run until it is through or waits, and then both to their ends. */
async function race(
  at: number,
  through: (db: Db) => Db,
  one: (by: Deps) => Promise<unknown>,
  other: (by: Deps) => Promise<unknown>,
): Promise<Raced> {
  const [held, free] = [stoppingAt(deps.db, at), stoppingAt(deps.db, never)];
  const first = one(withDeps(deps, { db: through(held.db) }));
  const stopped = await Promise.race([held.reached.then(() => true), first.then(() => false)]);
  let otherFirst = false;
  const second = other(withDeps(deps, { db: through(free.db) })).finally(() => {
    otherFirst = true;
  });
  await Promise.race([
    second.catch(() => undefined),
    waitFor('the other to be through or to wait', async () => otherFirst || (await free.isWaiting()), looking),
  ]);
  const isOtherFirst = stopped && otherFirst;
  held.go();
  await Promise.all([first, second]);
  return { stopped, otherFirst: isOtherFirst };
}

/** Goes through every way in which a deletion and a writer meet, up to one that leaves something, and says which. */
async function faultOf(writer: Writer, through: (db: Db) => Db = (db) => db): Promise<string | undefined> {
  for (const stops of ['the writer', 'the deletion'] as const) {
    for (let at = 0, stopped = true; stopped; at++) {
      const customerId = await newCustomer();
      const { write, stays, leftIfLater } = await writer.prepare(customerId);
      const erase = async (by: Deps) => expect(await remove(by, customerId)).toBeUndefined();
      const raced = await (stops === 'the writer' ? race(at, through, write, erase) : race(at, through, erase, write));
      stopped = raced.stopped;
      const where = `${stops} stopped at step ${at}`;
      expect([where, await exists(customerId)]).toEqual([where, false]);
      const isLater = stops === 'the writer' ? raced.otherFirst : !raced.otherFirst;
      const left = [...(await leftOf(customerId)), ...(isLater && leftIfLater ? await leftIfLater() : [])];
      if (left.length > 0) return `${where}: ${JSON.stringify(left)}`;
      await stays?.();
    }
  }
  return undefined;
}

test.each(writers)('$name leaves nothing of a person whose account is deleted meanwhile', async (writer) => {
  expect(await faultOf(writer)).toBeUndefined();
});

test.each(writers)('control: $name leaves something if the account is not held', async (writer) => {
  const unheld = (sql: string) => sql.replace(' LOCK IN SHARE MODE', '');
  const through = (db: Db): Db => ({
    ...db,
    transaction: (work) => db.transaction((tx) => work({ ...tx, rows: (sql, values) => tx.rows(unheld(sql), values) })),
  });
  expect(await faultOf(writer, through)).toBeDefined();
});

test('a request that an operator sends back after the account was deleted is decided, without metadata', async () => {
  const customerId = await newCustomer();
  const [label, bare] = [noted(), { reference: null, metadata: { note: secret } }];
  const commands = [requested(customerId, label), requested(customerId, bare)];
  await remove(deps, customerId);
  for (let deliveries = 1; deliveries <= 2; deliveries++) {
    const batch = commands.map((command) => ({ ...command, deliveries }));
    await allocateBatch(deps, batch, soon());
    const rows = await deps.db.rows<{ id: Buffer; state: string; reference: string | null; metadata: string | null }>(
      `SELECT r.id, r.state, l.reference, l.metadata FROM reservations r LEFT JOIN labels l ON l.subject_id = r.id
        WHERE r.customer_id = ?`,
      [toBytes(customerId)],
    );
    const found = new Map(rows.map(({ id, ...row }) => [fromBytes(id), row]));
    expect(commands.map(({ message }) => found.get(asId(message.reservationId)))).toEqual([
      { state: 'allocated', reference: label.reference, metadata: null },
      { state: 'allocated', reference: null, metadata: null },
    ]);
  }
  expect(await leftOf(customerId)).toEqual([]);
});

test('an operator’s note on what a deleted account has reserved is refused; a reference, and taking away, are not', async () => {
  const customerId = await newCustomer();
  const subjectId = await reserve(customerId, noted());
  await remove(deps, customerId);
  const path = { kind: 'reservation', subjectId } as const;
  const refused = await changeLabel(deps, path, { reference: 'other', metadata: { note: secret } });
  expect(refused).toMatchObject({ refused: 'illegal_state' });
  expect(await referenceOf(subjectId)).not.toBe('other');
  const changed = await changeLabel(deps, path, { reference: 'renamed', metadata: { note: null } });
  expect(changed).toMatchObject({ reference: 'renamed', metadata: {} });
  expect(await leftOf(customerId)).toEqual([]);
});

test('requests without metadata look at no account', async () => {
  const customerId = await newCustomer();
  const statements: string[] = [];
  const db: Db = {
    ...deps.db,
    transaction: (work) =>
      deps.db.transaction((tx) =>
        work({
          ...tx,
          rows: (sql, values) => {
            statements.push(sql);
            return tx.rows(sql, values);
          },
        }),
      ),
  };
  const label = { reference: 'bare', metadata: {} };
  await allocateBatch(withDeps(deps, { db }), [requested(customerId), requested(customerId, label)], soon());
  expect(statements.filter((sql) => sql.includes('customers'))).toEqual([]);
});
