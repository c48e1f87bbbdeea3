/**
 * The figures of the last whole run, kept in docs/results/chaos.json, and the pages made of them: docs/faults.md, and a
 * part of docs/measurements.md. Written by `npm run chaos -- --keep`; kept.test.ts compares the pages with the figures.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { invariantNames, meanings } from '#load/verify/tally.ts';
import { projectRoot } from '#local/state-folder.ts';
import { visibilityTimeoutSeconds } from '#platform/kernel/time-limits.ts';
import { controls } from './controls.ts';
import { matrix } from './matrix.ts';
import { cellsOf, type FaultSummary, type Report, sumOf, totalsOf } from './report.ts';
import { visibilitySeconds } from './world.ts';

export const keptFile = 'docs/results/chaos.json';
export const page = 'docs/faults.md';
export const summaryPage = 'docs/measurements.md';
const [begin, end] = ['<!-- faults: made by npm run chaos -- --keep -->', '<!-- faults: end -->'];

/** The figures that were kept. */
export function readKept(): Report {
  return JSON.parse(readFileSync(join(projectRoot, keptFile), 'utf8')) as Report;
}

/** Keeps the figures of what was played, each row and control for its part, and writes the pages. */
export function keep(report: Report): void {
  const before = tryReadKept();
  const all = merge(before, report);
  mkdirSync(dirname(join(projectRoot, keptFile)), { recursive: true });
  writeFileSync(join(projectRoot, keptFile), `${JSON.stringify(all, null, 1)}\n`);
  writeFileSync(join(projectRoot, page), pageOf(all));
  writeFileSync(join(projectRoot, summaryPage), summaryWith(all));
}

function tryReadKept(): Report | undefined {
  try {
    return readKept();
  } catch {
    return undefined;
  }
}

/** What was not played keeps its figures. */
function merge(before: Report | undefined, now: Report): Report {
  if (!before) return now;
  const shown = [now, before].flatMap((report) => report.faults.flatMap((one) => one.controls));
  const known = controls.flatMap(({ name }) => shown.find((one) => one.name === name) ?? []);
  const faults = matrix.flatMap(({ name }): FaultSummary[] => {
    const row = [now, before].flatMap((report) => report.faults).find((one) => one.name === name && one.runs > 0);
    return row ? [{ ...row, controls: known.filter((one) => one.row === name) }] : [];
  });
  const totals = {
    planted: known.length,
    caught: known.filter(({ caught }) => caught).length,
    seconds: Math.round(known.reduce((sum, { seconds }) => sum + seconds, 0)),
  };
  return { at: now.at, seed: now.seed, ...totalsOf(faults), controls: totals, faults };
}

const whole = (value: number) => value.toLocaleString('en-US');
const seconds = (ms: number) => `${(ms / 1_000).toFixed(2)} s`;

/** A Markdown table with its columns padded; numbers to the right. */
function table(heads: string[], rows: string[][], numbersFrom = heads.length): string {
  const widths = heads.map((head, column) => Math.max(3, head.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: string[]) =>
    `| ${cells.map((cell, column) => (column >= numbersFrom ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0))).join(' | ')} |`;
  const rule = widths.map((width, column) => (column >= numbersFrom ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)));
  return [line(heads), line(rule), ...rows.map(line)].join('\n');
}

function recoveryTable(report: Report): string {
  return table(
    ['Recovery', 'Longest', 'May take'],
    report.recovery.map(({ what, longestMs, mayMs }) => [what, seconds(longestMs), seconds(mayMs)]),
    1,
  );
}

/** What was measured under ten times the load, if it was. */
function overloadOf(report: Report): { calm: number; storm: number } | undefined {
  const counts = report.faults.find(({ name }) => name === 'overload')?.counts;
  const [calm, storm] = [counts?.['capacity per second'], counts?.['goodput at ten times']];
  return calm !== undefined && storm !== undefined ? { calm, storm } : undefined;
}

