/**
 * The outbox against a real MySQL, a real EventBridge emulator of its own and real queues: an event reaches the queue if
 * and only if its fact was committed, regardless of what the bus refuses and where a relay dies. Fault rows 29 to 31.
 */

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DeleteMessageBatchCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { createShown } from '#client/shown.ts';
import { BusEvent } from '#events/catalog.ts';
import { expandChanges, groupChanges } from '#events/changes.ts';
import { newEvent, publishEvents, type RecordedEvent, readBacklog, recordEvents, sweepOutbox } from '#events/outbox.ts';
import { createResources } from '#local/aws-resources.ts';
import { type EventsServer, startEventsServer } from '#local/events/server.ts';
import { waitFor as waitWithin } from '#local/wait.ts';
import { enterConnection } from '#notification/connections.ts';
import { notify } from '#notification/notify.ts';
import { redrive } from '#operations/dead-letters.ts';
import { queueDepth } from '#platform/aws/sqs.ts';
import { openPusher, type Pusher } from '#platform/aws/websocket-push.ts';
import { type Deps, openDeps } from '#platform/environment/deps.ts';
import type { Delivered } from '#platform/handlers/queue.ts';
import { toBytes } from '#platform/kernel/ids.ts';
import { locate } from '#platform/kernel/registry.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { newId } from '#test/support/ids.ts';
import { withDeps } from '../support/deps.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let events: EventsServer;
let deps: Deps;
let registryFile: string;

beforeAll(async () => {
  bed = await testBed({ rules: false });
  // Its own bus, because its faults would be those of every test that shared it.
  events = await startEventsServer({ sqsEndpoint: bed.endpoints.sqs, backOff: { firstMs: 20, longestMs: 100 } });
  process.env.AWS_ENDPOINT_URL_EVENTBRIDGE = events.url;
  const names = await createResources(bed.declared, { ...bed.endpoints, events: events.url }, { prefix: bed.id });
  const registry = { ...bed.registry, ...names };
  registryFile = `${bed.registryFile}.outbox.json`;
  writeFileSync(registryFile, JSON.stringify(registry), { mode: 0o600 });
  deps = openDeps(registry);
  await redisReady(deps.redis);
});

afterAll(async () => {
  await deps?.close();
  await events?.stop();
  await bed?.close();
});

beforeEach(async () => {
  events.setFaults({});
  await deps.db.change('DELETE FROM outbox');
});

const saleId = newId();

function anEvent(version = 1, reservationId = newId(), customerId = newId()): RecordedEvent {
  return newEvent(
    'reservations.changed',
    {
      changes: groupChanges([
        {
          reservationId,
          saleId,
          customerId,
          from: 'requested',
          to: 'allocated',
          units: 1,
          quantity: 1,
          ticket: 1,
          version,
        },
      ]),
      stocks: [],
      released: false,
    },
    Date.now(),
  );
}

/** An event of about this size. */
function bigEvent(bytes: number): RecordedEvent {
  const event = anEvent();
  return { ...event, detail: JSON.stringify({ ...JSON.parse(event.detail), filling: 'x'.repeat(bytes) }) };
}

async function recorded(list: RecordedEvent[]): Promise<RecordedEvent[]> {
  await deps.db.transaction((tx) => recordEvents(tx, list, Date.now()));
  return list;
}

const waitFor = (what: string, probe: () => Promise<boolean>) => waitWithin(what, probe, { timeoutMs: 15_000 });

const waiting = async () => (await readBacklog(deps.db)).events;

const soon = () => Date.now() + 20_000;

/** A sweep that comes long enough after the commit to take what is there. */
function sweepLater(): Promise<number> {
  const clock = () => Date.now() + 60_000;
  return sweepOutbox(withDeps(deps, { clock }), clock() + 20_000);
}

/** What reaches the queue of these events: waits for `count` of them, and a moment longer for any beyond. */
async function arrivals(list: RecordedEvent[], count = list.length): Promise<Delivered<BusEvent>[]> {
  const { url } = deps.queue('notifications');
  const wanted = new Set(list.map(({ id }) => id));
  const received: Delivered<BusEvent>[] = [];
  const giveUpAtMs = Date.now() + 15_000;
  let quietSinceMs = Date.now();
  while (Date.now() < giveUpAtMs && (received.length < count || Date.now() - quietSinceMs < quietMs)) {
    const { Messages = [] } = await deps.sqs.send(
      new ReceiveMessageCommand({ QueueUrl: url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1 }),
    );
    if (Messages.length === 0) continue;
    quietSinceMs = Date.now();
    for (const { Body = '', MessageId = '' } of Messages) {
      const message = BusEvent.parse(JSON.parse(Body));
      if (!wanted.has(message.detail.eventId)) continue;
      received.push({ messageId: MessageId, message, sentAtMs: 0, deliveries: 1 });
    }
    const Entries = Messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }));
    await deps.sqs.send(new DeleteMessageBatchCommand({ QueueUrl: url, Entries }));
  }
  return received;
}

