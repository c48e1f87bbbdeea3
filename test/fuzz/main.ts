/**
 * `npm run fuzz`: holds the API to its document with requests that Schemathesis invents, those that the document allows and those
 * that it forbids.
 *
 * Nothing may fail on our side (5xx); every answer is as the document says; what it allows is taken, or refused for what it asks
 * for (401, 403, 404, 409, 422, 429); what it forbids is refused as malformed. The exit code is 0 only if all of it holds and as
 * many cases were run as were asked for. The last step generates a Python client from the document, which must leave nothing out.
 *
 * Everything listens on loopback. The functions run behind gateways of their own (gateway.ts), one for each processor, each with
 * a Schemathesis that has a part of the operations. Rounds go on, each with other seeds, until there are enough cases or the time
 * is up.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createWriteStream, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { apiDocument } from '#functions/http/document.ts';
import { routes } from '#functions/http/routes.ts';
import { seedOperator } from '#identity/register.ts';
import { ownArguments } from '#local/arguments.ts';
import { startStack } from '#local/stack.ts';
import { defaultFolder } from '#local/state-folder.ts';
import { externalIdPattern } from '#platform/handlers/input.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { scopes } from '#platform/security/scopes.ts';
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
/** How long a round may take. A Schemathesis invents more as long as it has time; what it finds is told at the end of a round. */
const roundMs = values.quick ? 90_000 : 300_000;
/** Every so many rounds a program calls, with an API key; in the others a person who is an admin. */
const programsEvery = 3;
/** How many examples of each kind an operation has before the next one has its turn. */
const examplesPerTurn = 20;
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
 * cancelled. What is at one place of the lists belongs together.
 */
async function furnish(url: string, token: string, round: number): Promise<Record<string, string[]>> {
  const { call } = callsTo(url);
  const at = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
  const ids: Record<string, string[]> = {};
  const keep = <Name extends string>(name: Name, made: Record<Name, string>): string => {
    ids[name] = [...(ids[name] ?? []), made[name]];
    return made[name];
  };
  const post = <Made>(path: string, body: object, key?: string) => call<Made>('POST', path, { token, body, key });
  keep('customerId', await call('GET', '/me', { token }));
  // Of endpoints there cannot be more and more.
  const { items } = await call<{ items: { endpointId: string }[] }>('GET', '/webhook-endpoints', { token });
  for (const { endpointId } of items) await call('DELETE', `/webhook-endpoints/${endpointId}`, { token });
  const bought: { reservationId: string; statusUrl: string }[] = [];
  for (let index = 0; index < 20; index++) {
    const price = { amountMinor: 100 + index, currency: 'EUR' };
    const product = { sku: `FUZZ-${round}-${index}`, name: `Thing ${index}`, description: '', price };
    const productId = keep('productId', await post<{ productId: string }>('/products', product));
    const picture = { type: 'image/png', bytes: 1_000, alt: { en: `Thing ${index}`, ko: `물건 ${index}` } };
    keep('pictureId', await post<{ pictureId: string }>(`/products/${productId}/pictures`, picture));
    const sale = {
      ...{ productId, name: `Sale ${index}`, allotment: 1_000, capPerCustomer: 1_000, waitlistSize: 100 },
      ...{ reserveOpensAt: at(-1), reserveClosesAt: at(20), purchaseOpensAt: at(-1), purchaseClosesAt: at(24) },
    };
    const saleId = keep('saleId', await post<{ saleId: string }>('/sales', sale));
    const reserve = (use: string) =>
      post<{ reservationId: string; statusUrl: string }>(
        `/sales/${saleId}/reservations`,
        { quantity: 2 },
        `${use}-${round}-${index}`,
      );
    keep('reservationId', await reserve('keep'));
    bought.push(await reserve('buy'));
    const endpoint = { url: `http://127.0.0.1:9/${index}`, events: ['sale.changed'] };
    const endpointId = keep('endpointId', await post<{ endpointId: string }>('/webhook-endpoints', endpoint));
    const again = await post<{ redeliveryId: string }>(`/webhook-endpoints/${endpointId}/redeliveries`, {
      since: at(-1),
    });
    keep('redeliveryId', again);
    const key = { name: `Key ${index}`, scopes: ['sales:read'] };
    keep('keyId', await post<{ keyId: string }>('/ops/api-keys', key));
  }
  for (const [index, { reservationId, statusUrl }] of bought.entries()) {
    // The worker allocates in its own time; a stack that never does is none to hold the API to its document on.
    for (let state = 'requested'; state === 'requested'; ) {
      ({ state } = await call<{ state: string }>('GET', statusUrl, { token }));
    }
    // Captured, declined, and waiting for the customer: each can be asked for other things.
    const paymentToken = ['tok_approve', 'tok_decline', 'tok_action'][index % 3] ?? '';
    const purchase = { reservationIds: [reservationId], paymentToken };
    keep('purchaseId', await post<{ purchaseId: string }>('/purchases', purchase, `pay-${round}-${index}`));
  }
  return ids;
}

