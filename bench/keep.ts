/**
 * Keeps the report of a suite that is run only if it is named, in a file of its own, and that of others within the report of
 * the last whole run. Of the suite `scale`, which has a chart and pages that show it, what was kept of verbs and sizes that
 * this run did not have stays, each with its own date.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type KeptScale, writePages } from './capacity.ts';
import { chartsOf } from './report-charts.ts';
import { type ShownVerbs, shownBy, together } from './scale-report.ts';
import type { Measure, Series } from './statistics.ts';

const folder = join(import.meta.dirname, 'results');

/** A report, as far as this reads it. */
export interface KeptReport {
  readonly measures: readonly Measure[];
  readonly series: readonly Series[];
  readonly details: Readonly<Record<string, Record<string, unknown>>>;
}

/** Keeps the report of a suite. */
export async function keep<Report extends KeptReport>(suite: string, report: Report): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${suite}.json`);
  const all = suite === 'scale' ? withKept(file, report) : report;
  writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`);
  if (suite !== 'scale') return;
  for (const [name, chart] of chartsOf(all)) writeFileSync(join(folder, name), chart);
  await writePages(all as unknown as KeptScale);
}

/** What a report says of its suites, and of those that were measured again since. */
interface WholeReport extends KeptReport {
  readonly suites: readonly string[];
  readonly notes: readonly string[];
  readonly at: string;
  readonly machine: { readonly model: string };
  /** By suite, when it was measured again, and on what. */
  readonly since?: Readonly<Record<string, { readonly at: string; readonly machine: { readonly model: string } }>>;
}

/**
 * Replaces what the kept report has of these suites. All that a ratio compares was measured in one run of its suite, so the
 * others stay as they are.
 */
export function keepSuites(report: WholeReport): void {
  const file = join(folder, 'report.json');
  const whole = JSON.parse(readFileSync(file, 'utf8')) as WholeReport;
  const all = replaced(whole, report);
  writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`);
  for (const [name, chart] of chartsOf(all)) writeFileSync(join(folder, name), chart);
}

/** The whole report with the parts of another one in their places. */
export function replaced(whole: WholeReport, part: WholeReport): WholeReport {
  const named = <Named extends { readonly name: string }>(old: readonly Named[], fresh: readonly Named[]): Named[] => {
    const byName = new Map([...old, ...fresh].map((one) => [one.name, one]));
    return [...byName.values()];
  };
  const others = whole.notes.filter((note) => !part.suites.some((suite) => note.startsWith(`${suite}:`)));
  return {
    ...whole,
    measures: named(whole.measures, part.measures),
    series: named(whole.series, part.series),
    notes: [...others, ...part.notes],
    details: { ...whole.details, ...part.details },
    since: {
      ...whole.since,
      ...Object.fromEntries(part.suites.map((suite) => [suite, { at: part.at, machine: part.machine }])),
    },
  };
}

function withKept<Report extends KeptReport>(file: string, report: Report): Report {
  const kept = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as KeptReport) : undefined;
  const verbs = together((kept?.details.scale ?? {}) as ShownVerbs, report.details.scale as ShownVerbs);
  return { ...report, ...shownBy(verbs), details: { ...report.details, scale: verbs } };
}