const quietMs = 300;

const idsOf = (received: Delivered<BusEvent>[]) => received.map(({ message }) => message.detail.eventId);

function relay(...args: string[]): Promise<{ signal: NodeJS.Signals | null; published: number }> {
  const script = fileURLToPath(new URL('../support/relay.ts', import.meta.url));
  const env = { ...bed.env, AWS_ENDPOINT_URL_EVENTBRIDGE: events.url, HOLDFAST_REGISTRY: registryFile };
  const child = spawn(process.execPath, [script, ...args], { env });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on('close', (code, signal) => {
      if (code !== 0 && signal === null) reject(new Error(errors));
      else resolve({ signal, published: Number(output) });
    });
  });
}

describe('the outbox', () => {
  it('an event exists if and only if its fact was committed', async () => {
    const rolledBack = deps.db.transaction(async (tx) => {
      await recordEvents(tx, [anEvent()], Date.now());
      throw new Error('the fact is not true after all');
    });
    await expect(rolledBack).rejects.toThrow('not true');
    expect(await waiting()).toBe(0);
    await recorded([anEvent()]);
    expect(await waiting()).toBe(1);
  });

  it('events that the bus accepted are deleted from the outbox, and arrive', async () => {
    const list = await recorded(Array.from({ length: 25 }, () => anEvent()));
    await publishEvents(deps, list);
    expect(await waiting()).toBe(0);
    const received = await arrivals(list);
    expect(idsOf(received).sort()).toEqual(list.map(({ id }) => id).sort());
  });

  it('PutEvents that fails for some entries loses none of them: the sweep publishes the rest', async () => {
    events.setFaults({ failEntries: 0.4, seed: 7 });
    const list = await recorded(Array.from({ length: 60 }, () => anEvent()));
    await publishEvents(deps, list);
    const left = await waiting();
    expect(left).toBeGreaterThan(5);
    expect(left).toBeLessThan(55);
    events.setFaults({});
    expect(await sweepLater()).toBe(left);
    expect(await waiting()).toBe(0);
    const received = await arrivals(list);
    expect(new Set(idsOf(received))).toEqual(new Set(list.map(({ id }) => id)));
    expect(received).toHaveLength(60);
  });

  it('the sweep skips young rows, which their writers are still publishing', async () => {
    await recorded([anEvent()]);
    expect(await sweepOutbox(deps, soon())).toBe(0);
    expect(await waiting()).toBe(1);
  });

  it('events that together exceed what one call may carry go in several', async () => {
    const list = await recorded(Array.from({ length: 8 }, () => bigEvent(100_000)));
    await publishEvents(deps, list);
    expect(await waiting()).toBe(0);
  });

  it('an event that the bus always refuses does not block others', async () => {
    await recorded([bigEvent(300_000)]);
    const list = await recorded(Array.from({ length: 120 }, () => anEvent()));
    expect(await sweepLater()).toBe(120);
    expect(await waiting()).toBe(1);
    expect(new Set(idsOf(await arrivals(list)))).toEqual(new Set(list.map(({ id }) => id)));
  });

  it('if the bus accepts nothing, all rows stay and no error is thrown', async () => {
    events.setFaults({ failEntries: 1 });
    const list = await recorded(Array.from({ length: 400 }, () => anEvent()));
    await publishEvents(deps, list.slice(0, 10));
    expect(await sweepLater()).toBe(0);
    expect(await waiting()).toBe(400);
  });

  it('deleting published rows does not wait for concurrent writers', async () => {
    const list = await recorded([anEvent(), anEvent(), anEvent()]);
    await deps.db.transaction(async (tx) => {
      await recordEvents(tx, [anEvent()], Date.now());
      const startedAtMs = Date.now();
      await publishEvents(deps, list);
      expect(Date.now() - startedAtMs).toBeLessThan(1_000);
      expect(await waiting()).toBe(0);
    });
    expect(await waiting()).toBe(1);
  });

  it('two relays at once publish each event once between them', async () => {
    const list = await recorded(Array.from({ length: 400 }, () => anEvent()));
    const relays = await Promise.all([relay(), relay()]);
    expect(relays.reduce((sum, { published }) => sum + published, 0)).toBe(400);
    expect(await waiting()).toBe(0);
    const received = await arrivals(list);
    expect(idsOf(received).sort()).toEqual(list.map(({ id }) => id).sort());
  });

  it('a relay that dies after publishing makes the events arrive twice, and customers see them once', async () => {
    const list = await recorded(Array.from({ length: 20 }, () => anEvent()));
    expect((await relay('--die-after-publish')).signal).toBe('SIGKILL');
    expect(await waiting()).toBe(20);
    expect((await relay()).published).toBe(20);
    expect(await waiting()).toBe(0);
    const received = await arrivals(list, 40);
    expect(received).toHaveLength(40);

    const pushed: object[] = [];
    const push = { send: async () => ({ reached: 0, gone: [], missed: 0 }), close: () => undefined };
    for (const delivery of received) {
      expect([...(await notify(withDeps(deps, { push }), [delivery], soon()))]).toEqual([]);
    }
    const [row] = await deps.db.rows<{ notices: number }>('SELECT COUNT(*) AS notices FROM notifications');
    expect(row?.notices).toBe(list.length);

    const shown = createShown();
    for (const { message } of received) {
      if (message['detail-type'] !== 'reservations.changed') continue;
      for (const { reservationId, version } of message.detail.changes) {
        const news = { type: 'reservation', kind: 'reservation.allocated', reservationId, version };
        if (shown.admit(news)) pushed.push(news);
      }
    }
    expect(pushed).toHaveLength(list.length);
  });
});

