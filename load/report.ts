/**
 * The report of a load run as one HTML file: the verdict first, then what was sent and answered over time, then what
 * was the bottleneck. It refers to nothing outside itself.
 */
import { lineChart } from '#bench/charts.ts';
import type { ArtilleryReport } from './artillery.ts';
import type { Ceiling } from './ceilings.ts';
import type { Shares } from './crowd.ts';
import type { CostOfWork } from './proof-of-work.ts';
import type { Second } from './seconds.ts';
import { invariantNames, meanings } from './verify/tally.ts';
import type { Verification } from './verify.ts';

export interface LoadResult {
  readonly scenario: string;
  readonly title: string;
  readonly holds: boolean;
  /** Why it does not hold, one sentence each. */
  readonly faults: readonly string[];
  readonly artillery: ArtilleryReport;
  readonly seconds: readonly Second[];
  readonly verification: Verification;
  readonly ceilings?: readonly Ceiling[];
  readonly bottleneck?: string;
  readonly bots?: BotsResult;
  readonly at: string;
}

/** What bots and people got, without friction and with it. */
export interface BotsResult {
  readonly rounds: readonly (Shares & {
    readonly round: string;
    /** How many attempts were asked for a proof of work. */
    readonly worked: number;
  })[];
  readonly work: CostOfWork;
}

/** The same in sentences. */
export function linesOfBots({ rounds, work }: BotsResult): string[] {
  const shown = (value: number): string => Math.round(value).toLocaleString('en-US');
  return [
    ...rounds.map(
      ({ round, people, bots, peoplesShare, takenWithinSeconds, worked }) =>
        `${round}: ${shown(people.accounts)} people got ${shown(people.units)} units (${shown(peoplesShare * 100)} %), ` +
        `${shown(bots.accounts)} bots ${shown(bots.units)}, within ${takenWithinSeconds.toFixed(1)} s; ` +
        `${shown(worked)} attempts were asked for work`,
    ),
    `one proof of work takes ${shown(work.hereMs)} ms of a core here, ${shown(work.middlingPhoneMs)} ms on a middling phone, ` +
      `${shown(work.cheapPhoneMs)} ms on a cheap one (4 and 10 times as long)`,
  ];
}

/** The whole page. */
export function reportOf(result: LoadResult): string {
  const { verification } = result;
  const { invariants } = verification;
  const sections = [
    `<p class="${result.holds ? 'good' : 'bad'}">${result.holds ? 'Every invariant holds and no answer was lost.' : 'This run failed.'}</p>`,
    list(result.faults),
    '<h2>Invariants</h2>',
    table(
      ['', 'Invariant', 'Checked', 'Violations'],
      invariantNames.map((name) => {
        const { checked, violations } = invariants[name];
        return [violations > 0 ? '✗' : checked === 0 ? '–' : '✓', `${name} ${meanings[name]}`, checked, violations];
      }),
    ),
    list(invariantNames.flatMap((name) => invariants[name].examples.map((example) => `${name}: ${example}`))),
    ...(result.bots ? ['<h2>Bots and people</h2>', list(linesOfBots(result.bots))] : []),
    '<h2>Over time</h2>',
    ...chartsOf(result.seconds),
    '<h2>Answers</h2>',
    table(
      ['Answer', 'Count'],
      Object.entries(verification.outcomes).map(([outcome, count]) => [outcome, count]),
    ),
    '<h2>Latencies, ms</h2>',
    table(
      ['', 'Count', 'p50', 'p90', 'p99', 'Longest'],
      Object.entries(verification.latencyMs)
        .filter(([, { count }]) => count > 0)
        .map(([name, { count, p50, p90, p99, max }]) => [
          name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`),
          count,
          p50,
          p90,
          p99,
          max,
        ]),
    ),
    ...(result.ceilings && result.bottleneck
      ? [
          '<h2>Bottleneck</h2>',
          `<p>${escaped(result.bottleneck)}</p>`,
          table(
            ['Measured', 'Requests/s', 'Failed'],
            result.ceilings.map(({ what, perSecond, failed }) => [what, Math.round(perSecond), failed]),
          ),
        ]
      : []),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Load: ${escaped(result.title)}</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  table { border-collapse: collapse; margin: 1rem 0; }
  th, td { padding: 0.25rem 1rem 0.25rem 0; text-align: left; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
  td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
  .good, .bad { padding: 0.5rem 1rem; border-radius: 0.5rem; color: #fff; }
  .good { background: #047857; } .bad { background: #b91c1c; }
  svg { width: 100%; height: auto; margin: 0.5rem 0; }
</style>
</head>
<body>
<h1>${escaped(result.title)}</h1>
<p>${escaped(result.at)}</p>
${sections.join('\n')}
</body>
</html>
`;
}

function chartsOf(seconds: readonly Second[]): string[] {
  if (seconds.length < 2) return [];
  const over = (label: string, figureOf: (second: Second) => number) => ({
    label,
    points: seconds.map((second) => ({ x: second.at, y: figureOf(second) })),
  });
  const statuses = [...new Set(seconds.flatMap((second) => Object.keys(second.statuses)))].sort();
  const xTitle = 'seconds';
  return [
    lineChart({
      title: 'Requests a second',
      subtitle: 'open loop: users arrive whether the host keeps up or not',
      xTitle,
      yTitle: 'per second',
      lines: [over('sent', ({ sent }) => sent)],
    }),
    lineChart({
      title: 'Answers by status',
      subtitle: 'a 409 says that it is too early, sold out or too much; it is an answer like any other',
      xTitle,
      yTitle: 'per second',
      lines: statuses.map((status) => over(status === '0' ? 'none' : status, (second) => second.statuses[status] ?? 0)),
    }),
    lineChart({
      title: 'Time to the answer',
      subtitle: 'by the second in which the request was sent',
      xTitle,
      yTitle: 'ms',
      lines: [over('p50', ({ p50Ms }) => p50Ms), over('p95', ({ p95Ms }) => p95Ms), over('p99', ({ p99Ms }) => p99Ms)],
    }),
  ];
}

function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cell = (tag: 'th' | 'td', value: string | number, number: boolean): string =>
    `<${tag}${number ? ' class="number"' : ''}>${escaped(typeof value === 'number' ? Math.round(value).toLocaleString('en-US') : value)}</${tag}>`;
  const isNumber = header.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'));
  const line = (tag: 'th' | 'td', row: readonly (string | number)[]): string =>
    `<tr>${row.map((value, column) => cell(tag, value, isNumber[column] ?? false)).join('')}</tr>`;
  return `<table>${line('th', header)}${rows.map((row) => line('td', row)).join('')}</table>`;
}

function list(items: readonly string[]): string {
  return items.length === 0 ? '' : `<ul>${items.map((item) => `<li>${escaped(item)}</li>`).join('')}</ul>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
