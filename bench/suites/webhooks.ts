/**
 * Webhooks out, 100,000 deliveries: events are written, and sent to receivers on loopback by as many turns at once as there are
 * endpoints. First to good receivers alone; then to the same beside one that fails and one that never answers, which must cost
 * them nothing; then these two are mended, time passes, and they get everything too. Runs only if asked for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BusEvent } from '#events/catalog.ts';
import { newEvent } from '#events/outbox.ts';
import { type Deps, openDeps } from '#platform/environment/deps.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { newId } from '#platform/kernel/ids.ts';
import { queueFunctionTimeoutSeconds } from '#platform/kernel/time-limits.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { deliverWebhooks, WebhookTrigger } from '#webhooks/deliver.ts';
import { createEndpoint } from '#webhooks/endpoint.ts';
import { recordEvents } from '#webhooks/record.ts';
import { type Child, startChild } from '../child.ts';
import { NotExact } from '../environment.ts';
import { compare, rounded, series } from '../statistics.ts';
import type { Context, Suite } from '../suite.ts';
import type { Got } from '../webhook-receivers.ts';

const good = Array.from({ length: 8 }, (_, index) => `/good-${index}`);
const bad = ['/failing', '/silent'];
/** Events that are written at a time. */
const eventsPerBatch = 100;
const turnsAtOnce = good.length + bad.length;
const limitMs = 1_800_000;

interface Shown {
  readonly deliveries: number;
  readonly perSecond: number;
  readonly recordedPerSecond: number;
}

export const webhooks: Suite = {
  name: 'webhooks',
  title: 'Webhooks out, 100,000 deliveries',
  quickSeconds: 40,
  async run(context) {
    const receivers = startChild(context.environment, { file: './webhook-receivers.ts', args: [], name: 'receivers' });
    try {
      return await measured(context, receivers);
    } finally {
      await receivers.stop();
    }
  },
};

async function measured(context: Context, receivers: Child): Promise<Awaited<ReturnType<Suite['run']>>> {
  const { quick, report } = context;
  const port = await receivers.next((message) => message.port as number | undefined, 10_000);
  const ask = async (order: object): Promise<Record<string, Got>> => {
    const answer = receivers.next((message) => message.got as Record<string, Got> | undefined, 10_000);
    receivers.send(order);
    return answer;
  };
  const messages = quick ? 300 : 10_000;
  const calmMessages = quick ? 300 : 2_000;

  await ask({ forget: true });
  const calm = await deliveredTo(context, good, calmMessages, port, () => ask({}));
  report(`  good receivers alone: ${Math.round(calm.perSecond)} deliveries a second`);
  await ask({ forget: true });
  const beside = await deliveredTo(context, [...good, ...bad], messages, port, () => ask({}));
  const unmended = await ask({});
  report(`  beside two bad ones: ${Math.round(beside.perSecond)} deliveries a second`);
  await ask({ mend: true });
  const mendedMs = await deliverTheRest(context, messages, () => ask({}));
  const got = await ask({});
  const again = Object.values(got).reduce((sum, one) => sum + one.again, 0);
  const deliveries = Object.values(got).reduce((sum, one) => sum + one.taken, 0);
  report(`  ${deliveries} deliveries, none lost, ${again} made twice`);

  const of = (name: string, title: string, { perSecond }: Pick<Shown, 'perSecond'>) =>
    series(`webhooks ${name}`, [perSecond], { title, unit: 'deliveries/s' });
  const alone = of('alone', 'To good receivers alone', calm);
  const among = of('beside bad ones', 'To the same beside a failing and a silent one', beside);
  const late = of('mended', 'To the two, after they were mended', {
    perSecond: (bad.length * messages * 1_000) / mendedMs,
  });
  return {
    measures: [
      compare(among, alone, { name: 'webhooks-beside-bad-receivers', must: 0.7, aim: 1, note: 'good receivers alone' }),
    ],
    series: [alone, among, late],
    notes: [],
    details: {
      ...{ deliveries, again, endpoints: turnsAtOnce, messages },
      eventsRecordedPerSecond: rounded(beside.recordedPerSecond),
      callsRefusedMeanwhile: bad.map((path) => unmended[path]?.refused ?? 0),
    },
  };
}

/** The way to the stores, with the queue kept in memory, as one that is never behind. */
function opened({ environment }: Context): { deps: Deps; waiting: unknown[] } {
  const waiting: unknown[] = [];
  const deps = openDeps(environment.stack.registry, { bus: { publish: async (events) => events.map(() => true) } });
  const keep = (messages: { body: unknown; delaySeconds?: number }[]) => {
    // A message that is delayed asks for a retry; nothing is retried here before time passes.
    for (const { body, delaySeconds = 0 } of messages) if (delaySeconds === 0) waiting.push(body);
  };
  const queue: Deps['queue'] = () => ({
    url: '',
    send: async (message) => keep([message]),
    sendAll: async (all) => keep(all),
  });
  return { deps: Object.assign(Object.create(deps), { queue }), waiting };
}

