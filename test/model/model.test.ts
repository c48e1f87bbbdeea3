/**
 * About twenty seconds of `npm run model`: a few small cases on every path, samples of the others, some
 * thousand requests by seed, and three planted faults, which must be noticed.
 *
 * A model takes chance and time out of the process that it runs in, so it runs in processes of its own.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';

const limitMs = 240_000;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-model-'));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Runs the model with a folder of its own for its report. */
async function model(...args: string[]): Promise<{ code: number | null; output: string; report: Report }> {
  const child = spawn(process.execPath, [join(projectRoot, 'test/model/main.ts'), ...args], {
    env: { ...process.env, HOLDFAST_LOCAL: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  const report = JSON.parse(readFileSync(join(folder, 'model-report.json'), 'utf8')) as Report;
  return { code, output, report };
}

interface Report {
  violations: number;
  failures: unknown[];
  exhaustive: { states: number; complete: boolean };
  random: { requests: number; steps: number; faults: Record<string, number>; outcomes: Record<string, number> };
  controls: { planted: number; caught: number };
}

test(
  'no invariant is broken in small cases and in crowds',
  async () => {
    const { code, report } = await model('--quick');
    expect(report.failures).toEqual([]);
    expect(code).toBe(0);
    expect(report.exhaustive.complete).toBe(true);
    expect(report.exhaustive.states).toBeGreaterThan(10_000);
    expect(report.random.requests).toBeGreaterThanOrEqual(10_000);
    expect(Object.values(report.random.faults).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(500);
    const ends = ['cancelled', 'expired', 'purchased', 'refunded', 'rejected'];
    expect(Object.keys(report.random.outcomes).sort()).toEqual(ends);
  },
  limitMs,
);

test(
  'code without a safeguard breaks one',
  async () => {
    const planted = ['no-guard-in-update', 'timeout-taken-as-failure', 'mirror-without-compare-and-set'];
    const { output, report } = await model(...planted.flatMap((name) => ['--control', name]));
    expect(output).toContain('3 of 3 planted faults caught');
    expect(report.controls.caught).toBe(planted.length);
  },
  limitMs,
);

test(
  'a seed gives the same episode again',
  async () => {
    const runs = [await model('--episode', '11', '--size', '150'), await model('--episode', '11', '--size', '150')];
    const [one, other] = runs.map(({ report }) => report.random);
    expect(one?.steps).toBeGreaterThan(0);
    expect(one).toEqual(other);
  },
  limitMs,
);
