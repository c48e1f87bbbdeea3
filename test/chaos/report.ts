/** The report of a chaos run, for programs and for people. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { invariantNames } from '../../load/verify/tally.ts';
import type { ControlResult } from './controls.ts';
import type { RowResult } from './runner.ts';

/** Writes everything that was found out. */
export function writeReport(file: string, seed: number, rows: RowResult[], controls: ControlResult[]): void {
  mkdirSync(dirname(file), { recursive: true });
  const faults = [...Map.groupBy(rows, ({ name }) => name)].map(([name, runs]) => {
    const [first] = runs;
    const sum = (of: (run: RowResult) => number) => runs.reduce((total, run) => total + of(run), 0);
    const violations: Record<string, number> = {};
    for (const run of runs)
      for (const [what, count] of Object.entries(run.violations)) violations[what] = (violations[what] ?? 0) + count;
    const own = controls.filter(({ row }) => row === name);
    return {
      number: first?.number,
      name,
      title: first?.title,
      ...(first?.unavailable ? { unavailable: first.unavailable } : {}),
      runs: runs.length,
      requests: sum((run) => run.requests),
      kills: sum((run) => run.kills),
      pauses: sum((run) => run.pauses),
      violations,
      controls: own.map(({ name: control, caught, by }) => ({ name: control, caught, by })),
      results: runs,
    };
  });
  const total = (of: (row: RowResult) => number) => rows.reduce((sum, row) => sum + of(row), 0);
  const report = {
    seed,
    at: new Date().toISOString(),
    requests: total((row) => row.requests),
    kills: total((row) => row.kills),
    pauses: total((row) => row.pauses),
    violations: total((row) => Object.values(row.violations).reduce((sum, count) => sum + count, 0)),
    controls: { planted: controls.length, caught: controls.filter(({ caught }) => caught).length },
    faults,
  };
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
}

/** Fault × invariant × count: how often each invariant was checked, or how often it did not hold. */
export function printTable(rows: RowResult[], controls: ControlResult[]): string[] {
  const lines = [
    '',
    `  ${'fault'.padEnd(62)} ${invariantNames.map((name) => name.padStart(7)).join('')}   own  requests`,
  ];
  for (const [, runs] of Map.groupBy(rows, ({ name }) => name)) {
    const [first] = runs;
    if (!first) continue;
    const title = `${String(first.number).padStart(2)} ${first.title}`.slice(0, 60).padEnd(60);
    if (first.unavailable) {
      lines.push(`  – ${title}  ${first.unavailable}`);
      continue;
    }
    const holds = runs.every((run) => run.holds);
    const cells = invariantNames.map((name) => {
      const violations = runs.reduce((sum, run) => sum + (run.violations[name] ?? 0), 0);
      const checked = runs.reduce((sum, run) => sum + (run.checked[name] ?? 0), 0);
      return (violations > 0 ? `✗${violations}` : checked > 0 ? String(checked) : '·').padStart(7);
    });
    const own = runs.reduce((sum, run) => sum + (run.violations.count ?? 0) + (run.violations.rest ?? 0), 0);
    const requests = runs.reduce((sum, run) => sum + run.requests, 0);
    lines.push(
      `  ${holds ? '✓' : '✗'} ${title} ${cells.join('')} ${(own > 0 ? `✗${own}` : '✓').padStart(5)} ${String(requests).padStart(9)}`,
    );
  }
  const sum = (of: (row: RowResult) => number) => rows.reduce((total, row) => total + of(row), 0);
  const violations = sum((row) => Object.values(row.violations).reduce((total, count) => total + count, 0));
  lines.push(
    '',
    `  ${rows.length} runs, ${sum((row) => row.requests)} requests, ${sum((row) => row.kills)} kills, ` +
      `${sum((row) => row.pauses)} pauses, ${violations} violations`,
  );
  if (controls.length > 0) {
    const caught = controls.filter((one) => one.caught).length;
    lines.push(`  ${caught} of ${controls.length} planted faults caught`);
    for (const one of controls)
      lines.push(`  ${one.caught ? '✓' : '✗'} ${one.name} (${one.row}): ${one.by.join(', ') || 'nothing noticed it'}`);
  }
  return lines;
}
