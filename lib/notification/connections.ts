/**
 * The registry of WebSocket connections, in Redis: whose they are, and which sales they watch.
 *
 * A connection is served until its access token expires, and only while messages arrive on it: a client that vanished is
 * found by its silence, since the gateway would keep its connection for minutes. The sets are ordered by that time, so
 * reading a set leaves expired connections out of every push; the next run of the schedule tells the client why, and closes
 * the connection. If Redis has lost its data, the client's next token registers the connection again. Called by
 * functions/websocket, by the notify verb and by functions/schedule/relay.ts.
 */

import type { Needs } from '#platform/environment/deps.ts';
import { closing, type Ending } from '#platform/handlers/websocket.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId, SaleId } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import { redisCommandTimeoutMs } from '#platform/kernel/time-limits.ts';
import { keys } from '#platform/redis/keys.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { accessTokenLifeSeconds, type VerifiedCaller } from '#platform/security/access-token.ts';

/** API Gateway ends every connection after two hours. */
export const connectionLifeMs = 2 * 60 * 60 * 1_000;
/** A connection on which nothing is heard for so long is over. Clients ping every 25 s, so one ping may be lost. */
export const silenceLimitMs = 55_000;
/** How many connections of one customer are served: the latest. */
export const connectionsPerCustomer = 8;
/** How many sales one connection may watch. */
export const salesPerConnection = 50;
/** How many commands go to Redis in one round trip. */
const commandsPerTrip = 500;
/** How many connections are ended in one run, and how long telling and closing them may take. */
const endedPerTurn = 500;
const endLimitMs = 2_000;

/** A connection younger than this may not be open for pushes yet, so the gateway's answer that it is gone does not count. */
const openingMs = 5_000;

type Command = [name: string, ...args: (string | number)[]];

const ownerField = 'customer';
const sinceField = 'since';
const tokenEndField = 'tokenEnd';
const heardField = 'heard';
const sessionField = 'session';
const saleField = 'sale:';

/** A registered connection, as it was read. */
export interface Connection {
  readonly connectionId: string;
  readonly customerId: CustomerId;
  /** The sign-in that it was opened with; older builds stored none. */
  readonly sessionId: string | undefined;
  readonly openedAtMs: number;
  readonly tokenEndsAtMs: number;
  readonly heardAtMs: number;
  readonly saleIds: readonly SaleId[];
}

/**
 * Registers a connection, or renews its entry with a fresh token; an older token never shortens a newer one's life. Refused if
 * the token's session has ended.
 */
export async function enterConnection(
  deps: Needs<'redis' | 'clock'>,
  { customerId, sessionId, expiresAtMs }: Pick<VerifiedCaller, 'customerId' | 'sessionId' | 'expiresAtMs'>,
  connectionId: string,
  known?: Connection,
): Promise<undefined | Refusal> {
  const nowMs = deps.clock();
  await renew(deps, {
    connectionId,
    customerId,
    sessionId,
    openedAtMs: known?.openedAtMs ?? nowMs,
    tokenEndsAtMs: Math.max(expiresAtMs, known?.tokenEndsAtMs ?? 0),
    heardAtMs: nowMs,
    saleIds: known?.saleIds ?? [],
  });
  // Asked afterwards: a session that ends meanwhile finds this connection, or is found here.
  const [ended] = await inOneTrip(deps, [['exists', keys.endedSession(sessionId ?? '')]]);
  if (ended !== 1) return undefined;
  await leaveConnection(deps, connectionId);
  return refuse('unauthenticated', 'This session has ended; sign in again.');
}

/** Records that a message arrived on the connection. */
export async function hearConnection(deps: Needs<'redis' | 'clock'>, connection: Connection): Promise<void> {
  await renew(deps, { ...connection, heardAtMs: deps.clock() });
}

