/**
 * MySQL and Redis for a local stack, from the first of these that is available:
 *   1. the servers that `MYSQL_URL` and `REDIS_URL` name;
 *   2. a running Docker engine (docker-compose.localstack.yml);
 *   3. `mariadbd` and `redis-server` on this machine, as private instances of this stack;
 *   4. the same, after installing Debian's packages, when this process is root;
 *   otherwise it fails with one sentence that names the choices.
 *
 * Invariants: a private instance binds to 127.0.0.1 only, has a password of its folder, keeps its data there and loses
 * no committed data (MySQL syncs every commit; Redis appends to its log and syncs it every second). Called by `startStack`.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { createConnection } from 'mysql2/promise';
import { CannotInstall, findProgram, installPackages } from './debian.ts';
import { compose, dockerRuns } from './docker.ts';
import { freePort } from './free-port.ts';
import type { Supervisor } from './supervisor.ts';
import { waitFor } from './wait.ts';

const run = promisify(execFile);

/** MySQL 8.4's default mode, so that MariaDB refuses what MySQL would refuse. */
const sqlMode =
  'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION';

/** Numbered databases of a private Redis: one for the stack, the others for test files. */
const redisDatabases = 1024;

/** A first start creates the data directory; a start after a crash replays the log. */
const readyTimeoutMs = 90_000;

/** Longest path of a Unix socket that every system takes. */
const socketPathBytes = 100;

export type DatabaseSource = 'given' | 'docker' | 'private';

export interface Databases {
  /** URL of the server and the database `holdfast` in it (or the one the given URL names). */
  mysqlUrl: string;
  redisUrl: string;
  mysqlFrom: DatabaseSource;
  redisFrom: DatabaseSource;
}

/** Starts, or finds, both databases, and waits until they answer. */
export async function startDatabases(supervisor: Supervisor): Promise<Databases> {
  const givenMysql = process.env.MYSQL_URL || undefined;
  const givenRedis = process.env.REDIS_URL || undefined;
  const missing = [givenMysql ? undefined : 'mysql', givenRedis ? undefined : 'redis'].filter(
    (name) => name !== undefined,
  );
  const found = missing.length === 0 ? {} : await startMissing(supervisor, missing);
  const databases: Databases = {
    mysqlUrl: withDatabase(givenMysql ?? found.mysqlUrl ?? ''),
    redisUrl: givenRedis ?? found.redisUrl ?? '',
    mysqlFrom: givenMysql ? 'given' : (found.from ?? 'private'),
    redisFrom: givenRedis ? 'given' : (found.from ?? 'private'),
  };
  if (givenMysql) await answering('MYSQL_URL', givenMysql, () => mysqlAnswers(givenMysql));
  if (givenRedis) await answering('REDIS_URL', givenRedis, () => redisAnswers(givenRedis));
  await createDatabase(databases.mysqlUrl);
  return databases;
}

/** Starts a private MySQL in this folder, ignoring `MYSQL_URL`: for tests that change settings of the whole server. */
export async function startOwnMysql(supervisor: Supervisor): Promise<string> {
  const { mysqlUrl } = await startMissing(supervisor, ['mysql']);
  if (!mysqlUrl) throw new Error('MySQL was not started');
  return mysqlUrl;
}

/** Starts a Redis in this folder, whatever `REDIS_URL` names: for tests that stop or reconfigure the server. */
export async function startOwnRedis(supervisor: Supervisor): Promise<string> {
  const { redisUrl } = await startMissing(supervisor, ['redis']);
  if (!redisUrl) throw new Error('Redis was not started');
  return redisUrl;
}

interface Started {
  mysqlUrl?: string;
  redisUrl?: string;
  from?: DatabaseSource;
}

async function startMissing(supervisor: Supervisor, missing: string[]): Promise<Started> {
  if (await dockerRuns()) {
    try {
      return { ...(await startInDocker(supervisor, missing)), from: 'docker' };
    } catch (error) {
      // The engine cannot get the images: fall back to private servers.
      supervisor.report((error as Error).message);
    }
  }
  const programs = missing.map((name) => (name === 'mysql' ? 'mariadbd' : 'redis-server'));
  if (programs.some((program) => !findProgram(program))) await installServers(supervisor, programs);
  const [mysqlUrl, redisUrl] = await Promise.all([
    missing.includes('mysql') ? startMariadb(supervisor) : undefined,
    missing.includes('redis') ? startRedis(supervisor) : undefined,
  ]);
  return { mysqlUrl, redisUrl, from: 'private' };
}

function needProgram(...names: string[]): string {
  for (const name of names) {
    const file = findProgram(name);
    if (file) return file;
  }
  throw new Error(`${names[0]} is not installed`);
}

