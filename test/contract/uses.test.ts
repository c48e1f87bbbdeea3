/**
 * What a function is granted is what its code uses: no more, so that a role is as small as the function, and no less, so
 * that nothing fails in an account that works on a laptop.
 *
 * Each function is bundled, which leaves out everything it cannot reach. What is left is parsed, and the syntax tree shows
 * what the code uses: which members of `Deps` it reads, which queues it opens, which names it looks up, which functions it
 * reaches. What a variable is called and what a comment says does not count. Types are gone by then, so a member with the same
 * name of another object counts as well; such a function fails here until the member has another name.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseSync } from '@swc/core';
import { build } from 'esbuild';
import { parse } from 'yaml';
import { knownAccount, limitLogin, limitPasswordChange, limitRegistration } from '#identity/guessing.ts';
import { readIssuerKeys } from '#identity/issuer-keys.ts';
import { handlerOf } from '#local/function-host.ts';
import { readDeclared } from '#local/serverless-config.ts';
import { projectRoot } from '#local/state-folder.ts';
import { getDeadLetters, redrive } from '#operations/dead-letters.ts';
import { getHealth } from '#operations/health.ts';
import { overviewOf, watchedQueues } from '#operations/overview.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { probeBus, probeHttp } from '#platform/environment/health-probes.ts';
import { sharedTokens } from '#platform/handlers/authentication.ts';
import { httpHandler } from '#platform/handlers/http.ts';
import {
  addressOf,
  type LimitName,
  limitCustomer,
  perAddress,
  perCaller,
  perCustomer,
  perCustomerAndAddress,
  perCustomerInOneStep,
} from '#platform/handlers/limits.ts';
import { type LogicalName, locate } from '#platform/kernel/registry.ts';
import { openMailer } from '#platform/mail/smtp.ts';
import type { Tokens } from '#platform/security/access-token.ts';
import { openOutside } from '#platform/security/outside-post.ts';

const { functions } = await readDeclared();
// Only the lists are wanted; CloudFormation's tags are of no interest here.
const { functions: written } = parse(readFileSync(join(projectRoot, 'serverless.yml'), 'utf8'), {
  logLevel: 'silent',
}) as { functions: Record<string, { uses?: string[] }> };

/** These open the parts for every function, so what they read proves nothing. */
const openers = ['lib/platform/environment/deps.ts', 'lib/platform/redis/sale-lock.ts'];

/** What the code that a function reaches does, by the syntax tree. */
interface Reached {
  /** Members that are read, as `deps.db` or `{ db }`; not those that are called, such as an array's `push()`. */
  readonly members: ReadonlySet<string>;
  /** Functions and methods that are called, by their names, and with a string for an argument also as `name("string")`. */
  readonly calls: ReadonlySet<string>;
  /** Names of the functions that are left. */
  readonly functions: ReadonlySet<string>;
}

type Shown = (reached: Reached) => boolean;
// biome-ignore lint/suspicious/noExplicitAny: the functions are only asked for their names.
type AnyFunction = (...parameters: any[]) => unknown;

const reads = (member: keyof Deps): Shown => {
  return ({ members }) => members.has(member);
};
const calls = (method: keyof Tokens): Shown => {
  return ({ calls }) => calls.has(method);
};
const opensQueue = (name: string): Shown => {
  return ({ calls }) => calls.has(`${'queue' satisfies keyof Deps}("${name}")`);
};
const looksUp = (name: LogicalName): Shown => {
  return ({ calls }) => calls.has(`${locate.name}("${name}")`);
};
/** The verb is wrapped in the limit of this name. */
const limits = (name: LimitName): Shown => {
  const wrappers = [
    ...[perAddress, perCaller, perCustomer, perCustomerInOneStep, perCustomerAndAddress],
    limitCustomer,
  ];
  return ({ calls }) => wrappers.some((wrapper) => calls.has(`${wrapper.name}("${name}")`));
};
const reaches = (one: AnyFunction): Shown => {
  return ({ functions }) => functions.has(one.name);
};
const both =
  (one: Shown, other: Shown): Shown =>
  (reached) =>
    one(reached) && other(reached);
const either =
  (one: Shown, other: Shown): Shown =>
  (reached) =>
    one(reached) || other(reached);
const not =
  (one: Shown): Shown =>
  (reached) =>
    !one(reached);

const signs = calls('issue');
const limitsOfCalls: LimitName[] = [
  'session-address',
  'codes-caller',
  'public-address',
  'reservations-address',
  'reservations-customer',
  'changes-customer',
  'lookups-customer',
  'messages-customer',
  'connections-customer',
  'api-key',
];
const allQueues = ['reservations', 'purchases', 'notifications', 'mail', 'webhooks', 'advance', 'reconcile'];

