/** The report as a table on standard output. */
import { type Measure, shown } from './statistics.ts';

/** Prints the measures, then what is to be said about them. */
export function printMeasures(report: {
  measures: readonly Measure[];
  notes: readonly string[];
  exact: boolean;
}): void {
  const header = ['measure', 'ours', 'against', 'ratio', 'range', 'must', 'aim', ''];
  const rows = report.measures.map(({ name, ours, against, ratio, range, must, aim, holds, unit }) => [
    name,
    `${shown(ours)} ${unit}`,
    shown(against),
    shown(ratio),
    `${shown(range[0])}–${shown(range[1])}`,
    shown(must),
    shown(aim),
    ratio >= aim ? 'aim reached' : holds ? 'holds' : 'missed',
  ]);
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of [header, ...rows]) {
    process.stdout.write(
      `${row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd()}\n`,
    );
  }
  for (const note of report.notes) process.stdout.write(`note: ${note}\n`);
  process.stdout.write(report.exact ? 'exact: every run\n' : 'NOT EXACT\n');
}
