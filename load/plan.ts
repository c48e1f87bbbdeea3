/**
 * What a load run needs before the first request: a product, sales as the scenario wants them, and customers who are
 * signed in already.
 *
 * Customers are written into the store and given tokens signed with the stack's own key, in the place of thousands of
 * registrations and logins: hashing passwords slowly is what those are for, and not what is asked here.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { seedOperator } from '#identity/register.ts';
import type { Stack } from '#local/stack.ts';
import { systemClock } from '#platform/kernel/clock.ts';
import { newId, toBytes } from '#platform/kernel/ids.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import { openTokens } from '#platform/security/access-token.ts';
import { Account, Api, Operator } from './client.ts';
import type { Member } from './crowd.ts';
import { ClientLog } from './log.ts';

/** What the virtual users are told, as a file. */
export interface LoadPlan {
  /** The clients' log that artillery writes. */
  readonly log: string;
  readonly saleIds: readonly string[];
  /** In the order in which they arrive; those of a crowd are of a kind, and come from an address of their own choice. */
  readonly customers: readonly ({ readonly customerId: string; readonly token: string } & Partial<Member>)[];
  /** The most units one request asks for. */
  readonly mostPerRequest: number;
}

/** The sales of a scenario. */
export interface SalesWanted {
  readonly count: number;
  readonly allotment: number;
  readonly waitlistSize: number;
  readonly capPerCustomer: number;
  readonly mostPerRequest: number;
  /** Seconds from the start of the load to the opening of the reservation period; negative: it is open already. */
  readonly opensInSeconds: number;
  /** Whether units can be bought as soon as they are allocated. */
  readonly buyable: boolean;
}

const minuteMs = 60_000;
const customersInStatement = 1_000;
/** From the end of the preparation to artillery's first request. */
const artilleryStartMs = 2_500;

/** Prepares a run; returns the plan's file and the logs that the verifier needs. */
export async function prepareRun(
  stack: Stack,
  wanted: SalesWanted,
  customers: number,
  crowd: readonly Member[] = [],
): Promise<{ planFile: string; logs: string[]; plan: LoadPlan }> {
  const setupLog = new ClientLog(join(stack.dir, 'operator.jsonl'));
  const api = new Api({ url: stack.addresses.api, log: setupLog, connections: 4 });
  try {
    const signedIn = await signInCustomers(stack, customers);
    const operator = await signInOperator(stack, api);
    await operator.importProducts(
      'sku,name,description,price_minor,currency\nLOAD-1,Load test,Made for this run,4900,EUR\n',
    );
    const product = (await operator.products())[0];
    if (!product) throw new Error('the product was not imported');
    const saleIds: string[] = [];
    for (let number = 1; number <= wanted.count; number++) {
      const opensMs = Date.now() + artilleryStartMs + wanted.opensInSeconds * 1_000;
      const buysMs = wanted.buyable ? opensMs : opensMs + 60 * minuteMs;
      const sale = await operator.createSale({
        productId: product.productId,
        name: `Sale ${number}`,
        allotment: wanted.allotment,
        capPerCustomer: wanted.capPerCustomer,
        waitlistSize: wanted.waitlistSize,
        offerLifeSeconds: 600,
        reserveOpensAt: new Date(opensMs).toISOString(),
        reserveClosesAt: new Date(opensMs + 60 * minuteMs).toISOString(),
        purchaseOpensAt: new Date(buysMs).toISOString(),
        purchaseClosesAt: new Date(buysMs + 120 * minuteMs).toISOString(),
      });
      saleIds.push(sale.saleId);
    }
    const log = join(stack.dir, 'clients.jsonl');
    const planFile = join(stack.dir, 'load-plan.json');
    const plan: LoadPlan = {
      log,
      saleIds,
      customers: signedIn.map((customer, index) => ({ ...customer, ...crowd[index] })),
      mostPerRequest: wanted.mostPerRequest,
    };
    writeFileSync(planFile, JSON.stringify(plan), { mode: 0o600 });
    return { planFile, logs: [setupLog.file, log], plan };
  } finally {
    api.close();
    await setupLog.close();
  }
}

async function signInCustomers(stack: Stack, count: number): Promise<LoadPlan['customers']> {
  const tokens = await openTokens(stack.registry['secret/token-signing-key'] ?? '', () => Date.now());
  const nowMs = Date.now();
  const ids = Array.from({ length: count }, () => newId<'customer'>(nowMs));
  const db = openDb(stack.addresses.mysql, { connections: 1 });
  try {
    for (let start = 0; start < count; start += customersInStatement) {
      await db.change('INSERT INTO customers (id, email, name, password_hash, role, created_at_ms) VALUES ?', [
        ids
          .slice(start, start + customersInStatement)
          // No password has this hash, so these accounts cannot sign in.
          .map((id) => [toBytes(id), `${id}@load.example`, 'Load customer', '-', 'customer', nowMs]),
      ]);
    }
  } finally {
    await db.close();
  }
  return Promise.all(
    ids.map(async (customerId) => ({ customerId, token: await tokens.issue({ customerId, role: 'customer' }) })),
  );
}

async function signInOperator(stack: Stack, api: Api): Promise<Operator> {
  const credentials = {
    email: `operator-${randomUUID()}@example.com`,
    password: randomBytes(18).toString('base64url'),
  };
  const db = openDb(stack.addresses.mysql, { connections: 1 });
  try {
    await seedOperator({ db, clock: systemClock }, credentials);
  } finally {
    await db.close();
  }
  return new Operator(await Account.login(api, credentials));
}
