/**
 * Keeps the report of a suite that is run only if it is named, in a file of its own. Of the suite `scale`, which has
 * a chart and pages that show it, what was kept of verbs and sizes that this run did not have stays, each with its own date.
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

function withKept<Report extends KeptReport>(file: string, report: Report): Report {
  const kept = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as KeptReport) : undefined;
  const verbs = together((kept?.details.scale ?? {}) as ShownVerbs, report.details.scale as ShownVerbs);
  return { ...report, ...shownBy(verbs), details: { ...report.details, scale: verbs } };
}