/** Writes events and sends them until all of `good` have everything. */
async function deliveredTo(
  context: Context,
  paths: readonly string[],
  messages: number,
  port: number,
  look: () => Promise<Record<string, Got>>,
): Promise<Shown> {
  const { pool, redis } = context.environment;
  for (const table of ['webhook_deliveries', 'webhook_messages', 'webhook_endpoints'])
    await pool.query(`TRUNCATE TABLE ${table}`);
  await redis.flushdb();
  const { deps, waiting } = opened(context);
  try {
    await redisReady(deps.redis);
    for (const path of paths) {
      const url = `http://127.0.0.1:${port}${path}`;
      const made = await createEndpoint(deps, { url, events: ['purchase.changed'], description: '' });
      if (isRefusal(made)) throw new Error(made.detail);
    }
    const startedAt = performance.now();
    const due = new Set<string>();
    for (let first = 0; first < messages; first += eventsPerBatch) {
      const batch = Array.from({ length: Math.min(eventsPerBatch, messages - first) }, purchaseChanged);
      for (const endpointId of await recordEvents(deps, batch)) due.add(endpointId);
    }
    const recordedMs = performance.now() - startedAt;
    waiting.push(...[...due].map((endpointId) => ({ endpointId })));
    const sentAt = performance.now();
    const isDone = async () => {
      const got = await look();
      return good.every((path) => got[path]?.taken === messages);
    };
    const tookMs = (await workUntil(deps, waiting, isDone)) - sentAt;
    const deliveries = good.length * messages;
    return {
      deliveries,
      perSecond: (deliveries * 1_000) / tookMs,
      recordedPerSecond: (messages * 1_000) / recordedMs,
    };
  } finally {
    await deps.close();
  }
}

/** The retries' time comes, breakers let through again, and everything is taken. */
async function deliverTheRest(
  context: Context,
  messages: number,
  look: () => Promise<Record<string, Got>>,
): Promise<number> {
  const { pool, redis } = context.environment;
  await redis.flushdb();
  await pool.query("UPDATE webhook_deliveries SET due_at_ms = 1 WHERE state = 'pending'");
  await pool.query('UPDATE webhook_endpoints SET turn_until_ms = 0');
  const { deps, waiting } = opened(context);
  try {
    await redisReady(deps.redis);
    waiting.push({ 'detail-type': 'Scheduled Event' });
    const startedAt = performance.now();
    const doneAt = await workUntil(deps, waiting, async () => {
      const got = await look();
      return [...good, ...bad].every((path) => got[path]?.taken === messages);
    });
    const [rows] = await pool.query("SELECT COUNT(*) AS n FROM webhook_deliveries WHERE state <> 'delivered'");
    const [left] = rows as { n: number }[];
    if (Number(left?.n) > 0) throw new NotExact(`${left?.n} deliveries are not written down as made`);
    return doneAt - startedAt;
  } finally {
    await deps.close();
  }
}

/**
 * As many turns at once as there may be, until it is done. Returns when that was, as by `performance.now()`: turns at an endpoint
 * that does not answer end later. Throws `NotExact` if nothing is left to do before.
 */
async function workUntil(deps: Deps, waiting: unknown[], isDone: () => Promise<boolean>): Promise<number> {
  const untilMs = Date.now() + limitMs;
  let [over, working] = [false, 0];
  const turns = Array.from({ length: turnsAtOnce }, async () => {
    while (!over) {
      const body = waiting.shift();
      if (body === undefined) {
        await sleep(5);
        continue;
      }
      working++;
      const message = WebhookTrigger.parse(body);
      const trigger = { messageId: newId(), message, sentAtMs: Date.now(), deliveries: 1 };
      await deliverWebhooks(deps, [trigger], Date.now() + (queueFunctionTimeoutSeconds - 1) * 1_000);
      working--;
    }
  });
  try {
    while (!(await isDone())) {
      if (Date.now() > untilMs) throw new NotExact('not everything was delivered in time');
      const isIdle = waiting.length === 0 && working === 0;
      await sleep(50);
      if (isIdle && waiting.length === 0 && working === 0 && !(await isDone()))
        throw new NotExact('nothing is left to send, and not everything has arrived');
    }
    return performance.now();
  } finally {
    over = true;
    await Promise.all(turns);
  }
}

function purchaseChanged(): BusEvent {
  const event = newEvent(
    'purchase.changed',
    {
      ...{ purchaseId: newId(), customerId: newId(), state: 'captured', amountMinor: 500, currency: 'EUR' },
      ...{ reservationIds: [newId()], version: 1 },
    },
    Date.now(),
  );
  return BusEvent.parse({ 'detail-type': event.detailType, detail: JSON.parse(event.detail) });
}
