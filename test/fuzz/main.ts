/**
 * `npm run fuzz`: holds the API to its document with requests that Schemathesis invents, those that the document allows and those
 * that it forbids.
 *
 * Nothing may fail on our side (5xx); every answer is as the document says; what it allows is taken, or refused for what it asks
 * for (401, 403, 404, 409, 422, 429); what it forbids is refused as malformed. The exit code is 0 only if all of it holds and as
 * many cases were run as were asked for. The last step generates a Python client from the document, which must leave nothing out.
 *
 * Everything listens on loopback. The functions run behind gateways of their own (gateway.ts), one for each processor, each with
 * a Schemathesis that has a part of the operations. Rounds go on, each with another seed, until there are enough cases or the
 * time is up.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createWriteStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { apiDocument } from '#functions/http/document.ts';
import { routes } from '#functions/http/routes.ts';
import { seedOperator } from '#identity/register.ts';
import { ownArguments } from '#local/arguments.ts';
import { startStack } from '#local/stack.ts';
import { defaultFolder } from '#local/state-folder.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { generateClient } from '../support/python-client.ts';
import { callsTo } from '../support/running-bed.ts';
import { schemathesis } from '../support/schemathesis.ts';

const say = (line: string) => process.stdout.write(`${line}\n`);

const { values } = ownArguments('fuzz');
const wanted = Number(values.cases ?? (values.quick ? 5_000 : 100_000));
const untilMs = Date.now() + Number(values.minutes) * 60_000;
const folder = join(defaultFolder(), 'fuzz');
/** How long a Schemathesis may go on when the time is up, to say what it found. */
const graceMs = 120_000;
/** How many examples of each kind an operation has in a round. */
const examplesPerRound = values.quick ? 20 : 100;
/**
 * Checks that are not for this API: the gateway answers a method without a route, as in an account, with a 404 of its own; and
 * what is deleted here (endpoints of webhooks) may be one that the hooks know.
 */
const notChecked = ['unsupported_method', 'allow_header_conformance', 'use_after_free', 'ensure_resource_availability'];
/** Hashing a password takes a hundred times as long as the rest of a call. */
const slow = ['register', 'login'];
const slowExamples = 10;

const config = `
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429"]

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "413", "415"]

# Every text is a string, so a body of text cannot have another type.
[[operations]]
include-operation-id = "import-products"
checks.negative_data_rejection.expected-statuses = ["2xx", "400", "401", "403", "404", "405", "413", "415", "422"]

# Its answer is how the parts are, on this machine and right now.
[[operations]]
include-operation-id = "get-health"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", "503"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "503"]

[[operations]]
include-operation-id = ${JSON.stringify(slow)}
generation.max-examples = ${slowExamples}
`;

interface Gateway {
  readonly url: string;
  readonly process: ChildProcess;
}

async function startGateway(env: Record<string, string>): Promise<Gateway> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'gateway.ts')], {
    // What went wrong is told, and not each of a hundred thousand calls.
    env: { ...process.env, ...env, HOLDFAST_LOG_LEVEL: 'warn' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log = createWriteStream(join(folder, `gateway-${child.pid}.log`));
  child.stderr.pipe(log);
  const url = await new Promise<string>((resolve, reject) => {
    child.on('exit', () => reject(new Error('a gateway ended; its log is in .local/fuzz')));
    createInterface(child.stdout).on('line', (line) => {
      if (line.startsWith('{"ready"')) resolve((JSON.parse(line) as Gateway).url);
      else if (line.startsWith('{"level"')) log.write(`${line}\n`);
    });
  });
  return { url, process: child };
}

/**
 * Some of everything that an id can name. Anew for each round, since calls end what there is: sales are called off, reservations
 * cancelled.
 */
async function furnish(url: string, token: string, round: number): Promise<Record<string, string[]>> {
  const { call } = callsTo(url);
  const at = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
  const ids: Record<string, string[]> = {
    productId: [],
    saleId: [],
    reservationId: [],
    endpointId: [],
    customerId: [],
  };
  const keep = (name: string, made: unknown) => ids[name]?.push((made as Record<string, string>)[name] ?? '');
  keep('customerId', await call('GET', '/me', { token }));
  for (let index = 0; index < 20; index++) {
    const price = { amountMinor: 100 + index, currency: 'EUR' };
    const product = { sku: `FUZZ-${round}-${index}`, name: `Thing ${index}`, description: '', price };
    const made = await call<{ productId: string }>('POST', '/products', { token, body: product });
    keep('productId', made);
    const sale = {
      ...{
        productId: made.productId,
        name: `Sale ${index}`,
        allotment: 1_000,
        capPerCustomer: 1_000,
        waitlistSize: 100,
      },
      ...{ reserveOpensAt: at(-1), reserveClosesAt: at(20), purchaseOpensAt: at(-1), purchaseClosesAt: at(24) },
    };
    const opened = await call<{ saleId: string }>('POST', '/sales', { token, body: sale });
    keep('saleId', opened);
    const reserve = `/sales/${opened.saleId}/reservations`;
    keep('reservationId', await call('POST', reserve, { token, key: `fuzz-${round}-${index}`, body: { quantity: 2 } }));
    const endpoint = { url: `http://127.0.0.1:9/${index}`, events: ['sale.changed'] };
    keep('endpointId', await call('POST', '/webhook-endpoints', { token, body: endpoint }));
  }
  return ids;
}

type Counts = Record<string, Record<string, number>>;

async function counted(gateways: readonly Gateway[]): Promise<{ all: number; byStatus: Record<string, number> }> {
  const byStatus: Record<string, number> = {};
  for (const { url } of gateways) {
    const counts = (await (await fetch(`${url}/counts`)).json()) as Counts;
    for (const [route, statuses] of Object.entries(counts)) {
      for (const [status, count] of Object.entries(statuses)) {
        // That a part does not answer in time is no failure of the one who says so.
        if (route === 'GET /health' && status === '503') continue;
        byStatus[status] = (byStatus[status] ?? 0) + count;
      }
    }
  }
  return { all: Object.values(byStatus).reduce((sum, count) => sum + count, 0), byStatus };
}

/** One Schemathesis with a part of the operations; its exit code. */
function run(program: string, args: string[], env: Record<string, string>, log: string): Promise<number> {
  const child = spawn(program, args, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  // It ends by itself when the time is up; one that does not is ended.
  const late = setTimeout(() => child.kill('SIGKILL'), Math.max(0, untilMs - Date.now()) + graceMs);
  const file = createWriteStream(log);
  child.stdout.pipe(file, { end: false });
  child.stderr.pipe(file, { end: false });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(late);
      running.delete(child);
      file.end(() => resolve(code ?? 1));
    });
  });
}
const running = new Set<ChildProcess>();