async function renew(deps: Needs<'redis' | 'clock'>, connection: Connection, watched?: SaleId): Promise<void> {
  const { connectionId, customerId, sessionId, openedAtMs, tokenEndsAtMs, heardAtMs, saleIds } = connection;
  const key = keys.connection(connectionId);
  const until = servedUntilMs(connection);
  // Messages of one connection are processed concurrently, so the stored times must never fall.
  const lasting = (set: string): Command[] => [
    ['zadd', set, 'GT', until, connectionId],
    ['pexpire', set, connectionLifeMs],
  ];
  await inOneTrip(deps, [
    ['hset', key, ownerField, customerId, heardField, heardAtMs, tokenEndField, tokenEndsAtMs],
    ['hsetnx', key, sinceField, openedAtMs],
    ...(sessionId === undefined ? [] : [['hset', key, sessionField, sessionId] satisfies Command]),
    ...(watched ? [['hset', key, saleField + watched, 1] satisfies Command] : []),
    ['pexpire', key, connectionLifeMs],
    ...lasting(keys.connections()),
    ['zremrangebyscore', keys.connectionsOf(customerId), '-inf', deps.clock()],
    ...lasting(keys.connectionsOf(customerId)),
    ...[...saleIds, ...(watched ? [watched] : [])].flatMap((saleId) => lasting(keys.watchersOf(saleId))),
  ]);
}

/** The entry of a connection; undefined if it is not registered, or no longer. */
export async function findConnection(deps: Needs<'redis'>, connectionId: string): Promise<Connection | undefined> {
  const [connection] = await findConnections(deps, [connectionId]);
  return connection;
}

async function findConnections(
  deps: Needs<'redis'>,
  connectionIds: readonly string[],
): Promise<(Connection | undefined)[]> {
  const found = await inOneTrip(
    deps,
    connectionIds.map((connectionId): Command => ['hgetall', keys.connection(connectionId)]),
  );
  return connectionIds.map((connectionId, index) => connectionOf(connectionId, found[index] as Record<string, string>));
}

function connectionOf(connectionId: string, fields: Record<string, string>): Connection | undefined {
  const customerId = fields[ownerField];
  if (customerId === undefined) return undefined;
  const openedAtMs = Number(fields[sinceField] ?? 0);
  return {
    connectionId,
    customerId: customerId as CustomerId,
    sessionId: fields[sessionField],
    openedAtMs,
    // Older builds stored neither time, and registered a connection at each token.
    tokenEndsAtMs: Number(fields[tokenEndField] ?? openedAtMs + accessTokenLifeSeconds * 1_000),
    heardAtMs: Number(fields[heardField] ?? openedAtMs),
    saleIds: Object.keys(fields)
      .filter((field) => field.startsWith(saleField))
      .map((field) => field.slice(saleField.length) as SaleId),
  };
}

/** Until when the connection is served if no further message arrives. */
function servedUntilMs({ openedAtMs, tokenEndsAtMs, heardAtMs }: Connection): number {
  return Math.min(openedAtMs + connectionLifeMs, tokenEndsAtMs, heardAtMs + silenceLimitMs);
}

/** Why the connection is over; undefined while it is not. */
export function overBecause({ clock }: Needs<'clock'>, connection: Connection): Ending['ending'] | undefined {
  const nowMs = clock();
  if (connection.tokenEndsAtMs <= nowMs) {
    return { refused: 'unauthenticated', detail: 'The access token has run out; connect again with a fresh one.' };
  }
  if (servedUntilMs(connection) <= nowMs) {
    return {
      refused: 'connection_silent',
      detail: 'Connect again, ping every 25 seconds, and read what you have missed.',
    };
  }
  return undefined;
}

/** Subscribes the connection to the sale's stock and phase. Refused if it watches too many. */
export async function watchSale(
  deps: Needs<'redis' | 'clock'>,
  connection: Connection,
  saleId: SaleId,
): Promise<undefined | Refusal> {
  const { saleIds } = connection;
  if (saleIds.length >= salesPerConnection && !saleIds.includes(saleId)) {
    return refuse('too_many_requests', `One connection may watch at most ${salesPerConnection} sales.`);
  }
  await renew(deps, { ...connection, heardAtMs: deps.clock() }, saleId);
  return undefined;
}

/** Unsubscribes the connection from the sale. */
export async function unwatchSale(deps: Needs<'redis'>, connectionId: string, saleId: SaleId): Promise<void> {
  await inOneTrip(deps, [
    ['hdel', keys.connection(connectionId), saleField + saleId],
    ['zrem', keys.watchersOf(saleId), connectionId],
  ]);
}

