/**
 * How long the first request of a fresh environment waits for code: each bundle is imported in a new process of Node, and
 * the time from the start of its import to its end is taken.
 *
 *   npm run package && node infra/cold-start.ts [--runs 5] [--package .serverless]
 *
 * What Lambda adds (the sandbox, the runtime, fetching the zip) and what the first request adds (the registry's names, the
 * first connection to MySQL and Redis) are not in it; docs/operations.md says what is known of those.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { unpack } from './zip.ts';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '5' }, package: { type: 'string', default: '.serverless' } },
});

/** Prints how long the import took, in a process that has done nothing else. */
const probe = `const at = performance.now();
await import(process.argv[1]);
process.stdout.write(String(performance.now() - at));
process.exit(0);`;

const folder = mkdtempSync(join(tmpdir(), 'holdfast-cold-start-'));
const rows: { name: string; bytes: number; medianMs: number; slowestMs: number }[] = [];
for (const zip of readdirSync(values.package).filter((name) => name.endsWith('.zip'))) {
  const name = zip.slice(0, -'.zip'.length);
  const [bundle] = unpack(join(values.package, zip), join(folder, name));
  if (!bundle) continue;
  const times = Array.from({ length: Number(values.runs) }, () =>
    Number(execFileSync(process.execPath, ['--input-type=module', '-e', probe, bundle.file], { encoding: 'utf8' })),
  ).sort((a, b) => a - b);
  const medianMs = times[Math.floor(times.length / 2)] ?? 0;
  rows.push({ name, bytes: bundle.bytes, medianMs, slowestMs: times.at(-1) ?? 0 });
}
rmSync(folder, { recursive: true, force: true });

process.stdout.write('| Function | Bundle, KB | Import, ms (median) | Slowest |\n|:--|--:|--:|--:|\n');
for (const { name, bytes, medianMs, slowestMs } of rows.sort((a, b) => b.bytes - a.bytes)) {
  process.stdout.write(
    `| ${name} | ${Math.round(bytes / 1000)} | ${Math.round(medianMs)} | ${Math.round(slowestMs)} |\n`,
  );
}
