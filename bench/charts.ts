/**
 * Charts as SVG: bars on a logarithmic scale, lines, and nothing else. They are read on light and on dark pages, so
 * colours come from the page's scheme and every value is also written out.
 */
import { type Series, shown } from './statistics.ts';

const width = 880;
const font = 'font-family="system-ui, sans-serif"';
const palette = ['#2563eb', '#db2777', '#059669', '#d97706', '#7c3aed', '#0891b2', '#64748b'];

const style = `<style>
  text { fill: #1f2937; } .quiet { fill: #6b7280; } .grid { stroke: #d1d5db; } .rival { fill: #94a3b8; } .ours { fill: #2563eb; }
  .range { stroke: #1f2937; } rect.page { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e5e7eb; } .quiet { fill: #9ca3af; } .grid { stroke: #374151; } .rival { fill: #64748b; } .ours { fill: #60a5fa; }
    .range { stroke: #e5e7eb; } rect.page { fill: #111827; }
  }
</style>`;

/** One bar of a chart. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly ours: boolean;
}

/** A bar for a series. */
export function barOf(one: Series, label: string, ours: boolean): Bar {
  return { label, value: one.median, low: one.low, high: one.high, ours };
}

/** Horizontal bars on a logarithmic scale, longest value last in reading order as given; whiskers show the range. */
export function barChart(chart: { title: string; unit: string; bars: readonly Bar[] }): string {
  const rowHeight = 34;
  const left = 330;
  const right = 110;
  const top = 64;
  const height = top + chart.bars.length * rowHeight + 34;
  const values = chart.bars.flatMap(({ low, high }) => [low, high]).filter((value) => value > 0);
  const lowest = 10 ** Math.floor(Math.log10(Math.min(...values)) - 0.2);
  const highest = 10 ** Math.ceil(Math.log10(Math.max(...values)));
  const at = (value: number): number =>
    left + (Math.log10(Math.max(value, lowest) / lowest) / Math.log10(highest / lowest)) * (width - left - right);
  const parts: string[] = [];
  for (let tick = lowest; tick <= highest * 1.001; tick *= 10) {
    const x = at(tick).toFixed(1);
    parts.push(`<line class="grid" x1="${x}" x2="${x}" y1="${top - 8}" y2="${height - 30}"/>`);
    parts.push(
      `<text class="quiet" x="${x}" y="${height - 12}" font-size="12" text-anchor="middle">${shown(tick)}</text>`,
    );
  }
  chart.bars.forEach(({ label, value, low, high, ours }, index) => {
    const y = top + index * rowHeight;
    const middle = y + 12;
    parts.push(
      `<text x="${left - 10}" y="${middle + 4}" font-size="13" text-anchor="end">${escaped(label)}</text>`,
      `<rect class="${ours ? 'ours' : 'rival'}" x="${left}" y="${y}" width="${Math.max(1, at(value) - left).toFixed(1)}" height="24" rx="3"/>`,
      `<line class="range" x1="${at(low).toFixed(1)}" x2="${at(high).toFixed(1)}" y1="${middle}" y2="${middle}" stroke-width="2"/>`,
      `<text x="${(at(high) + 8).toFixed(1)}" y="${middle + 4}" font-size="13">${shown(value)}</text>`,
    );
  });
  return page(height, chart.title, `${chart.unit}, median and range, logarithmic scale`, parts);
}

