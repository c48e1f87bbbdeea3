/**
 * The package `@holdfast/client` against everything running: its README's lines with the package as it is packed, and its
 * promises over a line that loses answers and a connection that goes silent.
 */
import { execFile } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { type Client, type ClientOptions, createClient, type LinkState, type News, Problem } from '#client/index.ts';
import { projectRoot } from '#local/state-folder.ts';
import { waitFor } from '#local/wait.ts';
import type { Challenge } from '#platform/security/proof-of-work.ts';
import { TroubledProxy } from '../chaos/proxy.ts';
import { confirmAtBank } from '../support/bank.ts';
import { solve } from '../support/proof-of-work.ts';
import { closeBeds, type RunningBed, runningBed } from '../support/running-bed.ts';

const run = promisify(execFile);
/** A machine on which much else runs. */
const slowMs = 120_000;
const readme = readFileSync(join(projectRoot, 'client', 'README.md'), 'utf8');

let running: RunningBed;
const opened: { close(): unknown }[] = [];

beforeAll(async () => {
  running = await runningBed();
}, slowMs);

afterAll(async () => {
  for (const one of opened) await one.close();
  await closeBeds();
}, slowMs);

/** A sale in which reservations and purchases are open. */
async function openSale(terms: object = {}): Promise<string> {
  const at = (ms: number) => new Date(Date.now() + ms).toISOString();
  const call = <T>(path: string, body: object) => running.call<T>('POST', path, { token: running.operator, body });
  const price = { amountMinor: 500, currency: 'EUR' };
  const sku = `C-${crypto.randomUUID().slice(0, 8)}`;
  const { productId } = await call<{ productId: string }>('/products', {
    sku,
    name: 'A thing',
    description: '',
    price,
  });
  const { saleId } = await call<{ saleId: string }>('/sales', {
    ...{ productId, name: 'A sale', allotment: 10, capPerCustomer: 5, waitlistSize: 0 },
    ...{ reserveOpensAt: at(-5_000), reserveClosesAt: at(3_600_000) },
    ...{ purchaseOpensAt: at(-4_000), purchaseClosesAt: at(7_200_000) },
    ...terms,
  });
  return saleId;
}

interface Sent {
  line: string;
  key: string | null;
}

/** A new customer's client, and what it has sent. */
async function customer(name: string, options: Partial<ClientOptions> = {}) {
  const { token } = await running.customer(name);
  const sent: Sent[] = [];
  const client = createClient({
    api: running.api,
    websocket: running.websocket,
    token: () => token,
    // All of these customers come from one address, which asks for work soon.
    prove: (challenge) => solve(challenge as Challenge),
    fetch(request) {
      sent.push({
        line: `${request.method} ${new URL(request.url).pathname}`,
        key: request.headers.get('idempotency-key'),
      });
      return fetch(request);
    },
    ...options,
  });
  opened.push(client);
  return { client, sent, token };
}

/** A proxy before an address of the bed, and the address that leads through it. */
async function proxied(address: string): Promise<{ proxy: TroubledProxy; through: string }> {
  const proxy = await TroubledProxy.open(Number(new URL(address).port), 1);
  opened.push({
    close() {
      proxy.resetAll();
      return proxy.close();
    },
  });
  return { proxy, through: `${new URL(address).protocol}//127.0.0.1:${proxy.port}` };
}

const refusalOf = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => (error instanceof Problem ? error : undefined),
  );

const units = async (client: Client, saleId: string, quantity = 1) =>
  client.waitForDecision(await client.reserve(saleId, { quantity }));

