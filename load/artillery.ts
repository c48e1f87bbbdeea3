/**
 * Runs artillery, and reads what it wrote. It sends nothing elsewhere: its telemetry is off, and its target is always
 * on 127.0.0.1.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '#local/state-folder.ts';
import { fileOf } from './scenarios.ts';

/** A distribution as artillery sums it up, milliseconds. */
export interface Summary {
  count: number;
  min: number;
  max: number;
  mean: number;
  median: number;
  p95: number;
  p99: number;
}

/** Figures of the whole run. */
export interface Aggregate {
  counters: Record<string, number>;
  rates: Record<string, number>;
  summaries: Record<string, Summary>;
  firstMetricAt?: number;
  lastMetricAt?: number;
}

export interface ArtilleryReport {
  aggregate: Aggregate;
}

/** Runs a scenario. Throws with the end of its output when artillery fails. */
export async function runArtillery(options: {
  scenario: string;
  target: string;
  outputFile: string;
  /** Replaces parts of the scenario's configuration. */
  config?: Record<string, unknown>;
  shared?: boolean;
  env?: Record<string, string>;
  limitMs: number;
}): Promise<ArtilleryReport> {
  const args = [
    join(projectRoot, 'node_modules', 'artillery', 'bin', 'run'),
    'run',
    '--quiet',
    ...['--target', options.target],
    ...['--output', options.outputFile],
    ...(options.shared === false ? [] : ['--config', fileOf('shared')]),
    ...(options.config ? ['--overrides', JSON.stringify({ config: options.config })] : []),
    fileOf(options.scenario),
  ];
  const child = spawn(process.execPath, args, {
    cwd: projectRoot,
    env: {
      ...process.env,
      ...options.env,
      ARTILLERY_DISABLE_TELEMETRY: '1',
      // One process, so that no customer is played twice and the rest of the machine is left to what is tested.
      WORKERS: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const listen = (chunk: Buffer): void => {
    said = (said + chunk.toString('utf8')).slice(-20_000);
  };
  child.stdout.on('data', listen);
  child.stderr.on('data', listen);
  const timer = setTimeout(() => child.kill('SIGKILL'), options.limitMs);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  clearTimeout(timer);
  if (code !== 0) throw new Error(`artillery ended with code ${code}:\n${said.slice(-4_000)}`);
  const { aggregate } = JSON.parse(readFileSync(options.outputFile, 'utf8')) as ArtilleryReport;
  return { aggregate };
}
