/** The report of a chaos run: fault × invariant × count, recovery times, controls; for programs and for people. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type InvariantName, invariantNames } from '#load/verify/tally.ts';
import type { Fault } from './fault.ts';
import { commitWithinMs } from './faults/mysql.ts';
import { mirrorWithinMs } from './faults/redis.ts';
import { redeliveryWithinMs } from './faults/worker.ts';
import type { ControlResult } from './run-control.ts';
import type { RowResult } from './runner.ts';

/** A kind of violation: an invariant, a row's own expectation, or that the world did not come to rest. */
export type Kind = InvariantName | 'count' | 'rest';
type Counts = Partial<Record<Kind, number>>;

/** What a control showed, without its examples. */
export type ControlSummary = Pick<ControlResult, 'name' | 'row' | 'caught' | 'violations' | 'requests' | 'seconds'>;

/** All runs of one row together. */
export interface FaultSummary {
  number: number;
  name: string;
  title: string;
  /** Why it was not run, if it was not. */
  unavailable?: string;
  runs: number;
  requests: number;
  kills: number;
  pauses: number;
  seconds: number;
  /** How often each invariant was checked. */
  checked: Partial<Record<InvariantName, number>>;
  violations: Counts;
  /** What the row counted of its own. */
  counts: Record<string, number>;
  /** The longest of each duration. */
  measuredMs: Record<string, number>;
  controls: ControlSummary[];
}

/** How long something took to recover at most, and how long it may. */
export interface Recovery {
  what: string;
  longestMs: number;
  mayMs: number;
}

/** Everything that a run found out, short enough to be kept. */
export interface Report {
  at: string;
  seed: number;
  runs: number;
  requests: number;
  kills: number;
  pauses: number;
  seconds: number;
  violations: number;
  controls: { planted: number; caught: number; seconds: number };
  recovery: Recovery[];
  faults: FaultSummary[];
}

/** Which measurement stands for which recovery. */
const recoveries = [
  { what: 'Redis back → mirror equal again', measured: 'Redis back to equal mirror', mayMs: mirrorWithinMs },
  { what: 'MySQL back → first commit', measured: 'MySQL back to first commit', mayMs: commitWithinMs },
  { what: 'Worker dead → redelivery', measured: 'death to redelivery', mayMs: redeliveryWithinMs },
];

/** Sums up what was played. */
export function sumUp(
  seed: number,
  faults: readonly Fault[],
  rows: readonly RowResult[],
  controls: readonly ControlResult[],
): Report {
  const summaries = faults
    .map((fault) => {
      const runs = rows.filter(({ name }) => name === fault.name);
      return summaryOf(
        fault,
        runs,
        controls.filter(({ row }) => row === fault.name),
      );
    })
    .filter(({ runs, controls: own }) => runs > 0 || own.length > 0);
  const played = controls.filter(({ unavailable }) => unavailable === undefined);
  return {
    at: new Date().toISOString(),
    seed,
    ...totalsOf(summaries),
    controls: {
      planted: played.length,
      caught: played.filter(({ caught }) => caught).length,
      seconds: Math.round(controls.reduce((sum, { seconds }) => sum + seconds, 0)),
    },
    faults: summaries,
  };
}

/** What these rows make together. */
export function totalsOf(rows: readonly FaultSummary[]): Omit<Report, 'at' | 'seed' | 'controls' | 'faults'> {
  const total = (of: (row: FaultSummary) => number) => rows.reduce((sum, row) => sum + of(row), 0);
  return {
    runs: total(({ runs }) => runs),
    requests: total(({ requests }) => requests),
    kills: total(({ kills }) => kills),
    pauses: total(({ pauses }) => pauses),
    seconds: Math.round(total(({ seconds }) => seconds)),
    violations: total(({ violations }) => sumOf(violations)),
    recovery: recoveries.flatMap(({ what, measured, mayMs }) => {
      const times = rows.flatMap(({ measuredMs }) => measuredMs[measured] ?? []);
      return times.length === 0 ? [] : [{ what, longestMs: Math.max(...times), mayMs }];
    }),
  };
}

