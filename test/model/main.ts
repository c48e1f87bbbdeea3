/**
 * `npm run model`: the shipped decisions against services in memory that fail in every way.
 *
 *   npm run model                              every small case, and a million requests at random
 *   npm run model -- --requests N              as many requests at random as that
 *   npm run model -- --seed S                  other random episodes
 *   npm run model -- --quick                   about twenty seconds of both
 *   npm run model -- --case NAME               one small case
 *   npm run model -- --episode S --size N      one episode again, with the shortest path on which it fails
 *   npm run model -- --controls                shipped code with one safeguard taken out, again and again
 *   npm run model -- --control NAME            one of these
 *
 * Writes `.local/model-report.json`. The exit code is 0 only if no invariant was broken and every control was caught.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ownArguments, refuse } from '#local/arguments.ts';
import { defaultFolder } from '#local/state-folder.ts';
import { caseNames, quickCases } from './case-names.ts';
import { controls } from './controls.ts';
import type { CaseDone, Done, EpisodesDone, Failure, HuntDone, Job } from './jobs.ts';
import { sizeOf } from './plan.ts';

const { values } = ownArguments('model');

const startedMs = Date.now();
const processes = 2;
const seed = Number(values.seed);
/** A small case is done long before this, unless its state space has exploded. */
const caseLimitMs = 600_000;
const quickRequests = 12_000;
const quickWays = 60;
const requestsPerJob = 15_000;
const huntLimitMs = 180_000;
const huntSizes = [8, 25, 80];

const say = (line: string) => void process.stdout.write(`${line}\n`);

const children = new Set<ChildProcess>();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    for (const child of children) child.kill('SIGKILL');
    process.exit(1);
  });
}

/** Starts a process that works; with a control, on code with that fault in it. */
async function open(control?: string): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL('./run.ts', import.meta.url)), {
    env: { ...process.env, ...(control === undefined ? {} : { HOLDFAST_CONTROL: control }) },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve());
    child.once('exit', (code) => reject(new Error(`a model process ended with ${code} before it was ready`)));
  });
  return child;
}

function ask(child: ChildProcess, job: Job): Promise<Done> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null) => reject(new Error(`a model process ended with ${code}`));
    child.once('exit', ended);
    child.once('message', (done: Done) => {
      child.off('exit', ended);
      resolve(done);
    });
    child.send(job);
  });
}

/** Gives the jobs to a few processes, in order; each answer goes to `done`, and nothing is started after `over`. */
async function share(jobs: readonly Job[], done: (answer: Done) => void, over: () => boolean): Promise<void> {
  const queue = jobs.values();
  const feed = async () => {
    const child = await open();
    for (const job of queue) {
      if (over()) break;
      done(await ask(child, job));
    }
    child.disconnect();
  };
  await Promise.all(Array.from({ length: Math.min(processes, jobs.length) }, feed));
}

function* episodes(wanted: number): Generator<Job> {
  let next = seed * 1_000_003;
  for (let left = wanted; left > 0; ) {
    const job: { seed: number; requests: number }[] = [];
    for (let count = 0; count < requestsPerJob && left > 0; next++) {
      const requests = Math.min(left, sizeOf(next));
      job.push({ seed: next, requests });
      count += requests;
      left -= requests;
    }
    yield { kind: 'episodes', episodes: job };
  }
}

/** The longest first where they are known, so that no process waits for another in the end. */
function jobs(): Job[] {
  if (values.episode !== undefined) {
    const own = Number(values.episode);
    return [{ kind: 'episodes', episodes: [{ seed: own, requests: Number(values.size ?? sizeOf(own)) }] }];
  }
  const whole = (name: string): Job => ({ kind: 'case', name, limitMs: caseLimitMs });
  const { case: asked } = values;
  if (asked !== undefined) {
    const found = caseNames.find((name) => name === asked);
    return [whole(found ?? refuse(`There is no case ${asked}; there are ${caseNames.join(', ')}.`))];
  }
  const some = (name: string): Job => ({ kind: 'ways', name, seed, ways: quickWays });
  const cases = caseNames.map((name) => (values.quick && !quickCases.includes(name) ? some(name) : whole(name)));
  return [...cases, ...episodes(values.quick ? quickRequests : Number(values.requests))];
}

/** How many requests at random a job plays. */
function requestsOf(job: Job): number {
  return job.kind === 'episodes' ? job.episodes.reduce((sum, { requests }) => sum + requests, 0) : 0;
}

interface Report {
  seed: number;
  seconds: number;
  violations: number;
  exhaustive: { states: number; complete: boolean; cases: Omit<CaseDone, 'kind'>[] };
  random: Omit<EpisodesDone, 'kind' | 'failure'>;
  failures: Failure[];
  controls?: { planted: number; caught: number; each: ControlRow[] };
}

interface ControlRow {
  name: string;
  description: string;
  caught: boolean;
  invariant: string | undefined;
  detail: string | undefined;
  seconds: number;
}

const file = join(defaultFolder(), 'model-report.json');

