/**
 * `npm run bench`: rivals, ours and yardsticks, interleaved, on databases of its own.
 *
 *   npm run bench                    everything, at least five rounds; results and charts go to bench/results
 *   npm run bench -- --quick         at most three minutes: fewer rounds, fewer rivals
 *   npm run bench -- --only drain    one suite (several with commas)
 *   npm run bench -- --only drain --keep    its part of the kept report and its charts are replaced, with a date of their own
 *   npm run bench -- --only scale    every verb of a large sale, up to 1,000,000 reservations; with --quick up to 10,000
 *   npm run bench -- --only scale --sizes 1000,10000 --verbs opening,closing --keep    what is kept of other verbs stays
 *   npm run bench -- --only quiet    what a quiet sale waits for, and what it would cost to do without
 *   npm run bench -- --only webhooks --keep    100,000 deliveries of webhooks, beside receivers that fail and that never answer
 *   npm run bench -- --profile DIR   leaves a CPU profile of each contender there
 *
 * Invariant: a run that is not exact ends the benchmark with exit code 1, and what it measured is not reported. Writes
 * `bench-report.json` into the local folder. Everything it starts listens on loopback and is stopped at the end.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { ownArguments, refuse } from '#local/arguments.ts';
import { defaultFolder } from '#local/state-folder.ts';
import { buildBundle } from './bundle.ts';
import { NotExact, startEnvironment } from './environment.ts';
import { keep, keepSuites } from './keep.ts';
import { printMeasures } from './print-report.ts';
import { chartsOf } from './report-charts.ts';
import { Runner } from './runner.ts';
import type { Suite, SuiteResult } from './suite.ts';
import { accept } from './suites/accept.ts';
import { burst } from './suites/burst.ts';
import { drain } from './suites/drain.ts';
import { memory } from './suites/memory.ts';
import { queue } from './suites/queue.ts';
import { quiet } from './suites/quiet.ts';
import { read } from './suites/read.ts';
import { scale } from './suites/scale.ts';
import { scaling } from './suites/scaling.ts';
import { webhooks } from './suites/webhooks.ts';

/** What is run unless suites are named. */
const usual: readonly Suite[] = [drain, queue, burst, scaling, accept, read, memory];
/** Each has a file of its own. */
const keptAlone: readonly Suite[] = [quiet, scale, webhooks];
const suites: readonly Suite[] = [...usual, ...keptAlone];

const { values } = ownArguments('bench');
const wanted = values.only?.split(',');
const chosen = wanted ? suites.filter(({ name }) => wanted.includes(name)) : usual;
const unknown = wanted?.filter((name) => !suites.some((suite) => suite.name === name)) ?? [];
if (unknown.length > 0) {
  refuse(`There is no suite ${unknown.join(', ')}; there are ${suites.map(({ name }) => name).join(', ')}.`);
}

const sizes = values.sizes?.split(',').map(Number);
if (sizes?.some((size) => !Number.isInteger(size) || size < 1)) {
  refuse('--sizes are whole numbers, separated by commas, such as 1000,10000.');
}
const verbs = values.verbs?.split(',');
if (values.keep && (values.quick || (chosen.length > 1 && chosen.some((suite) => keptAlone.includes(suite))))) {
  refuse(`Only full runs are kept, and ${keptAlone.map(({ name }) => name).join(', ')} one by one.`);
}

/** The suite whose report is kept by itself, if there is one. */
const alone =
  values.keep && chosen.length === 1 ? keptAlone.find(({ name }) => name === chosen[0]?.name)?.name : undefined;

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const startedMs = performance.now();
const folder = defaultFolder();
const environment = await startEnvironment({
  dir: join(folder, 'bench'),
  profileFolder: values.profile && resolve(values.profile),
});
await buildBundle('allocate');
const runner = new Runner(environment);
const results = new Map<string, SuiteResult>();
let notExact: NotExact | undefined;

function reportOf(shown: ReadonlyMap<string, SuiteResult>) {
  return {
    measures: [...shown.values()].flatMap((result) => result.measures),
    exact: notExact === undefined,
    ...(notExact ? { inexact: notExact.message } : {}),
    kind: values.quick ? 'quick' : 'full',
    suites: chosen.map(({ name }) => name),
    notes: [...shown.values()].flatMap((result) => result.notes),
    series: [...shown.values()].flatMap((result) => result.series),
    details: Object.fromEntries([...shown].map(([name, { details }]) => [name, details ?? {}])),
    machine: { processors: cpus().length, model: cpus()[0]?.model ?? '', memoryGiB: Math.round(totalmem() / 2 ** 30) },
    node: process.version,
    tookSeconds: Math.round((performance.now() - startedMs) / 1000),
    at: new Date().toISOString(),
  };
}

try {
  for (const [index, suite] of chosen.entries()) {
    say(`${suite.title} (suite ${index + 1} of ${chosen.length}):`);
    const suiteStartedMs = performance.now();
    const dueMs = suiteStartedMs + suite.quickSeconds * 1_000;
    results.set(
      suite.name,
      await suite.run({
        ...{ environment, runner, quick: values.quick, dueMs, sizes, verbs, report: say },
        keep: alone ? (soFar) => keep(alone, reportOf(new Map([[alone, soFar]]))) : undefined,
      }),
    );
    say(`  took ${Math.round((performance.now() - suiteStartedMs) / 1_000)} s`);
  }
} catch (error) {
  if (!(error instanceof NotExact)) throw error;
  notExact = error;
} finally {
  await runner.close();
  await environment.stop();
}

const report = reportOf(results);
mkdirSync(folder, { recursive: true });
const file = join(folder, 'bench-report.json');
writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
const charts = chartsOf(report);
const isFull = !values.quick && wanted === undefined && report.exact;
// A full run is kept with the code it was made with; anything less stays among the local files.
const kept = isFull ? join(import.meta.dirname, 'results') : join(folder, 'bench-charts');
mkdirSync(kept, { recursive: true });
for (const [name, chart] of charts) writeFileSync(join(kept, name), chart);
if (isFull) writeFileSync(join(kept, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
if (values.keep && report.exact && !isFull) {
  if (alone) await keep(alone, report);
  else keepSuites(report);
  say(`kept as bench/results/${alone ?? 'report'}.json`);
}
printMeasures(report);
say(`saved to ${file}; charts in ${kept}`);
if (notExact) say(`NOT EXACT: ${notExact.message}`);
process.exit(notExact ? 1 : 0);
