/**
 * Accept: from a POST to a 202, on two hosts. The thin host shows what our code costs and what sending in batches gains;
 * serverless-offline, beside an empty function in it, shows how much of a local run is the emulator.
 *
 * Exact means here: every 202 is one message in the queue. Requests that went on without the gate, because Redis did not
 * answer in time, are counted and reported: they are accepted as they should be, but not what is meant to be measured.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { saleTag } from '../../lib/platform/id.ts';
import { keys } from '../../lib/platform/keys.ts';
import { openTokens } from '../../lib/platform/token.ts';
import { compare, type Series, series } from '../figures.ts';
import { NotExact } from '../ground.ts';
import { type Host, type Shooter, startHost, startShooter } from '../helpers.ts';
import { openFilledQueue } from '../queue-fill.ts';
import { type Context, type Entry, inRounds, notesOf, type Suite } from '../suite.ts';
import { type Plan, planFor } from '../workload.ts';

const connections = 64;
/** Customers who ask; fewer than the host remembers, as those who have browsed before a sale opens are known to it. */
const customers = 4_000;

export const accept: Suite = {
  name: 'accept',
  title: 'Accept',
  async run(context) {
    const { ground, quick } = context;
    const shooter = await startShooter(ground);
    const hosts = new Map<string, Host>();
    try {
      hosts.set('coalesced', await startHost(ground, 'thin', ['coalesced']));
      hosts.set('each', await startHost(ground, 'thin', ['each']));
      hosts.set('offline', await startHost(ground, 'offline', [join(ground.stack.dir, 'offline')]));
      const volleys = await prepareVolleys(context, shooter, hosts);
      const seconds = quick ? 1.5 : 6;
      const entry = (name: string, host: string, path: 'sales' | 'empty'): Entry => ({
        name,
        run: () => volleys.shoot(host, path, seconds),
      });
      const entries = [
        entry('coalesced', 'coalesced', 'sales'),
        entry('each', 'each', 'sales'),
        entry('offline', 'offline', 'sales'),
        entry('empty', 'offline', 'empty'),
      ];
      // A cold host that is met by 64 connections at once answers late; so it is in production, but not what is asked here.
      for (const host of hosts.keys()) await volleys.warmUp(host);
      for (const { run } of entries) await run(0);
      volleys.withoutGate = 0;
      const rounds = await inRounds(context, quick ? 2 : 5, entries);
      const of = (name: string, title: string): Series =>
        series(`accept ${name}`, rounds.values.get(name) ?? [], {
          title,
          unit: '202/s',
          settings: `${connections} connections`,
        });
      const coalesced = of('coalesced', 'Thin host, sends shared by up to ten requests');
      const each = of('each', 'Thin host, one SendMessage per request');
      const offline = of('offline', 'serverless-offline, accept path');
      const empty = of('empty', 'serverless-offline, empty handler');
      return {
        measures: [
          compare(coalesced, each, { name: 'accept-thin-vs-send-per-request', must: 6, aim: 8 }),
          compare(offline, empty, { name: 'accept-offline-vs-empty-handler', must: 0.7, aim: 0.85 }),
        ],
        series: [coalesced, each, offline, empty],
        notes: [
          ...notesOf('accept', rounds),
          ...(volleys.withoutGate > 0
            ? [
                `accept: ${volleys.withoutGate} requests went on without the gate, because Redis did not answer in time.`,
              ]
            : []),
        ],
      };
    } finally {
      for (const host of hosts.values()) await host.stop();
      await shooter.stop();
    }
  },
};

interface Volleys {
  /** Sends for about so many seconds, checks what became of it, and returns how many were accepted a second. */
  shoot(host: string, path: 'sales' | 'empty', seconds: number): Promise<number>;
  /** Sends a little on one connection. */
  warmUp(host: string): Promise<void>;
  /** Requests that were accepted without the gate. */
  withoutGate: number;
}

async function prepareVolleys(
  { ground }: Context,
  shooter: Shooter,
  hosts: ReadonlyMap<string, Host>,
): Promise<Volleys> {
  const { registry, endpoints } = ground.stack;
  const filled = openFilledQueue(endpoints.sqs, registry['queue/reservations'] ?? '', endpoints.region);
  const tokens = await tokensOf(registry['secret/token-signing-key'] ?? '');
  // The last rate of each target says how many requests fill the time.
  const rates = new Map<string, number>();

  async function volley(host: string, path: 'sales' | 'empty', amount: number, lanes: number): Promise<number> {
    const plan: Plan = planFor('hot', Math.max(amount, 20_000), 1, Date.now());
    await ground.prepare(plan, { mirror: 'holdfast', stock: 'counters' });
    await filled.empty();
    const saleId = plan.saleIds[0] ?? '';
    const hits = await shooter.shoot({
      port: hosts.get(host)?.port ?? 0,
      connections: lanes,
      amount,
      method: 'POST',
      path: `/${path}/${saleId}/reservations`,
      tokens,
      label: randomUUID(),
    });
    const accepted = hits.statuses['202'] ?? 0;
    if (accepted !== amount) {
      throw new Error(`${host}: ${amount} requests were answered with ${JSON.stringify(hits.statuses)}`);
    }
    if (path === 'sales') {
      const messages = await filled.depth();
      if (messages !== accepted) throw new NotExact(`${host}: ${accepted} were accepted, ${messages} are in the queue`);
      volleys.withoutGate += accepted - Number(await ground.redis.hget(keys.sale(saleTag(saleId)), 'line'));
    }
    return (accepted / hits.elapsedMs) * 1000;
  }

  const volleys: Volleys = {
    withoutGate: 0,
    async shoot(host, path, seconds) {
      const target = `${host} ${path}`;
      const amount = Math.ceil((rates.get(target) ?? 400) * seconds + connections);
      const perSecond = await volley(host, path, amount, connections);
      rates.set(target, perSecond);
      return perSecond;
    },
    async warmUp(host) {
      await volley(host, 'sales', 100, 1);
    },
  };
  return volleys;
}

async function tokensOf(signingKey: string): Promise<string[]> {
  const tokens = await openTokens(signingKey, () => Date.now());
  return Promise.all(
    Array.from({ length: customers }, () => tokens.issue({ customerId: randomUUID(), role: 'customer' })),
  );
}
