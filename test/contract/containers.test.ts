/**
 * The containers that docker-compose.localstack.yml and the CI workflow start are those that the code expects to find, since
 * neither is run by these tests: names, ports, passwords, versions, services, and a health check for each.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { services } from '#local/localstack.ts';
import { projectRoot } from '#local/state-folder.ts';

const read = (path: string) => readFileSync(join(projectRoot, path), 'utf8');

function readYaml<T>(path: string): T {
  const document = parseDocument(read(path), { strict: true, uniqueKeys: true });
  expect([path, document.errors, document.warnings]).toEqual([path, [], []]);
  return document.toJS() as T;
}

interface Service {
  image: string;
  command?: string[];
  environment?: Record<string, string>;
  ports: string[];
  volumes: string[];
  healthcheck: { test: string[]; interval: string; timeout: string; retries: number };
}

describe('docker-compose.localstack.yml', () => {
  const compose = readYaml<{ services: Record<string, Service>; volumes: Record<string, null> }>(
    'docker-compose.localstack.yml',
  );
  const { mysql, redis, localstack } = compose.services;
  const callers = ['local/docker.ts', 'local/databases.ts', 'local/localstack.ts'].map(read).join('\n');

  test('has the servers that production has, in pinned versions', () => {
    expect(Object.keys(compose).sort()).toEqual(['services', 'volumes']);
    expect(Object.keys(compose.services)).toEqual(['mysql', 'redis', 'localstack']);
    expect(mysql?.image).toMatch(/^mysql:8\.4\.\d+$/);
    expect(redis?.image).toMatch(/^redis:7\.\d+\.\d+-alpine$/);
    expect(localstack?.image).toBe('localstack/localstack:4.14.0');
    expect(callers).toContain('localstack-core[runtime]==4.14.0');
  });

  test.each(Object.entries(compose.services))('%s listens on this machine only and is watched', (name, service) => {
    const known = ['image', 'command', 'environment', 'ports', 'volumes', 'healthcheck'];
    expect(Object.keys(service).filter((key) => !known.includes(key))).toEqual([]);
    const variable = `HOLDFAST_${name.toUpperCase()}_PORT`;
    const [port = ''] = service.ports;
    expect(service.ports).toHaveLength(1);
    const [, usual, inside] = new RegExp(`^127\\.0\\.0\\.1:\\$\\{${variable}:-(\\d+)\\}:(\\d+)$`).exec(port) ?? [];
    expect([name, usual]).toEqual([name, inside]);
    // The port that the code asks the engine about, and the variable with which it lets the engine choose.
    expect(callers).toMatch(new RegExp(`port\\('${name}', (${inside}|usualPort)\\)`));
    expect(callers).toContain(`${variable}: '0'`);
    const [kind, program = ''] = service.healthcheck.test;
    expect(kind).toBe('CMD');
    expect(['mysqladmin', 'redis-cli', 'curl']).toContain(program);
    for (const time of [service.healthcheck.interval, service.healthcheck.timeout]) expect(time).toMatch(/^\d+s$/);
    for (const volume of service.volumes) expect(Object.keys(compose.volumes)).toContain(volume.split(':')[0]);
  });

  test('actions of the workflow are pinned by digest, with the version beside it, and passwords are no arguments', () => {
    const workflow = read('.github/workflows/ci.yml');
    const used = [...workflow.matchAll(/uses: (.+)$/gm)].map(([, action]) => action);
    expect(used.length).toBeGreaterThan(5);
    for (const action of used) expect(action).toMatch(/^[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
    expect(workflow).not.toMatch(/--password|-p\w+@/);
  });

  test('has the password and the settings that the code connects and works with', () => {
    const { MYSQL_ROOT_PASSWORD, MYSQL_ROOT_HOST, MYSQL_DATABASE } = mysql?.environment ?? {};
    expect(callers).toContain(`mysql://root:${MYSQL_ROOT_PASSWORD}@127.0.0.1:`);
    expect([MYSQL_ROOT_HOST, MYSQL_DATABASE]).toEqual(['%', 'holdfast']);
    // It needs no password, and every process of a machine can read the arguments of every other.
    expect(mysql?.healthcheck.test).toContain('ping');
    expect(JSON.stringify([mysql?.healthcheck.test, mysql?.command])).not.toContain('password');
    // What a private server is started with must hold for the one in the container too.
    const ours = ['--skip-name-resolve', '--max-connections=400', '--collation-server=utf8mb4_bin'];
    for (const option of [...ours, '--default-time-zone=+00:00', '--max-allowed-packet=64M']) {
      expect(mysql?.command).toContain(option);
      expect(callers).toContain(`'${option}'`);
    }
    expect(redis?.command?.join(' ')).toMatch(/^redis-server --appendonly yes .*--databases 1024$/);
    expect(callers).toContain('redisDatabases = 1024');
  });

  test('offers of LocalStack what the code asks of it', () => {
    expect(localstack?.environment).toMatchObject({ SERVICES: services, SQS_ENDPOINT_STRATEGY: 'path' });
  });
});

describe('.github/workflows/ci.yml', () => {
  interface Step {
    uses?: string;
    run?: string;
    with?: Record<string, unknown>;
  }
  interface Job {
    steps: Step[];
    env?: Record<string, string>;
    services?: Record<string, { image: string; env: Record<string, string>; ports: string[]; options?: string }>;
    strategy?: { matrix: { include: { database: string; aws: string }[] } };
  }
  const { jobs } = readYaml<{ jobs: Record<string, Job> }>('.github/workflows/ci.yml');
  const scripts = (JSON.parse(read('package.json')) as { scripts: Record<string, string> }).scripts;

  test('lints, tests and packages, after installing what the lock file says', () => {
    const { audit, ...others } = jobs;
    expect(Object.keys(others)).toEqual(['lint', 'test', 'package']);
    // Asks about what the lock file names, and installs nothing.
    expect(audit?.steps.flatMap(({ run }) => run ?? [])).toEqual(['npm audit --omit=dev']);
    for (const { steps } of Object.values(others)) {
      const commands = steps.flatMap(({ run }) => run ?? []);
      expect(commands).toContain('npm ci --ignore-scripts');
      for (const [, script = ''] of commands.join('\n').matchAll(/^npm (?:run )?(?!ci\b)(\w+)/gm)) {
        expect(Object.keys(scripts)).toContain(script);
      }
      const node = steps.find(({ uses }) => uses?.startsWith('actions/setup-node@'));
      expect(node?.with?.['node-version']).toBe(24);
    }
    expect(jobs.package?.steps.some(({ run }) => run === 'npx serverless package --stage prod')).toBe(true);
  });

  test('tests MySQL 8.4 and MariaDB 10.11, each with the embedded emulators and with LocalStack', () => {
    const both = ['mysql:8.4', 'mariadb:10.11'].flatMap((database) =>
      ['embedded', 'localstack'].map((aws) => ({ database, aws })),
    );
    expect(jobs.test?.strategy?.matrix.include).toEqual(both);
    const { database, localstack } = jobs.test?.services ?? {};
    const url = new URL(jobs.test?.env?.MYSQL_URL ?? '');
    expect(database?.env.MYSQL_ROOT_PASSWORD).toBe(url.password);
    expect(database?.env.MARIADB_ROOT_PASSWORD).toBe(url.password);
    expect(database?.ports).toEqual([`${url.port}:3306`]);
    expect(localstack?.image).toBe('localstack/localstack:4.14.0');
    expect(localstack?.env).toMatchObject({ SERVICES: services, SQS_ENDPOINT_STRATEGY: 'path' });
    expect(localstack?.ports).toEqual(['4566:4566']);
    expect(localstack?.options).toContain('/_localstack/health');
  });
});