describe('the package', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-client-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** A folder of an application that has installed the package as it is packed; its size. */
  async function installed(): Promise<{ app: string; size: number }> {
    const [source, app] = [join(folder, 'source'), join(folder, 'app')];
    mkdirSync(join(app, 'node_modules', '@holdfast'), { recursive: true });
    const tsc = join(projectRoot, 'node_modules', 'typescript', 'bin', 'tsc');
    await run(process.execPath, [tsc, '--project', join(projectRoot, 'client'), '--outDir', join(source, 'dist')]);
    for (const name of ['package.json', 'README.md']) cpSync(join(projectRoot, 'client', name), join(source, name));
    const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts'], { cwd: source });
    const [{ filename, size, files }] = JSON.parse(stdout) as [
      { filename: string; size: number; files: { path: string }[] },
    ];
    expect(files.map(({ path }) => path).filter((path) => /test|node_modules/.test(path))).toEqual([]);
    await run('tar', ['-xzf', filename], { cwd: source });
    renameSync(join(source, 'package'), join(app, 'node_modules', '@holdfast', 'client'));
    for (const name of readdirSync(join(projectRoot, 'node_modules')).filter(
      (one) => one.startsWith('openapi-fetch') || one === 'openapi-typescript-helpers',
    )) {
      symlinkSync(join(projectRoot, 'node_modules', name), join(app, 'node_modules', name));
    }
    return { app, size };
  }

  test(
    'is as large as its README says, its lines reserve, wait and buy, and its types hold',
    async () => {
      const { app, size } = await installed();
      const [, packed, inPage] = /Less than (\d+) kB packed, less than (\d+) kB in a page/.exec(readme) ?? [];
      expect(size).toBeLessThan(1_000 * Number(packed));
      const bundle = await build({
        ...{ stdin: { contents: "export * from '@holdfast/client'", resolveDir: app }, bundle: true, minify: true },
        ...{ format: 'esm', write: false },
      });
      expect(gzipSync(bundle.outputFiles[0]?.contents ?? '').length).toBeLessThan(1_000 * Number(inPage));

      const [, lines = ''] = /## Ten lines\n\n```js\n([\s\S]*?)```/.exec(readme) ?? [];
      expect(lines.split('\n').filter((line) => line !== '')).toHaveLength(10);
      writeFileSync(join(app, 'buy.mjs'), lines);
      const { token } = await running.customer('reader');
      const { api: API, websocket: WEBSOCKET } = running;
      const env = { ...process.env, API, WEBSOCKET, TOKEN: token, SALE: await openSale() };
      const { stdout } = await run(process.execPath, [join(app, 'buy.mjs')], { env });
      expect(stdout).toBe("captured { amountMinor: 1000, currency: 'EUR' }\n");

      const caller = [
        "import { createClient, type Problem, type Purchase } from '@holdfast/client';",
        "const client = createClient({ api: '', token: () => 'a' });",
        "export const paid: Purchase = await client.waitForPayment(await client.buy({ items: [], paymentToken: 't' }));",
        "export const { data } = await client.http.POST('/purchases', { body: { reservationIds: [], paymentToken: '' } });",
        "export const isFull = (problem: Problem) => problem.code === 'sold_out';",
        '// @ts-expect-error',
        "await client.reserve('sale', { amount: 1 });",
      ].join('\n');
      writeFileSync(join(app, 'caller.ts'), caller);
      const compilerOptions = { module: 'nodenext', target: 'es2022', lib: ['es2023', 'dom'], strict: true, types: [] };
      writeFileSync(
        join(app, 'tsconfig.json'),
        JSON.stringify({ compilerOptions: { ...compilerOptions, noEmit: true }, files: ['caller.ts'] }),
      );
      writeFileSync(join(app, 'package.json'), '{"type":"module"}');
      const tsc = join(projectRoot, 'node_modules', 'typescript', 'bin', 'tsc');
      const checked = await run(process.execPath, [tsc, '--project', app]).catch((error: { stdout: string }) => error);
      expect(checked.stdout).toBe('');
    },
    slowMs,
  );
});

describe('over a line that loses answers', () => {
  test(
    'what is asked for once is done once, under one key',
    async () => {
      const { proxy, through } = await proxied(running.api);
      const { client, sent } = await customer('lossy', { api: through, websocket: undefined });
      const saleId = await openSale();
      proxy.set({ rules: [{ match: 'POST /sales/', action: 'cut after', times: 2 }] });
      const reservation = await units(client, saleId, 2);
      const reserving = sent.filter(({ line }) => line.startsWith('POST /sales/'));
      expect(reserving.length).toBeGreaterThan(2);
      expect([proxy.cuts, new Set(reserving.map(({ key }) => key)).size]).toEqual([2, 1]);

      proxy.set({ rules: [{ match: 'POST /purchases', action: 'cut after', times: 2 }] });
      const { reservationId } = reservation;
      const paid = await client.waitForPayment(
        await client.buy({ reservationIds: [reservationId], paymentToken: 'tok_approve' }),
      );
      const buying = sent.filter(({ line }) => line === 'POST /purchases');
      expect(buying.length).toBeGreaterThan(2);
      expect([proxy.cuts, new Set(buying.map(({ key }) => key)).size]).toEqual([4, 1]);
      expect(paid.state).toBe('captured');

      const { data: all } = await client.http.GET('/reservations', {});
      const { data: purchases } = await client.http.GET('/purchases', {});
      expect(all?.items.map((one) => [one.reservationId, one.state])).toEqual([[reservationId, 'purchased']]);
      expect(purchases?.items.map(({ purchaseId }) => purchaseId)).toEqual([paid.purchaseId]);
    },
    slowMs,
  );

  test(
    'tries end, and the key of the failure finds out later what became of it; without a key nothing is sent twice',
    async () => {
      const { proxy, through } = await proxied(running.api);
      const { client, sent } = await customer('patient', { api: through, websocket: undefined, tries: 3 });
      const saleId = await openSale();
      proxy.set({ rules: [{ match: 'POST /sales/', action: 'cut after' }] });
      const problem = await refusalOf(client.reserve(saleId, { quantity: 1 }));
      expect([problem?.status, problem?.code, sent.length]).toEqual([0, 'unreachable', 3]);
      expect(sent.map(({ key }) => key)).toEqual([problem?.key, problem?.key, problem?.key]);

      proxy.set();
      const { reservationId } = await client.waitForDecision(
        await client.reserve(saleId, { quantity: 1 }, { key: problem?.key }),
      );
      const { data } = await client.http.GET('/reservations', {});
      expect(data?.items.map((one) => one.reservationId)).toEqual([reservationId]);

      // No mail program sends a key, so the document knows none here.
      proxy.set({ rules: [{ match: 'POST /unsubscribe', action: 'cut after' }] });
      sent.length = 0;
      const params = { query: { token: 'whose.ever' } };
      expect((await refusalOf(client.http.POST('/unsubscribe', { params })))?.code).toBe('unreachable');
      expect(sent.map(({ key }) => key)).toEqual([null]);
    },
    slowMs,
  );
});