function summaryOf(fault: Fault, runs: RowResult[], controls: readonly ControlResult[]): FaultSummary {
  const total = (of: (run: RowResult) => number) => runs.reduce((sum, run) => sum + of(run), 0);
  const unavailable = runs.find((run) => run.unavailable !== undefined)?.unavailable;
  return {
    number: fault.number,
    name: fault.name,
    title: fault.title,
    ...(unavailable === undefined ? {} : { unavailable }),
    runs: runs.length,
    requests: total(({ requests }) => requests),
    kills: total(({ kills }) => kills),
    pauses: total(({ pauses }) => pauses),
    seconds: Math.round(total(({ seconds }) => seconds)),
    checked: merged(
      runs.map(({ checked }) => checked),
      (a, b) => a + b,
    ),
    violations: merged(
      runs.map(({ violations }) => violations),
      (a, b) => a + b,
    ),
    counts: merged(
      runs.map(({ counts }) => counts),
      (a, b) => a + b,
    ),
    measuredMs: merged(
      runs.map(({ measuredMs }) => measuredMs),
      Math.max,
    ),
    controls: controls.map(({ name, row, caught, violations, requests, seconds }) => ({
      ...{ name, row, caught, violations, requests, seconds },
    })),
  };
}

function merged<Key extends string>(
  parts: Partial<Record<Key, number>>[],
  join: (one: number, other: number) => number,
): Record<Key, number> {
  const all = {} as Record<Key, number>;
  for (const part of parts)
    for (const [key, value] of Object.entries(part) as [Key, number][])
      all[key] = all[key] === undefined ? value : join(all[key], value);
  return all;
}

/** How many there are of all kinds. */
export function sumOf(counts: Partial<Record<string, number>>): number {
  return Object.values(counts).reduce((sum: number, count) => sum + (count ?? 0), 0);
}

/** Writes the report with every run and every example. */
export function writeReport(
  file: string,
  report: Report,
  rows: readonly RowResult[],
  controls: readonly ControlResult[],
): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ ...report, details: { rows, controls } }, null, 2)}\n`);
}

/** How often each invariant was checked, or how often it did not hold, as the cells of a row. */
export function cellsOf({ checked, violations }: Pick<FaultSummary, 'checked' | 'violations'>): string[] {
  const own = (violations.count ?? 0) + (violations.rest ?? 0);
  return [
    ...invariantNames.map((name) => {
      const broken = violations[name] ?? 0;
      if (broken > 0) return `✗${broken}`;
      return (checked[name] ?? 0) > 0 ? String(checked[name]) : '·';
    }),
    own > 0 ? `✗${own}` : '✓',
  ];
}

/** Fault × invariant × count for the terminal. */
export function printTable(report: Report): string[] {
  const lines: string[] = [];
  const played = report.faults.filter(({ runs }) => runs > 0);
  if (played.length > 0) {
    const heads = [...invariantNames, 'own'].map((name) => name.padStart(7)).join('');
    lines.push('', `  ${'fault'.padEnd(62)} ${heads}  requests  kills pauses`);
    for (const one of played) {
      const title = `${String(one.number).padStart(2)} ${one.title}`.slice(0, 60).padEnd(60);
      if (one.unavailable !== undefined) {
        lines.push(`  – ${title}  ${one.unavailable}`);
        continue;
      }
      const cells = cellsOf(one).map((cell) => cell.padStart(7));
      const counted = `${String(one.requests).padStart(9)} ${String(one.kills).padStart(6)} ${String(one.pauses).padStart(6)}`;
      lines.push(`  ${sumOf(one.violations) === 0 ? '✓' : '✗'} ${title} ${cells.join('')} ${counted}`);
    }
    lines.push('');
    for (const { what, longestMs, mayMs } of report.recovery)
      lines.push(`  ${what}: ${longestMs} ms at most; may take ${mayMs} ms`);
    lines.push(
      `  ${report.runs} runs, ${report.requests} requests, ${report.kills} kills, ${report.pauses} pauses, ` +
        `${report.violations} violations, ${report.seconds} s`,
    );
  }
  const { planted, caught, seconds } = report.controls;
  if (planted > 0) {
    lines.push('', `  ${caught} of ${planted} planted faults caught, ${seconds} s`);
    for (const { name, row, caught: noticed, violations } of report.faults.flatMap((one) => one.controls)) {
      const by = Object.entries(violations).map(([kind, count]) => `${kind} ${count}`);
      lines.push(`  ${noticed ? '✓' : '✗'} ${name} (${row}): ${by.join(', ') || 'nothing noticed it'}`);
    }
  }
  return lines;
}