/** How code shows that it uses what a word grants. */
const evidence: [word: string, shown: Shown][] = [
  ['mysql', reads('db')],
  ['redis', either(reads('redis'), reads('lock'))],
  ['bus', reads('bus')],
  ['bus:probe', reaches(probeBus)],
  ['websocket', reads('push')],
  ['payments', looksUp('secret/payment-api-key')],
  ['payments:probe', reaches(probeHttp)],
  ['payments:webhook', looksUp('secret/payment-webhook')],
  ['webhooks:send', both(looksUp('secret/webhook-key'), reaches(openOutside))],
  ['issuers', reaches(readIssuerKeys)],
  ['webhooks:secrets', both(looksUp('secret/webhook-key'), not(reaches(openOutside)))],
  ['receipts', looksUp('secret/receipt-key')],
  ['tokens:sign', signs],
  ['tokens:verify', both(either(reaches(httpHandler), reaches(sharedTokens)), not(signs))],
  ['dead-letters:read', reaches(getDeadLetters)],
  ['dead-letters:redrive', reaches(redrive)],
  ['depth:all', reaches(getHealth)],
  ['mail', reaches(openMailer)],
  ['edge', reaches(addressOf)],
  ['pictures', looksUp('bucket/pictures')],
  ['guard', looksUp('secret/guard-key')],
  ['limit:password-change', reaches(limitPasswordChange)],
  ['limit:login-account', either(reaches(limitLogin), reaches(limitRegistration))],
  ['limit:login-device', reaches(knownAccount)],
  ['limit:login-address', reaches(limitLogin)],
  ['limit:register-address', reaches(limitRegistration)],
  ...limitsOfCalls.map((name): [string, Shown] => [`limit:${name}`, limits(name)]),
  ...allQueues.map((queue): [string, Shown] => [`send:${queue}`, opensQueue(queue)]),
  ...watchedQueues.map((queue): [string, Shown] => [`depth:${queue}`, reaches(overviewOf)]),
];

/** What a function reaches, from a bundle of our own sources. */
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
  // esbuild writes the path of each module before what is left of it.
  const [, ...parts] = (outputFiles[0]?.text ?? '').split(/^\/\/ ((?:lib|functions)\/\S+)$/m);
  const texts = parts.filter((_, index) => index % 2 === 1 && !openers.includes(parts[index - 1] ?? ''));
  return shownBy(texts);
}

function shownBy(texts: string[]): Reached {
  const reached = { members: new Set<string>(), calls: new Set<string>(), functions: new Set<string>() };
  for (const text of texts) note(parseSync(text, { syntax: 'ecmascript', target: 'es2024' }).body, reached);
  return reached;
}

/** What is noted on the way through a syntax tree. */
type Notes = { [Kind in keyof Reached]: Set<string> };

/** Any node of a syntax tree; only what is asked for below. */
interface Node {
  type?: string;
  object?: Node;
  property?: Node;
  key?: Node;
  callee?: Node;
  arguments?: { expression: Node }[];
  identifier?: Node;
  value?: unknown;
}

/** Notes what a part of a syntax tree shows. */
function note(part: unknown, reached: Notes): void {
  if (typeof part !== 'object' || part === null) return;
  const node = part as Node;
  if (node.type === 'CallExpression') {
    noteCall(node, reached);
    return;
  }
  if (node.type === 'MemberExpression') reached.members.add(nameOf(node.property));
  if (node.type === 'AssignmentPatternProperty' || node.type === 'KeyValuePatternProperty') {
    reached.members.add(nameOf(node.key));
  }
  if (node.type === 'FunctionDeclaration') reached.functions.add(nameOf(node.identifier));
  for (const child of Object.values(node)) note(child, reached);
}

function noteCall({ callee, arguments: given = [] }: Node, reached: Notes): void {
  const isMethod = callee?.type === 'MemberExpression';
  const name = nameOf(isMethod ? callee.property : callee);
  reached.calls.add(name);
  for (const { expression } of given) {
    if (expression.type === 'StringLiteral') reached.calls.add(`${name}("${expression.value}")`);
    note(expression, reached);
  }
  note(isMethod ? callee.object : callee, reached);
}

/** The name that a node is; without the digits by which esbuild tells two of one name apart. */
function nameOf(node: Node | undefined): string {
  return node?.type === 'Identifier' ? String(node.value).replace(/\d+$/, '') : '';
}

test.each(functions.map((declared) => [declared.key, declared] as const))(
  '%s is granted what its code uses',
  async (key, declared) => {
    const reached = await reachedFrom(`${handlerOf(declared).path}.ts`);
    const used = evidence.filter(([, shown]) => shown(reached)).map(([word]) => word);
    expect([...(written[key]?.uses ?? [])].sort()).toEqual(used.sort());
  },
);

const shared = functions.filter(({ routes }) => routes.length > 1);

test('some functions serve several routes', () => expect(shared.length).toBeGreaterThan(0));

test.each(
  shared.flatMap((declared) => {
    const file = `${handlerOf(declared).path}.ts`;
    const imported = [
      ...readFileSync(file, 'utf8').matchAll(/^import \{ handler as \w+ \} from '\.\/([\w-]+)\.ts';$/gm),
    ];
    return imported.map(([, name = '']) => [name, declared.key, join(dirname(file), `${name}.ts`)] as const);
  }),
)('%s uses all that %s is granted, so it gains nothing by sharing it', async (_name, key, file) => {
  const reached = await reachedFrom(file);
  const used = evidence.filter(([, shown]) => shown(reached)).map(([word]) => word);
  expect([...(written[key]?.uses ?? [])].sort()).toEqual(used.sort());
});

test('members count, and names of variables do not', () => {
  const shown = (text: string) => [...shownBy([text]).members];
  expect(shown('function read(db) { /* deps.db */ return db("db"); }')).toEqual([]);
  expect(shown('const made = { db: 1 };')).toEqual([]);
  expect(shown('read(deps.db);')).toEqual(['db']);
  expect(shown('const { db: store, lock } = deps2;')).toEqual(['db', 'lock']);
  expect(shown('const read = async ({ db }) => db.rows();')).toEqual(['db']);
  expect(shown('list.push(1); deps.push.send(2);')).toEqual(['push']);
  const { calls } = shownBy(['deps.queue("a").send(1); locate2(registry, "b");']);
  expect([...calls]).toEqual(['send', 'queue', 'queue("a")', 'locate', 'locate("b")']);
});
