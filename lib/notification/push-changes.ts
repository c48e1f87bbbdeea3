/**
 * Live pushes: each customer's notices to their connections, and the stock of a sale to its watchers.
 *
 * A push may be lost or arrive twice, so each carries a version: a client shows what is newer and drops the rest, and
 * nothing older than what was pushed before leaves here, from any process (invariant I5, push-order.ts). The truth is
 * in the tables; none of this may fail or hold up the batch it came with.
 */

import type { BusEvent } from '#events/catalog.ts';
import { findProfiles } from '#identity/customer.store.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { CustomerId, SaleId } from '#platform/kernel/ids.ts';
import { readerOf } from '#platform/kernel/reader.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { connectionsOfCustomers, removeGone, unwatchedByAll, watchersOfSales } from './connections.ts';
import { type Notice, noticesOf } from './notice.ts';
import { type InLine, newTurn, nextPushes, takeTurns, type Versioned } from './push-order.ts';
import { sentenceFor } from './sentence.ts';

/** A message for an audience: a customer, or the watchers of a sale. */
export interface LiveMessage<Audience extends CustomerId | SaleId = CustomerId | SaleId> extends Versioned {
  readonly audienceId: Audience;
  /** What its text is made from once its reader is known. */
  readonly told?: Pick<Notice, 'kind' | 'facts'>;
}

/** The live messages of a batch of events, in the order in which they should arrive. */
export interface Live {
  readonly forCustomers: LiveMessage<CustomerId>[];
  readonly forWatchers: LiveMessage<SaleId>[];
  /** Sales that were hidden: nobody who watches them hears more, unless they may watch them anew. */
  readonly hidden: SaleId[];
}

/** Collects the live messages of a batch. Of a sale's stock and phase only the newest remain. */
export function liveOf(events: BusEvent[]): Live {
  const forCustomers: LiveMessage<CustomerId>[] = [];
  const newest = new Map<string, LiveMessage<SaleId>>();
  const hidden: SaleId[] = [];
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
      if (event.detail.hidden) hidden.push(saleId);
      const { epoch, version } = stock;
      offer(watched(saleId, 'phase', stock, { type: 'sale', saleId, phase, status, epoch, version }));
      offer(stockMessage(stock));
    }
  }
  forCustomers.sort((one, other) => one.version - other.version);
  return { forCustomers, forWatchers: [...newest.values()], hidden };
}

/**
 * Pushes what is not outdated to the connected clients, customers first, within `limitMs`.
 * Throws if the connections cannot be read from Redis.
 */
export async function pushLive(
  deps: Needs<'db' | 'redis' | 'push' | 'clock' | 'random'>,
  live: Live,
  limitMs: number,
): Promise<void> {
  const untilMs = deps.clock() + limitMs;
  for (const saleId of live.hidden) await endWatching(deps, saleId, limitMs);
  await pushTo(deps, connectionsOfCustomers, await withTexts(deps, live.forCustomers, untilMs), untilMs);
  const watchers: typeof watchersOfSales = async (...which) => shuffled(deps, await watchersOfSales(...which));
  await pushTo(deps, watchers, live.forWatchers, untilMs, newestOnly);
}

/** Ends the watching of a sale, and says so to those who did. */
async function endWatching(deps: Needs<'redis' | 'push'>, saleId: SaleId, limitMs: number): Promise<void> {
  const connectionIds = await unwatchedByAll(deps, saleId);
  const messages = [{ type: 'hidden', saleId }];
  await deps.push.send(
    connectionIds.map((connectionId) => ({ connectionId, messages })),
    limitMs,
  );
}

