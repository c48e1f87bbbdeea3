/**
 * Starts services of docker-compose.localstack.yml, on machines with a running Docker engine.
 *
 * Invariant: each stack folder has a compose project of its own, on ports that the engine chooses, so that two clones or
 * runs never share a container. The watchdog stops the project at the end; its volumes stay for the next start. Called by
 * databases.ts and localstack.ts.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { projectRoot } from './state-folder.ts';
import type { Supervisor } from './supervisor.ts';

const run = promisify(execFile);

let engine: Promise<boolean> | undefined;

/** True when a Docker engine answers and has the compose plugin. Asked once per process. */
export function dockerRuns(): Promise<boolean> {
  engine ??= process.env.HOLDFAST_DOCKER === 'off' ? Promise.resolve(false) : askEngine();
  return engine;
}

async function askEngine(): Promise<boolean> {
  try {
    await run('docker', ['info', '--format', '{{.ServerVersion}}'], { timeout: 10_000 });
    await run('docker', ['compose', 'version'], { timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
}

export interface ComposeProject {
  /** The port on 127.0.0.1 behind which a service's port is published. */
  port: (service: string, containerPort: number) => Promise<number>;
}

/** Starts some services of the compose file and waits until their health checks pass. */
export async function compose(
  supervisor: Supervisor,
  services: string[],
  withinMs: number = 600_000,
): Promise<ComposeProject> {
  const name = `holdfast-${createHash('sha256').update(supervisor.dir).digest('hex').slice(0, 10)}`;
  const base = ['compose', '-p', name, '-f', join(projectRoot, 'docker-compose.localstack.yml')];
  // Port 0 lets the engine choose; by hand the file publishes the usual ports.
  const env = { ...process.env, HOLDFAST_MYSQL_PORT: '0', HOLDFAST_REDIS_PORT: '0', HOLDFAST_LOCALSTACK_PORT: '0' };
  supervisor.atEnd('docker', [...base, 'stop']);
  supervisor.report(`starting ${services.join(' and ')} in Docker (the first time downloads the images)`);
  try {
    await run('docker', [...base, 'up', '--detach', '--wait', ...services], {
      env,
      timeout: withinMs,
      maxBuffer: 16 * 1024 * 1024,
    });
  } catch (error) {
    const reason = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1);
    throw new Error(
      `Docker could not start ${services.join(' and ')}: ${reason ?? (error as Error).message}. (HOLDFAST_DOCKER=off starts without Docker.)`,
    );
  }
  return {
    port: async (service, containerPort) => {
      const { stdout } = await run('docker', [...base, 'port', service, String(containerPort)], { env });
      const port = Number(stdout.trim().split(':').at(-1));
      if (!port) throw new Error(`Docker does not publish port ${containerPort} of ${service}`);
      return port;
    },
  };
}
