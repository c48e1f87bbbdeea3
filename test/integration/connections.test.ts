/**
 * Connections from their first token to their end, and the order of pushes: the verbs against a real MySQL and Redis, with a
 * clock of the test's own and a pusher that records.
 */

import { BusEvent } from '#events/catalog.ts';
import { groupChanges } from '#events/changes.ts';
import { newEvent } from '#events/outbox.ts';
import {
  connectionsOfCustomers,
  endLapsed,
  endSession,
  enterConnection,
  silenceLimitMs,
  watchersOfSales,
} from '#notification/connections.ts';
import { listen } from '#notification/listen.ts';
import type { ClientMessage } from '#notification/notification.shapes.ts';
import { liveOf, pushLive } from '#notification/push-changes.ts';
import type { Push, Pusher } from '#platform/aws/websocket-push.ts';
import type { Deps } from '#platform/environment/deps.ts';
import type { CustomerId, SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { openTokens, type Tokens } from '#platform/security/access-token.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { newId } from '#test/support/ids.ts';
import { withDeps } from '../support/deps.ts';
import { givenSale, openBed } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let real: Deps;
let nowMs: number;
let deps: Deps;
let tokens: Tokens;
/** What was pushed, in order, and who was closed. */
let pushed: { connectionId: string; message: Record<string, unknown> }[];
let closed: string[];

const limitMs = 3_000;

beforeAll(async () => {
  bed = await testBed({ queues: false });
  real = await openBed(bed);
});

afterAll(async () => {
  await real?.close();
  await bed?.close();
});

beforeEach(async () => {
  nowMs = Date.now();
  pushed = [];
  closed = [];
  deps = withDeps(real, { clock: () => nowMs, push: recorder() });
  tokens = await openTokens(bed.registry['secret/token-signing-key'] ?? '', deps.clock);
  await deps.redis.flushdb();
});

/** A gateway that accepts everything, after `before`. */
function recorder(before: (push: Push) => Promise<void> = async () => undefined): Pusher {
  return {
    send: async (pushes) => {
      for (const push of pushes) {
        await before(push);
        for (const message of push.messages) {
          pushed.push({ connectionId: push.connectionId, message: message as Record<string, unknown> });
        }
        if (push.thenClose) closed.push(push.connectionId);
      }
      return { reached: pushes.length, gone: [], missed: 0 };
    },
    close: () => undefined,
  };
}

const tokenOf = (customerId: CustomerId) => tokens.issue({ customerId, role: 'customer' });

async function connected(customerId: CustomerId): Promise<string> {
  const connectionId = newId();
  const caller = await tokens.verify(await tokenOf(customerId));
  if (!caller) throw new Error('the token is not good');
  await enterConnection(deps, caller, connectionId);
  return connectionId;
}

const say = (connectionId: string, message: ClientMessage) => listen(deps, tokens.verify, connectionId, message);

/** Pings as a client does, until a time. */
async function pingUntil(connectionId: string, untilMs: number): Promise<void> {
  while (nowMs + 25_000 < untilMs) {
    nowMs += 25_000;
    expect(await say(connectionId, { action: 'ping' })).toEqual({ type: 'pong' });
  }
  nowMs = untilMs;
}

function eventOf(customerId: CustomerId | undefined, stocks: StockLevel[] = [], version = 1, reservationId = newId()) {
  const change = { reservationId, saleId: newId(), from: 'requested', to: 'allocated', units: 1, quantity: 1 } as const;
  const changes = customerId ? groupChanges([{ ...change, customerId, ticket: 1, version }]) : [];
  const event = newEvent('reservations.changed', { changes, stocks, released: false }, nowMs);
  return BusEvent.parse({ 'detail-type': event.detailType, detail: JSON.parse(event.detail) });
}

const news = (customerId: CustomerId) => pushLive(deps, liveOf([eventOf(customerId)]), limitMs);
const heardBy = (connectionId: string) =>
  pushed.filter((one) => one.connectionId === connectionId).map(({ message }) => message);

function stock(saleId: SaleId, version: number): StockLevel {
  return { saleId, epoch: 1, version, allotment: 9, available: 9, allocated: 0, sold: 0, waitlisted: 0 };
}

describe('a session that has ended', () => {
  const inSession = async (customerId: CustomerId, sessionId: string) => {
    const connectionId = newId();
    const token = await tokens.issue({ customerId, role: 'customer', sessionId });
    const caller = await tokens.verify(token);
    if (!caller) throw new Error('the token is not good');
    return { connectionId, token, refusal: await enterConnection(deps, caller, connectionId) };
  };

  it('takes its connections with it, says so, and leaves those of other sessions', async () => {
    const customerId = newId();
    const [session, other] = [newId(), newId()];
    const gone = [await inSession(customerId, session), await inSession(customerId, session)];
    const kept = [await inSession(customerId, other), await inSession(newId(), newId())];
    const older = await connected(customerId);
    await endSession(deps, { customerId, sessionId: session });
    expect(closed.sort()).toEqual(gone.map(({ connectionId }) => connectionId).sort());
    for (const { connectionId } of gone) {
      expect(heardBy(connectionId)).toMatchObject([{ type: 'closing', code: 'unauthenticated' }]);
    }
    await news(customerId);
    for (const connectionId of [kept[0]?.connectionId ?? '', older]) expect(heardBy(connectionId)).toHaveLength(1);
    for (const { connectionId } of gone) expect(heardBy(connectionId)).toHaveLength(1);
  });

  it('opens no other with an access token that is still valid, and renews none', async () => {
    const customerId = newId();
    const sessionId = newId();
    const { token } = await inSession(customerId, sessionId);
    await endSession(deps, { customerId, sessionId });
    const again = await inSession(customerId, sessionId);
    expect(again.refusal).toMatchObject({ refused: 'unauthenticated' });
    expect((await connectionsOfCustomers(deps, [customerId])).size).toBe(0);
    const other = (await inSession(customerId, newId())).connectionId;
    expect(await say(other, { action: 'authenticate', token })).toMatchObject({ refused: 'unauthenticated' });
  });

  it('without Redis ends like any other, and signing out does not fail', async () => {
    const broken = withDeps(deps, {
      redis: Object.create(deps.redis, { guarded: { value: () => Promise.reject(new Error('gone')) } }),
    });
    await endSession(broken, { customerId: newId(), sessionId: newId() });
  });
});

describe("a connection's token", () => {
  it("S2: after the token's end nothing is pushed, the client is told why, and the connection is closed", async () => {
    const customerId = newId();
    const saleId = await givenSale(deps);
    const connection = await connected(customerId);
    await say(connection, { action: 'watch', saleId });
    const endMs = Math.floor(nowMs / 1_000) * 1_000 + 600_000;
    await pingUntil(connection, endMs - 10_000);
    await news(customerId);
    expect(heardBy(connection)).toMatchObject([{ type: 'reservation' }]);

    nowMs = endMs;
    await news(customerId);
    await pushLive(deps, liveOf([eventOf(undefined, [stock(saleId, 5)])]), limitMs);
    expect(heardBy(connection)).toHaveLength(1);
    await endLapsed(deps);
    expect(heardBy(connection).slice(1)).toMatchObject([{ type: 'closing', code: 'unauthenticated' }]);
    expect(closed).toEqual([connection]);
    expect(await deps.redis.exists(keys.connection(connection), keys.connections())).toBe(0);
    await endLapsed(deps);
    expect(closed).toEqual([connection]);
  });

  it('S2: no push that could still run at the end of the token is begun', async () => {
    const customerId = newId();
    const connection = await connected(customerId);
    const endMs = Math.floor(nowMs / 1_000) * 1_000 + 600_000;
    await pingUntil(connection, endMs - limitMs);
    await news(customerId);
    expect(heardBy(connection)).toEqual([]);
  });

  it.each(['authenticate', 'ping'] as const)(
    'S2: a fresh token by %s, in time, keeps the connection',
    async (action) => {
      const customerId = newId();
      const connection = await connected(customerId);
      await pingUntil(connection, nowMs + 590_000);
      const answer = await say(connection, { action, token: await tokenOf(customerId) });
      expect(answer).toEqual({ type: action === 'ping' ? 'pong' : 'authenticated' });
      await pingUntil(connection, nowMs + 300_000);
      await endLapsed(deps);
      await news(customerId);
      expect(heardBy(connection)).toMatchObject([{ type: 'reservation' }]);
      expect(closed).toEqual([]);
    },
  );

  it('S2: a message after the end is answered with the reason, even a fresh token', async () => {
    const customerId = newId();
    const connection = await connected(customerId);
    await pingUntil(connection, nowMs + 600_000);
    const ending = { refused: 'unauthenticated' };
    expect(await say(connection, { action: 'ping', token: await tokenOf(customerId) })).toMatchObject({ ending });
    expect(await connectionsOfCustomers(deps, [customerId])).toEqual(new Map());
  });

  it('S2: an older token, sent late, takes nothing from a newer one', async () => {
    const customerId = newId();
    const connection = await connected(customerId);
    const older = await tokenOf(customerId);
    await pingUntil(connection, nowMs + 400_000);
    await say(connection, { action: 'authenticate', token: await tokenOf(customerId) });
    await say(connection, { action: 'authenticate', token: older });
    await pingUntil(connection, nowMs + 400_000);
    expect(await say(connection, { action: 'ping' })).toEqual({ type: 'pong' });
  });

  it('S2: a connection that an older build registered ends no later than its token', async () => {
    const customerId = newId();
    const connection = newId();
    await deps.redis.hset(keys.connection(connection), 'customer', customerId, 'since', nowMs - 601_000);
    await deps.redis.zadd(keys.connectionsOf(customerId), nowMs + 7_200_000, connection);
    const ending = { refused: 'unauthenticated' };
    expect(await say(connection, { action: 'ping' })).toMatchObject({ ending });
    expect(await connectionsOfCustomers(deps, [customerId])).toEqual(new Map());
  });
});

describe('a half-open connection', () => {
  it('is served no longer than 60 s after its last message, and is closed with the reason', async () => {
    const customerId = newId();
    const saleId = await givenSale(deps);
    const connection = await connected(customerId);
    await say(connection, { action: 'watch', saleId });
    expect(silenceLimitMs).toBeLessThan(60_000);
    nowMs += silenceLimitMs - 1;
    await endLapsed(deps);
    expect(closed).toEqual([]);
    nowMs += 1;
    await news(customerId);
    expect(heardBy(connection)).toEqual([]);
    expect(await watchersOfSales(deps, [saleId])).toEqual(new Map());
    await endLapsed(deps);
    expect(heardBy(connection)).toMatchObject([{ type: 'closing', code: 'connection_silent' }]);
    expect(closed).toEqual([connection]);
  });

  it('that comes back too late is told to connect again, since it has missed something', async () => {
    const connection = await connected(newId());
    nowMs += silenceLimitMs;
    expect(await say(connection, { action: 'ping' })).toMatchObject({ ending: { refused: 'connection_silent' } });
  });

  it.each([['ping'], ['watch'], ['unwatch']] as const)('is not assumed while messages arrive: %s', async (action) => {
    const connection = await connected(newId());
    const saleId = await givenSale(deps);
    nowMs += 50_000;
    await say(connection, action === 'ping' ? { action } : { action, saleId });
    nowMs += 50_000;
    expect(await say(connection, { action: 'ping' })).toEqual({ type: 'pong' });
  });
});

describe('the order of pushes', () => {
  /** Pushes from two processes, of which the first stalls while it sends. */
  async function overtaken(first: BusEvent, others: BusEvent[]): Promise<void> {
    const { promise: sending, resolve: isSending } = Promise.withResolvers<void>();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    let pushes = 0;
    const slow = recorder(async () => {
      if (pushes++ > 0) return;
      isSending();
      await released;
    });
    const pushing = pushLive(withDeps(deps, { push: slow }), liveOf([first]), limitMs);
    await sending;
    for (const event of others) await pushLive(withDeps(deps, {}), liveOf([event]), limitMs);
    release();
    await pushing;
  }

  it('S3: watchers hear of stock in order, though another process has newer news while one still sends', async () => {
    const saleId = await givenSale(deps);
    const connection = await connected(newId());
    await say(connection, { action: 'watch', saleId });
    const at = (version: number) => eventOf(undefined, [stock(saleId, version)]);
    await overtaken(at(5), [at(6), at(7), at(4)]);
    // Of the messages queued meanwhile, the newest is enough.
    expect(heardBy(connection).map(({ version }) => version)).toEqual([5, 7]);
  });

  it('S3: a customer hears of each change of a reservation in order, whichever process has it', async () => {
    const customerId = newId();
    const reservationId = newId();
    const connection = await connected(customerId);
    const at = (version: number) => eventOf(customerId, [], version, reservationId);
    await overtaken(at(2), [at(3), at(1), at(4)]);
    expect(heardBy(connection).map(({ version }) => version)).toEqual([2, 3, 4]);
  });

  it('S3: twenty processes at once, in any order, never step back', async () => {
    const saleId = await givenSale(deps);
    const connections = await Promise.all([connected(newId()), connected(newId())]);
    for (const connection of connections) await say(connection, { action: 'watch', saleId });
    const jittery = () => recorder(() => new Promise((resolve) => setTimeout(resolve, Math.random() * 5)));
    const versions = Array.from({ length: 200 }, (_, n) => ((n * 37) % 200) + 1);
    await Promise.all(
      Array.from({ length: 20 }, async (_, process) => {
        const own = withDeps(deps, { push: jittery() });
        for (const version of versions.slice(process * 10, process * 10 + 10)) {
          await pushLive(own, liveOf([eventOf(undefined, [stock(saleId, version)])]), limitMs);
        }
      }),
    );
    for (const connection of connections) {
      const heard = heardBy(connection).map(({ version }) => Number(version));
      expect(heard).toEqual([...new Set(heard)].sort((one, other) => one - other));
      expect(heard.at(-1)).toBe(200);
    }
  });

  it('S3: the queue of a process that died during its turn is sent by the next one', async () => {
    const saleId = await givenSale(deps);
    const connection = await connected(newId());
    await say(connection, { action: 'watch', saleId });
    await deps.redis.set(keys.pushTurn(saleId), 'dead', 'PX', 60_000);
    await pushLive(deps, liveOf([eventOf(undefined, [stock(saleId, 3)])]), limitMs);
    expect(heardBy(connection)).toEqual([]);
    // Its turn ends by itself; here the test says when.
    await deps.redis.pexpire(keys.pushTurn(saleId), 1);
    while ((await deps.redis.exists(keys.pushTurn(saleId))) === 1) await new Promise((wait) => setTimeout(wait, 5));
    await pushLive(deps, liveOf([eventOf(undefined, [stock(saleId, 2)])]), limitMs);
    expect(heardBy(connection)).toMatchObject([{ type: 'stock', version: 3 }]);
  });

  it('S3: a pusher that fails gives its turn back', async () => {
    const saleId = await givenSale(deps);
    const connection = await connected(newId());
    await say(connection, { action: 'watch', saleId });
    const broken = withDeps(deps, { push: { send: () => Promise.reject(new Error('no')), close: () => undefined } });
    const at = (version: number) => liveOf([eventOf(undefined, [stock(saleId, version)])]);
    await expect(pushLive(broken, at(1), limitMs)).rejects.toThrow('no');
    await pushLive(deps, at(2), limitMs);
    expect(heardBy(connection)).toMatchObject([{ version: 2 }]);
  });
});
