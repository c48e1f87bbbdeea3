/**
 * Live pushes: each customer's notices to their connections, and the stock of a sale to its watchers.
 *
 * A push may be lost or arrive twice, so each carries a version: a client shows what is newer and drops the rest, and
 * nothing older than what was pushed before is sent (invariant I5). The truth is in the tables; a push must not fail the
 * batch or delay it for long.
 */

import type { BusEvent } from '#events/catalog.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { CustomerId, SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { defineScript, luaSource } from '#platform/redis/redis.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { connectionLifeMs, connectionsOfCustomers, removeGone, watchersOfSales } from './connections.ts';
import { noticesOf } from './notice.ts';
import { sentenceFor } from './sentence.ts';

const newestScript = defineScript('holdfastNewest', luaSource('lib/notification/newest-version.lua'));

/** A message for an audience: a customer, or the watchers of a sale. */
export interface LiveMessage<Audience extends CustomerId | SaleId = CustomerId | SaleId> {
  readonly audienceId: Audience;
  /** What the version counts: a reservation, a purchase, or the stock or the phase of a sale. */
  readonly subject: string;
  readonly epoch: number;
  readonly version: number;
  readonly body: object;
}

/** The live messages of a batch of events, in the order in which they should arrive. */
export interface Live {
  readonly forCustomers: LiveMessage<CustomerId>[];
  readonly forWatchers: LiveMessage<SaleId>[];
}

/** Collects the live messages of a batch. Of a sale's stock and phase only the newest remain. */
export function liveOf(events: BusEvent[]): Live {
  const forCustomers: LiveMessage<CustomerId>[] = [];
  const newest = new Map<string, LiveMessage<SaleId>>();
  const offer = (message: LiveMessage<SaleId>) => {
    const key = `${message.audienceId}:${message.subject}`;
    const known = newest.get(key);
    if (!known || isNewer(message, known)) newest.set(key, message);
  };
  for (const event of events) {
    forCustomers.push(...customerMessages(event));
    if (event['detail-type'] === 'reservations.changed') {
      for (const stock of event.detail.stocks) offer(stockMessage(stock));
    }
    if (event['detail-type'] === 'sale.changed') {
      const { saleId, phase, status, stock } = event.detail;
      const { epoch, version } = stock;
      offer(watched(saleId, 'phase', stock, { type: 'sale', saleId, phase, status, epoch, version }));
      offer(stockMessage(stock));
    }
  }
  forCustomers.sort((one, other) => one.version - other.version);
  return { forCustomers, forWatchers: [...newest.values()] };
}

/**
 * Pushes what is not outdated to the connected clients, customers first, within `limitMs`.
 * Throws if the connections cannot be read from Redis.
 */
export async function pushLive(
  deps: Needs<'redis' | 'push' | 'clock' | 'random'>,
  live: Live,
  limitMs: number,
): Promise<void> {
  const untilMs = deps.clock() + limitMs;
  const send = async (connections: Map<string, string[]>, messages: LiveMessage[]) => {
    const bodies = await stillNew(
      deps,
      messages.filter(({ audienceId }) => connections.has(audienceId)),
    );
    const perConnection = new Map<string, object[]>();
    for (const [audienceId, list] of bodies) {
      for (const connectionId of connections.get(audienceId) ?? []) {
        perConnection.set(connectionId, [...(perConnection.get(connectionId) ?? []), ...list]);
      }
    }
    const pushes = [...perConnection].map(([connectionId, list]) => ({ connectionId, messages: list }));
    const { gone } = await deps.push.send(pushes, untilMs - deps.clock());
    if (gone.length > 0) await removeGone(deps, gone);
  };
  const customerIds = [...new Set(live.forCustomers.map(({ audienceId }) => audienceId))];
  const saleIds = [...new Set(live.forWatchers.map(({ audienceId }) => audienceId))];
  const [customers, watchers] = await Promise.all([
    connectionsOfCustomers(deps, customerIds),
    watchersOfSales(deps, saleIds),
  ]);
  await send(customers, live.forCustomers);
  await send(shuffled(deps, watchers), live.forWatchers);
}

/** By audience, the bodies of the messages that are not outdated by an earlier push; records them as pushed. */
async function stillNew({ redis }: Needs<'redis'>, messages: LiveMessage[]): Promise<Map<string, object[]>> {
  const byAudience = Map.groupBy(messages, ({ audienceId }) => audienceId);
  const calls = [...byAudience].map(([audienceId, list]) => ({
    keys: [keys.pushed(audienceId)],
    args: [connectionLifeMs, ...list.flatMap(({ subject, epoch, version }) => [subject, epoch, version])],
  }));
  const answers = await redis.guarded(() => newestScript.runAll(redis, calls));
  const bodies = new Map<string, object[]>();
  [...byAudience].forEach(([audienceId, list], index) => {
    const answer = answers[index];
    if (answer instanceof Error) throw answer;
    const isNew = answer as number[];
    bodies.set(
      audienceId,
      list.filter((_, position) => isNew[position] === 1).map(({ body }) => body),
    );
  });
  return bodies;
}

function customerMessages(event: BusEvent): LiveMessage<CustomerId>[] {
  return noticesOf(event).map(({ id, customerId, subjectId, version, kind, facts }) => {
    const [type = '', move] = kind.split('.');
    const subject = type === 'purchase' ? { purchaseId: subjectId } : { reservationId: subjectId };
    const state = type === 'reminder' ? {} : { state: move === 'offered' ? 'allocated' : move };
    const text = sentenceFor(kind, facts);
    const body = { type, kind, notificationId: id, ...subject, version, ...state, ...facts, text };
    return { audienceId: customerId, subject: subjectId, epoch: 0, version, body };
  });
}

function stockMessage(stock: StockLevel): LiveMessage<SaleId> {
  return watched(stock.saleId, 'stock', stock, { type: 'stock', ...stock });
}

function watched(saleId: SaleId, subject: string, { epoch, version }: StockLevel, body: object): LiveMessage<SaleId> {
  return { audienceId: saleId, subject, epoch, version, body };
}

function isNewer(one: LiveMessage, other: LiveMessage): boolean {
  return one.epoch > other.epoch || (one.epoch === other.epoch && one.version > other.version);
}

/** In random order, so that when time runs out it is not always the same watchers who are skipped. */
function shuffled({ random }: Needs<'random'>, watchers: Map<string, string[]>): Map<string, string[]> {
  const order = (connectionIds: string[]) =>
    connectionIds
      .map((connectionId) => ({ connectionId, place: random() }))
      .sort((one, other) => one.place - other.place)
      .map(({ connectionId }) => connectionId);
  return new Map([...watchers].map(([saleId, connectionIds]) => [saleId, order(connectionIds)]));
}