/** What a log says has failed. */
function failuresIn(log: string): string {
  const text = readFileSync(log, 'utf8');
  const begin = text.search(/=+ (?:FAILURES|ERRORS) =+/);
  return begin < 0 ? '' : text.slice(begin);
}

mkdirSync(folder, { recursive: true });
const program = await schemathesis();
if (program === undefined) process.exit(1);
const stack = await startStack({ dir: folder, fresh: true, http: false, report: say });
const gateways: Gateway[] = [];
const endChildren = () => {
  for (const child of [...running, ...gateways.map((gateway) => gateway.process)]) child.kill('SIGTERM');
};
// Also when the stack's own handler ends this process on a signal.
process.once('exit', endChildren);
let holds = true;
try {
  // Nobody else knows its password: the document's examples would delete an account that has theirs.
  const account = { email: 'fuzz@example.com', password: randomUUID() };
  const db = openDb(stack.addresses.mysql, { connections: 1 });
  await seedOperator({ db, clock: systemClock }, account, 'admin');
  await db.close();
  const parts = Math.min(availableParallelism(), 8);
  gateways.push(...(await Promise.all(Array.from({ length: parts }, () => startGateway(stack.env)))));
  const { url = '' } = gateways[0] ?? {};
  writeFileSync(join(folder, 'openapi.json'), JSON.stringify(apiDocument()));
  writeFileSync(join(folder, 'schemathesis.toml'), config);
  const env = {
    SCHEMATHESIS_HOOKS: join(import.meta.dirname, 'hooks.py'),
    PYTHONPATH: import.meta.dirname,
    PYTHONDONTWRITEBYTECODE: '1',
  };
  const names = Object.keys(routes);
  let { all, byStatus } = await counted(gateways);
  for (let round = 1; holds && all < wanted && Date.now() < untilMs; round++) {
    const asked = await callsTo(url).call<{ accessToken: string }>('POST', '/auth/login', { body: account });
    const ids = await furnish(url, asked.accessToken, round);
    const left = Math.max(1, Math.ceil((untilMs - Date.now()) / 1_000));
    const logs = gateways.map((_, part) => join(folder, `round-${round}-${part + 1}.log`));
    const exits = await Promise.all(
      gateways.map((gateway, part) =>
        run(
          program,
          [
            ...['--config-file', join(folder, 'schemathesis.toml'), 'run', join(folder, 'openapi.json')],
            ...[
              '--url',
              gateway.url,
              '--checks',
              'all',
              '--exclude-checks',
              notChecked.join(','),
              '--continue-on-failure',
              '--no-color',
              '--max-time',
              `${left}`,
            ],
            ...['--suppress-health-check', 'all', '--generation-database', 'none', '--warnings', 'off'],
            ...['--seed', String(Number(values.seed) * 1_000 + round), '--max-examples', String(examplesPerRound)],
            // What is not random is the same in every round.
            ...['--phases', round === 1 ? 'examples,coverage,fuzzing,stateful' : 'fuzzing,stateful'],
            ...names.filter((_, index) => index % parts === part).flatMap((name) => ['--include-operation-id', name]),
          ],
          { ...env, HOLDFAST_FUZZ_KNOWN: JSON.stringify({ url, account, ids }) },
          logs[part] ?? '',
        ),
      ),
    );
    ({ all, byStatus } = await counted(gateways));
    say(`round ${round}: ${all.toLocaleString('en')} of ${wanted.toLocaleString('en')} cases`);
    holds = exits.every((code) => code === 0);
    for (const log of logs) process.stdout.write(failuresIn(log));
  }
  say(`\n${all.toLocaleString('en')} cases, by the status of the answer:`);
  for (const [status, count] of Object.entries(byStatus)) say(`  ${status}  ${count.toLocaleString('en')}`);
  if (all < wanted) say(`The time was up after ${all} of ${wanted} cases.`);
  const failed = Object.entries(byStatus).reduce(
    (sum, [status, count]) => sum + (Number(status) >= 500 ? count : 0),
    0,
  );
  const made = await generateClient(join(folder, 'openapi.json'), join(folder, 'python-client'));
  const leftOut = made?.leftOut;
  if (leftOut === undefined) say('A Python client was not generated: its generator could not be had.');
  else if (leftOut.length > 0) say(`The Python client leaves out:\n${leftOut.join('\n')}`);
  else say('A Python client was generated from the document and leaves nothing out.');
  holds = holds && failed === 0 && all >= wanted && (leftOut ?? []).length === 0;
} finally {
  endChildren();
  await stack.stop();
}
say(holds ? 'The API is as its document says.' : `The API is not as its document says; the logs are in ${folder}.`);
process.exit(holds ? 0 : 1);
