/**
 * The registry of WebSocket connections, in Redis: whose they are, and which sales they watch.
 *
 * Every entry expires when the gateway would have ended the connection, so a disconnect that was not reported leaves
 * nothing behind for long. When Redis has lost its data, the client's next ping registers the connection again.
 * Called by functions/websocket and by the notify verb.
 */

import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId, SaleId } from '#platform/kernel/ids.ts';
import { redisCommandTimeoutMs } from '#platform/kernel/time-limits.ts';
import { keys } from '#platform/redis/keys.ts';
import { redisReady } from '#platform/redis/redis.ts';

/** API Gateway ends every connection after two hours. */
export const connectionLifeMs = 2 * 60 * 60 * 1_000;
/** The most connections of one customer; beyond it the oldest are dropped. */
export const connectionsPerCustomer = 8;
/** How many sales one connection may watch. */
export const salesPerConnection = 50;
/** How many commands go to Redis in one round trip. */
const commandsPerTrip = 500;

/** A connection this new may not be open for pushes yet, so the gateway's answer that it is gone does not count. */
const openingMs = 5_000;

type Command = [name: string, ...args: (string | number)[]];

const ownerField = 'customer';
const sinceField = 'since';
const saleField = 'sale:';

/** Registers a connection of a customer; registering again renews the entry and keeps what it watches. */
export async function enterConnection(
  deps: Needs<'redis' | 'clock'>,
  customerId: CustomerId,
  connectionId: string,
): Promise<void> {
  const nowMs = deps.clock();
  const endsAtMs = nowMs + connectionLifeMs;
  await inOneTrip(deps, [
    ['hset', keys.connection(connectionId), ownerField, customerId, sinceField, nowMs],
    ['pexpire', keys.connection(connectionId), connectionLifeMs],
    ['zremrangebyscore', keys.connectionsOf(customerId), '-inf', nowMs],
    ['zadd', keys.connectionsOf(customerId), endsAtMs, connectionId],
    ['zremrangebyrank', keys.connectionsOf(customerId), 0, -connectionsPerCustomer - 1],
    ['pexpire', keys.connectionsOf(customerId), connectionLifeMs],
  ]);
}

/** The owner of a connection; undefined if it is not registered. */
export async function ownerOf(deps: Needs<'redis'>, connectionId: string): Promise<string | undefined> {
  const [owner] = await inOneTrip(deps, [['hget', keys.connection(connectionId), ownerField]]);
  return (owner as string | null) ?? undefined;
}

/** Subscribes the connection to the sale's stock and phase. */
export async function watchSale(
  deps: Needs<'redis' | 'clock'>,
  connectionId: string,
  saleId: SaleId,
): Promise<undefined | Refusal> {
  const [fields] = await inOneTrip(deps, [['hkeys', keys.connection(connectionId)]]);
  const known = fields as string[];
  if (!known.includes(ownerField)) {
    return refuse('unauthenticated', 'This connection is not registered; send {"action":"ping","token":…} first.');
  }
  const watched = known.filter((field) => field.startsWith(saleField));
  if (watched.length >= salesPerConnection && !watched.includes(saleField + saleId)) {
    return refuse('too_many_requests', `One connection may watch at most ${salesPerConnection} sales.`);
  }
  const nowMs = deps.clock();
  await inOneTrip(deps, [
    ['hset', keys.connection(connectionId), saleField + saleId, 1],
    ['pexpire', keys.connection(connectionId), connectionLifeMs],
    ['zremrangebyscore', keys.watchersOf(saleId), '-inf', nowMs],
    ['zadd', keys.watchersOf(saleId), nowMs + connectionLifeMs, connectionId],
    ['pexpire', keys.watchersOf(saleId), connectionLifeMs],
  ]);
  return undefined;
}

/** Unsubscribes the connection from the sale. */
export async function unwatchSale(deps: Needs<'redis'>, connectionId: string, saleId: SaleId): Promise<void> {
  await inOneTrip(deps, [
    ['hdel', keys.connection(connectionId), saleField + saleId],
    ['zrem', keys.watchersOf(saleId), connectionId],
  ]);
}

/** Removes a connection that has ended, with its subscriptions. */
export async function leaveConnection(deps: Needs<'redis'>, connectionId: string): Promise<void> {
  await removeAll(deps, [connectionId], () => true);
}

/** Removes connections that the gateway reports as gone, except those that are just opening. */
export async function removeGone(deps: Needs<'redis' | 'clock'>, connectionIds: string[]): Promise<void> {
  await removeAll(deps, connectionIds, (fields) => deps.clock() - Number(fields[sinceField] ?? 0) > openingMs);
}

async function removeAll(
  deps: Needs<'redis'>,
  connectionIds: string[],
  isOver: (fields: Record<string, string>) => boolean,
): Promise<void> {
  const found = await inOneTrip(
    deps,
    connectionIds.map((connectionId): Command => ['hgetall', keys.connection(connectionId)]),
  );
  const commands = connectionIds.flatMap((connectionId, index): Command[] => {
    const fields = found[index] as Record<string, string>;
    if (!isOver(fields)) return [];
    const watched = Object.keys(fields).filter((field) => field.startsWith(saleField));
    return [
      ['zrem', keys.connectionsOf((fields[ownerField] ?? '') as CustomerId), connectionId],
      ...watched.map(
        (field): Command => ['zrem', keys.watchersOf(field.slice(saleField.length) as SaleId), connectionId],
      ),
      ['del', keys.connection(connectionId)],
    ];
  });
  await inOneTrip(deps, commands);
}

/** The connections of each of these customers; those who have none are left out. */
export function connectionsOfCustomers(
  deps: Needs<'redis' | 'clock'>,
  customerIds: CustomerId[],
): Promise<Map<string, string[]>> {
  return livingMembers(deps, customerIds, keys.connectionsOf);
}

/** The connections that watch each of these sales; sales without watchers are left out. */
export function watchersOfSales(deps: Needs<'redis' | 'clock'>, saleIds: SaleId[]): Promise<Map<string, string[]>> {
  return livingMembers(deps, saleIds, keys.watchersOf);
}

async function livingMembers<Audience extends CustomerId | SaleId>(
  deps: Needs<'redis' | 'clock'>,
  ids: Audience[],
  keyOf: (id: Audience) => string,
): Promise<Map<string, string[]>> {
  const members = await inOneTrip(
    deps,
    ids.map((id): Command => ['zrangebyscore', keyOf(id), `(${deps.clock()}`, '+inf']),
  );
  const found = new Map<string, string[]>();
  ids.forEach((id, index) => {
    const connectionIds = members[index] as string[];
    if (connectionIds.length > 0) found.set(id, connectionIds);
  });
  return found;
}

/** Runs commands in round trips of at most `commandsPerTrip`. Throws the first error among the replies. */
async function inOneTrip({ redis }: Needs<'redis'>, commands: Command[]): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (let start = 0; start < commands.length; start += commandsPerTrip) {
    const trip = commands.slice(start, start + commandsPerTrip);
    const results = await redis.guarded(async () => {
      // The first trip of a new environment comes before its connection is ready.
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
