/**
 * `npm start`: the whole of Holdfast on this machine, with sample data, until Ctrl-C.
 *
 *   npm start                       on the embedded emulators
 *   npm start -- --aws localstack   on LocalStack
 *   npm start -- --workers 2        with two worker processes
 */
import { awsOf, ownArguments } from './arguments.ts';
import { followLogs } from './logs.ts';
import { freePort } from './ports.ts';
import { addSampleData } from './sample.ts';
import { type Stack, startStack } from './stack.ts';
import { sandboxPayments, startWeb } from './web.ts';

/** What a browser or a client is pointed at; taken when free, and something else when not. */
const USUAL_PORTS = { api: 3000, websocket: 3001, web: 8080 };

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Shows a password-bearing address without its password, which stack.json has. */
function withoutPassword(url: string): string {
  return url.replace(/\/\/([^:/@]*):[^@]*@/, '//$1:…@');
}

async function start(): Promise<Stack> {
  const { values } = ownArguments('start');
  const { aws } = awsOf(values.aws);
  say('Starting Holdfast …');
  return startStack({ aws, workers: Number(values.workers), ports: USUAL_PORTS, report: say });
}

let stack: Stack | undefined;
// Whoever read this output has gone (`npm start | head`), and with them the reason to run.
process.stdout.on('error', () => void stack?.stop().finally(() => process.exit(0)));
try {
  stack = await start();
  const { addresses, dir } = stack;
  const { operator, customers } = await addSampleData(stack);
  const { api, websocket, docs } = addresses;
  const config = { api, websocket, docs, payments: sandboxPayments };
  const web = await startWeb({ port: await freePort(USUAL_PORTS.web), config });
  stack.publish({ web: web.url, operator, customers });
  const [customer] = customers;
  say(`
Holdfast is up.

  Shop         ${web.url}
  Console      ${web.url}/console.html
  API          ${addresses.api}
  API, to read ${addresses.docs}
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