/** One line of a chart. */
export interface Line {
  readonly label: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

/** Lines over an axis that may be logarithmic. Each line is named at its end. */
export function lineChart(chart: {
  title: string;
  subtitle: string;
  xTitle: string;
  yTitle: string;
  lines: readonly Line[];
  logarithmicX?: boolean;
  /** A vertical mark, such as the setting that is shipped. */
  mark?: { readonly x: number; readonly label: string };
}): string {
  const height = 420;
  const left = 78;
  const right = 130;
  const top = 70;
  const bottom = 58;
  const all = chart.lines.flatMap(({ points }) => points);
  const xs = [...new Set(all.map(({ x }) => x))].sort((a, b) => a - b);
  const lowX = xs[0] ?? 0;
  const highX = xs.at(-1) ?? 1;
  const highY = niceAbove(Math.max(...all.map(({ y }) => y)));
  const scale = (x: number): number => (chart.logarithmicX ? Math.log(Math.max(x, 1e-9)) : x);
  const span = scale(highX) - scale(lowX) || 1;
  const atX = (x: number): number => left + ((scale(x) - scale(lowX)) / span) * (width - left - right);
  const atY = (y: number): number => height - bottom - (y / highY) * (height - top - bottom);
  const parts: string[] = [];
  for (let step = 0; step <= 4; step++) {
    const y = (highY * step) / 4;
    parts.push(
      `<line class="grid" x1="${left}" x2="${width - right}" y1="${atY(y).toFixed(1)}" y2="${atY(y).toFixed(1)}"/>`,
      `<text class="quiet" x="${left - 8}" y="${(atY(y) + 4).toFixed(1)}" font-size="12" text-anchor="end">${shown(y)}</text>`,
    );
  }
  for (const x of fewOf(xs)) {
    parts.push(
      `<text class="quiet" x="${atX(x).toFixed(1)}" y="${height - bottom + 20}" font-size="12" text-anchor="middle">${shown(x)}</text>`,
    );
  }
  parts.push(
    `<text class="quiet" x="${(left + width - right) / 2}" y="${height - 14}" font-size="13" text-anchor="middle">${escaped(chart.xTitle)}</text>`,
    `<text class="quiet" transform="translate(18 ${(top + height - bottom) / 2}) rotate(-90)" font-size="13" text-anchor="middle">${escaped(chart.yTitle)}</text>`,
  );
  if (chart.mark) {
    const x = atX(chart.mark.x).toFixed(1);
    parts.push(
      `<line class="range" x1="${x}" x2="${x}" y1="${top}" y2="${height - bottom}" stroke-dasharray="4 4"/>`,
      `<text class="quiet" x="${x}" y="${top - 6}" font-size="12" text-anchor="middle">${escaped(chart.mark.label)}</text>`,
    );
  }
  // Names at the ends keep a distance from each other, however close their lines are.
  const ends = chart.lines
    .map((line, index) => ({ line, index, y: atY(line.points.at(-1)?.y ?? 0) }))
    .sort((a, b) => a.y - b.y);
  let lastY = Number.NEGATIVE_INFINITY;
  for (const { line, index, y } of ends) {
    const colour = palette[index % palette.length];
    const path = line.points.map((point) => `${atX(point.x).toFixed(1)},${atY(point.y).toFixed(1)}`).join(' ');
    lastY = Math.max(y, lastY + 16);
    parts.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2.5"/>`);
    if (line.points.length <= 40) {
      for (const { x, y: value } of line.points) {
        parts.push(`<circle cx="${atX(x).toFixed(1)}" cy="${atY(value).toFixed(1)}" r="3.5" fill="${colour}"/>`);
      }
    }
    parts.push(
      `<text x="${width - right + 10}" y="${(lastY + 4).toFixed(1)}" font-size="13" style="fill:${colour}">${escaped(line.label)}</text>`,
    );
  }
  return page(height, chart.title, chart.subtitle, parts);
}

function page(height: number, title: string, subtitle: string, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}" ${font}>
${style}
<rect class="page" width="${width}" height="${height}" rx="8"/>
<text x="24" y="30" font-size="17" font-weight="600">${escaped(title)}</text>
<text class="quiet" x="24" y="50" font-size="13">${escaped(subtitle)}</text>
${parts.join('\n')}
</svg>
`;
}

/** At most eight of the values, the first and the last among them. */
function fewOf(values: readonly number[]): number[] {
  const step = Math.ceil(values.length / 8);
  return values.filter((_, index) => index % step === 0 || index === values.length - 1);
}

function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return ([1, 2, 4, 5, 8, 10].find((step) => step * power >= value) ?? 10) * power || 1;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
