/**
 * Accept: from a POST to a 202, on three hosts. The host of what is deployed serves one request at a time, as Lambda does, and
 * shows what our code costs. The thin host shows what sending in batches gains where many are served at once;
 * serverless-offline, beside an empty function in it, shows how much of a local run is the emulator.
 *
 * What is sent goes to a stub that takes messages as SQS does; the local queue server is measured beside it.
 *
 * Exact means here: every 202 is one message in the queue. Requests that went on without the gate, because Redis did not
 * answer in time, are counted and reported: they are accepted as they should be, but not what is meant to be measured.
 */
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { openTokens } from '#platform/security/access-token.ts';
import { saleTag } from '#sale/sale-id.ts';
import { buildBundle, bundle } from '../bundle.ts';
import { type BenchEnvironment, NotExact } from '../environment.ts';
import { type Host, type LoadGenerator, startHost, startLoadGenerator } from '../http-hosts.ts';
import { openFilledQueue } from '../queue-fill.ts';
import { compare, percentile, rounded, type Series, series } from '../statistics.ts';
import { type Context, type Entry, inRounds, notesOf, type Suite } from '../suite.ts';
import { capPerCustomer, type Plan, planFor } from '../workload.ts';

/** How many requests are under way at once at serverless-offline, where more are only later. */
const connections = 64;
/** How many may be at the thin hosts; each is measured at its own best number. */
const connectionsTried = { quick: [64, 256], full: [16, 64, 128, 256] };
/** How much processor time the handler may take, in times that of an empty one. */
const timesEmptyAtMost = 6;
const timesEmptyAimed = 3;
const requestsForCost = { quick: 2_000, full: 5_000 };
const secondsTried = 0.5;
const timesTried = 3;
/** Customers who ask; fewer than the host remembers, as those who have browsed before a sale opens are known to it. */
const customers = 4_000;
/** So many until a host's code is compiled as well as it will be. */
const warmUpRequests = { thin: 6_000, offline: 2_000 };
const acceptingHosts = ['coalesced', 'each', 'offline', 'local'] as const;

export const accept: Suite = {
  name: 'accept',
  title: 'Accept',
  quickSeconds: 30,
  async run(context) {
    const { environment, quick } = context;
    const generator = await startLoadGenerator(environment);
    const hosts = new Map<string, Host>();
    try {
      const stub = await startHost(environment, 'sqs-stub', []);
      hosts.set('stub', stub);
      const toStub = queueAt(environment, stub.port);
      hosts.set('coalesced', await startHost(environment, 'thin', ['coalesced'], toStub));
      hosts.set('each', await startHost(environment, 'thin', ['each'], toStub));
      hosts.set('deployed', await startHostOfWhatIsDeployed(environment, toStub));
      hosts.set('offline', await startHost(environment, 'offline', [join(environment.stack.dir, 'offline')], toStub));
      // Beside the measures: the same through the local queue server, which does on this machine what SQS does elsewhere.
      if (!quick) hosts.set('local', await startHost(environment, 'thin', ['coalesced']));
      const loads = await prepareLoads(context, generator, hosts);
      const seconds = quick ? 1 : 5;
      const entry = (name: string, host: string, path: 'sales' | 'empty'): Entry => ({
        name,
        run: () => loads.send(host, path, seconds),
      });
      const entries = [
        entry('coalesced', 'coalesced', 'sales'),
        entry('each', 'each', 'sales'),
        entry('offline', 'offline', 'sales'),
        entry('empty', 'offline', 'empty'),
        { name: 'handler', run: () => loads.costOf('sales') },
        { name: 'empty handler', run: () => loads.costOf('empty') },
        ...(quick ? [] : [entry('local queue server', 'local', 'sales')]),
      ];
      // A cold host that is met by 64 connections at once answers late; so it is in production, but not what is asked here.
      for (const host of acceptingHosts) if (hosts.has(host)) await loads.warmUp(host);
      for (const { run } of entries) await run(0);
      for (const host of ['coalesced', 'each', 'local']) {
        if (hosts.has(host)) await loads.settle(host, quick ? connectionsTried.quick : connectionsTried.full);
      }
      loads.withoutGate = 0;
      const rounds = await inRounds(context, quick ? 2 : 5, entries);
      const processorUs = Object.fromEntries([...loads.cpuUs].map(([target, us]) => [target, Math.round(us)]));
      context.report(`  processor time of the host for each request, µs: ${JSON.stringify(processorUs)}`);
      const messagesPerCall = Object.fromEntries(
        [...loads.messagesPerCall].map(([host, count]) => [host, rounded(count)]),
      );
      context.report(`  messages in each call to SQS: ${JSON.stringify(messagesPerCall)}`);
      const of = (name: string, title: string): Series =>
        series(`accept ${name}`, rounds.values.get(name) ?? [], {
          title,
          unit: '202/s',
          settings: `${loads.connectionsOf(name === 'local queue server' ? 'local' : name)} connections`,
        });
      const coalesced = of('coalesced', 'Thin host, sends shared by up to ten requests');
      const each = of('each', 'Thin host, one SendMessage per request');
      const cost = (name: string, title: string): Series =>
        series(`accept ${name}`, rounds.values.get(name) ?? [], {
          title,
          unit: 'µs',
          settings: 'one request at a time',
        });
      const handler = cost('handler', 'Processor time of the handler, as deployed');
      const emptyHandler = cost('empty handler', 'Processor time of an empty handler of the same wrapper');
      const offline = of('offline', 'serverless-offline, accept path');
      const empty = of('empty', 'serverless-offline, empty handler');
      return {
        measures: [
          compare(coalesced, each, { name: 'accept-thin-vs-send-per-request', must: 6, aim: 8 }),
          compare(offline, empty, { name: 'accept-offline-vs-empty-handler', must: 0.7, aim: 0.85 }),
          compare(handler, emptyHandler, {
            name: 'accept-handler-vs-empty-handler',
            must: rounded(1 / timesEmptyAtMost),
            aim: rounded(1 / timesEmptyAimed),
            lessIsBetter: true,
          }),
        ],
        series: [
          coalesced,
          each,
          offline,
          empty,
          handler,
          emptyHandler,
          ...(quick
            ? []
            : [of('local queue server', 'Thin host, shared sends, local queue server instead of the stub')]),
        ],
        details: { processorUs, messagesPerCall },
        notes: [
          ...notesOf('accept', rounds),
          ...(loads.withoutGate > 0
            ? [`accept: ${loads.withoutGate} requests went on without the gate, because Redis did not answer in time.`]
            : []),
        ],
      };
    } finally {
      for (const host of hosts.values()) await host.stop();
      await generator.stop();
    }
  },
};

