/**
 * Notifications from the queue's event to what a customer reads and hears: the real handlers against a real MySQL and
 * Redis, with a gateway that records what is pushed. Invariant I5 under duplicates, reordering and loss.
 */

import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import type { APIGatewayProxyEventV2, APIGatewayProxyWebsocketEventV2, Context, SQSEvent } from 'aws-lambda';
import { createShown } from '#client/shown.ts';
import { BusEvent, type EventDetail, type EventName } from '#events/catalog.ts';
import { groupChanges } from '#events/changes.ts';
import { newEvent } from '#events/outbox.ts';
import { handler as listHandler } from '#functions/http/list-notifications.ts';
import { handler as readHandler } from '#functions/http/read-notifications.ts';
import { handler as notifyHandler } from '#functions/queue/notify.ts';
import { handler as relayHandler } from '#functions/schedule/relay.ts';
import { handler as connectHandler } from '#functions/websocket/connect.ts';
import { handler as disconnectHandler } from '#functions/websocket/disconnect.ts';
import { handler as messageHandler } from '#functions/websocket/message.ts';
import { insertCustomer } from '#identity/customer.store.ts';
import { connectionsOfCustomers, connectionsPerCustomer, watchersOfSales } from '#notification/connections.ts';
import { notify } from '#notification/notify.ts';
import type { Pusher } from '#platform/aws/websocket-push.ts';
import { type Deps, sharedDeps } from '#platform/environment/deps.ts';
import { sharedTokens } from '#platform/handlers/authentication.ts';
import type { CustomerId, ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { openRedis, redisReady } from '#platform/redis/redis.ts';
import type { Tokens } from '#platform/security/access-token.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { newId } from '#test/support/ids.ts';
import { withDeps } from '../support/deps.ts';
import { givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let deps: Deps;
let tokens: Tokens;
let gateway: Server;
/** What the gateway was asked to send, and the connections that it does not know. */
const pushed: { connectionId: string; message: Record<string, unknown> }[] = [];
const gone = new Set<string>();
/** The connections that it was asked to close. */
const closed: string[] = [];

beforeAll(async () => {
  bed = await testBed({ queues: false });
  gateway = createServer((request, response) => {
    const connectionId = decodeURIComponent(request.url?.split('/').pop() ?? '');
    let text = '';
    request.on('data', (chunk) => {
      text += chunk;
    });
    request.on('end', () => {
      if (gone.has(connectionId)) return response.writeHead(410).end();
      if (request.method === 'DELETE') {
        closed.push(connectionId);
        return response.writeHead(204).end();
      }
      pushed.push({ connectionId, message: JSON.parse(text) });
      return response.writeHead(200).end();
    });
  });
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  const management = `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`;
  writeFileSync(bed.registryFile, JSON.stringify({ ...bed.registry, 'websocket/management': management }));
  deps = await sharedDeps();
  tokens = await sharedTokens(deps);
  await redisReady(deps.redis);
});

afterAll(async () => {
  await deps?.close();
  gateway?.closeAllConnections();
  gateway?.close();
  await bed?.close();
});

beforeEach(async () => {
  pushed.length = 0;
  gone.clear();
  closed.length = 0;
  await deps.db.change('DELETE FROM notifications');
});

const context = { awsRequestId: 'test', getRemainingTimeInMillis: () => 10_000 } as Context;

/** The bodies of queue messages as EventBridge writes them. */
function bodyOf<Name extends EventName>(name: Name, detail: EventDetail<Name>, atMs = Date.now()): string {
  const event = newEvent(name, detail, atMs);
  return JSON.stringify({ source: 'holdfast', 'detail-type': event.detailType, detail: JSON.parse(event.detail) });
}

interface Move {
  customerId: CustomerId;
  reservationId?: ReservationId;
  saleId?: SaleId;
  from?: 'requested' | 'waitlisted' | 'allocated' | 'purchased';
  to?: 'allocated' | 'waitlisted' | 'rejected' | 'purchased' | 'cancelled';
  version?: number;
}

function change({ customerId, reservationId, saleId, from, to, version }: Move) {
  return {
    reservationId: reservationId ?? newId(),
    saleId: saleId ?? newId(),
    customerId,
    from: from ?? ('requested' as const),
    to: to ?? ('allocated' as const),
    units: 2,
    quantity: 2,
    ticket: 1,
    version: version ?? 1,
  };
}

const changed = (moves: Move[], stocks: StockLevel[] = [], atMs?: number) =>
  bodyOf('reservations.changed', { changes: groupChanges(moves.map(change)), stocks, released: false }, atMs);

function stock(saleId: SaleId, version: number, epoch = 1): StockLevel {
  return {
    saleId,
    epoch,
    version,
    allotment: 100,
    available: 100 - version,
    allocated: version,
    sold: 0,
    waitlisted: 0,
  };
}

let messages = 0;
const eventSourceARN = 'arn:aws:sqs:us-east-1:000000000000:notifications';

/** Delivers messages to the function; answers the ids of those that it wants again. */
async function deliver(...bodies: string[]): Promise<string[]> {
  const attributes = { SentTimestamp: String(Date.now()), ApproximateReceiveCount: '1' };
  const Records = bodies.map((body) => ({
    messageId: `m${++messages}`,
    body,
    attributes,
    messageAttributes: {},
    eventSourceARN,
  }));
  const { batchItemFailures } = await notifyHandler({ Records } as unknown as SQSEvent, context);
  return batchItemFailures.map(
    ({ itemIdentifier }) => bodies[Records.findIndex((one) => one.messageId === itemIdentifier)] ?? '',
  );
}

async function called(
  handler: typeof listHandler,
  customerId: CustomerId,
  request: { query?: Record<string, string>; body?: unknown; language?: string } = {},
): Promise<{ status: number; body: Record<string, never> & { items: Record<string, unknown>[]; nextCursor: string } }> {
  const event = {
    rawPath: '/notifications',
    headers: {
      authorization: `Bearer ${await tokens.issue({ customerId, role: 'customer' })}`,
      'content-type': 'application/json',
      ...(request.language === undefined ? {} : { 'accept-language': request.language }),
    },
    queryStringParameters: request.query,
    body: request.body === undefined ? undefined : JSON.stringify(request.body),
    requestContext: { http: { sourceIp: '127.0.0.1' } },
  } as unknown as APIGatewayProxyEventV2;
  const answer = await handler(event, context);
  return { status: answer.statusCode ?? 0, body: JSON.parse(answer.body ?? '{}') };
}

function socketEvent(connectionId: string, more: object = {}): APIGatewayProxyWebsocketEventV2 {
  const requestContext = { connectionId, requestId: newId(), routeKey: '$default' };
  return { requestContext, isBase64Encoded: false, ...more } as unknown as APIGatewayProxyWebsocketEventV2;
}

type Answer = { statusCode: number };

/** Connects as the gateway would; answers the status. */
async function connect(connectionId: string, token: string | undefined): Promise<number> {
  const event = socketEvent(connectionId, token === undefined ? {} : { queryStringParameters: { token } });
  return ((await connectHandler(event, context)) as Answer).statusCode;
}

async function connected(customerId: CustomerId): Promise<string> {
  const connectionId = newId();
  expect(await connect(connectionId, await tokens.issue({ customerId, role: 'customer' }))).toBe(200);
  return connectionId;
}

async function say(connectionId: string, message: unknown): Promise<number> {
  const body = typeof message === 'string' ? message : JSON.stringify(message);
  return ((await messageHandler(socketEvent(connectionId, { body }), context)) as Answer).statusCode;
}

const heardBy = (connectionId: string) =>
  pushed.filter((one) => one.connectionId === connectionId).map((one) => one.message);

describe('notifications', () => {
  it('each change of a batch is told to its customer', async () => {
    const [ann, ben] = [newId(), newId()];
    const purchase = {
      purchaseId: newId(),
      customerId: ann,
      amountMinor: 500,
      currency: 'EUR',
      reservationIds: [newId()],
    };
    const failed = await deliver(
      changed([{ customerId: ann }, { customerId: ben, to: 'rejected' }]),
      bodyOf('purchase.changed', { ...purchase, state: 'captured', version: 2 }),
    );
    expect(failed).toEqual([]);
    const mine = await called(listHandler, ann);
    expect(mine.body.items.map((one) => one.kind).sort()).toEqual(['purchase.captured', 'reservation.allocated']);
    expect(mine.body).toMatchObject({ unread: 2, nextCursor: null });
    expect((await called(listHandler, ben)).body.items).toMatchObject([{ kind: 'reservation.rejected', version: 1 }]);
  });

  it('I5: duplicates, in one batch and in another, in any order, are stored once', async () => {
    const customerId = newId();
    const bodies = Array.from({ length: 12 }, () => changed([{ customerId }, { customerId }]));
    await deliver(...bodies, ...bodies.slice(0, 5));
    await Promise.all([deliver(...bodies.toReversed()), deliver(...bodies), deliver(...bodies.slice(3, 9))]);
    const [row] = await deps.db.rows<{ count: number }>('SELECT COUNT(*) AS count FROM notifications');
    expect(row?.count).toBe(24);
  });

  it('a duplicate does not make a notification unread again', async () => {
    const customerId = newId();
    const body = changed([{ customerId }]);
    await deliver(body);
    expect((await called(readHandler, customerId, { body: { notificationIds: 'all' } })).body).toEqual({ read: 1 });
    await deliver(body);
    expect((await called(listHandler, customerId)).body).toMatchObject({ unread: 0 });
  });

  it('a message that cannot be stored is redelivered alone; an unreadable one goes to the dead-letter queue', async () => {
    const customerId = newId();
    const impossible = changed([{ customerId, version: 2 ** 40 }]);
    const failed = await deliver('{', '{"detail-type":"reservations.changed"}', impossible, changed([{ customerId }]));
    expect(failed).toEqual([impossible]);
    expect((await called(listHandler, customerId)).body.items).toHaveLength(1);
  });

  it('pages lead from the newest to the oldest, each notification once', async () => {
    const customerId = newId();
    await deliver(...Array.from({ length: 25 }, (_, n) => changed([{ customerId }], [], 1_700_000_000_000 + n)));
    const seen: unknown[] = [];
    let cursor: string | null = null;
    do {
      const { body } = await called(listHandler, customerId, { query: { limit: '10', ...(cursor ? { cursor } : {}) } });
      seen.push(...body.items.map((one) => one.createdAt));
      cursor = body.nextCursor;
    } while (cursor);
    expect(seen).toHaveLength(25);
    expect(seen).toEqual([...new Set(seen)].sort().reverse());
  });

  it('can be narrowed to what is unread', async () => {
    const customerId = newId();
    await deliver(changed([{ customerId }, { customerId }, { customerId }]));
    const all = await called(listHandler, customerId);
    const notificationIds = [all.body.items[1]?.notificationId];
    expect((await called(readHandler, customerId, { body: { notificationIds } })).body).toEqual({ read: 1 });
    expect((await called(listHandler, customerId, { query: { unread: 'true' } })).body.items).toHaveLength(2);
    const read = await called(listHandler, customerId, { query: { unread: 'false' } });
    expect(read.body).toMatchObject({ unread: 2, items: [{ notificationId: notificationIds[0] }] });
  });

  it("I10: no customer reads or marks another's notifications", async () => {
    const [ann, eve] = [newId(), newId()];
    await deliver(changed([{ customerId: ann }]));
    const [notification] = (await called(listHandler, ann)).body.items;
    const { body } = await called(readHandler, eve, { body: { notificationIds: [notification?.notificationId] } });
    expect(body).toEqual({ read: 0 });
    expect((await called(readHandler, eve, { body: { notificationIds: 'all' } })).body).toEqual({ read: 0 });
    expect((await called(listHandler, eve)).body.items).toEqual([]);
    expect((await called(listHandler, ann)).body).toMatchObject({ unread: 1 });
  });

  it.each([
    ['nothing', { notificationIds: [] }],
    ['what is no id', { notificationIds: ['nonsense'] }],
    ['a word other than all', { notificationIds: 'none' }],
    ['more than a hundred', { notificationIds: Array.from({ length: 101 }, () => newId()) }],
    ['without saying which', {}],
  ])('marking %s is refused', async (_, body) => {
    expect((await called(readHandler, newId(), { body })).status).toBe(400);
  });

  it.each([[{ limit: '0' }], [{ limit: '101' }], [{ unread: 'maybe' }], [{ order: 'id' }]])(
    'listing with %j is refused',
    async (query) => {
      expect((await called(listHandler, newId(), { query: query as never })).status).toBe(400);
    },
  );

  it('listing from a cursor of no list is refused', async () => {
    expect((await called(listHandler, newId(), { query: { cursor: 'x' } })).status).toBe(422);
  });
});

describe('live', () => {
  it("each of a customer's connections is told of their own changes only", async () => {
    const [ann, ben] = [newId(), newId()];
    const [annsPhone, annsLaptop, bens] = [await connected(ann), await connected(ann), await connected(ben)];
    await deliver(changed([{ customerId: ann, to: 'waitlisted' }]));
    expect(heardBy(annsPhone)).toMatchObject([
      { type: 'reservation', kind: 'reservation.waitlisted', state: 'waitlisted' },
    ]);
    expect(heardBy(annsLaptop)).toEqual(heardBy(annsPhone));
    expect(heardBy(bens)).toEqual([]);
  });

  it('watchers hear the stock of a sale, the newest of a batch only', async () => {
    const saleId = await givenSale(deps);
    const watcher = await connected(newId());
    expect(await say(watcher, { action: 'watch', saleId })).toBe(200);
    const other = await connected(newId());
    await deliver(changed([], [stock(saleId, 4)]), changed([], [stock(saleId, 6)]), changed([], [stock(saleId, 5)]));
    expect(heardBy(watcher)).toEqual([
      { type: 'watching', saleId },
      { type: 'stock', ...stock(saleId, 6) },
    ]);
    expect(heardBy(other)).toEqual([]);
    await say(watcher, { action: 'unwatch', saleId });
    await deliver(changed([], [stock(saleId, 7)]));
    expect(heardBy(watcher).at(-1)).toEqual({ type: 'unwatched', saleId });
  });

  it('I5: what is older than what was pushed before is not pushed', async () => {
    const [saleId, customerId, reservationId] = [await givenSale(deps), newId(), newId()];
    const connection = await connected(customerId);
    await say(connection, { action: 'watch', saleId });
    pushed.length = 0;
    await deliver(
      changed([{ customerId, reservationId, from: 'allocated', to: 'purchased', version: 2 }], [stock(saleId, 9)]),
    );
    await deliver(changed([{ customerId, reservationId, version: 1 }], [stock(saleId, 8)]));
    await deliver(changed([], [stock(saleId, 1, 2)]));
    expect(heardBy(connection)).toMatchObject([
      { kind: 'reservation.purchased', version: 2 },
      { type: 'stock', epoch: 1, version: 9 },
      { type: 'stock', epoch: 2, version: 1 },
    ]);
    // The list has both, the late one included.
    expect((await called(listHandler, customerId)).body.items).toHaveLength(2);
  });

  it('I5: however events are repeated and mixed, a page shows each once and never steps back', async () => {
    const [saleId, customerId, reservationId] = [await givenSale(deps), newId(), newId()];
    const connection = await connected(customerId);
    await say(connection, { action: 'watch', saleId });
    pushed.length = 0;
    const moves = [
      { customerId, reservationId, to: 'waitlisted' as const, version: 1 },
      { customerId, reservationId, from: 'waitlisted' as const, version: 2 },
      { customerId, reservationId, from: 'allocated' as const, to: 'purchased' as const, version: 3 },
    ];
    const bodies = moves.map((move) => changed([move], [stock(saleId, move.version)]));
    const shuffled = [...bodies, ...bodies, ...bodies]
      .map((body, n) => ({ body, n: (n * 7) % 9 }))
      .sort((a, b) => a.n - b.n);
    await Promise.all(shuffled.map(({ body }) => deliver(body)));
    const page = createShown();
    const shown = heardBy(connection).filter((message) => page.admit(message));
    for (const type of ['stock', 'reservation']) {
      const versions = shown.filter((one) => one.type === type).map((one) => Number(one.version));
      expect(versions).toEqual([...new Set(versions)].sort());
      expect(versions.at(-1)).toBe(3);
    }
    expect((await called(listHandler, customerId)).body.items).toHaveLength(3);
  });

  it('a sale that changes tells those who watch it', async () => {
    const saleId = await givenSale(deps);
    const watcher = await connected(newId());
    await say(watcher, { action: 'watch', saleId });
    await deliver(bodyOf('sale.changed', { saleId, phase: 'purchasing', status: 'paused', stock: stock(saleId, 3) }));
    expect(heardBy(watcher).slice(1)).toMatchObject([
      { type: 'sale', saleId, phase: 'purchasing', status: 'paused' },
      { type: 'stock', saleId, version: 3 },
    ]);
  });

  it('a reminder reaches its recipients', async () => {
    const customerId = newId();
    const connection = await connected(customerId);
    const recipients = [{ reservationId: newId(), customerId, units: 1, version: 1, deadlineMs: Date.now() + 60_000 }];
    const detail = { saleId: newId(), reason: 'purchase-opened', recipients } as const;
    await deliver(bodyOf('reservations.reminded', detail), bodyOf('reservations.reminded', detail));
    expect(heardBy(connection)[0]).toMatchObject({ type: 'reminder', kind: 'reminder.purchase-opened', units: 1 });
    expect((await called(listHandler, customerId)).body.items).toHaveLength(1);
  });

  it('a customer hears at once that a payment waits for them, and until when; not where', async () => {
    const ann: CustomerId = newId();
    const connection = await connected(ann);
    const purchase = {
      purchaseId: newId(),
      customerId: ann,
      amountMinor: 500,
      currency: 'EUR',
      reservationIds: [newId()],
    };
    const deadlineMs = Date.now() + 900_000;
    await deliver(bodyOf('purchase.changed', { ...purchase, state: 'requires_action', version: 2, deadlineMs }));
    const [message, ...others] = heardBy(connection);
    expect(others).toEqual([]);
    expect(message).toMatchObject({
      ...{ type: 'purchase', kind: 'purchase.requires_action', state: 'requires_action', version: 2 },
      ...{ purchaseId: purchase.purchaseId, deadline: new Date(deadlineMs).toISOString() },
    });
    expect(message).not.toHaveProperty('url');
    const { body } = await called(listHandler, ann);
    expect(body.items).toMatchObject([{ kind: 'purchase.requires_action', subjectId: purchase.purchaseId }]);
  });

  it('a connection that is gone is forgotten, except while it is only just opening', async () => {
    const [customerId, saleId] = [newId(), await givenSale(deps)];
    const connection = await connected(customerId);
    await say(connection, { action: 'watch', saleId });
    gone.add(connection);
    await deliver(changed([{ customerId }]));
    expect(await connectionsOfCustomers(deps, [customerId])).toEqual(new Map([[customerId, [connection]]]));
    await deps.redis.hset(keys.connection(connection), 'since', Date.now() - 60_000);
    await deliver(changed([{ customerId }]));
    expect(await connectionsOfCustomers(deps, [customerId])).toEqual(new Map());
    expect(await watchersOfSales(deps, [saleId])).toEqual(new Map());
    expect(await deps.redis.exists(keys.connection(connection))).toBe(0);
  });

  it('a connection that ends is forgotten with all that it watched', async () => {
    const [customerId, saleId] = [newId(), await givenSale(deps)];
    const connection = await connected(customerId);
    await say(connection, { action: 'watch', saleId });
    await disconnectHandler(socketEvent(connection), context);
    await deliver(changed([{ customerId }], [stock(saleId, 1)]));
    expect(heardBy(connection)).toEqual([{ type: 'watching', saleId }]);
    expect(await deps.redis.exists(keys.connection(connection), keys.watchersOf(saleId))).toBe(0);
  });

  it('S7: of ten connections of a customer the latest are served, and the oldest are closed with a reason', async () => {
    const customerId = newId();
    const all: string[] = [];
    for (let n = 0; n < connectionsPerCustomer + 2; n++) {
      all.push(await connected(customerId));
      // Connections of one millisecond have no order.
      await setTimeout(2);
    }
    const [oldest, served] = [all.slice(0, 2), all.slice(2)];
    for (const connection of oldest) {
      expect(heardBy(connection)).toMatchObject([{ type: 'closing', code: 'too_many_connections' }]);
      expect(await deps.redis.exists(keys.connection(connection))).toBe(0);
    }
    expect(closed.toSorted()).toEqual(oldest.toSorted());
    await deliver(changed([{ customerId }]));
    for (const connection of served) expect(heardBy(connection)).toMatchObject([{ type: 'reservation' }]);
    for (const connection of oldest) expect(heardBy(connection)).toHaveLength(1);
  });

  it('entries end by themselves', async () => {
    const customerId = newId();
    const connection = await connected(customerId);
    expect(await deps.redis.pttl(keys.connectionsOf(customerId))).toBeGreaterThan(0);
    expect(await deps.redis.pttl(keys.connection(connection))).toBeGreaterThan(0);
    const later = withDeps(deps, { clock: () => Date.now() + 3 * 3_600_000 });
    expect(await connectionsOfCustomers(later, [customerId])).toEqual(new Map());
  });

  it('S2: the rule of every minute tells those whose token has ended, and closes', async () => {
    const [ended, open] = [await connected(newId()), await connected(newId())];
    const pastMs = Date.now() - 1;
    await deps.redis.hset(keys.connection(ended), 'tokenEnd', pastMs);
    await deps.redis.zadd(keys.connections(), pastMs, ended);
    const attributes = { SentTimestamp: String(Date.now()), ApproximateReceiveCount: '1' };
    const turn = { messageId: 'turn', body: '{}', attributes, messageAttributes: {}, eventSourceARN };
    expect(await relayHandler({ Records: [turn] } as unknown as SQSEvent, context)).toEqual({ batchItemFailures: [] });
    expect(heardBy(ended)).toMatchObject([{ type: 'closing', code: 'unauthenticated' }]);
    expect(closed).toEqual([ended]);
    expect(heardBy(open)).toEqual([]);
  });

  it('S8: only sales can be watched: neither invented ids nor ids of something else', async () => {
    const customerId = newId();
    const connection = await connected(customerId);
    const reservationId = newId();
    await deliver(changed([{ customerId, reservationId }]));
    pushed.length = 0;
    for (const saleId of [newId(), reservationId, customerId]) {
      expect(await say(connection, { action: 'watch', saleId })).toBe(404);
    }
    expect(heardBy(connection).map(({ type, code }) => [type, code])).toEqual(Array(3).fill(['problem', 'not_found']));
    expect(await deps.redis.hkeys(keys.connection(connection))).not.toContainEqual(expect.stringContaining('sale:'));
    // A sale that Redis has lost still exists.
    const saleId = await givenSale(deps);
    expect(await say(connection, { action: 'watch', saleId })).toBe(200);
  });

  it('when Redis has lost its memory, a ping with a token enters the connection again', async () => {
    const customerId = newId();
    const connection = await connected(customerId);
    await deps.redis.flushdb();
    expect(await say(connection, { action: 'watch', saleId: newId() })).toBe(401);
    expect(await say(connection, { action: 'ping', token: await tokens.issue({ customerId, role: 'customer' }) })).toBe(
      200,
    );
    await deliver(changed([{ customerId }]));
    expect(heardBy(connection).map((one) => one.type)).toEqual(['problem', 'pong', 'reservation']);
  });

  it("no customer takes over another's connection with a token of their own", async () => {
    const connection = await connected(newId());
    const eve = newId();
    expect(
      await say(connection, { action: 'ping', token: await tokens.issue({ customerId: eve, role: 'customer' }) }),
    ).toBe(403);
    await deliver(changed([{ customerId: eve }]));
    expect(heardBy(connection).map((one) => one.code)).toEqual(['forbidden']);
  });

  it.each([
    ['no token', undefined],
    ['an empty token', ''],
    ['a token that is none', 'x.y.z'],
  ])('%s opens no connection', async (_, token) => {
    const connectionId = newId();
    expect(await connect(connectionId, token)).toBe(401);
    expect(await deps.redis.exists(keys.connection(connectionId))).toBe(0);
  });

  it('an expired token opens no connection', async () => {
    const token = await tokens.issue({ customerId: newId(), role: 'customer' });
    const [head, , signature] = token.split('.');
    const old = Buffer.from(JSON.stringify({ sub: newId(), role: 'customer', iat: 1, exp: 601 })).toString('base64url');
    expect(await connect(newId(), `${head}.${old}.${signature}`)).toBe(401);
  });

  it.each([
    ['that is empty', '', 400, 'invalid_json'],
    ['that is broken', '{', 400, 'invalid_json'],
    ['with a name twice', '{"action":"watch","action":"ping"}', 400, 'invalid_json'],
    ['without a sale', { action: 'watch' }, 400, 'invalid_input'],
    ['with SQL for an id', { action: 'watch', saleId: "' OR 1=1" }, 400, 'invalid_input'],
    ['that asks for something else', { action: 'steal' }, 400, 'invalid_input'],
    ['with an unknown field', { action: 'ping', more: 1 }, 400, 'invalid_input'],
    ['with a bad token', { action: 'ping', token: 'x.y.z' }, 401, 'unauthenticated'],
    ['with a bad token to stay', { action: 'authenticate', token: 'x.y.z' }, 401, 'unauthenticated'],
    ['to stay, without a token', { action: 'authenticate' }, 400, 'invalid_input'],
    ['that is too large', 'x'.repeat(5_000), 413, 'payload_too_large'],
  ])('a message %s is refused', async (_, message, status, code) => {
    const connection = await connected(newId());
    expect(await say(connection, message)).toBe(status);
    expect(heardBy(connection)).toMatchObject([{ type: 'problem', code }]);
  });

  it('one connection watches a bounded number of sales', async () => {
    const connection = await connected(newId());
    for (let n = 0; n < 51; n++) {
      const saleId = await givenSale(deps);
      expect(await say(connection, { action: 'watch', saleId })).toBe(n < 50 ? 200 : 429);
    }
  });
});

describe('when pushing fails', () => {
  const delivery = (customerId: CustomerId) => ({
    messageId: 'm',
    message: BusEvent.parse(JSON.parse(changed([{ customerId }]))),
    sentAtMs: 0,
    deliveries: 1,
  });

  it('without Redis the notices are stored and the batch is acknowledged', async () => {
    const customerId = newId();
    const nowhere = openRedis('redis://127.0.0.1:1');
    const failed = await notify(withDeps(deps, { redis: nowhere }), [delivery(customerId)], Date.now() + 5_000);
    nowhere.disconnect();
    expect([...failed]).toEqual([]);
    expect((await called(listHandler, customerId)).body.items).toHaveLength(1);
  });

  it('with a pusher that throws the notices are stored and the batch is acknowledged', async () => {
    const customerId = newId();
    await connected(customerId);
    const push: Pusher = { send: () => Promise.reject(new Error('no')), close: () => undefined };
    const failed = await notify(withDeps(deps, { push }), [delivery(customerId)], Date.now() + 5_000);
    expect([...failed]).toEqual([]);
    expect((await called(listHandler, customerId)).body.items).toHaveLength(1);
  });
});

describe('T9: a notice for its reader', () => {
  const deadlineMs = Date.UTC(2026, 0, 31, 9, 0, 7);
  const offer = async (customerId: CustomerId) => {
    const changes = groupChanges([{ ...change({ customerId, from: 'waitlisted' }), deadlineMs }]);
    await deliver(bodyOf('reservations.changed', { changes, stocks: [], released: false }));
  };
  const plain = (text: unknown) => String(text).replaceAll(/[\u00a0\u202f]/g, ' ');

  test('T9: an offer is read in Asia/Seoul in the reader’s zone and language, and by programs in ISO 8601', async () => {
    const customerId = newId();
    await offer(customerId);
    const read = async (language?: string, timeZone?: string) => {
      const query: Record<string, string> = timeZone === undefined ? {} : { timeZone };
      const { body } = await called(listHandler, customerId, { query, ...(language ? { language } : {}) });
      expect(body.items[0]).toMatchObject({ facts: { deadline: '2026-01-31T09:00:07.000Z' } });
      return plain(body.items[0]?.text);
    };
    expect(await read('en-US,en;q=0.9', 'Asia/Seoul')).toContain('until Jan 31, 2026, 6:00:07 PM GMT+9.');
    expect(await read('ko-KR,ko;q=0.9', 'Asia/Seoul')).toContain('2026년 1월 31일 오후 6시 0분 7초 GMT+9까지');
    expect(await read()).toContain('until Jan 31, 2026, 9:00:07 AM UTC.');
  });

  test('T9: the account’s zone and language hold where nothing else is said, and for what is pushed', async () => {
    const account = { email: `${newId()}@example.com`, name: 'Ada', passwordHash: 'x', role: 'customer' as const };
    const profile = { locale: 'ko-KR', timeZone: 'Asia/Seoul' };
    const [korean, other] = [await insertCustomer(deps.db, { ...account, ...profile }, Date.now()), newId()];
    const [herConnection, otherConnection] = [await connected(korean), await connected(other)];
    await offer(korean);
    await offer(other);
    const heard = (connectionId: string) => heardBy(connectionId).find(({ kind }) => kind === 'reservation.offered');
    expect(plain(heard(herConnection)?.text)).toContain('2026년 1월 31일 오후 6시 0분 7초 GMT+9까지');
    expect(heard(herConnection)).toMatchObject({ deadline: '2026-01-31T09:00:07.000Z' });
    expect(plain(heard(otherConnection)?.text)).toContain('until Jan 31, 2026, 9:00:07 AM UTC.');
    const { body } = await called(listHandler, korean);
    expect(body.items[0]?.text).toBe(heard(herConnection)?.text);
    const abroad = await called(listHandler, korean, { language: 'en', query: { timeZone: 'Europe/Berlin' } });
    expect(plain(abroad.body.items[0]?.text)).toContain('until Jan 31, 2026, 10:00:07 AM GMT+1.');
  });

  test('T9: an unknown time zone is refused', async () => {
    const refusedAs = async (timeZone: string) => (await called(listHandler, newId(), { query: { timeZone } })).status;
    expect(await Promise.all(['Mars/Base', '', 'x'.repeat(65)].map(refusedAs))).toEqual([422, 400, 400]);
  });
});
