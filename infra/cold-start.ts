/**
 * How long the first request of a new Lambda environment waits for code: each bundle is imported by a new process of Node,
 * and the time that its import takes is measured, on the clock and in processor time. On a busy machine only the processor
 * time says something.
 *
 *   npm run package -- --stage prod && node infra/cold-start.ts [--runs 5] [--package .serverless] [--only login,pay]
 *
 * What Lambda adds (its sandbox, the runtime, fetching the zip) and what the first request adds (the registry's names, the
 * first connections to MySQL and Redis) is not in it; docs/operations.md says what is known of those.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { unpack } from './zip.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    package: { type: 'string', default: '.serverless' },
    only: { type: 'string' },
  },
});

/** Prints how long the import took, in a process that has done nothing else. */
const probe = `const at = performance.now();
const before = process.cpuUsage();
await import(process.argv[1]);
const { user, system } = process.cpuUsage(before);
process.stdout.write(JSON.stringify([performance.now() - at, (user + system) / 1_000]));
process.exit(0);`;

const median = (numbers: number[]) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

const only = values.only?.split(',');
const folder = mkdtempSync(join(tmpdir(), 'holdfast-cold-start-'));
const functions = readdirSync(values.package)
  .filter((name) => name.endsWith('.zip'))
  .map((name) => {
    const key = name.slice(0, -'.zip'.length);
    const zip = join(values.package, name);
    const [bundle] = [...unpack(zip, join(folder, key))].filter(([path]) => path.endsWith('.mjs'));
    if (!bundle) throw new Error(`${zip} holds no bundle`);
    const [path, bytes] = bundle;
    return { key, bytes, zipBytes: statSync(zip).size, bundle: join(folder, key, path), times: [] as number[][] };
  })
  .filter(({ key }) => !only || only.includes(key));
// Round by round, so that other load on the machine affects all bundles alike.
for (let run = 0; run < Number(values.runs); run++) {
  for (const { bundle, times } of functions) {
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', probe, bundle], { encoding: 'utf8' });
    times.push(JSON.parse(printed) as number[]);
  }
}
rmSync(folder, { recursive: true, force: true });

process.stdout.write('| Function | Bundle, KB | Zip, KB | Import, ms | Processor, ms |\n|:--|--:|--:|--:|--:|\n');
for (const { key, bytes, zipBytes, times } of functions.sort((a, b) => b.bytes - a.bytes)) {
  const cells = [
    bytes / 1_000,
    zipBytes / 1_000,
    median(times.map(([elapsed = 0]) => elapsed)),
    median(times.map(([, processor = 0]) => processor)),
  ];
  process.stdout.write(`| ${key} | ${cells.map((cell) => Math.round(cell)).join(' | ')} |\n`);
}
