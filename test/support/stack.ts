/**
 * What a test file needs of the stack that `npm test` brought up: a bed of its own on it.
 *
 * Invariant: two beds share servers and nothing else. Each has a migrated database, a numbered Redis database and
 * queues, bus and rules under a prefix, so files run in parallel and none sees what another left behind. (Redis
 * channels are the exception: they belong to the server. Names published on them carry ids that no two beds share.)
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Redis } from 'ioredis';
import { type AwsEndpoints, createResources, deleteResources } from '#local/aws-resources.ts';
import { createDatabase, dropDatabase, inDatabase } from '#local/databases.ts';
import type { LocalStack } from '#local/localstack.ts';
import { type Declared, readDeclared } from '#local/serverless-config.ts';
import type { Addresses, Aws, Registry } from '#local/stack.ts';
import { migrate } from '#platform/mysql/migrate.ts';

/** The running stack, as stack.json describes it. */
export interface TestStack extends Addresses {
  aws: Aws;
  localStack?: LocalStack;
  dir: string;
}

/** The stack `npm test` started. Throws when a test that needs it is run without. */
export function testStack(): TestStack {
  const file = process.env.HOLDFAST_TEST_STACK;
  if (!file) throw new Error('this test needs the stack: run it with "npm test -- <file>"');
  return { ...(JSON.parse(readFileSync(file, 'utf8')) as TestStack), dir: dirname(file) };
}

export interface TestBed {
  id: string;
  /** As lib/platform/environment/discovery.ts loads it, with this bed's database, Redis, queues and bus. */
  registry: Registry;
  /** The same, as a file that `HOLDFAST_REGISTRY` may point to; in this process it already does. */
  registryFile: string;
  /** The environment for a process that is to work on this bed. */
  env: Record<string, string>;
  mysqlUrl: string;
  redisUrl: string;
  endpoints: AwsEndpoints;
  declared: Declared;
  /** Gives everything back. Call it in `afterAll`. */
  close(): Promise<void>;
}

/**
 * Makes a bed. With `queues: false` only the databases; with `rules: false` queues but no bus (rules of another
 * bed never reach this one either way). Schedules are there and off. `mysql` names another server than the stack's, and
 * `registry` what else is looked up.
 */
export async function testBed(
  options: { queues?: boolean; rules?: boolean; mysql?: string; registry?: Registry } = {},
): Promise<TestBed> {
  const { queues = true, rules = queues } = options;
  const stack = testStack();
  const id = `t${randomBytes(5).toString('hex')}`;
  const written = await readDeclared();
  // Schedules stay off: one could fire at any moment and send a message that no test expects.
  const declared = {
    ...written,
    rules: written.rules.map((rule) => (rule.schedule ? { ...rule, enabled: false } : rule)),
  };
  const endpoints: AwsEndpoints = {
    sqs: stack.sqs,
    ...(rules ? { events: stack.events } : {}),
    region: declared.region,
  };
  const mysqlUrl = inDatabase(options.mysql ?? stack.mysql, `holdfast_${id}`);
  const [redisUrl, names] = await Promise.all([
    ownRedis(stack.redis),
    queues ? createResources(declared, endpoints, { prefix: id }) : {},
    createDatabase(mysqlUrl).then(() => migrate(mysqlUrl)),
  ]);

  const shared = JSON.parse(readFileSync(stack.registry, 'utf8')) as Registry;
  const registry: Registry = {
    ...shared,
    ...names,
    'mysql/main': mysqlUrl,
    'redis/main': redisUrl,
    ...options.registry,
  };
  const folder = join(stack.dir, 'beds');
  mkdirSync(folder, { recursive: true });
  const registryFile = join(folder, `${id}.json`);
  writeFileSync(registryFile, JSON.stringify(registry, null, 2), { mode: 0o600 });
  process.env.HOLDFAST_REGISTRY = registryFile;

  return {
    id,
    registry,
    registryFile,
    env: { ...(process.env as Record<string, string>), HOLDFAST_REGISTRY: registryFile },
    mysqlUrl,
    redisUrl,
    endpoints,
    declared,
    async close() {
      await Promise.all([
        dropDatabase(mysqlUrl),
        queues ? deleteResources(declared, endpoints, { prefix: id }) : undefined,
      ]);
    },
  };
}

/** The next numbered database of the Redis server, emptied. Number 0 belongs to the stack and keeps the count. */
async function ownRedis(url: string): Promise<string> {
  const redis = new Redis(url);
  try {
    const [, count] = (await redis.config('GET', 'databases')) as [string, string];
    const taken = await redis.incr('holdfast:test-beds');
    const number = 1 + (taken % (Number(count) - 1));
    await redis.select(number);
    await redis.flushdb();
    const own = new URL(url);
    own.pathname = `/${number}`;
    return own.toString();
  } finally {
    redis.disconnect();
  }
}
