/**
 * `npm run chaos`: the fault matrix on the real stack.
 *
 *   npm run chaos                        the whole: every row, and crowds in between until there were 100,000 requests and
 *                                        500 kills and pauses; less than half an hour
 *   npm run chaos -- --quick             every row once, as short as possible: about ten minutes
 *   npm run chaos -- --fault NAME        one row, by name or number (may be repeated)
 *   npm run chaos -- --minutes M         rows and crowds, again and again, until the time is up
 *   npm run chaos -- --controls          each row against code with a safeguard taken out, which it must notice
 *   npm run chaos -- --control NAME      only that safeguard (may be repeated)
 *   npm run chaos -- --placebo           the controls' rows as short as for controls, with nothing taken out: all must hold
 *   npm run chaos -- --seed S            other choices; the same choices as another run with this seed
 *   npm run chaos -- --keep              also keeps the figures in docs/results, and shows them in docs/faults.md and
 *                                        docs/measurements.md
 *
 * `--whole`, `--quick` and `--fault` go together with `--controls`. Writes `.local/chaos-report.json` and prints fault ×
 * invariant × count. The exit code is 0 only if every row held, the whole was reached, and every control was caught.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { defaultFolder } from '#local/state-folder.ts';
import { controls } from './controls.ts';
import type { Fault } from './fault.ts';
import { keep } from './kept.ts';
import { matrix } from './matrix.ts';
import { printTable, sumUp, writeReport } from './report.ts';
import { type ControlResult, runControl } from './run-control.ts';
import { type RowResult, runRow } from './runner.ts';
import { World } from './world.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    fault: { type: 'string', multiple: true },
    control: { type: 'string', multiple: true },
    controls: { type: 'boolean', default: false },
    placebo: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    whole: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});

/** What a whole run must come to. */
const wholeRequests = 100_000;
const wholeHarm = 500;
/** How many times its shortest a crowd is in a long run: 20,000 requests. */
const crowdScale = 40;
/** A long run has a crowd after so many other rows. */
const rowsPerCrowd = 9;
const crowdsAtMost = 12;

const say = (line: string) => void process.stderr.write(`${line}\n`);
function refuse(sentence: string): never {
  say(sentence);
  process.exit(1);
}
const seed = Number(values.seed);
const wanted = values.fault;
const rows = matrix.filter(({ name, number }) => !wanted || wanted.includes(name) || wanted.includes(String(number)));
if (rows.length === 0)
  refuse(`no row is called ${wanted?.join(', ')}; there are ${matrix.map(({ name }) => name).join(', ')}`);
const planted = controls.filter(
  ({ name, row }) =>
    (values.control ? values.control.includes(name) : values.controls || values.placebo) &&
    rows.some((one) => one.name === row),
);
if (values.control && planted.length < values.control.length)
  refuse(
    `no control is called ${values.control.join(' or ')}; there are ${controls.map(({ name }) => name).join(', ')}`,
  );
const crowd = matrix.find(({ name }) => name === 'crowd');

const selected = wanted !== undefined || values.quick;
const only = (values.controls || values.placebo || values.control !== undefined) && !selected && !values.whole;
const whole = values.whole || (!only && !selected && !values.minutes);

const world = await World.open({ dir: join(defaultFolder(), 'chaos'), seed, report: (line) => say(`  ${line}`) });
const results: RowResult[] = [];
const caught: ControlResult[] = [];
const placebos: ControlResult[] = [];
// A run for a time, and the crowds that make up for too few requests, have no known total.
const total = (only || values.minutes ? 0 : rows.length) + planted.length;
let played = 0;
const place = () => (values.minutes ? `[${++played}]` : `[${++played} of ${Math.max(total, played)}]`);
try {
  if (values.minutes) await playFor(Number(values.minutes));
  else if (whole) await playWhole();
  else if (!only) for (const fault of rows) await play(fault, seed, 1);
  for (const control of planted) await playControl(control);
} finally {
  const report = sumUp(seed, matrix, results, caught);
  writeReport(join(defaultFolder(), 'chaos-report.json'), report, results, caught);
  process.stdout.write(`${printTable(report).join('\n')}\n`);
  await world.close();
}

const held = results.every(({ holds }) => holds);
const enough = !whole || isEnough();
if (!enough)
  say(`a whole run has at least ${wholeRequests} requests and ${wholeHarm} kills and pauses; this one has not`);
const noticed =
  caught.every((one) => one.unavailable !== undefined || one.caught) && !placebos.some((one) => one.caught);
// A row that did not hold and a control that was not noticed are kept as that: the test of what is kept fails until they are.
if (values.keep && enough && !values.quick && !values.placebo) keep(sumUp(seed, matrix, results, caught));
process.exit(held && enough && noticed ? 0 : 1);

/** Every row once, crowds in between, and more crowds if these were not enough. */
async function playWhole(): Promise<void> {
  let crowds = 0;
  const another = async () => {
    if (crowd) await play(crowd, seed + crowds++, crowdScale);
  };
  const others = rows.filter((fault) => fault !== crowd);
  for (const [index, fault] of others.entries()) {
    await play(fault, seed, 1);
    if (index % rowsPerCrowd === rowsPerCrowd - 1) await another();
  }
  while (!isEnough() && crowds < crowdsAtMost) await another();
}

/** Rows in turn, each followed by a crowd. */
async function playFor(minutes: number): Promise<void> {
  const untilMs = Date.now() + minutes * 60_000;
  for (let turn = 0; turn === 0 || Date.now() < untilMs; turn++) {
    const fault = rows[turn % rows.length];
    if (fault) await play(fault, seed + Math.floor(turn / rows.length), 1);
    if (crowd && Date.now() < untilMs) await play(crowd, seed + turn, crowdScale);
  }
}

function isEnough(): boolean {
  const sum = (of: (row: RowResult) => number) => results.reduce((total, row) => total + of(row), 0);
  return sum((row) => row.requests) >= wholeRequests && sum((row) => row.kills + row.pauses) >= wholeHarm;
}

async function play(fault: Fault, rowSeed: number, scale: number): Promise<void> {
  const result = await runRow(world, fault, { seed: rowSeed, scale });
  results.push(result);
  const counts = Object.entries({ ...result.counts, ...result.measuredMs }).map(([name, value]) => `${name} ${value}`);
  const mark = result.unavailable ? `– ${result.unavailable}` : result.holds ? '✓' : '✗';
  say(
    `${place()} ${mark} ${fault.number} ${fault.title} (${result.requests} requests, ${result.seconds} s) ${counts.join(', ')}`,
  );
  for (const example of result.holds ? [] : result.examples) say(`    ${example}`);
}

async function playControl(control: (typeof controls)[number]): Promise<void> {
  const result = await runControl(world, control, seed, { planted: !values.placebo });
  (values.placebo ? placebos : caught).push(result);
  const by = Object.entries(result.violations).map(([kind, count]) => `${kind} ${count}`);
  const [good, bad] = values.placebo ? ['✓ holds', '✗ fails without a reason:'] : ['✓ noticed', '✗ UNNOTICED'];
  const mark = result.unavailable ? '–' : result.caught === values.placebo ? bad : good;
  say(`${place()} ${mark} ${control.name} by ${control.row}: ${result.lost ?? by.join(', ')} (${result.seconds} s)`);
  for (const example of values.placebo && result.caught ? result.examples : []) say(`    ${example}`);
}
