/** Curves over time, with marks where the sale's periods begin and end. Drawn by uPlot; what they say is also said in words. */
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { timeTicks } from './curves.ts';
import { useConsole } from './parts.tsx';

export interface Curve {
  readonly name: string;
  /** The name of a colour in style.css, such as `--curve-1`: six hexadecimal digits. */
  readonly colour: string;
  /** One value for each time; null where it is not known. */
  readonly values: readonly (number | null)[];
  /** Filled to the axis. */
  readonly area?: boolean;
}

export interface Mark {
  readonly at: number;
  readonly label: string;
}

export interface ChartProps {
  readonly title: string;
  /** In seconds since the epoch, rising. */
  readonly times: readonly number[];
  readonly curves: readonly Curve[];
  readonly marks: readonly Mark[];
}

const colourOf = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const narrow = 34 * 16;
/** How much time is drawn where nothing but one moment is known, in seconds. */
const leastSeconds = 10;
/** How far apart two times on the axis are at least, in pixels. */
const timeSpace = 100;
/** What is drawn is counted: an axis is marked at whole numbers. */
const wholeSteps = [1, 2, 5].flatMap((digit) => Array.from({ length: 13 }, (_, zeros) => digit * 10 ** zeros));
wholeSteps.sort((one, other) => one - other);

export function Chart({ title, times, curves, marks }: ChartProps) {
  const { format, locale } = useConsole();
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const shown = useRef({ marks, format });
  shown.current = { marks, format };
  const names = curves.map(({ name }) => name).join();

  useEffect(() => {
    const parent = box.current;
    if (!parent) return undefined;
    const made = new uPlot(optionsFor(curves, parent.clientWidth, locale, shown), [[]], parent);
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize(sizeFor(parent.clientWidth)));
    resized.observe(parent);
    // In the dark, and on paper, which is never dark.
    const looks = ['(prefers-color-scheme: dark)', 'print'].map((query) => matchMedia(query));
    const recolour = () => made.redraw();
    for (const look of looks) look.addEventListener('change', recolour);
    return () => {
      for (const look of looks) look.removeEventListener('change', recolour);
      resized.disconnect();
      made.destroy();
    };
  }, [names, locale]);

  useEffect(() => {
    plot.current?.setData([[...times], ...curves.map(({ values }) => [...values])]);
  });

  const latest = curves.map(({ name, values }) => `${name} ${format.number(values.at(-1) ?? 0)}`).join(', ');
  const [from = 0, to = 0] = [times[0], times.at(-1)];
  const marked = marks.filter(({ at }) => at >= from && at <= to);
  const boundaries = marked.map(({ label, at }) => `; ${label} ${format.clock(at * 1_000)}`).join('');
  return (
    <figure class="chart">
      <figcaption>
        <strong>{title}</strong>
        <span class="legend">
          {curves.map(({ name, colour }) => (
            <span key={name} class={`key ${colour.slice(2)}`}>
              {name}
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={box} role="img" aria-label={`${title}: ${latest}${boundaries}`} />
    </figure>
  );
}

/** What is shown of time: some seconds of one moment alone, or it would be drawn amid years; else all, or what was chosen. */
function spanOf({ data: [times] }: uPlot, from: number, to: number): [number, number] {
  const [first, second] = times;
  return first !== undefined && second === undefined ? [first, first + leastSeconds] : [from, to];
}

/** The font of an axis in a chart of this width. */
const fontOf = (width: number, scale = 1) => `${(width < narrow ? 14 : 16) * scale}px system-ui, sans-serif`;

/** How wide a label of an axis is. */
function widthOf(plot: uPlot, label: string): number {
  plot.ctx.font = fontOf(plot.width, devicePixelRatio);
  return plot.ctx.measureText(label).width / devicePixelRatio;
}

/** As wide as the longest number on the axis. */
const axisSize = (plot: uPlot, labels: string[] | null) =>
  Math.max(48, Math.ceil(Math.max(0, ...(labels ?? []).map((label) => widthOf(plot, label)))) + 20);

const sizeFor = (width: number) => ({ width: Math.max(160, width), height: width < narrow ? 200 : 260 });

function optionsFor(
  curves: readonly Curve[],
  width: number,
  locale: string,
  shown: { current: { marks: readonly Mark[]; format: { number(value: number): string } } },
): uPlot.Options {
  const axis = {
    stroke: () => colourOf('--soft'),
    grid: { stroke: () => colourOf('--line'), width: 1 },
    ticks: { stroke: () => colourOf('--line'), width: 1 },
    font: fontOf(width),
  };
  // The short way to write an hour, in every language.
  const time = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const;
  const clock = new Intl.DateTimeFormat(locale, { ...time, second: '2-digit' });
  const day = new Intl.DateTimeFormat(locale, { ...time, month: 'numeric', day: 'numeric' });
  return {
    ...sizeFor(width),
    legend: { show: false },
    // Half of a time is written beyond the last line.
    padding: [null, (plot) => Math.ceil(widthOf(plot, day.format(0)) / 2) + 4, null, null],
    cursor: { drag: { x: true, y: false } },
    scales: {
      x: { range: spanOf },
      y: { range: (_, __, most) => [0, Math.max(1, most * 1.08)] },
    },
    series: [
      {},
      ...curves.map(({ name, colour, area }) => ({
        ...{ label: name, width: 2.5, spanGaps: true, points: { show: false } },
        stroke: () => colourOf(colour),
        ...(area ? { fill: () => `${colourOf(colour)}38` } : {}),
      })),
    ],
    axes: [
      {
        ...axis,
        splits: ({ bbox }, _, from, to) => {
          const most = Math.max(2, Math.floor(bbox.width / devicePixelRatio / timeSpace));
          return timeTicks(from, to, most, -60 * new Date(from * 1_000).getTimezoneOffset());
        },
        values: ({ scales: { x } }, ticks) => {
          const isLong = (x?.max ?? 0) - (x?.min ?? 0) > 86_400;
          return ticks.map((second) => (isLong ? day : clock).format(second * 1_000));
        },
      },
      {
        ...axis,
        size: axisSize,
        incrs: wholeSteps,
        values: (_, ticks) => ticks.map((value) => shown.current.format.number(value)),
      },
    ],
    hooks: { draw: [(drawn) => drawMarks(drawn, shown.current.marks)] },
  };
}

/** Lines at the boundaries that lie in what is shown. */
function drawMarks(drawn: uPlot, marks: readonly Mark[]): void {
  const { ctx, bbox, scales } = drawn;
  const { min, max } = scales.x ?? {};
  if (min === undefined || max === undefined || min === null || max === null) return;
  ctx.save();
  ctx.strokeStyle = colourOf('--soft');
  ctx.fillStyle = colourOf('--ink');
  ctx.font = `${14 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.setLineDash([6, 5]);
  for (const { at, label } of marks) {
    if (at < min || at > max) continue;
    const x = Math.round(drawn.valToPos(at, 'x', true));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const isAtEnd = x > bbox.left + bbox.width * 0.85;
    ctx.textAlign = isAtEnd ? 'right' : 'left';
    ctx.fillText(label, x + (isAtEnd ? -6 : 6) * devicePixelRatio, bbox.top + 16 * devicePixelRatio);
  }
  ctx.restore();
}
