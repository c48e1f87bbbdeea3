/**
 * What the pages show of the kept figures of the suite `scale`: the table of docs/measurements.md, and the part of the capacity
 * plan (docs/operations.md) that follows from them, how long what concerns everybody takes and how many workers it needs. Written by `npm run bench -- --only scale --keep`;
 * `test/contract/measurements.test.ts` compares the page with the figures.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readDeclared } from '#local/serverless-config.ts';
import { projectRoot } from '#local/state-folder.ts';
import { boundSize, largestOf, referenceFor, type ShownSize, type ShownVerbs } from './scale-report.ts';
import { type Measure, rounded, shown } from './statistics.ts';

/** The kept report of the suite. */
export interface KeptScale {
  readonly measures: readonly Measure[];
  readonly details: { readonly scale: ShownVerbs };
}

export const keptFile = 'bench/results/scale.json';
export const planPage = 'docs/operations.md';
const begin = '<!-- scale: made by npm run bench -- --only scale --keep -->';
const end = '<!-- scale: end -->';

/** The columns of the plan: how many customers a launch has. */
const launches = [10_000, 1_000_000, 50_000_000] as const;
/** Of the plan's assumptions: notices to a customer, the share that buys, and within how many seconds purchases are paid. */
const noticesEach = 4;
const shareBuying = 0.2;
const paidWithinSeconds = 600;
/** How many of them ask for their status in the busiest second, as the plan says of reservations. */
const askingAtOnce = [100, 10_000, 50_000] as const;

/** A line of the plan: a kept figure, and what it means for so many customers. */
interface Line {
  readonly what: string;
  readonly verb: string;
  /** The figure beside the rate, if it is another. */
  readonly figure?: string;
  readonly formula: string;
  of(perSecond: number, customers: number, column: number): string;
}

function linesOf(concurrency: ReadonlyMap<string, number>): Line[] {
  const notify = concurrency.get('notify') ?? 1;
  return [
    {
      what: 'Everybody is told of the opening (`advance`)',
      verb: 'opening',
      formula: 'customers ÷ figure; one job for a sale, so the sum is for a single one',
      of: (perSecond, customers) => duration(customers / perSecond),
    },
    {
      what: `Notices are stored and pushed (\`notify\`, ${notify} at once)`,
      verb: 'notices and pushes',
      formula: `${noticesEach} × customers ÷ (figure × ${notify})`,
      of: (perSecond, customers) => duration((noticesEach * customers) / (perSecond * notify)),
    },
    {
      what: 'All that is left ends at the close (`advance`)',
      verb: 'closing',
      formula: 'customers ÷ figure',
      of: (perSecond, customers) => duration(customers / perSecond),
    },
    {
      what: `Workers that pay a fifth of them within ${paidWithinSeconds / 60} minutes (\`pay\`), without the provider; so many came, and more can be served`,
      verb: 'purchase rush',
      formula: `${shareBuying} × customers ÷ ${paidWithinSeconds} s ÷ figure`,
      of: (perSecond, customers) => shown(Math.ceil((shareBuying * customers) / paidWithinSeconds / perSecond)),
    },
    {
      what: 'Workers that refund all of them within an hour (`pay`), without the provider',
      verb: 'cancelling with refunds',
      figure: 'refundsPerSecond',
      formula: `${shareBuying} × customers ÷ 3,600 s ÷ figure`,
      of: (perSecond, customers) => shown(Math.ceil((shareBuying * customers) / 3_600 / perSecond)),
    },
    {
      what: 'Processes that answer everybody who asks in the busiest second (`get-reservation`); so many came, and more can be served',
      verb: 'everybody asks',
      formula: 'reservations in that second ÷ figure',
      of: (perSecond, _, column) => shown(Math.ceil((askingAtOnce[column] ?? 0) / perSecond)),
    },
    {
      what: 'A run of reconcile over one sale (`reconcile`)',
      verb: 'reconcile',
      formula: 'customers ÷ figure',
      of: (perSecond, customers) => duration(customers / perSecond),
    },
    {
      what: 'The mirror of an empty Redis is whole again (`reconcile`)',
      verb: 'repair of an empty Redis',
      formula: 'customers ÷ figure',
      of: (perSecond, customers) => duration(customers / perSecond),
    },
  ];
}

/** Its rate if no other work used the processors: what it waited for one does not count. */
function rateAlone({ perSecond, waitedShare }: ShownSize): number {
  return perSecond / Math.max(0.01, 1 - waitedShare);
}

function duration(seconds: number): string {
  if (seconds < 60) return `${shown(rounded(Math.ceil(seconds)))} s`;
  const minutes = seconds / 60;
  return minutes < 180 ? `${shown(Math.ceil(minutes))} min` : `${shown(rounded(Math.ceil(minutes / 6) / 10))} h`;
}

/**
 * The part of the page, with its marks; without a kept report it says that there is none, and of a verb that was not run
 * that it was not. Throws if a figure of a kept verb is missing.
 */
