/** Which charts a report is shown by, and of which figures. A suite that was not run has no chart. */
import { barChart, barOf, type Line, lineChart } from './charts.ts';
import { largestOf, type ShownVerb } from './scale-report.ts';
import { shippedBatchSize } from './settings.ts';
import type { Series } from './statistics.ts';
import type { Point } from './suites/scaling.ts';

/** The charts by file name. */
export function chartsOf(report: {
  series: readonly Series[];
  details: Readonly<Record<string, Record<string, unknown>>>;
}): Map<string, string> {
  const charts = new Map<string, string>();
  const bars = (file: string, title: string, prefix: string): void => {
    const found = report.series.filter(({ name }) => name.startsWith(prefix));
    const [first] = found;
    if (!first) return;
    const isOurs = (name: string) => / (ours|coalesced|offline|live)$/.test(name);
    charts.set(
      file,
      barChart({ title, unit: first.unit, bars: found.map((one) => barOf(one, labelOf(one), isOurs(one.name))) }),
    );
  };
  bars('drain-hot.svg', 'Drain, one hot sale', 'hot ');
  bars('drain-100-sales.svg', 'Drain, 100 sales', 'hundred ');
  bars('drain-zipf.svg', 'Drain, 1,000 sales, Zipf 1.0', 'zipf ');
  bars('queue.svg', 'Drain through SQS, one hot sale', 'queue ');
  bars('burst.svg', 'Burst of 10,000 in a second: from acceptance to decision', 'burst ');
  bars('accept.svg', 'Accept', 'accept ');
  bars('read.svg', 'Live stock of a sale', 'read ');

  const surface = report.details.scaling?.surface as Point[] | undefined;
  if (surface && surface.length > 0) {
    const workerCounts = [...new Set(surface.map(({ workers }) => workers))].sort((a, b) => a - b);
    const lines = workerCounts.map(
      (workers): Line => ({
        label: `${workers} worker${workers === 1 ? '' : 's'}`,
        points: surface
          .filter((point) => point.workers === workers)
          .sort((a, b) => a.batch - b.batch)
          .map(({ batch, perSecond }) => ({ x: batch, y: perSecond })),
      }),
    );
    charts.set(
      'scaling.svg',
      lineChart({
        title: 'Workers × batch size, one hot sale',
        subtitle: 'confirmed reservations a second, medians',
        xTitle: 'messages in a batch (logarithmic)',
        yTitle: 'confirmed/s',
        lines,
        logarithmicX: true,
        mark: { x: shippedBatchSize, label: 'shipped' },
      }),
    );
  }
  const verbs = Object.entries(report.details.scale ?? {}) as [string, ShownVerb][];
  if (verbs.length > 0) {
    charts.set(
      'scale.svg',
      lineChart({
        title: 'Every verb of a large sale: processor time for each reservation, by size',
        subtitle: 'function and databases together, against the smallest size',
        xTitle: 'reservations of the sale (logarithmic)',
        yTitle: 'times as much',
        lines: verbs.map(([label, { bySize }]) => {
          const comparable = bySize.filter(({ processor }) => processor === largestOf(bySize)?.processor);
          const [smallest] = comparable;
          return {
            label,
            points: comparable.map(({ size, cpuUsPerRow }) => ({
              x: size,
              y: cpuUsPerRow / (smallest?.cpuUsPerRow ?? 1),
            })),
          };
        }),
        logarithmicX: true,
      }),
    );
  }
  const resident = report.details.memory?.residentMib as number[] | undefined;
  if (resident && resident.length > 1) {
    charts.set(
      'worker-memory.svg',
      lineChart({
        title: 'Resident memory of a worker over a long drain',
        subtitle: 'MiB',
        xTitle: 'share of the run, %',
        yTitle: 'MiB',
        lines: [
          {
            label: 'worker',
            points: resident.map((y, index) => ({ x: Math.round(((index + 1) / resident.length) * 100), y })),
          },
        ],
      }),
    );
  }
  return charts;
}

function labelOf({ title }: Series): string {
  const [name = title] = title.split(', one hot sale');
  return name.length > 48 ? `${name.slice(0, 46)}…` : name;
}