/** Unsubscribes every connection from the sale. Returns them. */
export async function unwatchedByAll(deps: Needs<'redis'>, saleId: SaleId): Promise<string[]> {
  const [members] = await inOneTrip(deps, [['zrange', keys.watchersOf(saleId), 0, -1]]);
  const connectionIds = members as string[];
  await inOneTrip(
    deps,
    connectionIds.map((connectionId): Command => ['hdel', keys.connection(connectionId), saleField + saleId]),
  );
  await inOneTrip(deps, [['del', keys.watchersOf(saleId)]]);
  return connectionIds;
}

/** Removes a connection that has ended, with its subscriptions. */
export async function leaveConnection(deps: Needs<'redis'>, connectionId: string): Promise<void> {
  const connection = await findConnection(deps, connectionId);
  if (connection) await removeAll(deps, [connection]);
}

/** Removes connections that the gateway reports as gone, except those that were opened just now. */
export async function removeGone(deps: Needs<'redis' | 'clock'>, connectionIds: string[]): Promise<void> {
  const found = await findConnections(deps, connectionIds);
  await removeAll(
    deps,
    found.filter((one) => one !== undefined).filter(({ openedAtMs }) => deps.clock() - openedAtMs > openingMs),
  );
}

async function removeAll(deps: Needs<'redis'>, connections: readonly Connection[]): Promise<void> {
  await inOneTrip(
    deps,
    connections.flatMap(({ connectionId, customerId, saleIds }): Command[] => [
      ['zrem', keys.connectionsOf(customerId), connectionId],
      ...saleIds.map((saleId): Command => ['zrem', keys.watchersOf(saleId), connectionId]),
      ['zrem', keys.connections(), connectionId],
      ['del', keys.connection(connectionId)],
    ]),
  );
}

/** Ends the oldest connections of a customer with more than the limit; each is told why. */
export async function endSurplus(deps: Needs<'redis' | 'push' | 'clock'>, customerId: CustomerId): Promise<void> {
  const connectionIds = (await connectionsOfCustomers(deps, [customerId])).get(customerId) ?? [];
  if (connectionIds.length <= connectionsPerCustomer) return;
  const connections = (await findConnections(deps, connectionIds)).filter((one) => one !== undefined);
  connections.sort((one, other) => other.openedAtMs - one.openedAtMs);
  const detail = `One customer may have ${connectionsPerCustomer} connections.`;
  const reason = { refused: 'too_many_connections', detail } as const;
  await endConnections(
    deps,
    connections.slice(connectionsPerCustomer).map((connection) => ({ connection, reason })),
  );
}

/**
 * Ends the connections of a session that has ended; each is told why, and the session's access tokens open no other. Never
 * throws: without Redis nothing is pushed, and a connection ends with its access token anyway.
 */
export async function endSession(
  deps: Needs<'redis' | 'push' | 'clock'>,
  { customerId, sessionId }: { customerId: CustomerId; sessionId: string },
): Promise<void> {
  try {
    await inOneTrip(deps, [['set', keys.endedSession(sessionId), 1, 'EX', accessTokenLifeSeconds]]);
    const detail = 'This session has ended; sign in again.';
    await endConnectionsOf(deps, customerId, detail, (one) => one.sessionId === sessionId);
  } catch (error) {
    log.warn('the connections of a session could not be ended; they end with their tokens', { error });
  }
}

/**
 * Ends all connections of an account that was deleted, also those that another issuer's token opened, which has no session here.
 * Never throws: without Redis nothing is pushed, and a connection ends with its access token anyway.
 */
export async function endAccount(deps: Needs<'redis' | 'push' | 'clock'>, customerId: CustomerId): Promise<void> {
  try {
    await endConnectionsOf(deps, customerId, 'This account was deleted.', () => true);
  } catch (error) {
    log.warn('the connections of an account could not be ended; they end with their tokens', { error });
  }
}