const choices =
  'Holdfast needs MySQL and Redis: set MYSQL_URL and REDIS_URL, or start Docker, ' +
  'or install mariadb-server and redis-server (on Debian as root this is done for you), and run the command again.';

/** Installs the servers that are missing, from Debian's packages. */
async function installServers(supervisor: Supervisor, programs: string[]): Promise<void> {
  const packages = programs
    .filter((program) => !findProgram(program))
    .map((program) => (program === 'mariadbd' ? 'mariadb-server' : 'redis-server'));
  try {
    await installPackages(packages, (line) => supervisor.report(line));
  } catch (error) {
    throw new Error(error instanceof CannotInstall ? choices : `${choices} (${(error as Error).message})`, {
      cause: error,
    });
  }
}

/** A secret of the folder, created on first use. */
function folderSecret(file: string): string {
  if (!existsSync(file)) writeFileSync(file, randomBytes(18).toString('base64url'), { mode: 0o600 });
  return readFileSync(file, 'utf8');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

async function startMariadb(supervisor: Supervisor): Promise<string> {
  const home = join(supervisor.dir, 'mysql');
  const data = join(home, 'data');
  // A server that starts deletes every temporary table it finds, and another stack of this machine may be using its own.
  const temporary = join(home, 'tmp');
  mkdirSync(temporary, { recursive: true });
  const user = userInfo().username;
  if (!existsSync(join(data, 'mysql'))) await createDataDirectory(data, temporary, user);

  const password = folderSecret(join(home, 'password'));
  const account = `'holdfast'@'127.0.0.1'`;
  const initFile = join(home, 'init.sql');
  writeFileSync(
    initFile,
    `CREATE USER IF NOT EXISTS ${account} IDENTIFIED BY ${quoted(password)};\n` +
      `ALTER USER ${account} IDENTIFIED BY ${quoted(password)};\n` +
      `GRANT ALL PRIVILEGES ON *.* TO ${account} WITH GRANT OPTION;\n`,
    { mode: 0o600 },
  );

  return withSparePort(async (port) => {
    const url = `mysql://holdfast:${password}@127.0.0.1:${port}`;
    // Socket paths have a short limit, and nothing here uses the socket: in deep folders it lies elsewhere.
    const socketHere = join(home, 'mysql.sock');
    const socket =
      Buffer.byteLength(socketHere) <= socketPathBytes
        ? socketHere
        : join(tmpdir(), `holdfast-${process.pid}-${port}.sock`);
    await supervisor.start({
      name: 'mysql',
      command: needProgram('mariadbd'),
      args: [
        '--no-defaults',
        ...(user === 'root' ? ['--user=root'] : []),
        `--datadir=${data}`,
        `--tmpdir=${temporary}`,
        `--socket=${socket}`,
        `--pid-file=${join(home, 'mysql.pid')}`,
        `--init-file=${initFile}`,
        '--bind-address=127.0.0.1',
        `--port=${port}`,
        '--skip-name-resolve',
        '--skip-log-bin',
        '--max-connections=400',
        '--back-log=400',
        '--thread-cache-size=64',
        '--table-open-cache=2000',
        '--character-set-server=utf8mb4',
        '--collation-server=utf8mb4_bin',
        '--default-time-zone=+00:00',
        `--sql-mode=${sqlMode}`,
        '--max-allowed-packet=64M',
        '--innodb-flush-log-at-trx-commit=1',
        '--innodb-buffer-pool-size=768M',
        '--innodb-log-file-size=256M',
        '--innodb-io-capacity=2000',
        '--innodb-autoinc-lock-mode=2',
        '--performance-schema=OFF',
      ],
      ready: () => mysqlAnswers(url),
      readyTimeoutMs,
      graceMs: 20_000,
      restart: true,
    });
    return url;
  });
}

async function createDataDirectory(data: string, temporary: string, user: string): Promise<void> {
  // Renamed when complete, so that an interrupted start leaves no half-made directory.
  const unfinished = `${data}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  rmSync(data, { recursive: true, force: true });
  await run(
    needProgram('mariadb-install-db', 'mysql_install_db'),
    [
      '--no-defaults',
      `--user=${user}`,
      `--datadir=${unfinished}`,
      `--tmpdir=${temporary}`,
      '--auth-root-authentication-method=socket',
      '--skip-test-db',
      '--skip-name-resolve',
      '--innodb-log-file-size=256M',
    ],
    { maxBuffer: 16 * 1024 * 1024 },
  ).catch((error: Error & { stderr?: string; stdout?: string }) => {
    throw new Error(`mariadb-install-db failed: ${(error.stderr || error.stdout || error.message).trim()}`);
  });
  await run('mv', [unfinished, data]);
}

async function startRedis(supervisor: Supervisor): Promise<string> {
  const home = join(supervisor.dir, 'redis');
  mkdirSync(home, { recursive: true });
  const password = folderSecret(join(home, 'password'));
  return withSparePort(async (port) => {
    const url = `redis://:${password}@127.0.0.1:${port}/0`;
    const config = join(home, 'redis.conf');
    writeFileSync(
      config,
      [
        'bind 127.0.0.1',
        'protected-mode yes',
        `port ${port}`,
        `requirepass ${password}`,
        `databases ${redisDatabases}`,
        `dir "${home}"`,
        'daemonize no',
        'appendonly yes',
        'appendfsync everysec',
        'aof-use-rdb-preamble yes',
        'save ""',
        'stop-writes-on-bgsave-error no',
        'maxmemory-policy noeviction',
        'tcp-backlog 511',
        '',
      ].join('\n'),
      { mode: 0o600 },
    );
    await supervisor.start({
      name: 'redis',
      command: needProgram('redis-server'),
      args: [config],
      ready: () => redisAnswers(url),
      readyTimeoutMs,
      graceMs: 10_000,
      restart: true,
    });
    return url;
  });
}