/** The page docs/faults.md. */
export function pageOf(report: Report): string {
  const { planted, caught } = report.controls;
  const numbers = new Set(report.faults.map(({ number }) => number)).size;
  const overload = overloadOf(report);
  const faults = report.faults.map((one) => [
    String(one.number),
    one.unavailable === undefined ? one.title : `${one.title} (not run: ${one.unavailable})`,
    String(one.runs),
    whole(one.requests),
    whole(one.kills),
    whole(one.pauses),
    ...cellsOf(one).map((cell) => (/^\d+$/.test(cell) ? whole(Number(cell)) : cell)),
    `${one.controls.filter((control) => control.caught).length} of ${one.controls.length}`,
  ]);
  const noticed = report.faults.flatMap(({ number, controls: own }) =>
    own.map(({ name, violations }) => [
      `\`${name}\``,
      String(number),
      Object.entries(violations)
        .map(([kind, count]) => `${kind} ${whole(count ?? 0)}`)
        .join(', '),
    ]),
  );
  return `# Faults

What \`npm run chaos\` found until ${report.at.slice(0, 10)}, seed ${report.seed}, on two cores shared with other work, each row in its
latest run. The driver is
[test/chaos](../test/chaos): it kills, stops, cuts, floods and falsifies the parts of a real stack while customers reserve,
cancel and buy. Afterwards the [verifier](../load/verify.ts) compares the clients' log with MySQL, Redis, the queues and the
providers' books. The figures are in [chaos.json](results/chaos.json). \`npm run chaos -- --keep\` makes this page of them, and
[a test](../test/chaos/kept.test.ts) compares the two.

- ${numbers} faults, ${report.runs} runs, ${Math.round(report.seconds / 60)} minutes, ${whole(report.requests)} requests to reserve, cancel or buy that were answered.
- ${whole(report.kills)} processes killed, ${whole(report.pauses)} stopped.
- ${whole(report.violations)} violations.
- ${caught} of ${planted} planted faults noticed.
${overload ? `- Goodput at ten times the capacity: ${overload.storm} of ${overload.calm} requests a second, ${Math.round((100 * overload.storm) / overload.calm)} %.\n` : ''}
${recoveryTable(report)}

The stack under test has a visibility timeout of ${visibilitySeconds} s, so that runs can wait for redelivery. As deployed it is ${visibilityTimeoutSeconds} s,
the least that AWS advises: what a worker held when it was killed comes again up to ${visibilityTimeoutSeconds - visibilitySeconds} s later than in this table.

## Every fault

A number under an invariant says how often it was checked, ✗ how often it did not hold, and · that the row has nothing to check.
“Own” is what else the row expects, and that everything came to rest (I9). ${invariantNames.map((name) => `${name}: ${meanings[name]}`).join('; ')}.

${table(['#', 'Fault', 'Runs', 'Requests', 'Kills', 'Pauses', ...invariantNames, 'Own', 'Controls'], faults, 2)}

## Every control

A control is the same run on code with one safeguard taken out ([controls.ts](../test/chaos/controls.ts)); the row must
fail. The table shows the latest run of each, which can be newer than the rows. \`npm run chaos -- --placebo\` plays these runs
with nothing taken out: then all must hold.

${table(['Safeguard taken out', 'Row', 'Noticed by'], noticed)}
`;
}

/** The page of all measurements, with its part about faults as the figures say. */
export function summaryWith(report: Report): string {
  const text = readFileSync(join(projectRoot, summaryPage), 'utf8');
  const [before, rest] = text.split(begin);
  const [, after] = (rest ?? '').split(end);
  if (before === undefined || after === undefined)
    throw new Error(`${summaryPage} has no place between ${begin} and ${end}`);
  const { planted, caught } = report.controls;
  const numbers = new Set(report.faults.map(({ number }) => number)).size;
  const overload = overloadOf(report);
  // I9, that everything comes to rest, is part of every run.
  const checked = [...invariantNames.filter((name) => report.faults.some((one) => (one.checked[name] ?? 0) > 0)), 'I9'];
  const rows = [
    [
      `${numbers} faults, ${whole(report.requests)} requests`,
      `${whole(report.violations)} violations of ${checked.join(', ')}`,
    ],
    ['Processes killed and stopped under load', `${whole(report.kills)} and ${whole(report.pauses)}`],
    ['Safeguards taken out, and noticed', `${planted}, ${caught}`],
    ...report.recovery.map(({ what, longestMs, mayMs }) => [
      what,
      `${seconds(longestMs)} at most, may take ${seconds(mayMs)}`,
    ]),
    ...(overload
      ? [['Goodput at ten times the capacity', `${Math.round((100 * overload.storm) / overload.calm)} % of its peak`]]
      : []),
  ];
  const link =
    `Redelivery waits for the visibility timeout, here ${visibilitySeconds} s. As deployed it is ${visibilityTimeoutSeconds} s, so a killed worker's messages come ` +
    `up to ${visibilityTimeoutSeconds - visibilitySeconds} s later.\nFault by fault, with its control: [faults.md](faults.md).`;
  return `${before}${begin}\n\n${table(['Under faults (`npm run chaos`)', 'Measured'], rows)}\n\n${link}\n\n${end}${after}`;
}

/** What is missing for the kept figures to show what is promised; empty if nothing is. */
export function shortcomingsOf(report: Report): string[] {
  const missing: string[] = [];
  const expect = (holds: boolean, otherwise: string) => {
    if (!holds) missing.push(otherwise);
  };
  expect(report.violations === 0, `${report.violations} violations`);
  expect(report.requests >= 100_000, `${report.requests} requests`);
  expect(report.kills + report.pauses >= 500, `${report.kills} kills and ${report.pauses} pauses`);
  for (const { name } of matrix) {
    const row = report.faults.find((one) => one.name === name);
    expect(row !== undefined && row.runs > 0, `${name} was not played`);
    expect(row !== undefined && sumOf(row.violations) === 0, `${name} did not hold`);
  }
  for (const { name, row } of controls) {
    const found = report.faults.find((one) => one.name === row)?.controls.find((one) => one.name === name);
    const unavailable = report.faults.find((one) => one.name === row)?.unavailable !== undefined;
    expect(unavailable || found?.caught === true, `${name} was not noticed`);
  }
  expect(report.recovery.length === 3, 'a recovery was not measured');
  for (const { what, longestMs, mayMs } of report.recovery) expect(longestMs <= mayMs, `${what}: ${longestMs} ms`);
  return missing;
}