describe('what customers see', () => {
  it('I5: with a third of the events duplicated and all of them reordered, each is shown once and none after a newer', async () => {
    const customerId = newId();
    const ids = Array.from({ length: 25 }, () => newId());
    const list = await recorded([1, 2, 3, 4].flatMap((version) => ids.map((id) => anEvent(version, id, customerId))));
    events.setFaults({ duplicate: 0.3, jitterMs: 700, seed: 3 });
    await publishEvents(deps, list);
    const received = await arrivals(list, list.length + 10);
    expect(new Set(idsOf(received))).toEqual(new Set(list.map(({ id }) => id)));
    const arrived = received.flatMap(({ message }) =>
      message['detail-type'] === 'reservations.changed' ? message.detail.changes : [],
    );
    const versionsOf = (id: string) => arrived.filter((one) => one.reservationId === id).map(({ version }) => version);
    expect(received.length).toBeGreaterThan(list.length);
    expect(ids.some((id) => versionsOf(id).some((version, n, all) => version < (all[n - 1] ?? 0)))).toBe(true);

    await enterConnection(deps, { customerId, expiresAtMs: soon() + 600_000 }, 'a-connection');
    const pushed: Record<string, unknown>[] = [];
    const push: Pusher = {
      send: async (pushes) => {
        for (const { messages } of pushes) pushed.push(...(messages as Record<string, unknown>[]));
        return { reached: pushes.length, gone: [], missed: 0 };
      },
      close: () => undefined,
    };
    for (let start = 0; start < received.length; start += 10) {
      expect([...(await notify(withDeps(deps, { push }), received.slice(start, start + 10), soon()))]).toEqual([]);
    }
    const rows = await deps.db.rows('SELECT id FROM notifications WHERE customer_id = ?', [toBytes(customerId)]);
    expect(rows).toHaveLength(list.length);
    const page = createShown();
    const shown = pushed.filter((message) => page.admit(message));
    // Without the page's rule something would have been shown twice.
    expect(pushed.length).toBeGreaterThan(shown.length);
    for (const id of ids) {
      const versions = shown.filter((one) => one.reservationId === id).map((one) => Number(one.version));
      expect(versions).toEqual([...new Set(versions)].sort());
      expect(versions.at(-1)).toBe(4);
    }
  });

  it('a consumer that is down until its messages are dead letters loses none: after a redrive each is told once', async () => {
    const list = await recorded(Array.from({ length: 10 }, () => anEvent()));
    await publishEvents(deps, list);
    const { url } = deps.queue('notifications');
    const dead = locate(deps.registry, 'dead/notifications');
    await waitFor('the messages to be given up', async () => {
      await deps.sqs.send(new ReceiveMessageCommand({ QueueUrl: url, MaxNumberOfMessages: 10, VisibilityTimeout: 0 }));
      return (await queueDepth(deps.sqs, dead)).waiting >= list.length;
    });
    expect(await redrive(deps, { queue: 'notifications', messageIds: 'all' })).toEqual({ redriven: 10, remaining: 0 });
    const received = await arrivals(list);
    await notify(withDeps(deps, { push: openPusher(undefined) }), received, soon());
    const subjects = list.flatMap(({ detail }) =>
      expandChanges(JSON.parse(detail).changes).map((one) => one.reservationId),
    );
    const rows = await deps.db.rows('SELECT id FROM notifications WHERE subject_id IN (?)', [subjects.map(toBytes)]);
    expect(rows).toHaveLength(list.length);
  });
});
