/**
 * The figures that the documents show are those of the kept reports, compared by value.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { declaredConcurrency, partOf, planOf, planPage, readKeptScale, tableOf, tablePage } from '#bench/capacity.ts';
import type { Measure } from '#bench/statistics.ts';
import { projectRoot } from '#local/state-folder.ts';
import { readKept } from '../chaos/kept.ts';

const read = (path: string) => readFileSync(join(projectRoot, path), 'utf8');
const keptMeasures = (file: string) => (JSON.parse(read(file)) as { measures: Measure[] }).measures;
const whole = keptMeasures('bench/results/report.json');
const ofWebhooks = keptMeasures('bench/results/webhooks.json');
const measures = [...whole, ...ofWebhooks];

const cellsOf = (line: string) => line.split('|').slice(1, -1);
const numbersIn = (text = '') =>
  (text.match(/\d[\d,]*(?:\.\d+)?/g) ?? []).map((one) => Number(one.replaceAll(',', '')));

test.each(measures.map((measure) => [measure.name, measure] as const))(
  'docs/measurements.md has %s',
  (name, measure) => {
    const line = read('docs/measurements.md')
      .split('\n')
      .find((one) => one.includes(`| \`${name}\``));
    const [, , ours, against, ratio, range, must] = cellsOf(line ?? '');
    const shown = [
      numbersIn(ours)[0],
      ...numbersIn(against),
      ...numbersIn(ratio),
      ...numbersIn(range),
      ...numbersIn(must),
    ];
    expect(shown).toEqual([measure.ours, measure.against, measure.ratio, ...measure.range, measure.must]);
  },
);

describe('README.md', () => {
  const rows = read('README.md')
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map(cellsOf);
  const by = (command: string) => rows.filter((cells) => cells[3]?.trim() === `\`${command}\``);

  test('has figures of the kept benchmark only', () => {
    const kept = measures.flatMap(({ ours, against, ratio, must }) => [
      [ratio, must],
      [ours, against],
    ]);
    const shown = by('bench').map(([, result, must]) => [...numbersIn(result), ...numbersIn(must)]);
    expect(shown.length).toBeGreaterThan(0);
    expect(shown.filter((pair) => !kept.some((one) => one.join() === pair.join()))).toEqual([]);
  });

  test('has the figures of the kept fault matrix', () => {
    const { faults, requests, kills, pauses, violations } = readKept();
    const kinds = new Set(faults.map(({ number }) => number)).size;
    const [[what, result] = []] = by('chaos');
    expect([...numbersIn(what), ...numbersIn(result)]).toEqual([kinds, requests, kills, pauses, violations]);
  });
});

/** A part of a page, whatever the widths of its columns are. */
const unaligned = (text: string): string[] =>
  text.split('\n').map((line) =>
    line.startsWith('|')
      ? cellsOf(line)
          .map((cell) => cell.trim().replace(/^-+$/, '---'))
          .join(' | ')
      : line,
  );

test('the sums of the capacity plan follow from the kept figures of the suite scale', async () => {
  const sums = planOf(readKeptScale(), await declaredConcurrency());
  expect(unaligned(partOf(read(planPage)))).toEqual(unaligned(sums));
});

test('the table of the suite scale has its kept figures', () => {
  expect(unaligned(partOf(read(tablePage)))).toEqual(unaligned(tableOf(readKeptScale())));
});
