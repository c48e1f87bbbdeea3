/**
 * The bundles that go to Lambda work: all load, and the way from a registration to an allocation runs through them on the
 * real stack. A bundle leaves things out that its source has (see infra/bundle/), so the tests of the source do not show it.
 */

import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JWK } from 'jose';
import { afterStep, publicHalves, rotationSteps, type SigningKeys } from '#infra/signing-keys.ts';
import { readDeclared } from '#local/serverless-config.ts';
import { projectRoot } from '#local/state-folder.ts';
import type { Deps } from '#platform/environment/deps.ts';
import { openTokens } from '#platform/security/access-token.ts';
import { newId } from '#test/support/ids.ts';
import type { Order } from '../support/bundle-runner.ts';
import { type Package, packaged, packagingLimitMs } from '../support/package.ts';
import { givenSale, openBed } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let made: Package;
let bed: TestBed;
let deps: Deps;
beforeAll(async () => {
  [made, bed] = await Promise.all([packaged(), testBed()]);
  deps = await openBed(bed);
}, packagingLimitMs);
afterAll(async () => {
  await deps?.close();
  await bed?.close();
});

const { functions } = await readDeclared();

function bundleOf(key: string): string {
  const handler = functions.find((one) => one.key === key)?.handler ?? '';
  return join(made.unpacked.get(key) ?? '', handler.replace(/\.handler$/, '.mjs'));
}

// biome-ignore lint/suspicious/noExplicitAny: the answers of different functions have different shapes.
function run(orders: Order[], env: Record<string, string> = {}): Promise<any[]> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      process.execPath,
      [join(projectRoot, 'test', 'support', 'bundle-runner.ts')],
      { env: { ...bed.env, ...env }, timeout: 60_000, maxBuffer: 16 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error) reject(new Error(`${error.message}\n${stderr}`));
        else resolve(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''));
      },
    );
    child.stdin?.end(JSON.stringify(orders));
  });
}

const request = (
  method: string,
  path: string,
  options: { token?: string; json?: unknown; key?: string; params?: object } = {},
) => ({
  rawPath: path,
  headers: {
    ...(options.json === undefined ? {} : { 'content-type': 'application/json' }),
    ...(options.token ? { authorization: `Bearer ${options.token}` } : {}),
    ...(options.key ? { 'idempotency-key': options.key } : {}),
  },
  pathParameters: options.params,
  body: options.json === undefined ? undefined : JSON.stringify(options.json),
  isBase64Encoded: false,
  requestContext: { http: { method, path, sourceIp: '203.0.113.7' } },
});

test('every bundle loads, also where there is nothing but itself', async () => {
  const keys = (await readDeclared()).functions.map(({ key }) => key);
  expect(await run(keys.map((key) => ({ bundle: bundleOf(key) })))).toEqual(keys.map(() => 'function'));
}, 60_000);

test('a customer signs up, signs in, reserves, and is allocated', async () => {
  const saleId = await givenSale(deps, { allotment: 5 });
  const email = `${newId()}@example.com`;
  const password = 'correct horse battery';
  const [registered, signedIn] = await run([
    {
      bundle: bundleOf('register'),
      event: request('POST', '/auth/register', { json: { email, password, name: 'Zoë' } }),
    },
    { bundle: bundleOf('login'), event: request('POST', '/auth/login', { json: { email, password } }) },
  ]);
  expect([registered.statusCode, signedIn.statusCode]).toEqual([201, 200]);
  const token = JSON.parse(signedIn.body).accessToken as string;

  const [accepted, me] = await run([
    {
      bundle: bundleOf('create-reservation'),
      event: request('POST', `/sales/${saleId}/reservations`, {
        token,
        key: 'once',
        params: { saleId },
        json: { quantity: 2, fill: 'all' },
      }),
    },
    { bundle: bundleOf('customer-reads'), event: { routeKey: 'GET /me', ...request('GET', '/me', { token }) } },
  ]);
  expect([accepted.statusCode, me.statusCode]).toEqual([202, 200]);
  expect(JSON.parse(me.body)).toMatchObject({ name: 'Zoë' });
  const { reservationId, ticket } = JSON.parse(accepted.body);

  const { customerId } = JSON.parse(registered.body);
  const body = JSON.stringify({ reservationId, saleId, customerId, quantity: 2, atLeast: 2, ticket });
  const [allocated, read] = await run([
    {
      bundle: bundleOf('allocate'),
      event: {
        Records: [
          {
            messageId: newId(),
            receiptHandle: 'none',
            body,
            eventSourceARN: `arn:aws:sqs:us-east-1:000000000000:${bed.id}-holdfast-local-reservations`,
            attributes: { SentTimestamp: String(Date.now()), ApproximateReceiveCount: '1' },
          },
        ],
      },
    },
    {
      bundle: bundleOf('get-reservation'),
      event: request('GET', `/reservations/${reservationId}`, { token, params: { reservationId } }),
    },
  ]);
  expect(allocated).toEqual({ batchItemFailures: [] });
  expect(JSON.parse(read.body)).toMatchObject({ state: 'allocated', units: 2 });
}, 60_000);