/** The messages of customers who are connected, each with its text in its reader's language and time zone. */
async function withTexts(
  deps: Needs<'db' | 'redis' | 'clock'>,
  messages: LiveMessage<CustomerId>[],
  untilMs: number,
): Promise<LiveMessage<CustomerId>[]> {
  const audience = [...new Set(messages.map(({ audienceId }) => audienceId))];
  const connected = await connectionsOfCustomers(deps, audience, Math.max(deps.clock(), untilMs));
  const heard = messages.filter(({ audienceId }) => connected.has(audienceId));
  const profiles = await findProfiles(deps.db, [...new Set(heard.map(({ audienceId }) => audienceId))]);
  const readers = new Map([...profiles].map(([customerId, profile]) => [customerId, readerOf(profile)]));
  const unknown = readerOf({});
  return heard.map((message) => {
    const { told, audienceId, body } = message;
    if (!told) return message;
    const text = sentenceFor(told.kind, told.facts, readers.get(audienceId) ?? unknown);
    return { ...message, body: { ...body, text } };
  });
}

/** Pushes queued messages in their order, including those that other processes left to this turn, until the time is over. */
async function pushTo<Audience extends CustomerId | SaleId>(
  deps: Needs<'redis' | 'push' | 'clock'>,
  connectionsOf: (deps: Needs<'redis' | 'clock'>, ids: Audience[], atMs: number) => Promise<Map<string, string[]>>,
  messages: LiveMessage<Audience>[],
  untilMs: number,
  chosen: (line: InLine[]) => InLine[] = (line) => line,
): Promise<void> {
  // A connection must be served until the end of this push: nothing goes out after a token's end.
  const served = (ids: Audience[]) => connectionsOf(deps, ids, Math.max(deps.clock(), untilMs));
  const byAudience = Map.groupBy(messages, ({ audienceId }) => audienceId);
  let connections = await served([...byAudience.keys()]);
  const reached = [...byAudience].filter(([audienceId]) => connections.has(audienceId));
  if (reached.length === 0 || deps.clock() >= untilMs) return;
  const turn = newTurn(Math.max(0, untilMs - deps.clock()));
  let lines = await takeTurns(deps, turn, new Map(reached));
  while (lines.size > 0) {
    const audienceIds = [...lines.keys()] as Audience[];
    try {
      await sendLines(deps, connections, lines, chosen, untilMs - deps.clock());
    } catch (error) {
      await nextPushes(deps, turn, audienceIds, false);
      throw error;
    }
    lines = await nextPushes(deps, turn, audienceIds, deps.clock() < untilMs);
    if (lines.size > 0) connections = await served([...lines.keys()] as Audience[]);
  }
}

async function sendLines(
  deps: Needs<'redis' | 'push' | 'clock'>,
  connections: Map<string, string[]>,
  lines: Map<string, InLine[]>,
  chosen: (line: InLine[]) => InLine[],
  limitMs: number,
): Promise<void> {
  const perConnection = new Map<string, object[]>();
  for (const [audienceId, line] of lines) {
    const bodies = chosen(line).map(({ body }) => body);
    for (const connectionId of connections.get(audienceId) ?? []) {
      perConnection.set(connectionId, [...(perConnection.get(connectionId) ?? []), ...bodies]);
    }
  }
  const pushes = [...perConnection].map(([connectionId, list]) => ({ connectionId, messages: list }));
  const { gone } = await deps.push.send(pushes, limitMs);
  if (gone.length > 0) await removeGone(deps, gone);
}

/** The last queued message of each subject: the queue is in order of version. */
function newestOnly(line: InLine[]): InLine[] {
  return [...new Map(line.map((one) => [one.subject, one])).values()];
}

function customerMessages(event: BusEvent): LiveMessage<CustomerId>[] {
  return noticesOf(event).map(({ id, customerId, subjectId, version, kind, facts }) => {
    const [type = '', move] = kind.split('.');
    const subject = type === 'purchase' ? { purchaseId: subjectId } : { reservationId: subjectId };
    // Reducing leaves the state as it was; the facts say what was reduced.
    const state = type === 'reminder' || move === 'reduced' ? {} : { state: move === 'offered' ? 'allocated' : move };
    const body = { type, kind, notificationId: id, ...subject, version, ...state, ...facts };
    return { audienceId: customerId, subject: subjectId, epoch: 0, version, body, told: { kind, facts } };
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
