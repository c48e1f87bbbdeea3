/**
 * Health: probes every part concurrently and reports which of them work.
 *
 * Reservations are accepted as long as their queue accepts them, so that queue alone decides between 200 and 503; any other
 * part that is unavailable makes the status "degraded" and is named. Names and states only: no address is revealed, and how
 * much waits only to operators, since it would tell the public how a sale goes.
 */
import type { Needs } from '#platform/environment/deps.ts';
import {
  allBreakers,
  type Probe,
  probeBus,
  probeHttp,
  probeMysql,
  probeQueue,
  probeRedis,
} from '#platform/environment/health-probes.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { locate, locateAll } from '#platform/kernel/registry.ts';
import type { Caller } from '#platform/security/access-token.ts';
import { stripeBreaker, tossBreaker } from '#purchase/provider-name.ts';
import type { Health, Part } from './operations.shapes.ts';

/** Without this queue nothing can be accepted. */
const requiredQueue = 'reservations';
/** Health checks within this time share one round of probes, so that many checks do not load the parts. */
const rememberedMs = 1_000;

type HealthDeps = Needs<'db' | 'redis' | 'sqs' | 'registry' | 'clock' | 'breakers' | 'once'>;

interface Examination {
  readonly atMs: number;
  readonly health: Promise<Health>;
}

/** The latest examination of this environment. */
const latestExamination = (): { current: Examination | undefined } => ({ current: undefined });

/** What works. Refused with `queue_unavailable`, and the same facts, when reservations cannot be accepted. */
export async function getHealth(deps: HealthDeps, { role }: Pick<Caller, 'role'>): Promise<Health | Refusal> {
  const latest = deps.once(latestExamination);
  if (!latest.current || deps.clock() - latest.current.atMs >= rememberedMs) {
    latest.current = { atMs: deps.clock(), health: examine(deps) };
  }
  const examined = await latest.current.health;
  const health = role === 'customer' ? { ...examined, parts: examined.parts.map(withoutDepths) } : examined;
  const missing = health.parts.filter(({ ok, required }) => required && !ok);
  return missing.length === 0
    ? health
    : refuse('queue_unavailable', `Reservations cannot be accepted: ${missing.map(({ name }) => name)}.`, {
        parts: health.parts,
        breakers: health.breakers,
      });
}

async function examine(deps: HealthDeps): Promise<Health> {
  const { registry } = deps;
  const providers = registry['provider/payments'] ? locateAll(registry, 'provider/payments') : [];
  const queues = Object.keys(registry).filter((name) => name.startsWith('queue/'));
  const [parts, breakers] = await Promise.all([
    Promise.all([
      part('mysql', probeMysql(deps.db)),
      part('redis', probeRedis(deps.redis)),
      ...queues.sort().map((name) => queuePart(deps, name.slice('queue/'.length))),
      ...(registry['bus/main'] ? [part('bus', probeBus(deps, registry['bus/main']))] : []),
      ...providers.map((address, index) => part(`provider/${index + 1}`, probeHttp(address))),
    ]),
    allBreakers(
      deps,
      [...providers.map((address) => `payments:${new URL(address).host}`), stripeBreaker, tossBreaker],
      deps.clock(),
    ).then((states) => named(states, providers)),
  ]);
  return { status: parts.every(({ ok }) => ok) ? 'ok' : 'degraded', parts, breakers };
}

async function part(name: string, probe: Promise<Probe>): Promise<Part> {
  return { name, required: false, ...(await probe) };
}

async function queuePart({ sqs, registry }: HealthDeps, queue: string): Promise<Part> {
  const [live, dead] = await Promise.all([
    probeQueue(sqs, locate(registry, `queue/${queue}`)),
    registry[`dead/${queue}`] ? probeQueue(sqs, locate(registry, `dead/${queue}`)) : undefined,
  ]);
  return {
    name: `queue/${queue}`,
    required: queue === requiredQueue,
    ...live,
    ...(dead?.waiting === undefined ? {} : { deadLetters: dead.waiting }),
  };
}

function withoutDepths({ waiting: _waiting, deadLetters: _deadLetters, ...part }: Part): Part {
  return part;
}

/** Breakers of provider instances, named by number instead of address. */
function named(states: Health['breakers'], providers: string[]): Health['breakers'] {
  const numbers = new Map(providers.map((address, index) => [`payments:${new URL(address).host}`, index + 1]));
  return Object.fromEntries(
    Object.entries(states).map(([name, state]) => {
      const number = numbers.get(name);
      return [number === undefined ? name : `provider/${number}`, state];
    }),
  );
}
