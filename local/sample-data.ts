/**
 * Sample data for `npm start`: an operator, customers, products, and sales in every phase.
 *
 * Everything but the operator is created through the public API. Idempotent: it adds nothing while a sale is still open.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient, dataOf } from '#client/index.ts';
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
  const anybody = createClient({ api, token: () => undefined }).http;
  await Promise.all(
    accounts.customers.map(({ email, password }) =>
      anybody.POST('/auth/register', { body: { email, password, name: email.split('@')[0] ?? '' } }),
    ),
  );
  const { accessToken } = await dataOf(anybody.POST('/auth/login', { body: accounts.operator }));
  const { http } = createClient({ api, token: () => accessToken });
  await http.POST('/products/import', {
    headers: { 'content-type': 'text/csv' },
    ...{ body: productsCsv, bodySerializer: (text: string) => text },
  });

  const { items: sales } = await dataOf(anybody.GET('/sales', { params: { query: { limit: 50 } } }));
  if (sales.some(({ phase, status }) => status === 'active' && phase !== 'closed')) return accounts;
  const { items: products } = await dataOf(anybody.GET('/products'));
  const productOf = (sku: string) => products.find((product) => product.sku === sku)?.productId ?? '';
  const now = Date.now();
  const at = (minutes: number) => new Date(now + minutes * minuteMs).toISOString();
  const common = { capPerCustomer: 4, waitlistSize: 200, offerLifeSeconds: 120 };
  const planned = [
    { sku: 'LAMP-01', name: 'Desk lamps, autumn batch', allotment: 100, times: [0, 30, 30, 90] },
    { sku: 'VINYL-07', name: 'First pressing, reserve for two minutes', allotment: 20, times: [0, 2, 2, 60] },
    { sku: 'SEAT-A', name: 'Opening night, reservations open soon', allotment: 50, times: [3, 15, 16, 60] },
  ];
  for (const { sku, name, allotment, times } of planned) {
    const [reserveOpensAt = '', reserveClosesAt = '', purchaseOpensAt = '', purchaseClosesAt = ''] = times.map(at);
    const window = { reserveOpensAt, reserveClosesAt, purchaseOpensAt, purchaseClosesAt };
    await http.POST('/sales', { body: { ...common, productId: productOf(sku), name, allotment, ...window } });
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