async function endConnectionsOf(
  deps: Needs<'redis' | 'push' | 'clock'>,
  customerId: CustomerId,
  detail: string,
  which: (connection: Connection) => boolean,
): Promise<void> {
  const connectionIds = (await connectionsOfCustomers(deps, [customerId])).get(customerId) ?? [];
  const connections = (await findConnections(deps, connectionIds)).filter((one) => one !== undefined).filter(which);
  const reason = { refused: 'unauthenticated', detail } as const;
  await endConnections(
    deps,
    connections.map((connection) => ({ connection, reason })),
  );
}

/**
 * Ends expired connections, a bounded number in one call; each is told why. Never throws: an expired connection is not
 * served anyway, and the next run ends those that this one could not.
 */
export async function endLapsed(deps: Needs<'redis' | 'push' | 'clock'>): Promise<void> {
  try {
    const range: Command = ['zrangebyscore', keys.connections(), '-inf', deps.clock(), 'LIMIT', 0, endedPerTurn];
    const connectionIds = ((await inOneTrip(deps, [range]))[0] ?? []) as string[];
    if (connectionIds.length === 0) return;
    const found = await findConnections(deps, connectionIds);
    // Of several processes that end the same connection, one tells it.
    const claimed = await inOneTrip(
      deps,
      connectionIds.map((connectionId): Command => ['zrem', keys.connections(), connectionId]),
    );
    const lapsed = found.flatMap((connection, index) => {
      const reason = connection && overBecause(deps, connection);
      return connection && reason && claimed[index] === 1 ? [{ connection, reason }] : [];
    });
    await endConnections(deps, lapsed);
  } catch (error) {
    log.warn('connections could not be ended; the next turn does it', { error });
  }
}

/** Removes the entries first, so that nothing is pushed after the reason. */
async function endConnections(
  deps: Needs<'redis' | 'push'>,
  endings: readonly { connection: Connection; reason: Ending['ending'] }[],
): Promise<void> {
  await removeAll(
    deps,
    endings.map(({ connection }) => connection),
  );
  await deps.push.send(
    endings.map(({ connection, reason }) => closing(connection.connectionId, reason)),
    endLimitMs,
  );
}

/**
 * The connections of each of these customers that are served at a time, by default now; customers without one are left out.
 */
export function connectionsOfCustomers(
  deps: Needs<'redis' | 'clock'>,
  customerIds: CustomerId[],
  atMs = deps.clock(),
): Promise<Map<string, string[]>> {
  return servedMembers(deps, customerIds, keys.connectionsOf, atMs);
}

/**
 * The connections that watch each of these sales and are served at a time, by default now; sales without one are left out.
 */
export function watchersOfSales(
  deps: Needs<'redis' | 'clock'>,
  saleIds: SaleId[],
  atMs = deps.clock(),
): Promise<Map<string, string[]>> {
  return servedMembers(deps, saleIds, keys.watchersOf, atMs);
}

async function servedMembers<Audience extends CustomerId | SaleId>(
  deps: Needs<'redis'>,
  ids: Audience[],
  keyOf: (id: Audience) => string,
  atMs: number,
): Promise<Map<string, string[]>> {
  const members = await inOneTrip(
    deps,
    ids.map((id): Command => ['zrangebyscore', keyOf(id), `(${atMs}`, '+inf']),
  );
  const found = new Map<string, string[]>();
  ids.forEach((id, index) => {
    const connectionIds = members[index] as string[];
    if (connectionIds.length > 0) found.set(id, connectionIds);
  });
  return found;
}

/** Runs commands in as few round trips as the limit on a trip allows. Throws the first error among the answers. */
async function inOneTrip({ redis }: Needs<'redis'>, commands: readonly Command[]): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (let start = 0; start < commands.length; start += commandsPerTrip) {
    const trip = commands.slice(start, start + commandsPerTrip);
    const results = await redis.guarded(async () => {
      // The first call in a new environment may come before its Redis connection is ready.
      await redisReady(redis, redisCommandTimeoutMs);
      return redis.pipeline(trip).exec();
    });
    for (const [error, answer] of results ?? []) {
      if (error) throw error;
      answers.push(answer);
    }
  }
  return answers;
}