/** Runs a starter on a free port, and on another if the port was taken in the meantime. */
async function withSparePort<T>(start: (port: number) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(await freePort());
    } catch (error) {
      const portTaken = /address already in use|bind on tcp\/ip port|EADDRINUSE/i.test((error as Error).message);
      if (!portTaken || attempt === 3) throw error;
    }
  }
}

async function startInDocker(supervisor: Supervisor, missing: string[]): Promise<Started> {
  const project = await compose(supervisor, missing);
  const [mysqlUrl, redisUrl] = await Promise.all([
    missing.includes('mysql')
      ? project.port('mysql', 3306).then((port) => `mysql://root:holdfast@127.0.0.1:${port}`)
      : undefined,
    missing.includes('redis') ? project.port('redis', 6379).then((port) => `redis://127.0.0.1:${port}/0`) : undefined,
  ]);
  const timeoutMs = readyTimeoutMs;
  if (mysqlUrl) await waitFor('MySQL in Docker', () => mysqlAnswers(mysqlUrl), { timeoutMs });
  if (redisUrl) await waitFor('Redis in Docker', () => redisAnswers(redisUrl), { timeoutMs });
  return { mysqlUrl, redisUrl };
}

async function mysqlAnswers(url: string): Promise<true> {
  const connection = await createConnection({ uri: url, connectTimeout: 2_000 });
  try {
    await connection.query({ sql: 'SELECT 1', timeout: 2_000 });
    return true;
  } finally {
    connection.destroy();
  }
}

async function redisAnswers(url: string): Promise<true> {
  const redis = new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    commandTimeout: 2_000,
    connectTimeout: 2_000,
  });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    await redis.ping();
    return true;
  } finally {
    redis.disconnect();
  }
}

async function answering(variable: string, url: string, probe: () => Promise<true>): Promise<void> {
  try {
    await probe();
  } catch (error) {
    const where = URL.canParse(url) ? new URL(url).host : 'what it names';
    throw new Error(
      `${variable} is set, but ${where} does not answer (${(error as Error).message || 'no connection'}).`,
    );
  }
}

/** The URL with a database in it: the one it names, or `holdfast`. */
function withDatabase(url: string): string {
  const parsed = new URL(url);
  if (parsed.pathname.length <= 1) parsed.pathname = '/holdfast';
  return parsed.toString();
}

/** The same server, another database. */
export function inDatabase(url: string, database: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${database}`;
  return parsed.toString();
}

async function onServer(url: string, ...statements: string[]): Promise<void> {
  const server = new URL(url);
  server.pathname = '/';
  const connection = await createConnection({ uri: server.toString(), connectTimeout: 5_000 });
  try {
    for (const sql of statements) await connection.query({ sql, timeout: 30_000 });
  } finally {
    await connection.end();
  }
}

function databaseName(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1)).replaceAll('`', '');
}

/** Creates the database the URL names, if it is not there. */
export async function createDatabase(url: string): Promise<void> {
  await onServer(
    url,
    `CREATE DATABASE IF NOT EXISTS \`${databaseName(url)}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
  );
}

/** Drops the database the URL names. */
export async function dropDatabase(url: string): Promise<void> {
  await onServer(url, `DROP DATABASE IF EXISTS \`${databaseName(url)}\``);
}

/** Empties one Redis database (the numbered one of the URL, not the whole server). */
export async function flushRedis(url: string): Promise<void> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  try {
    await redis.connect();
    await redis.flushdb();
  } finally {
    redis.disconnect();
  }
}