test('an operator imports products from a file in CP949, whose tables only that bundle has', async () => {
  const tokens = await openTokens(bed.registry['secret/token-signing-key'] ?? '', deps.clock);
  const token = await tokens.issue({ customerId: newId(), role: 'operator' });
  const sku = newId();
  // The name in CP949: a syllable of the KS X 1001 table, and one that only CP949 has.
  const name = Buffer.from([0xc0, 0xc7, 0xc0, 0xda, 0x8c, 0x63]);
  const file = Buffer.concat([
    Buffer.from(`sku,name,description,price_minor,currency\n${sku},`),
    name,
    Buffer.from(',,100,KRW\n'),
  ]);
  const event = request('POST', '/products/import', { token });
  const [imported] = await run([
    {
      bundle: bundleOf('operate-look-up'),
      event: {
        ...event,
        routeKey: 'POST /products/import',
        headers: { ...event.headers, 'content-type': 'application/octet-stream' },
        queryStringParameters: { encoding: 'cp949' },
        body: file.toString('base64'),
        isBase64Encoded: true,
      },
    },
  ]);
  expect([imported.statusCode, JSON.parse(imported.body)]).toEqual([200, { created: 1, updated: 0 }]);
  expect(await deps.db.rows('SELECT name FROM products WHERE sku = ?', [sku])).toEqual([{ name: '의자똠' }]);
}, 60_000);

test('a function with only the public key verifies tokens, and one that signs needs the private key', async () => {
  const signingKey = bed.registry['secret/token-signing-key'] ?? '';
  const { d: _private, ...publicKey } = JSON.parse(signingKey);
  const verifier = await openTokens(JSON.stringify(publicKey), deps.clock);
  const signer = await openTokens(signingKey, deps.clock);
  const caller = { customerId: newId(), role: 'customer' } as const;
  expect(await verifier.verify(await signer.issue(caller))).toMatchObject(caller);
  await expect(verifier.issue(caller)).rejects.toThrow('no private key to sign');
});

test('while one signing key replaces another, packaged functions refuse no token, and afterwards those of the old one', async () => {
  const fresh = () => generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }) as JWK;
  const stages: SigningKeys[] = [{ keys: [JSON.parse(bed.registry['secret/token-signing-key'] ?? '')] }];
  for (const step of rotationSteps) stages.push(afterStep(step, stages.at(-1) as SigningKeys, fresh));
  const issued = await Promise.all(
    stages.map(async (keys) =>
      (await openTokens(JSON.stringify(keys), deps.clock)).issue({ customerId: newId(), role: 'customer' }),
    ),
  );
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-rotation-'));
  const statuses: number[][] = [];
  for (const [index, keys] of stages.entries()) {
    const { 'secret/token-signing-key': _private, ...registry } = bed.registry;
    const file = join(folder, `${index}.json`);
    writeFileSync(file, JSON.stringify({ ...registry, 'token/verification-key': JSON.stringify(publicHalves(keys)) }));
    const list = (token: string) => ({
      bundle: bundleOf('customer-lists'),
      event: { routeKey: 'GET /reservations', ...request('GET', '/reservations', { token }) },
    });
    const answers = await run(issued.map(list), { HOLDFAST_REGISTRY: file });
    statuses.push(answers.map(({ statusCode }) => statusCode));
  }
  rmSync(folder, { recursive: true });
  // By the stage of the function, and in each by that of whoever issued the token: those beside each other know each other.
  expect(statuses).toEqual([
    [200, 200, 401, 401],
    [200, 200, 200, 200],
    [200, 200, 200, 200],
    [401, 401, 200, 200],
  ]);
}, 60_000);
