/**
 * `npm run demo`: a whole sale on real components, and the proof of what happened.
 *
 *   npm run demo [-- --customers N --reservations N --sales N --seed S]
 *   npm run demo -- --aws localstack   the same on LocalStack instead of the embedded emulators
 *
 * Starts a stack of its own, plays the script through the public API, verifies the outcome from the clients' log, MySQL,
 * Redis and the payment provider's books, writes demo-report.json into the local folder and stops the stack. Exit code 0
 * only if every invariant was checked and holds.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { seedOperator } from '#identity/register.ts';
import { Account, Api, Operator } from '#load/client.ts';
import { ClientLog } from '#load/log.ts';
import { linesOf } from '#load/verify/print.ts';
import { targetOf } from '#load/verify/target.ts';
import { type Verification, verify } from '#load/verify.ts';
import { awsOf, ownArguments } from '#local/arguments.ts';
import { type Aws, type Stack, startStack } from '#local/stack.ts';
import { defaultFolder } from '#local/state-folder.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { type DemoOptions, demoOptions } from './arguments.ts';
import { countInbox, isWhole, tellInbox } from './inbox.ts';
import { planDemo } from './plan.ts';
import { Progress } from './progress.ts';
import { type DemoOutcome, playDemo } from './scenario.ts';
import { tellStory } from './story.ts';

const reportFile = join(defaultFolder(), 'demo-report.json');

try {
  const asked = ownArguments('demo');
  process.exitCode = (await demo(demoOptions(asked), awsOf(asked.values.aws).aws)) ? 0 : 1;
} catch (error) {
  process.stderr.write(`the demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
  if (process.env.DEBUG) process.stderr.write(`${error instanceof Error ? error.stack : ''}\n`);
  process.exitCode = 1;
}

/** Runs the demo and says whether everything holds. */
async function demo(options: DemoOptions, aws: Aws): Promise<boolean> {
  const startedAtMs = Date.now();
  const progress = new Progress();
  const where = aws === 'localstack' ? ', on LocalStack' : '';
  progress.say(`Holdfast demo${where}: starting databases, queues, bus, payment provider, API and workers`);
  const stack = await startStack({ dir: join(defaultFolder(), 'demo'), whenBusy: 'next', fresh: true, aws });
  try {
    const { outcome, logFile } = await play(stack, options, progress);
    progress.say('verifying: clients’ log, MySQL, Redis and the provider’s books');
    const result = await verify(targetOf(stack.dir), { logs: [logFile], report: (line) => progress.say(`  ${line}`) });
    const { swallowed, readers } = outcome;
    const inbox = await countInbox(stack.addresses.mail, readers);
    const holds = result.holds && swallowed.length === 0 && isWhole(inbox);
    const operator = await tellStory(targetOf(stack.dir).mysqlUrl, outcome.deeds);
    writeReport(options, result, { holds, durationMs: Date.now() - startedAtMs, swallowed, operator, inbox });
    const story = [
      '',
      '  The operator',
      ...operator.map((sentence) => `  · ${sentence}`),
      '',
      `  The inbox: ${tellInbox(inbox)}`,
    ];
    for (const line of [...story, ...linesOf(result), ...countLines(result), ...swallowed]) progress.say(line);
    progress.say(
      `\n${holds ? 'Every invariant holds.' : 'NOT everything holds.'} ` +
        `${((Date.now() - startedAtMs) / 1_000).toFixed(0)} s; details in ${reportFile}`,
    );
    return holds;
  } finally {
    progress.end();
    await stack.stop();
  }
}

async function play(
  stack: Stack,
  options: DemoOptions,
  progress: Progress,
): Promise<{ outcome: DemoOutcome; logFile: string }> {
  const log = new ClientLog(join(stack.dir, 'clients.jsonl'));
  const api = new Api({ url: stack.addresses.api, log, connections: 96 });
  try {
    const operator = new Operator(await operatorOf(stack, api));
    const { api: apiUrl, websocket: websocketUrl, mail: inboxUrl } = stack.addresses;
    const world = { api, apiUrl, websocketUrl, inboxUrl, operator, log, progress };
    const outcome = await playDemo(world, planDemo(options), options);
    return { outcome, logFile: log.file };
  } finally {
    api.close();
    await log.close();
  }
}

/** Operators are created on the stack's side, not over the API. */
async function operatorOf(stack: Stack, api: Api): Promise<Account> {
  const credentials = { email: 'operator@example.com', password: randomBytes(18).toString('base64url') };
  const db = openDb(stack.addresses.mysql, { connections: 1 });
  try {
    await seedOperator({ db, clock: systemClock }, credentials);
  } finally {
    await db.close();
  }
  return Account.login(api, credentials);
}

function countLines({ counts, outcomes }: Verification): string[] {
  const list = (facts: Record<string, number>) =>
    Object.entries(facts)
      .map(([name, value]) => `${name} ${new Intl.NumberFormat('en').format(value)}`)
      .join(' · ');
  const refusals = Object.fromEntries(
    Object.entries(outcomes).filter(([name]) => /^(reserve|buy) [45]|^\w+ 0/.test(name)),
  );
  return ['', `  ${list(counts)}`, `  refused: ${list(refusals)}`];
}

function writeReport(options: DemoOptions, result: Verification, more: Record<string, unknown>): void {
  const { seed, ...sizes } = options;
  const { invariants, latencyMs, ratesPerSecond, counts, outcomes, quiet } = result;
  const report = { seed, ...sizes, ...more, counts, invariants, latencyMs, ratesPerSecond, outcomes, quiet };
  mkdirSync(defaultFolder(), { recursive: true });
  writeFileSync(reportFile, `${JSON.stringify(report, null, 2)}\n`);
}