describe('a connection that goes silent', () => {
  test(
    'is found, though nobody ends it; another takes its place and watches what was watched; decisions are found meanwhile',
    async () => {
      const { proxy, through } = await proxied(running.websocket);
      const states: LinkState[] = [];
      const { client } = await customer('silent', {
        websocket: through,
        pingMs: 500,
        onState: (state) => states.push(state),
      });
      const saleId = await openSale({ allotment: 1_000, capPerCustomer: 1_000 });
      const stock: News[] = [];
      client.watch(saleId, (news) => stock.push(news));
      /** A push of the stock; one before the server knows what is watched is missed, so there is more than one occasion. */
      const stockIsPushed = () => {
        const before = stock.length;
        const occasion = async () => {
          await units(client, saleId);
          return stock.length > before;
        };
        return waitFor('the stock to be pushed', occasion, { timeoutMs: 60_000, lookAgainMs: 1_000 });
      };
      await stockIsPushed();

      proxy.set({ halfOpen: true });
      const connectionsCut = proxy.cuts;
      await waitFor('the silence to be noticed', () => states.at(-1) === 'reconnecting', { timeoutMs: 60_000 });
      expect(proxy.cuts).toBe(connectionsCut);
      expect((await units(client, saleId)).state).toBe('allocated');

      proxy.set();
      await waitFor('the connection to come back', () => states.at(-1) === 'live', { timeoutMs: 60_000 });
      await stockIsPushed();
    },
    slowMs * 2,
  );
});

test(
  'many reservations are bought at once; a payment that waits for the customer is waited for, who is told once where',
  async () => {
    const { client } = await customer('bulk');
    const first = await units(client, await openSale(), 2);
    const second = await units(client, await openSale());
    const told: string[] = [];
    const failed = new AbortController();
    const order = {
      items: [{ reservationId: first.reservationId, units: 1 }, { reservationId: second.reservationId }],
    };
    const purchase = await client.buy({ ...order, paymentToken: 'tok_action' });
    const paid = await client.waitForPayment(purchase, {
      signal: failed.signal,
      onAction({ url }) {
        told.push(url);
        confirmAtBank(running, purchase.purchaseId, url).catch((error: unknown) => failed.abort(error));
      },
    });
    expect([paid.state, paid.amount.amountMinor, paid.items.map((item) => item.units)]).toEqual([
      'captured',
      1_000,
      [1, 1],
    ]);
    expect(told).toHaveLength(1);
  },
  slowMs,
);

test(
  'what is refused is a problem with the code that the document has',
  async () => {
    const { client, sent } = await customer('refused');
    const saleId = await openSale();
    const tooMany = await refusalOf(client.reserve(saleId, { quantity: 6 }));
    expect([tooMany?.status, tooMany?.code, tooMany?.body.code]).toEqual([409, 'over_cap', 'over_cap']);
    const malformed = await refusalOf(client.reserve(saleId, { quantity: 0 }));
    expect([malformed?.code, malformed?.body.fields?.[0]?.field]).toEqual(['invalid_input', 'quantity']);
    const unknown = { reservationIds: [crypto.randomUUID()], paymentToken: 'tok_approve' };
    expect((await refusalOf(client.buy(unknown)))?.code).toBe('not_found');
    expect(sent.filter(({ line }) => line === 'POST /purchases')).toHaveLength(1);
    const given = await refusalOf(
      client.waitForDecision({ reservationId: crypto.randomUUID() } as never).then(() => undefined),
    );
    expect(given?.code).toBe('not_found');
  },
  slowMs,
);

test(
  'who stops waiting is given the reason',
  async () => {
    const { client } = await customer('hasty');
    const accepted = await client.reserve(await openSale(), { quantity: 1 });
    await expect(client.waitForDecision(accepted, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
      'enough',
    );
  },
  slowMs,
);
