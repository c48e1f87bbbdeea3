/**
 * `npm start`: runs all of Holdfast on this machine, with sample data, until Ctrl-C.
 *
 *   npm start                       on the embedded emulators
 *   npm start -- --aws localstack   on LocalStack
 *   npm start -- --workers 2        with two worker processes
 */

import { minorDigits } from '#platform/kernel/money.ts';
import { awsOf, ownArguments } from './arguments.ts';
import { followLogs } from './follow-logs.ts';
import { freePort } from './free-port.ts';
import { addSampleData } from './sample-data.ts';
import { type Stack, startStack } from './stack.ts';
import { sandboxPayments, startWeb } from './web.ts';

/** The ports to use when they are free. */
const usualPorts = { api: 3000, websocket: 3001, web: 8080 };

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** The address without its password, which stack.json has. */
function withoutPassword(url: string): string {
  return url.replace(/\/\/([^:/@]*):[^@]*@/, '//$1:…@');
}

async function start(): Promise<Stack> {
  const { values } = ownArguments('start');
  const { aws } = awsOf(values.aws);
  say('Starting Holdfast …');
  return startStack({ aws, workers: Number(values.workers), ports: usualPorts, report: say });
}

let stack: Stack | undefined;
// The reader of this output has gone (`npm start | head`): stop.
process.stdout.on('error', () => void stack?.stop().finally(() => process.exit(0)));
try {
  stack = await start();
  const { addresses, dir } = stack;
  const { operator, customers } = await addSampleData(stack);
  const { api, websocket, docs } = addresses;
  const config = { api, websocket, docs, minorDigits, payments: sandboxPayments };
  const web = await startWeb({ port: await freePort(usualPorts.web), config });
  stack.publish({ web: web.url, operator, customers });
  const [customer] = customers;
  say(`
Holdfast is up.

  Shop         ${web.url}
  Console      ${web.url}/console.html
  API          ${addresses.api}
  API docs     ${addresses.docs}
  WebSocket    ${addresses.websocket}
  MySQL        ${withoutPassword(addresses.mysql)}
  Redis        ${withoutPassword(addresses.redis)}
  SQS          ${addresses.sqs}
  EventBridge  ${addresses.events}
  Payments     ${addresses.provider.join(' ')}

  Operator     ${operator.email}  ${operator.password}
  Customer     ${customer?.email}  ${customer?.password}  (and ${customers.length - 1} more)

  All of this is in ${dir}/stack.json, the whole logs are in ${dir}/logs. Ctrl-C stops everything.
`);
  followLogs(stack.processes, say);
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${message}\n`);
  await stack?.stop();
  process.exit(1);
}