interface Loads {
  /**
   * Sends for about so many seconds, or all that customers may have, checks what became of it, and returns how many were
   * accepted a second.
   */
  send(host: string, path: 'sales' | 'empty', seconds: number): Promise<number>;
  /** Sends a little on one connection, then enough for the host to be warm. */
  warmUp(host: string): Promise<void>;
  /** Processor time of one request where each is alone in its host, microseconds. */
  costOf(path: 'sales' | 'empty'): Promise<number>;
  /** Finds out with how many connections a host accepts most, and keeps to that. */
  settle(host: string, tried: readonly number[]): Promise<void>;
  connectionsOf(host: string): number;
  /** Requests that were accepted without the gate. */
  withoutGate: number;
  /** Processor time of the host for each request of its last load, microseconds. */
  readonly cpuUs: Map<string, number>;
  /** Messages in each call to SQS, in the last load of each host. */
  readonly messagesPerCall: Map<string, number>;
}

async function prepareLoads(
  { environment, quick }: Context,
  generator: LoadGenerator,
  hosts: ReadonlyMap<string, Host>,
): Promise<Loads> {
  const { registry, endpoints } = environment.stack;
  const filled = openFilledQueue(endpoints.sqs, registry['queue/reservations'] ?? '', endpoints.region);
  const tokens = await tokensOf(registry['secret/token-signing-key'] ?? '');
  const stubUrl = `http://127.0.0.1:${hosts.get('stub')?.port}/`;
  const counted = async () => (await (await fetch(stubUrl)).json()) as { taken: number; calls: number };
  // The last rate of each target says how many requests fill the time.
  const rates = new Map<string, number>();
  const best = new Map<string, number>();

  async function load(host: string, path: 'sales' | 'empty', amount: number, connections: number): Promise<number> {
    const plan: Plan = planFor('hot', Math.max(amount, 20_000));
    await environment.prepare(plan, { mirror: 'holdfast', stock: 'counters' });
    await filled.empty();
    await fetch(stubUrl, { method: 'DELETE' });
    const [saleId] = plan.saleIds;
    if (saleId === undefined) throw new Error('the plan has no sale');
    const cpuBeforeMs = hosts.get(host)?.cpuMs() ?? 0;
    const result = await generator.send({
      port: hosts.get(host)?.port ?? 0,
      connections: connections,
      amount,
      method: 'POST',
      path: `/${path}/${saleId}/reservations`,
      tokens,
      label: randomUUID(),
    });
    const accepted = result.statuses['202'] ?? 0;
    if (accepted !== amount) {
      throw new Error(`${host}: ${amount} requests were answered with ${JSON.stringify(result.statuses)}`);
    }
    if (path === 'sales') {
      const { taken, calls } = await counted();
      if (calls > 0) loads.messagesPerCall.set(host, taken / calls);
      const messages = host === 'local' ? await filled.depth() : taken;
      if (messages !== accepted) throw new NotExact(`${host}: ${accepted} were accepted, ${messages} are in the queue`);
      loads.withoutGate += accepted - Number(await environment.redis.hget(keys.sale(saleTag(saleId)), 'line'));
    }
    loads.cpuUs.set(`${host} ${path}`, (((hosts.get(host)?.cpuMs() ?? 0) - cpuBeforeMs) * 1000) / accepted);
    return (accepted / result.elapsedMs) * 1000;
  }

  const loads: Loads = {
    withoutGate: 0,
    cpuUs: new Map(),
    messagesPerCall: new Map(),
    async send(host, path, seconds) {
      const target = `${host} ${path}`;
      const connections = loads.connectionsOf(host);
      const wanted = Math.min((rates.get(target) ?? 400) * seconds + connections, customers * capPerCustomer);
      // As many for each connection, so that no customer is asked to take more than the others.
      const amount = connections * Math.floor(wanted / connections);
      const perSecond = await load(host, path, amount, connections);
      rates.set(target, perSecond);
      return perSecond;
    },
    async costOf(path) {
      // Its code is compiled as well as it will be, and knows the tokens, after as many as a thin host needs.
      const host = `deployed ${path}`;
      if (!loads.cpuUs.has(host)) await load('deployed', path, warmUpRequests.thin, 1);
      await load('deployed', path, quick ? requestsForCost.quick : requestsForCost.full, 1);
      return loads.cpuUs.get(host) ?? Number.NaN;
    },
    async settle(host, tried) {
      const found = new Map<number, number[]>(tried.map((connections) => [connections, []]));
      // Each several times, in turn: a moment in which the machine is slow must not decide for all rounds.
      for (let time = 0; time < timesTried; time++) {
        for (const [connections, rates] of found) {
          best.set(host, connections);
          rates.push(await loads.send(host, 'sales', secondsTried));
        }
      }
      const [most] = [...found].sort(([, one], [, other]) => percentile(other, 0.5) - percentile(one, 0.5));
      if (most) best.set(host, most[0]);
    },
    connectionsOf: (host) => best.get(host) ?? connections,
    async warmUp(host) {
      await load(host, 'sales', 100, 1);
      // Every token is new to a host at first, and its code is cold.
      await load(host, 'sales', warmUpRequests[host === 'offline' ? 'offline' : 'thin'], connections);
    },
  };
  return loads;
}

/** Bundles the accept function, and an empty one of the same route and wrapper, and starts the host of both. */
export async function startHostOfWhatIsDeployed(
  environment: BenchEnvironment,
  env: Record<string, string>,
): Promise<Host> {
  await buildBundle('create-reservation');
  await bundle('accept-nothing', 'bench/hosts/accept-nothing.ts');
  return startHost(environment, 'deployed', [], env);
}

/** The environment of a host whose queue is at another port. */
function queueAt(environment: BenchEnvironment, port: number): Record<string, string> {
  const endpoint = `http://127.0.0.1:${port}`;
  const registryFile = join(environment.stack.dir, 'stub-registry.json');
  const registry = { ...environment.stack.registry, 'queue/reservations': `${endpoint}/000000000000/reservations` };
  writeFileSync(registryFile, JSON.stringify(registry), { mode: 0o600 });
  return { HOLDFAST_REGISTRY: registryFile, AWS_ENDPOINT_URL_SQS: endpoint };
}

async function tokensOf(signingKey: string): Promise<string[]> {
  const tokens = await openTokens(signingKey, () => Date.now());
  return Promise.all(Array.from({ length: customers }, () => tokens.issue({ customerId: newId(), role: 'customer' })));
}
