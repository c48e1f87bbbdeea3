/** What `npm start` says once everything is up: where it is, who can sign in, what it keeps, and how to begin afresh. */
import type { SampleAccounts } from './sample-data.ts';
import type { Addresses } from './stack.ts';

interface Started extends SampleAccounts {
  readonly addresses: Addresses;
  readonly web: string;
  /** The folder of the stack. */
  readonly dir: string;
  /** Whether an earlier run has left something that this one goes on with. */
  readonly wentOn: boolean;
}

/** The address without its password, which stack.json has. */
function withoutPassword(url: string): string {
  return url.replace(/\/\/([^:/@]*):[^@]*@/, '//$1:…@');
}

/** The text, in lines. */
export function banner({ addresses, web, dir, wentOn, operator, customers }: Started): string {
  const [customer] = customers;
  const from = wentOn ? 'This run goes on with what earlier ones left' : 'This run began with nothing but sample data';
  return `
Holdfast is up.

  Shop         ${web}
  Console      ${web}/console.html
  API          ${addresses.api}
  API docs     ${addresses.docs}
  WebSocket    ${addresses.websocket}
  MySQL        ${withoutPassword(addresses.mysql)}
  Redis        ${withoutPassword(addresses.redis)}
  SQS          ${addresses.sqs}
  EventBridge  ${addresses.events}
  Payments     ${addresses.provider.join(' ')}
  Mail         ${addresses.mail}

  Operator     ${operator.email}  ${operator.password}
  Customer     ${customer ? `${customer.email}  ${customer.password}  (and ${customers.length - 1} more)` : 'signs in elsewhere: no accounts are opened here'}
  Admin        register in the shop, then: npm run admin -- --customer <customerId of GET /me>

  ${from}. Accounts, sales, reservations, purchases, the audit trail, queues,
  the provider's books, keys and sample passwords are kept in ${dir} for the next.
  To begin afresh: npm start -- --fresh (keys and sample passwords stay; delete that folder to be rid of them too).

  All addresses are in ${dir}/stack.json, the whole logs are in ${dir}/logs. Ctrl-C stops everything.
`;
}
