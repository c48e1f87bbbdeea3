/**
 * A crowd of bots and people: who is who, where they come from, and what each kind got.
 *
 * Everything is on loopback: on Linux each of the addresses in 127.0.0.0/8 can be the source of a connection, and the
 * functions take it for the caller's, as they take what API Gateway says. Shares are counted in the database.
 */
import { createServer } from 'node:net';
import { fromBytes, toBytes } from '#platform/kernel/ids.ts';
import { openDb } from '#platform/mysql/mysql.ts';
import type { LoadPlan } from './plan.ts';

/** Who comes to a sale. */
export interface CrowdWanted {
  /** The addresses that all bots share. */
  readonly machines: number;
  /** How many bots come for each person in the first phase; afterwards only people come. */
  readonly botsForEachPerson: number;
}

export type Kind = 'bot' | 'person';

/** One of a crowd. */
export interface Member {
  readonly kind: Kind;
  /** Where its connections come from. */
  readonly address: string;
}

const hostsInNetwork = 250;

/** A crowd in the order in which it arrives: `first` of them in the first phase. */
export function crowdOf({ machines, botsForEachPerson }: CrowdWanted, users: number, first: number): Member[] {
  let bots = 0;
  let people = 0;
  return Array.from({ length: users }, (_, index) => {
    const isBot = index < first && index % (botsForEachPerson + 1) < botsForEachPerson;
    if (isBot) return { kind: 'bot', address: `127.1.0.${1 + (bots++ % machines)}` };
    const person = people++;
    return { kind: 'person', address: `127.2.${Math.floor(person / hostsInNetwork)}.${1 + (person % hostsInNetwork)}` };
  });
}

/** Throws where a connection cannot come from another loopback address than 127.0.0.1, as on macOS. */
export async function checkLoopback(): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', () =>
      reject(new Error('this scenario needs every address in 127.0.0.0/8, which Linux has without being told')),
    );
    server.listen(0, '127.2.0.1', resolve);
  });
  await new Promise((resolve) => server.close(resolve));
}

/** What one kind got. */
export interface Got {
  readonly accounts: number;
  readonly units: number;
}

/** Who got the units of a sale. */
export interface Shares {
  readonly bots: Got;
  readonly people: Got;
  /** The part of the allocated units that people have. */
  readonly peoplesShare: number;
  /** From the first allocated request to the last. */
  readonly takenWithinSeconds: number;
}

/** Counts in the database who got the units of the sales in a plan. */
export async function sharesOf(mysqlUrl: string, { customers, saleIds }: LoadPlan): Promise<Shares> {
  const kinds = new Map(customers.map(({ customerId, kind }) => [customerId, kind]));
  const units = { bot: 0, person: 0 };
  const tickets: number[] = [];
  const db = openDb(mysqlUrl, { connections: 1 });
  try {
    const rows = await db.rows<{ customer_id: Buffer; units: number; ticket: number }>(
      "SELECT customer_id, units, ticket FROM reservations WHERE sale_id IN (?) AND state = 'allocated'",
      [saleIds.map(toBytes)],
    );
    for (const row of rows) {
      const kind = kinds.get(fromBytes<'customer'>(row.customer_id));
      if (!kind) throw new Error('units went to somebody who is not in the plan');
      units[kind] += row.units;
      tickets.push(row.ticket);
    }
  } finally {
    await db.close();
  }
  const accountsOf = (kind: Kind) => customers.filter((customer) => customer.kind === kind).length;
  const [first = 0, last = 0] = [Math.min(...tickets), Math.max(...tickets)].map((ticket) => ticket / 1_000_000);
  return {
    bots: { accounts: accountsOf('bot'), units: units.bot },
    people: { accounts: accountsOf('person'), units: units.person },
    peoplesShare: units.person / (units.bot + units.person),
    takenWithinSeconds: last - first,
  };
}