function tell(failure: Failure): void {
  say('');
  say(`  ${failure.invariant} is broken: ${failure.detail}`);
  if (failure.plan) say(`  smallest failing plan found: ${JSON.stringify(failure.plan)}`);
  for (const line of failure.trace) say(`    ${line.slice(0, 200)}`);
  say(`  reproduce with: npm run model -- ${failure.again}`);
  say('');
}

async function check(): Promise<boolean> {
  const cases: CaseDone[] = [];
  const failures: Failure[] = [];
  const random = { episodes: 0, requests: 0, steps: 0, faults: {}, outcomes: {} };
  const add = (to: Record<string, number>, from: Readonly<Record<string, number>>) => {
    for (const [name, count] of Object.entries(from)) to[name] = (to[name] ?? 0) + count;
  };
  let lastMs = 0;
  const all = jobs();
  const ofCases = all.filter(({ kind }) => kind !== 'episodes').length;
  let casesDone = 0;
  const wantedRequests = all.reduce((sum, job) => sum + requestsOf(job), 0);
  const done = (answer: Done) => {
    if (answer.kind === 'failed') throw new Error(answer.error);
    if (answer.kind === 'hunt') return;
    if (answer.failure) {
      failures.push(answer.failure);
      tell(answer.failure);
    }
    const nth = answer.kind === 'episodes' ? '' : `[${++casesDone} of ${ofCases}]`.padEnd(11);
    if (answer.kind === 'case') {
      cases.push(answer);
      const { name, states, complete, seconds } = answer;
      const ways = complete ? 'every path' : 'not every path';
      say(`  ${nth}${name.padEnd(22)} ${String(states).padStart(9)} states, ${ways}, ${seconds} s`);
      return;
    }
    if (answer.kind === 'ways') {
      say(`  ${nth}${answer.name.padEnd(22)} ${answer.ways} random paths`);
      return;
    }
    random.episodes += answer.episodes;
    random.requests += answer.requests;
    random.steps += answer.steps;
    add(random.faults, answer.faults);
    add(random.outcomes, answer.outcomes);
    if (Date.now() - lastMs < 10_000) return;
    lastMs = Date.now();
    say(`  at random: ${random.requests} of ${wantedRequests} requests`);
  };
  await share(all, done, () => failures.length > 2);

  const states = cases.reduce((sum, one) => sum + one.states, 0);
  const complete = cases.every((one) => one.complete);
  const seconds = Math.round((Date.now() - startedMs) / 1000);
  const report: Report = {
    seed,
    seconds,
    violations: failures.length,
    exhaustive: { states, complete, cases: cases.map(({ kind: _, ...one }) => one) },
    random,
    failures,
  };
  write(report);
  const faults = Object.values(random.faults as Record<string, number>).reduce((sum, count) => sum + count, 0);
  say(`${states} states in ${cases.length} cases${complete ? ', each on every path' : ''}`);
  say(`${random.requests} requests in ${random.episodes} random episodes, ${random.steps} steps, ${faults} faults`);
  say(`${failures.length} violations, ${seconds} s`);
  say(`report in ${file}`);
  return failures.length === 0 && complete;
}

async function hunt(): Promise<boolean> {
  const wanted = controls.filter(({ name }) => values.controls || values.control?.includes(name));
  if (wanted.length === 0)
    refuse(`There is no such control; there are ${controls.map(({ name }) => name).join(', ')}.`);
  const rows: ControlRow[] = [];
  const queue = wanted.values();
  const feed = async () => {
    for (const { name, description, cases = [], sizes = huntSizes, caughtBy } of queue) {
      const child = await open(name);
      const answer = await ask(child, { kind: 'hunt', cases, sizes, seed, limitMs: huntLimitMs });
      child.disconnect();
      if (answer.kind === 'failed') throw new Error(`${name}: ${answer.error}`);
      const { failure, seconds } = answer as HuntDone;
      const caught = failure !== undefined && caughtBy.includes(failure.invariant);
      rows.push({ name, description, caught, invariant: failure?.invariant, detail: failure?.detail, seconds });
      say(
        `  ${`[${rows.length} of ${wanted.length}]`.padEnd(11)}${caught ? 'caught' : 'MISSED'}  ${name.padEnd(32)} ${failure ? `${failure.invariant}: ${failure.detail}` : ''}`,
      );
      if (failure && (values.control || !caught)) tell({ ...failure, again: `--control ${name}` });
    }
  };
  await Promise.all(Array.from({ length: processes }, feed));
  const caught = rows.filter((row) => row.caught).length;
  write({ controls: { planted: rows.length, caught, each: rows } });
  say(`${caught} of ${rows.length} planted faults caught, ${Math.round((Date.now() - startedMs) / 1000)} s`);
  say(`report in ${file}`);
  return caught === rows.length;
}

/** The report keeps what the other kind of run found. */
function write(part: Partial<Report>): void {
  let before: Partial<Report> = {};
  try {
    before = JSON.parse(readFileSync(file, 'utf8')) as Partial<Report>;
  } catch {
    before = {};
  }
  mkdirSync(defaultFolder(), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ ...before, ...part }, null, 2)}\n`);
}

const good = values.controls || values.control ? await hunt() : await check();
process.exitCode = good ? 0 : 1;
