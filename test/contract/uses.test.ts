/**
 * What a function is granted is what its code uses: no more, so that a role is as small as the function, and no less, so
 * that nothing fails in an account that works on a laptop.
 *
 * Each function is bundled with everything it cannot reach shaken off; what is left is searched for the ways in which code
 * uses a part. The words and the ways are in one table.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { parse } from 'yaml';
import { handlerOf } from '#local/function-host.ts';
import { readDeclared } from '#local/serverless-config.ts';
import { projectRoot } from '#local/state-folder.ts';

const { functions } = await readDeclared();
// Only the lists are wanted; CloudFormation's tags are of no interest here.
const { functions: written } = parse(readFileSync(join(projectRoot, 'serverless.yml'), 'utf8'), {
  logLevel: 'silent',
}) as { functions: Record<string, { uses?: string[] }> };

/** The modules that a function reaches, each with what is left of it. */
type Reached = ReadonlyMap<string, string>;

/** These open the parts for whoever wants them, so that they speak of everything proves nothing. */
const openers =
  /^lib\/platform\/(aws|environment|handlers|mysql|redis)\/(authentication|aws|dependencies|deps|http|mysql|queue|redis|sale-lock|websocket|websocket-push)\.ts$/;
/** Shapes speak of parts by their names. */
const shapes = /\.shapes\.ts$/;

const anywhere = (pattern: RegExp) => (reached: Reached) =>
  [...reached].some(([module, text]) => !openers.test(module) && !shapes.test(module) && pattern.test(text));
const within = (module: string, pattern: RegExp) => (reached: Reached) => pattern.test(reached.get(module) ?? '');

/** How code shows that it uses what a word grants. */
const evidence: [word: string, shown: (reached: Reached) => boolean][] = [
  ['mysql', anywhere(/\bdb\b/)],
  ['redis', anywhere(/\bredis\b/)],
  ['bus', (reached) => anywhere(/\bbus\b(?!")/)(reached) && !within('lib/operations/health.ts', /examine/)(reached)],
  ['bus:probe', within('lib/platform/environment/health-probes.ts', /DescribeEventBusCommand/)],
  [
    'websocket',
    (reached) =>
      anywhere(/\bdeps\d*\.push\b/)(reached) || within('lib/platform/handlers/websocket.ts', /\bdeps\.push\b/)(reached),
  ],
  ['payments', anywhere(/"secret\/payment-api-key"/)],
  ['payments:probe', within('lib/operations/health.ts', /"provider\/payments"/)],
  ['payments:webhook', anywhere(/"secret\/payment-webhook"/)],
  ['tokens:sign', anywhere(/\.issue\(/)],
  [
    'tokens:verify',
    (reached) =>
      !anywhere(/\.issue\(/)(reached) &&
      (within('lib/platform/handlers/websocket.ts', /\bsharedTokens\(/)(reached) ||
        within('lib/platform/handlers/http.ts', /function httpHandler/)(reached)),
  ],
  ['dead-letters:read', anywhere(/function getDeadLetters\b/)],
  ['dead-letters:redrive', anywhere(/function redrive\b/)],
  ['depth:all', within('lib/operations/health.ts', /examine/)],
  ['limit:login-account', anywhere(/function limitLogin\b/)],
  ['limit:login-address', anywhere(/function limitLogin\b/)],
  ['limit:register-address', anywhere(/function limitRegistration\b/)],
  ...['reservations', 'purchases', 'notifications', 'advance', 'reconcile'].flatMap(
    (queue): [string, (reached: Reached) => boolean][] => [
      [`send:${queue}`, anywhere(new RegExp(`queue\\("${queue}"\\)`))],
      [`depth:${queue}`, within('lib/operations/overview.ts', new RegExp(`watchedQueues = \\[[^\\]]*"${queue}"`))],
    ],
  ),
];

/**
 * `lib/purchase/ports.ts` opens the ports of every purchase verb; which of them a verb takes is in its type (`AcceptPorts`,
 * `RefundPorts`, …). These are the ones that it does not take.
 */
const portsNotTaken: Record<string, string[]> = {
  'create-purchase': ['bus', 'send:reconcile', 'payments', 'payments:webhook'],
  'refund-purchase': ['bus', 'redis', 'send:reconcile', 'payments', 'payments:webhook'],
  'payment-webhook': ['payments'],
  pay: ['payments:webhook'],
  settle: ['bus', 'send:reconcile', 'payments', 'payments:webhook'],
};

async function reachedFrom(entry: string): Promise<Reached> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    absWorkingDir: projectRoot,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    packages: 'external',
    write: false,
    logLevel: 'error',
  });
  const [, ...parts] = (outputFiles[0]?.text ?? '').split(/^\/\/ ((?:lib|functions)\/\S+)$/m);
  return new Map(parts.flatMap((module, index) => (index % 2 === 0 ? [[module, parts[index + 1] ?? '']] : [])));
}

test.each(functions.map((declared) => [declared.key, declared] as const))(
  '%s is granted what its code uses',
  async (key, declared) => {
    const reached = await reachedFrom(`${handlerOf(declared).path}.ts`);
    const used = evidence.filter(([, shown]) => shown(reached)).map(([word]) => word);
    const taken = used.filter((word) => !portsNotTaken[key]?.includes(word));
    expect([...(written[key]?.uses ?? [])].sort()).toEqual(taken.sort());
  },
);

test('the ports said not to be taken are offered', async () => {
  for (const [key, words] of Object.entries(portsNotTaken)) {
    const declared = functions.find((one) => one.key === key);
    const reached = await reachedFrom(`${declared ? handlerOf(declared).path : key}.ts`);
    const used = evidence.filter(([, shown]) => shown(reached)).map(([word]) => word);
    expect([key, words.filter((word) => !used.includes(word))]).toEqual([key, []]);
  }
});
