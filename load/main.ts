/**
 * `npm run load`: a load scenario against a stack of its own, verified at its end.
 *
 *   npm run load -- rush             also: browse, retry-storm, window-opens, mixed-day, bots, all
 *   npm run load -- rush --rate 2    twice as many arrivals; --time 0.5 for half as long
 *   npm run load -- rush --no-ceilings   leaves out the search for the bottleneck
 *
 * Invariant: a run is only as good as what it left behind. It fails if an invariant is broken, an answer was lost or
 * nothing was checked, however fast it was. Everything listens on loopback, arrivals and time are bounded, and all is
 * stopped at the end. Leaves load-<scenario>.html and .json in the local folder.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownArguments } from '#local/arguments.ts';
import { startStack } from '#local/stack.ts';
import { defaultFolder } from '#local/state-folder.ts';
import { type ArtilleryReport, runArtillery } from './artillery.ts';
import { bottleneckOf, type Ceiling, type CeilingName, measureCeilings } from './ceilings.ts';
import { checkLoopback, crowdOf, type Shares, sharesOf } from './crowd.ts';
import { prepareRun } from './plan.ts';
import { measureWork } from './proof-of-work.ts';
import { type BotsResult, type LoadResult, linesOfBots, reportOf } from './report.ts';
import { type Phase, phasesOf, type Scenario, scenarios, usersOf } from './scenarios.ts';
import { type Second, secondsOf } from './seconds.ts';
import { linesOf } from './verify/print.ts';
import { targetOf } from './verify/target.ts';
import { type Verification, verify } from './verify.ts';

/** The most virtual users that any run may create. */
const mostUsers = 50_000;
/** Beyond its phases artillery is given this long for users who are still waiting for their answers. */
const tailMs = 90_000;
const progressEveryMs = 10_000;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

const { values, positionals } = ownArguments('load');
const [asked] = positionals;
const chosen = asked === 'all' ? scenarios : scenarios.filter(({ name }) => name === asked);
const scale = { rate: Number(values.rate), time: Number(values.time) };
let failed = false;
for (const [index, scenario] of chosen.entries()) {
  if (chosen.length > 1) say(`Scenario ${index + 1} of ${chosen.length}`);
  failed = !(await runScenario(scenario)) || failed;
}
process.exit(failed ? 1 : 0);

/** One play of a scenario on a stack of its own. */
interface Played {
  readonly round: Round;
  readonly artillery: ArtilleryReport;
  readonly seconds: readonly Second[];
  readonly verification: Verification;
  readonly faults: readonly string[];
  readonly shares?: Shares;
  readonly ceilings?: Record<CeilingName, Ceiling>;
}

type Round = 'without limits' | 'with the limits of an account';

async function runScenario(scenario: Scenario): Promise<boolean> {
  const phases = phasesOf(scenario.name, scale);
  const users = usersOf(phases);
  if (users > mostUsers) throw new Error(`${users} virtual users are more than the ${mostUsers} that a run may create`);
  const played: Played[] = [];
  if (scenario.crowd) await checkLoopback();
  // A crowd is limited like callers of an account; everybody else shares one address, which would stop them all.
  const rounds: Round[] = scenario.crowd ? ['without limits', 'with the limits of an account'] : ['without limits'];
  for (const round of rounds) played.push(await play(scenario, phases, round, round === rounds.at(-1)));
  const last = played.at(-1) as Played;
  const bots = scenario.crowd && (await compared(played));
  const faults = [...played.flatMap((one) => one.faults), ...(bots ? faultsOfCrowd(bots) : [])];
  const { artillery, seconds, verification, ceilings } = last;
  const result: LoadResult = {
    scenario: scenario.name,
    title: scenario.title,
    holds: faults.length === 0,
    faults,
    artillery,
    seconds,
    verification,
    ...(ceilings
      ? { ceilings: Object.values(ceilings), bottleneck: bottleneckOf(ceilings, busiestSecond(seconds)) }
      : {}),
    ...(bots ? { bots } : {}),
    at: new Date().toISOString(),
  };
  const folder = defaultFolder();
  mkdirSync(folder, { recursive: true });
  const html = join(folder, `load-${scenario.name}.html`);
  writeFileSync(html, reportOf(result));
  writeFileSync(join(folder, `load-${scenario.name}.json`), `${JSON.stringify(result, null, 2)}\n`);
  for (const line of linesOf(verification)) process.stdout.write(`${line}\n`);
  process.stdout.write(`\n${summaryOf(artillery, seconds)}\n${result.bottleneck ?? ''}\n`);
  for (const line of bots ? linesOfBots(bots) : []) process.stdout.write(`  ${line}\n`);
  for (const fault of faults) process.stdout.write(`FAILED: ${fault}\n`);
  process.stdout.write(`${scenario.name}: ${result.holds ? 'holds' : 'does not hold'}; report in ${html}\n`);
  return result.holds;
}

