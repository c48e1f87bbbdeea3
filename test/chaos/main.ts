/**
 * `npm run chaos`: the fault matrix on the real stack.
 *
 *   npm run chaos                        every row once
 *   npm run chaos -- --fault NAME        one row, by name or number (may be repeated)
 *   npm run chaos -- --seed S            the same choices as another run with this seed
 *   npm run chaos -- --minutes M         row after row, again and longer, until the time is up
 *   npm run chaos -- --controls          and then each row against code with a fault planted in it, which it must catch
 *   npm run chaos -- --control NAME      only that planted fault (may be repeated)
 *
 * Writes `.local/chaos-report.json` and prints fault × invariant × count. The exit code is 0 only if every row held and
 * every planted fault was caught.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { defaultFolder } from '../../local/folder.ts';
import { type ControlResult, controls, runControl } from './controls.ts';
import type { Fault } from './fault.ts';
import { matrix } from './matrix.ts';
import { printTable, writeReport } from './report.ts';
import { type RowResult, runRow } from './runner.ts';
import { World } from './world.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    fault: { type: 'string', multiple: true },
    control: { type: 'string', multiple: true },
    controls: { type: 'boolean', default: false },
  },
});

const say = (line: string) => void process.stderr.write(`${line}\n`);
const seed = Number(values.seed);
const wanted = values.fault;
const rows = matrix.filter(({ name, number }) => !wanted || wanted.includes(name) || wanted.includes(String(number)));
if (rows.length === 0)
  throw new Error(`no row is called ${wanted?.join(', ')}; there are ${matrix.map(({ name }) => name).join(', ')}`);
const untilMs = values.minutes ? Date.now() + Number(values.minutes) * 60_000 : 0;

const crowded = rows.find(({ name }) => name === 'random-deaths');
const crowdedScale = 40;

const world = await World.open({ dir: join(defaultFolder(), 'chaos'), seed, report: (line) => say(`  ${line}`) });
const results: RowResult[] = [];
const caught: ControlResult[] = [];
try {
  for (let round = 0; !values.control && (round === 0 || Date.now() < untilMs); round++) {
    for (const fault of rows) {
      if (round > 0 && Date.now() >= untilMs) break;
      // A long run puts most of its requests under random deaths, and plays the other rows in between.
      if (round > 0 && crowded) results.push(await play(crowded, seed + results.length, crowdedScale));
      results.push(await play(fault, seed + round, 1));
    }
  }
  if (values.controls || values.control) {
    for (const control of controls) {
      if (values.control && !values.control.includes(control.name)) continue;
      if (!rows.some(({ name }) => name === control.row)) continue;
      const result = await runControl(world, control, seed);
      caught.push(result);
      say(`${result.caught ? '✓ caught  ' : '✗ MISSED  '} ${control.name} by ${control.row}: ${result.by.join(', ')}`);
    }
  }
} finally {
  const file = join(defaultFolder(), 'chaos-report.json');
  writeReport(file, seed, results, caught);
  process.stdout.write(`${printTable(results, caught).join('\n')}\n`);
  await world.close();
}
const held = results.every(({ holds }) => holds) && caught.every((one) => one.caught);
process.exit(held ? 0 : 1);

async function play(fault: Fault, rowSeed: number, scale: number): Promise<RowResult> {
  const result = await runRow(world, fault, { seed: rowSeed, scale });
  const counts = Object.entries({ ...result.counts, ...result.measuredMs }).map(([name, value]) => `${name} ${value}`);
  const mark = result.unavailable ? `– ${result.unavailable}` : result.holds ? '✓' : '✗';
  say(`${mark} ${fault.number} ${fault.title} (${result.requests} requests, ${result.seconds} s) ${counts.join(', ')}`);
  for (const example of result.holds ? [] : result.examples) say(`    ${example}`);
  return result;
}
