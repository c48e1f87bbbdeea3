/** The log of an endpoint, for operators: what it was sent, and how that went; and sending again what it lacks. */
import * as z from 'zod';
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Page, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { newId, toBytes } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import type { Tx } from '#platform/mysql/mysql.ts';
import { sendEndpoints } from './commands.ts';
import {
  type Delivery,
  type DeliveryKey,
  findDelivery,
  insertDeliveries,
  listNewestDeliveries,
  orderAgain,
} from './delivery.store.ts';
import { type EndpointId, findEndpoint, lockEndpoint } from './endpoint.store.ts';
import { noSuchEndpoint } from './endpoint.ts';
import { insertMessages, type MessageId, readMessages } from './message.store.ts';
import { newMessage } from './message.ts';
import type { DeliveryQuery, DeliveryView, DeliveryWithBody } from './webhooks.shapes.ts';

const list = 'webhook deliveries';
const Position = z.tuple([idOf<MessageId>()]);

/** A page of an endpoint's log, the newest event first. */
export async function readDeliveries(
  { db }: Needs<'db'>,
  endpointId: EndpointId,
  { limit, cursor, state }: DeliveryQuery,
): Promise<Page<DeliveryView> | Refusal> {
  const before = readCursor(list, cursor, Position);
  if (isRefusal(before)) return before;
  if (!(await findEndpoint(db, endpointId))) return noSuchEndpoint;
  const deliveries = await listNewestDeliveries(db, endpointId, { beforeId: before?.[0], state }, limit + 1);
  return toPage(list, deliveries, limit, ({ messageId }) => [messageId], viewOf);
}

/** One delivery, with what is sent. */
export async function readDelivery({ db }: Needs<'db'>, key: DeliveryKey): Promise<DeliveryWithBody | Refusal> {
  const [endpoint, delivery, messages] = await Promise.all([
    findEndpoint(db, key.endpointId),
    findDelivery(db, key),
    readMessages(db, [key.messageId]),
  ]);
  if (!endpoint || !delivery) return noSuchDelivery;
  const message = messages.get(key.messageId);
  return { ...viewOf(delivery), type: message?.type ?? null, body: message?.body ?? null };
}

const noSuchDelivery = refuse('not_found', 'This endpoint has no such delivery, or it is too old.');

/** Sends an endpoint a message of type `webhook.test`; its filter does not apply. */
export async function sendTest(
  deps: Needs<'db' | 'clock' | 'queue'>,
  endpointId: EndpointId,
  keep: Keep = keepNothing,
): Promise<DeliveryView | Refusal> {
  return ordering(deps, endpointId, async (tx) => {
    const nowMs = deps.clock();
    const body = { type: 'webhook.test' as const, timestamp: toIso(nowMs), data: { endpointId } };
    const message = newMessage(body, nowMs, newId(nowMs));
    const key = { endpointId, messageId: message.messageId };
    await insertMessages(tx, [message]);
    await insertDeliveries(tx, [key], nowMs);
    const after = viewOf(await written(tx, key));
    return keep(tx, after, changeOf(endpointId, null, after));
  });
}

/** Sends a message again, whether the endpoint has taken it or not: a new round of attempts begins. */
export async function redeliver(
  deps: Needs<'db' | 'clock' | 'queue'>,
  key: DeliveryKey,
  keep: Keep = keepNothing,
): Promise<DeliveryView | Refusal> {
  return ordering(deps, key.endpointId, async (tx) => {
    const all = ['pending', 'delivered', 'failed'] as const;
    const before = await findDelivery(tx, key);
    const ordered = await orderAgain(tx, key.endpointId, [key.messageId], all, deps.clock());
    if (!before || ordered === 0) return noSuchDelivery;
    const after = viewOf(await written(tx, key));
    return keep(tx, after, changeOf(key.endpointId, viewOf(before), after));
  });
}

/** Runs what makes something due at an endpoint, and asks for its turn after the commit. */
async function ordering(
  deps: Needs<'db' | 'queue'>,
  endpointId: EndpointId,
  work: (tx: Tx) => Promise<DeliveryView | Refusal>,
): Promise<DeliveryView | Refusal> {
  const answer = await deps.db.transaction(async (tx) =>
    (await lockEndpoint(tx, endpointId)) ? work(tx) : noSuchEndpoint,
  );
  if (!isRefusal(answer)) await sendEndpoints(deps, [endpointId]);
  return answer;
}

async function written(tx: Tx, key: DeliveryKey): Promise<Delivery> {
  const delivery = await findDelivery(tx, key);
  if (!delivery) throw new Error('a delivery that was just written is gone');
  return delivery;
}

function viewOf(delivery: Delivery): DeliveryView {
  const { endpointId, messageId, state, attempts, dueAtMs, lastAttemptAtMs, lastStatus, lastError, lastTookMs } =
    delivery;
  return {
    ...{ endpointId, messageId, state, attempts },
    // An id begins with the time of its event.
    occurredAt: toIso(toBytes(messageId).readUIntBE(0, 6)),
    nextAttemptAt: state === 'pending' ? toIso(dueAtMs) : null,
    lastAttemptAt: lastAttemptAtMs === null ? null : toIso(lastAttemptAtMs),
    ...{ lastStatus, lastError, lastTookMs },
  };
}