async function play(scenario: Scenario, phases: readonly Phase[], round: Round, isLast: boolean): Promise<Played> {
  const users = usersOf(phases);
  say(`${scenario.title}${scenario.crowd ? `, ${round}` : ''}: starting a stack`);
  const stack = await startStack({
    dir: join(defaultFolder(), 'load'),
    whenBusy: 'next',
    fresh: true,
    providers: 1,
    limits: round === 'without limits' ? 'hardly' : 'as deployed',
  });
  try {
    const crowd = scenario.crowd && crowdOf(scenario.crowd, users, usersOf(phases.slice(0, 1)));
    // A crowd of another size wants a sale of another size, or nobody is left without.
    const allotment = Math.ceil(scenario.sales.allotment * (crowd ? scale.rate : 1));
    const { planFile, logs, plan } = await prepareRun(stack, { ...scenario.sales, allotment }, users, crowd);
    const arrivalSeconds = phases.reduce((sum, { duration }) => sum + duration, 0);
    say(`  ${users} virtual users at most, arriving over ${arrivalSeconds} s`);
    const artillery = await withProgress(arrivalSeconds, () =>
      runArtillery({
        scenario: scenario.name,
        target: stack.addresses.api,
        outputFile: join(stack.dir, 'artillery.json'),
        config: { phases },
        env: { HOLDFAST_LOAD_PLAN: planFile },
        limitMs: arrivalSeconds * 1_000 + tailMs,
      }),
    );
    const verification = await verify(targetOf(stack.dir), { logs, report: (line) => say(`  ${line}`) });
    const seconds = await secondsOf(logs.at(-1) ?? '');
    const withCeilings = isLast && !values['no-ceilings'];
    return {
      round,
      artillery,
      seconds,
      verification,
      faults: faultsOf(scenario, artillery, seconds, verification),
      ...(crowd ? { shares: await sharesOf(stack.addresses.mysql, plan) } : {}),
      ...(withCeilings ? { ceilings: await measureCeilings(stack, plan.saleIds[0] ?? '') } : {}),
    };
  } finally {
    await stack.stop();
  }
}

/** What people and bots got in each round, and what the work costs. */
async function compared(played: readonly Played[]): Promise<BotsResult> {
  return {
    rounds: played.flatMap(({ round, shares, verification }) =>
      shares ? [{ round, ...shares, worked: verification.outcomes['reserve 429 work_required'] ?? 0 }] : [],
    ),
    work: await measureWork(),
  };
}

/** Friction that helps nobody is none. */
function faultsOfCrowd({ rounds }: BotsResult): string[] {
  const [without, limited] = rounds;
  if (without && limited && limited.peoplesShare > without.peoplesShare) return [];
  return ['people got no more with the limits of an account than without limits'];
}

/** Says now and then how much of the arrivals is over while something runs. */
async function withProgress<Result>(seconds: number, work: () => Promise<Result>): Promise<Result> {
  const startedAtMs = Date.now();
  const timer = setInterval(() => {
    const passed = Math.round((Date.now() - startedAtMs) / 1_000);
    say(passed < seconds ? `  ${passed} of ${seconds} s` : '  waiting for the last answers');
  }, progressEveryMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

/** Everything that makes a run a failure. */
function faultsOf(
  scenario: Scenario,
  artillery: ArtilleryReport,
  seconds: readonly Second[],
  verification: Verification,
): string[] {
  const { invariants, quiet } = verification;
  const faults: string[] = [];
  for (const [name, { violations }] of Object.entries(invariants)) {
    if (violations > 0) faults.push(`${name} does not hold in ${violations} cases`);
  }
  for (const name of scenario.mustCheck) {
    if (invariants[name].checked === 0) faults.push(`${name} was not checked, so this run proves nothing about it`);
  }
  if (!quiet.reached) faults.push(`not everything came to rest: ${quiet.moving.join(', ')}`);
  const { counters } = artillery.aggregate;
  if ((counters['http.responses'] ?? 0) === 0) faults.push('no request was answered');
  const logged = seconds.reduce((sum, { sent }) => sum + sent, 0);
  if (logged !== counters['http.requests']) {
    faults.push(`artillery sent ${counters['http.requests']} requests, but ${logged} are in the clients' log`);
  }
  const unanswered = Object.entries(verification.outcomes)
    .filter(([outcome]) => /^\w+ 0/.test(outcome))
    .reduce((sum, [, count]) => sum + count, 0);
  if (unanswered > 0) faults.push(`${unanswered} requests were not answered`);
  const broken = counters['vusers.failed'] ?? 0;
  if (broken > unanswered) faults.push(`${broken} virtual users could not finish`);
  return faults;
}

function busiestSecond(seconds: readonly Second[]): number {
  return Math.max(...seconds.map(({ sent }) => sent));
}

function summaryOf(artillery: ArtilleryReport, seconds: readonly Second[]): string {
  const { counters, summaries } = artillery.aggregate;
  const latency = summaries['http.response_time'];
  return (
    `  artillery: ${counters['http.requests'] ?? 0} requests by ${counters['vusers.created'] ?? 0} users, ` +
    `${busiestSecond(seconds)} in the busiest second; first byte p50 ${latency?.median ?? '-'} ms, ` +
    `p95 ${latency?.p95 ?? '-'} ms, p99 ${latency?.p99 ?? '-'} ms`
  );
}
