/**
 * Sample data for `npm start`: an operator, customers, products, and sales in every phase.
 *
 * Everything but the operator is created through the public API. Idempotent: it adds nothing while a sale is still open.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { seedOperator } from '#identity/register.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { customersSettingOf } from '#platform/security/issuers.ts';
import type { Stack } from './stack.ts';

const customerNames = ['ada', 'grace', 'alan'];
const minuteMs = 60_000;

const productsCsv = `sku,name,description,price_minor,currency
LAMP-01,Desk lamp,Brass arm and a linen shade; made in one batch a year,8900,EUR
VINYL-07,First pressing,"Double LP, numbered sleeve",3450,EUR
SEAT-A,"Balcony seat, opening night",One evening only,12000,EUR
`;

interface Account {
  email: string;
  password: string;
}

/** The accounts and their passwords; kept in the folder, so that a second start has the same ones. */
export interface SampleAccounts {
  operator: Account;
  customers: Account[];
}

interface Sale {
  saleId: string;
  phase: string;
  status: string;
}

/** Creates what is missing. Returns the accounts; where customers may not open accounts, there are none of theirs. */
export async function addSampleData(stack: Stack): Promise<SampleAccounts> {
  const known = sampleAccounts(stack.dir);
  const { ownAccounts } = customersSettingOf({ registry: stack.registry });
  const accounts = ownAccounts ? known : { ...known, customers: [] };
  const db = openDb(stack.addresses.mysql, { connections: 1 });
  try {
    await seedOperator({ db, clock: systemClock }, accounts.operator);
  } finally {
    await db.close();
  }
  const { api } = stack.addresses;
  await Promise.all(
    accounts.customers.map(({ email, password }) =>
      call(api, 'POST', '/auth/register', { body: { email, password, name: email.split('@')[0] }, expect: [201] }),
    ),
  );
  const session = await call<{ accessToken: string }>(api, 'POST', '/auth/login', { body: accounts.operator });
  const token = session.accessToken;
  await call(api, 'POST', '/products/import', { token, text: productsCsv });

  const { items: sales } = await call<{ items: Sale[] }>(api, 'GET', '/sales?limit=50', {});
  if (sales.some(({ phase, status }) => status === 'active' && phase !== 'closed')) return accounts;
  const { items: products } = await call<{ items: { productId: string; sku: string }[] }>(api, 'GET', '/products', {});
  const productOf = (sku: string) => products.find((product) => product.sku === sku)?.productId;
  const now = Date.now();
  const at = (minutes: number) => new Date(now + minutes * minuteMs).toISOString();
  const common = { capPerCustomer: 4, waitlistSize: 200, offerLifeSeconds: 120 };
  const planned = [
    { sku: 'LAMP-01', name: 'Desk lamps, autumn batch', allotment: 100, times: [0, 30, 30, 90] },
    { sku: 'VINYL-07', name: 'First pressing, reserve for two minutes', allotment: 20, times: [0, 2, 2, 60] },
    { sku: 'SEAT-A', name: 'Opening night, reservations open soon', allotment: 50, times: [3, 15, 16, 60] },
  ];
  for (const { sku, name, allotment, times } of planned) {
    const [reserveOpensAt, reserveClosesAt, purchaseOpensAt, purchaseClosesAt] = times.map(at);
    await call(api, 'POST', '/sales', {
      token,
      body: {
        ...common,
        productId: productOf(sku),
        name,
        allotment,
        reserveOpensAt,
        reserveClosesAt,
        purchaseOpensAt,
        purchaseClosesAt,
      },
    });
  }
  return accounts;
}

function sampleAccounts(dir: string): SampleAccounts {
  const file = join(dir, 'sample.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as SampleAccounts;
  const account = (name: string): Account => ({
    email: `${name}@holdfast.example`,
    password: randomBytes(9).toString('base64url'),
  });
  const made = { operator: account('operator'), customers: customerNames.map(account) };
  writeFileSync(file, JSON.stringify(made, null, 2), { mode: 0o600 });
  return made;
}

interface CallOptions {
  token?: string;
  body?: object;
  /** A body of CSV, for an import. */
  text?: string;
  expect?: number[];
}

async function call<T>(api: string, method: string, path: string, options: CallOptions): Promise<T> {
  const response = await fetch(api + path, {
    method,
    headers: {
      ...(options.token ? { authorization: `Bearer ${options.token}` } : {}),
      ...(options.text ? { 'content-type': 'text/csv' } : options.body ? { 'content-type': 'application/json' } : {}),
    },
    body: options.text ?? (options.body ? JSON.stringify(options.body) : undefined),
    signal: AbortSignal.timeout(20_000),
  });
  const answer = await response.text();
  const expected = options.expect?.includes(response.status) ?? response.ok;
  if (!expected) throw new Error(`sample data: ${method} ${path} answered ${response.status}: ${answer.slice(0, 300)}`);
  return (answer ? JSON.parse(answer) : undefined) as T;
}