/** An API key that may do everything, and whom it can act for: the account that has what there is. */
async function asProgram(url: string, token: string, customerId: string, round: number): Promise<object> {
  const { call } = callsTo(url);
  const customer = `fuzz-${round}`;
  await call('POST', `/ops/customers/${customerId}/external-id`, { token, body: { externalId: customer } });
  const { key } = await call<{ key: string }>('POST', '/ops/api-keys', { token, body: { name: customer, scopes } });
  return { key, customer, customerPattern: externalIdPattern.source };
}

type Counts = Record<string, Record<string, number>>;

interface Counted {
  readonly all: number;
  readonly byStatus: Record<string, number>;
  /** How many failed on our side, a line for each operation and status. */
  readonly failed: readonly string[];
}

async function counted(gateways: readonly Gateway[]): Promise<Counted> {
  const byStatus: Record<string, number> = {};
  const failed: string[] = [];
  for (const { url } of gateways) {
    const counts = (await (await fetch(`${url}/counts`)).json()) as Counts;
    for (const [route, statuses] of Object.entries(counts)) {
      for (const [status, count] of Object.entries(statuses)) {
        // That a part does not answer in time is no failure of the one who says so.
        if (route === 'GET /health' && status === '503') continue;
        byStatus[status] = (byStatus[status] ?? 0) + count;
        if (Number(status) >= 500) failed.push(`${route}: ${count} × ${status}`);
      }
    }
  }
  return { all: Object.values(byStatus).reduce((sum, count) => sum + count, 0), byStatus, failed };
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

/** The seed of a round. A Schemathesis goes on from it to the next ones, one for each turn. */
const seedOf = (round: number) => (Number(values.seed) * 1_000_000 + round * 1_000) % 2 ** 31;

/** What a log says has failed. */
function failuresIn(log: string): string {
  const text = readFileSync(log, 'utf8');
  const begin = text.search(/=+ (?:FAILURES|ERRORS) =+/);
  return begin < 0 ? '' : text.slice(begin);
}

mkdirSync(folder, { recursive: true });
// What the logs say is of this run.
for (const name of readdirSync(folder)) if (/^(gateway|round)-.*\.log$/.test(name)) rmSync(join(folder, name));
const schemathesisAt = await schemathesis();
if (schemathesisAt === undefined) process.exit(1);
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
  // By turns, so that no part has all that is slow; in every second round by nouns, whose operations lead to each other.
  const partOf = (index: number, round: number) =>
    round % 2 === 1 ? index % parts : Math.floor((index * parts) / names.length);
  let { all, byStatus, failed } = await counted(gateways);
  for (let round = 1; holds && all < wanted && Date.now() < untilMs; round++) {
    const asked = await callsTo(url).call<{ accessToken: string }>('POST', '/auth/login', { body: account });
    const ids = await furnish(url, asked.accessToken, round);
    const isByProgram = round % programsEvery === 0;
    const program = isByProgram ? await asProgram(url, asked.accessToken, ids.customerId?.[0] ?? '', round) : {};
    const seconds = Math.max(1, Math.ceil(Math.min(roundMs, untilMs - Date.now()) / 1_000));
    const logs = gateways.map((_, part) => join(folder, `round-${round}-${part + 1}.log`));
    const exits = await Promise.all(
      gateways.map((gateway, part) =>
        run(
          schemathesisAt,
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
              `${seconds}`,
            ],
            ...['--suppress-health-check', 'all', '--generation-database', 'none', '--warnings', 'off'],
            ...['--seed', String(seedOf(round)), '--max-examples', String(examplesPerTurn)],
            // What is not random is the same in every round of people, and of programs.
            ...[
              '--phases',
              round === 1 || round === programsEvery ? 'examples,coverage,fuzzing,stateful' : 'fuzzing,stateful',
            ],
            ...names
              .filter((_, index) => partOf(index, round) === part)
              .flatMap((name) => ['--include-operation-id', name]),
          ],
          { ...env, HOLDFAST_FUZZ_KNOWN: JSON.stringify({ url, account, ids, ...program }) },
          logs[part] ?? '',
        ),
      ),
    );
    ({ all, byStatus, failed } = await counted(gateways));
    say(`round ${round}, seed ${seedOf(round)}: ${all.toLocaleString('en')} of ${wanted.toLocaleString('en')} cases`);
    holds = exits.every((code) => code === 0);
    for (const log of logs) process.stdout.write(failuresIn(log));
  }
  say(`\n${all.toLocaleString('en')} cases, by the status of the answer:`);
  for (const [status, count] of Object.entries(byStatus)) say(`  ${status}  ${count.toLocaleString('en')}`);
  if (all < wanted) say(`The time was up after ${all} of ${wanted} cases.`);
  if (failed.length > 0) say(`Failed on our side; why is in the logs of the gateways:\n${failed.join('\n')}`);
  const made = await generateClient(join(folder, 'openapi.json'), join(folder, 'python-client'));
  const leftOut = made?.leftOut;
  if (leftOut === undefined) say('A Python client was not generated: its generator could not be had.');
  else if (leftOut.length > 0) say(`The Python client leaves out:\n${leftOut.join('\n')}`);
  else say('A Python client was generated from the document and leaves nothing out.');
  holds = holds && failed.length === 0 && all >= wanted && (leftOut ?? []).length === 0;
} finally {
  endChildren();
  await stack.stop();
}
say(holds ? 'The API is as its document says.' : `The API is not as its document says; the logs are in ${folder}.`);
process.exit(holds ? 0 : 1);
