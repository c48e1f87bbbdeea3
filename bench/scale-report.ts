/**
 * What the suite `scale` has shown, and what follows from it: the measures with their bounds, the line that a run prints, and
 * the table of docs/measurements.md. Verbs and sizes may be run one after the other; what is kept of the others stays.
 */
import type { ScaleFigures } from './scale-process.ts';
import { type Measure, rounded, type Series, series } from './statistics.ts';

/** The bounds of a verb. */
const bounds = {
  /** How much longer a reservation may take at the largest size than at `referenceSize`, and how much more memory all of them. */
  cost: 1.3,
  memory: 1.1,
  /** How many times smaller than what the servers take statements and events must be: 16 MiB, and 256 KiB. */
  statement: { bytes: 16 * 1_048_576, share: 8 },
  event: { bytes: 256 * 1_024, share: 2 },
  /** The longest that one transaction may hold the sale's row. */
  heldMs: 50,
  /** How much longer purchases of another sale may take meanwhile. */
  purchases: 1.5,
};
/** The size with which larger ones are compared. */
export const referenceSize = 10_000;
/** The size for which the bounds are; what is larger is shown, and held to those that are for any size. */
export const boundSize = 1_000_000;
/** From this size on a function's memory must not grow. */
const flatFrom = 100_000;
/** What one verb has shown at one size. */
export interface ShownSize extends Omit<ScaleFigures, 'told' | 'cpuMs' | 'serverCpuMs'> {
  readonly size: number;
  /** When it was measured. */
  readonly at: string;
  /** On which processors; not known of figures that were kept before it was noted, which are all of the same kind. */
  readonly processor?: string;
  readonly perSecond: number;
  /** Processor time for each row, of the function and of the databases for it, microseconds. */
  readonly cpuUsPerRow: number;
  /** Of purchases in the other sale meanwhile; null if they were too few. */
  readonly purchasesP99Ms: number | null;
  /** The longest that the disk took to sync a block meanwhile; not known of figures that were kept before it was looked at. */
  readonly diskMs?: number;
  /** Of purchases right before it and right after. */
  readonly purchasesAloneP99Ms: number;
  readonly purchases: number;
  readonly purchasesFailed: number;
}

/** What one verb has shown. */
export interface ShownVerb {
  readonly function: string;
  readonly memoryMb: number;
  readonly unit: string;
  /** For 1,000,000 reservations: until when the first event must be published and the last, and all be done. */
  readonly within: { readonly firstMs?: number; readonly lastMs?: number; readonly tookMs?: number };
  /** The smallest first. */
  readonly bySize: readonly ShownSize[];
}

export type ShownVerbs = Readonly<Record<string, ShownVerb>>;

/** The largest size that the bounds are for, of those that were measured. */
export function largestOf(bySize: readonly ShownSize[]): ShownSize | undefined {
  return bySize.findLast(({ size }) => size <= boundSize) ?? bySize.at(-1);
}

/** The size with which a larger one is compared. Times of different processors cannot be. */
export function referenceFor({ size, processor }: ShownSize, bySize: readonly ShownSize[]): ShownSize | undefined {
  return bySize.find((one) => one.size === referenceSize && one.size < size && one.processor === processor);
}

/** The figures of a run together with those that were kept of other verbs and sizes. Pure. */
export function together(kept: ShownVerbs, found: ShownVerbs): ShownVerbs {
  const added = Object.entries(found).map(([name, verb]): [string, ShownVerb] => {
    const others = (kept[name]?.bySize ?? []).filter(({ size }) => !verb.bySize.some((one) => one.size === size));
    return [name, { ...verb, bySize: [...others, ...verb.bySize].sort((a, b) => a.size - b.size) }];
  });
  return { ...kept, ...Object.fromEntries(added) };
}

/** The measures and series of what was shown. */
export function shownBy(verbs: ShownVerbs): { measures: Measure[]; series: Series[] } {
  return {
    measures: Object.entries(verbs).flatMap(([name, verb]) => measuresOf(name, verb)),
    series: Object.entries(verbs).map(([name, { bySize, unit }]) =>
      series(
        `scale ${name}`,
        bySize.map(({ perSecond }) => perSecond),
        { title: `${name}, by size`, unit, settings: bySize.map(({ size }) => size).join(', ') },
      ),
    ),
  };
}

