/**
 * The mail server as a process of its own:
 *
 *   node local/mail/main.ts [--port N] [--inbox-port N]
 *
 * Prints {"ready":true,"url":...} when it is ready, stops on SIGINT or SIGTERM. Started by the local stack.
 */
import { parseArgs } from 'node:util';
import { portFlag, runService } from '../service/command.ts';
import { startMailServer } from './server.ts';

await runService('mail', () => {
  const { values } = parseArgs({ options: { port: { type: 'string' }, 'inbox-port': { type: 'string' } } });
  return startMailServer({ port: portFlag(values.port), inboxPort: portFlag(values['inbox-port']) });
});
