/**
 * Where the things are that the verifier compares, as a stack's own files say.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Target {
  mysqlUrl: string;
  redisUrl: string;
  /** What every Redis key begins with. */
  redisPrefix: string;
  sqs: { endpoint: string; region: string };
  /** Queue addresses by name. */
  queues: Record<string, string>;
  /** Addresses of dead-letter queues by the name of their queue. */
  deadLetters: Record<string, string>;
  /** The embedded events server, which says what it has not delivered yet; absent on LocalStack. */
  eventsUrl?: string;
  /** Instances of the sandbox's provider; they share their books. Empty: there is none. */
  providers: string[];
  providerKey: string;
  /** The account at Stripe, and that at Toss Payments, where there is one: the address with the key as the user name. */
  stripe?: string;
  toss?: string;
}

interface StackFile {
  mysql: string;
  redis: string;
  sqs: string;
  events: string;
  aws: string;
  provider: string[];
  registry: string;
}

/** Reads the addresses of the stack that runs in a folder. Throws if none runs there. */
export function targetOf(dir: string, env: NodeJS.ProcessEnv = process.env): Target {
  const stack = JSON.parse(readFileSync(join(dir, 'stack.json'), 'utf8')) as StackFile;
  const registry = JSON.parse(readFileSync(stack.registry, 'utf8')) as Record<string, string>;
  return {
    mysqlUrl: stack.mysql,
    redisUrl: stack.redis,
    redisPrefix: env.HOLDFAST_REDIS_PREFIX ?? '',
    sqs: { endpoint: stack.sqs, region: 'us-east-1' },
    queues: namesUnder(registry, 'queue/'),
    deadLetters: namesUnder(registry, 'dead/'),
    ...(stack.aws === 'embedded' && stack.events ? { eventsUrl: stack.events } : {}),
    providers: stack.provider,
    providerKey: registry['secret/payment-api-key'] ?? '',
    ...(registry['provider/stripe'] ? { stripe: registry['provider/stripe'] } : {}),
    ...(registry['provider/toss'] ? { toss: registry['provider/toss'] } : {}),
  };
}

/** The entries of a registry under a prefix, without it. */
export function namesUnder(registry: Record<string, string>, prefix: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(registry)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, value]) => [name.slice(prefix.length), value]),
  );
}