export function planOf(kept: KeptScale | undefined, concurrency: ReadonlyMap<string, number>): string {
  if (!kept) return [begin, '', '_No run of the suite is kept yet._', '', end].join('\n');
  const rows = linesOf(concurrency).map(({ what, verb, figure, formula, of }) => {
    const details = kept.details.scale[verb];
    if (details === undefined) return [what, `\`${verb}\``, 'not measured yet', formula, ...launches.map(() => '—')];
    const largest = largestOf(details.bySize);
    const value = figure === undefined ? largest && rateAlone(largest) : largest?.more[figure];
    if (!largest || value === undefined) throw new Error(`${keptFile} has no ${figure ?? 'rate'} of ${verb}`);
    const name = `\`${verb}\`${figure === undefined ? '' : `, ${figure}`}, at ${shown(largest.size)}`;
    return [
      what,
      name,
      `${shown(value)}/s`,
      formula,
      ...launches.map((customers, column) => of(value, customers, column)),
    ];
  });
  const header = [
    '',
    'Kept figure',
    'One process, alone',
    'Formula',
    '10 thousand customers',
    '1 million',
    '50 million',
  ];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [begin, '', line(header), line(header.map(() => '---')), ...rows.map(line), '', end].join('\n');
}

/** How many of each worker run at once, as declared. */
export async function declaredConcurrency(): Promise<Map<string, number>> {
  const { functions } = await readDeclared();
  return new Map(functions.map(({ key, mappings }) => [key, mappings[0]?.maximumConcurrency ?? 1]));
}

/** The table of what was kept. */
export const tablePage = 'docs/measurements.md';

/** The table of docs/measurements.md, between its marks: every verb at the largest size that the bounds are for, and at larger ones. */
export function tableOf(kept: KeptScale | undefined): string {
  if (!kept) return [begin, '', '_No run of the suite is kept yet._', '', end].join('\n');
  const shownSizes = Object.entries(kept.details.scale).flatMap(([name, { bySize, unit }]) => {
    const largest = largestOf(bySize);
    return bySize
      .filter((one) => one === largest || one.size > boundSize)
      .map((one) => ({ name, unit, one, reference: referenceFor(one, bySize) }));
  });
  const rows = shownSizes.map(({ name, unit, one, reference }) => {
    const { heldMs, heldMedianMs, diskMs, purchasesP99Ms, purchasesAloneP99Ms } = one;
    const told = one.lastMs > 0 ? `${seconds(one.firstMs)} – ${seconds(one.lastMs)}` : '';
    return [
      ...[name, shown(one.size), `${shown(one.perSecond)} ${unit}`, `${shown(one.cpuUsPerRow)} µs`],
      reference ? `${shown(rounded(one.cpuUsPerRow / reference.cpuUsPerRow))}×` : '',
      heldMs > 0 ? `${shown(heldMs)} (${shown(heldMedianMs)}) ms` : '',
      diskMs === undefined ? '' : `${shown(diskMs)} ms`,
      told,
      `${shown(one.peakMib)} MiB`,
      purchasesP99Ms === null ? '' : `${shown(purchasesP99Ms)} (${shown(purchasesAloneP99Ms)}) ms`,
      `${shown(100 * one.waitedShare)} %`,
      Object.entries(one.more)
        .map(([what, value]) => `${what} ${shown(value)}`)
        .join(', '),
      one.processor ?? '',
    ];
  });
  const missed = kept.measures
    .filter(({ holds }) => !holds)
    .map(({ name, ours, against, unit }) => {
      return `- \`${name}\`: ${shown(ours)} against ${shown(against)} ${unit}`;
    });
  const header = [
    ...[
      'Verb',
      'Reservations',
      'Rate',
      'Processors, each',
      'against 10,000',
      'Sale held, longest (median)',
      'Longest sync of the disk',
      'First and last told',
    ],
    ...['Peak memory', 'Others’ purchases, p99 (alone)', 'Waited for a processor', 'More', 'Processors'],
  ];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const table = [line(header), line(header.map(() => '---')), ...rows.map(line)];
  const broken = missed.length > 0 ? ['', 'Not within their bounds:', '', ...missed] : ['', 'All within their bounds.'];
  return [begin, '', ...table, ...broken, '', end].join('\n');
}

function seconds(ms: number): string {
  return `${shown(rounded(ms / 1_000))} s`;
}

/** Where the part stands in the page. */
export function partOf(page: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error('the page has no place for the figures');
  return page.slice(from, to + end.length);
}

/** Writes what follows from a report into the pages. */
export async function writePages(kept: KeptScale): Promise<void> {
  const parts = [
    [planPage, planOf(kept, await declaredConcurrency())],
    [tablePage, tableOf(kept)],
  ] as const;
  for (const [name, part] of parts) {
    const file = join(projectRoot, name);
    const page = readFileSync(file, 'utf8');
    writeFileSync(file, page.replace(partOf(page), part));
  }
}

/** The kept report of the suite, if there is one. */
export function readKeptScale(): KeptScale | undefined {
  const file = join(projectRoot, keptFile);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as KeptScale) : undefined;
}
