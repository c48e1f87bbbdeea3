/**
 * `npm start`: runs all of Holdfast on this machine, with sample data, until Ctrl-C.
 *
 *   npm start                       on the embedded emulators
 *   npm start -- --aws localstack   on LocalStack
 *   npm start -- --workers 2        with two worker processes
 *   npm start -- --fresh            without what earlier runs left
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { minorDigits } from '#platform/kernel/money.ts';
import { awsOf, ownArguments } from './arguments.ts';
import { banner } from './banner.ts';
import { followLogs } from './follow-logs.ts';
import { freePort } from './free-port.ts';
import { addSampleData } from './sample-data.ts';
import { type Stack, startStack } from './stack.ts';
import { defaultFolder } from './state-folder.ts';
import { sandboxPayments, startWeb } from './web.ts';

/** The ports to use when they are free. */
const usualPorts = { api: 3000, websocket: 3001, web: 8080 };

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function start(): Promise<Stack> {
  const { values } = ownArguments('start');
  const { aws } = awsOf(values.aws);
  say('Starting Holdfast …');
  const fresh = values.fresh === true;
  // What a run leaves behind for the next; an interrupted first start may have left less than all of it.
  wentOn = !fresh && existsSync(join(defaultFolder(), 'sample.json'));
  return startStack({ aws, workers: Number(values.workers), ports: usualPorts, report: say, fresh });
}

let stack: Stack | undefined;
let wentOn = false;
// The reader of this output has gone (`npm start | head`): stop.
process.stdout.on('error', () => void stack?.stop().finally(() => process.exit(0)));
try {
  stack = await start();
  const { addresses, dir } = stack;
  const { operator, customers } = await addSampleData(stack);
  const { api, websocket, docs } = addresses;
  const config = { api, websocket, docs, minorDigits, payments: sandboxPayments };
  const web = await startWeb({
    ...{ port: await freePort(usualPorts.web), config },
    pictures: stack.registry['bucket/pictures'],
  });
  stack.publish({ web: web.url, operator, customers });
  say(banner({ addresses, web: web.url, dir, wentOn, operator, customers }));
  followLogs(stack.processes, say);
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${message}\n`);
  await stack?.stop();
  process.exit(1);
}
