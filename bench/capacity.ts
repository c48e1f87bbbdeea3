/**
 * The part of the capacity plan (docs/operations.md) that follows from the kept figures of the suite `scale`: how long what
 * concerns everybody takes, and how many workers it needs. Written by `npm run bench -- --only scale --keep`;
 * `test/contract/measurements.test.ts` compares the page with the figures.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readDeclared } from '#local/serverless-config.ts';
import { projectRoot } from '#local/state-folder.ts';
import { rounded, shown } from './statistics.ts';

/** What of a verb's figures the plan uses. */
interface KeptVerb {
  readonly bySize: readonly {
    readonly size: number;
    readonly perSecond: number;
    readonly more: Readonly<Record<string, number>>;
  }[];
}

/** The kept report of the suite. */
export interface KeptScale {
  readonly details: { readonly scale: Readonly<Record<string, KeptVerb | number>> };
}

export const keptFile = 'bench/results/scale.json';
export const planPage = 'docs/operations.md';
const begin = '<!-- capacity: made by npm run bench -- --only scale --keep -->';
const end = '<!-- capacity: end -->';

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
      what: `Workers that pay a fifth of them within ${paidWithinSeconds / 60} minutes (\`pay\`), without the provider`,
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
      what: 'Processes that answer everybody who asks in the busiest second (`get-reservation`)',
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

function duration(seconds: number): string {
  if (seconds < 60) return `${shown(rounded(Math.ceil(seconds)))} s`;
  const minutes = seconds / 60;
  return minutes < 180 ? `${shown(Math.ceil(minutes))} min` : `${shown(rounded(Math.ceil(minutes / 6) / 10))} h`;
}

/**
 * The part of the page, with its marks; without a kept report it says that there is none. Throws if a figure that it needs
 * was not kept.
 */
export function planOf(kept: KeptScale | undefined, concurrency: ReadonlyMap<string, number>): string {
  if (!kept) return [begin, '', '_No run of the suite is kept yet._', '', end].join('\n');
  const rows = linesOf(concurrency).map(({ what, verb, figure, formula, of }) => {
    const details = kept.details.scale[verb];
    const largest = typeof details === 'object' ? details.bySize.at(-1) : undefined;
    const value = figure === undefined ? largest?.perSecond : largest?.more[figure];
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
  const header = ['', 'Kept figure', 'One process', 'Formula', '10 thousand customers', '1 million', '50 million'];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [begin, '', line(header), line(header.map(() => '---')), ...rows.map(line), '', end].join('\n');
}

/** How many of each worker run at once, as declared. */
export async function declaredConcurrency(): Promise<Map<string, number>> {
  const { functions } = await readDeclared();
  return new Map(functions.map(({ key, mappings }) => [key, mappings[0]?.maximumConcurrency ?? 1]));
}

/** Where the part stands in the page. */
export function planIn(page: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${planPage} has no place for the figures`);
  return page.slice(from, to + end.length);
}

/** Writes the plan that follows from a report into the page. */
export async function writePlan(kept: KeptScale): Promise<void> {
  const file = join(projectRoot, planPage);
  const page = readFileSync(file, 'utf8');
  writeFileSync(file, page.replace(planIn(page), planOf(kept, await declaredConcurrency())));
}

/** The kept report of the suite, if there is one. */
export function readKeptScale(): KeptScale | undefined {
  const file = join(projectRoot, keptFile);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as KeptScale) : undefined;
}