/** What a run prints of a verb at one size. */
export function lineOf(name: string, unit: string, one: ShownSize): string {
  const {
    size,
    perSecond,
    cpuUsPerRow,
    waitedShare,
    heldMs,
    heldMedianMs,
    diskMs,
    peakMib,
    firstMs,
    lastMs,
    purchasesP99Ms,
    purchasesAloneP99Ms,
    more,
  } = one;
  const told = lastMs > 0 ? `, first event after ${rounded(firstMs)} ms and last after ${rounded(lastMs)}` : '';
  const other =
    purchasesP99Ms === null
      ? ''
      : `, purchases p99 ${rounded(purchasesP99Ms)} ms (alone ${rounded(purchasesAloneP99Ms)})`;
  const said = Object.entries(more).map(([what, value]) => `, ${what} ${rounded(value)}`);
  return (
    `  ${name}, ${size.toLocaleString('en-US')}: ${rounded(perSecond)} ${unit}, ${rounded(cpuUsPerRow)} µs of processors each, ` +
    `waited for a processor ${rounded(100 * waitedShare)} % of the time, ` +
    `sale held ${rounded(heldMs)} ms (median ${rounded(heldMedianMs)}; the disk ${rounded(diskMs ?? 0)}), peak ${rounded(peakMib)} MiB${told}${other}${said.join('')}`
  );
}

function measuresOf(name: string, { bySize: results, memoryMb, within }: ShownVerb): Measure[] {
  const measures: Measure[] = [];
  /** Less is better of everything here; `times` is how many times less than `against` it must be. */
  const add = (what: string, ours: number, against: number, times: number, unit: string, note: string) => {
    const ratio = against / ours;
    measures.push({
      name: `scale-${what}-${name.replaceAll(/[^a-z]+/gi, '-').toLowerCase()}`,
      ...{ ours: rounded(ours), against: rounded(against), ratio: rounded(ratio), must: rounded(times) },
      ...{
        aim: Math.max(1, times),
        holds: ratio >= times,
        unit,
        range: [rounded(ratio), rounded(ratio)],
        rounds: 1,
        note,
      },
    });
  };
  const most = (of: (one: ShownSize) => number) => Math.max(...results.map(of));
  const largest = largestOf(results);
  if (!largest) return measures;
  const at = largest.size.toLocaleString('en-US');
  const reference = referenceFor(largest, results);
  if (reference) {
    const { cpuUsPerRow, perSecond } = reference;
    const against = `at ${at} against ${referenceSize.toLocaleString('en-US')}`;
    add('cost', largest.cpuUsPerRow, cpuUsPerRow, 1 / bounds.cost, 'µs', `processor time a row, ${against}`);
    add('pace', 1e6 / largest.perSecond, 1e6 / perSecond, 1 / bounds.cost, 'µs', `time a row, ${against}`);
  }
  const held = most(({ heldMs }) => heldMs);
  const middle = rounded(most(({ heldMedianMs }) => heldMedianMs));
  const disk = rounded(results.find(({ heldMs }) => heldMs === held)?.diskMs ?? 0);
  const ofHeld = `the longest at any size; the median at most ${middle}, the longest sync of the disk ${disk}`;
  if (held > 0) add('held', held, bounds.heldMs, 1, 'ms', ofHeld);
  const statementBytes = most((one) => one.statementBytes);
  const { statement, event } = bounds;
  if (statementBytes > 0) add('statement', statementBytes, statement.bytes, statement.share, 'bytes', 'the largest');
  const eventBytes = most((one) => one.eventBytes);
  if (eventBytes > 0) add('event', eventBytes, event.bytes, event.share, 'bytes', 'the largest');
  add(
    'memory',
    most(({ peakMib }) => peakMib),
    memoryMb,
    1,
    'MiB',
    'its peak, against what the function has',
  );
  const flat = results.find(({ size }) => size >= flatFrom && size < largest.size);
  if (flat)
    add('memory-flat', largest.peakMib, flat.peakMib, 1 / bounds.memory, 'MiB', `peak at ${at} against ${flat.size}`);
  for (const [what, limitMs] of Object.entries(within)) {
    const ours = largest[what as keyof ShownVerb['within']];
    add(what.replace(/Ms$/, ''), ours, limitMs, 1, 'ms', `at ${at}`);
  }
  const { purchasesP99Ms, purchasesAloneP99Ms } = largest;
  if (purchasesP99Ms !== null) {
    const about = `purchases in another sale, p99, at ${at} against none of it`;
    add('purchases', purchasesP99Ms, purchasesAloneP99Ms, 1 / bounds.purchases, 'ms', about);
  }
  return measures;
}
