/**
 * The sandbox payment provider as a process of its own:
 *
 *   PROVIDER_API_KEY=… PROVIDER_WEBHOOK_SECRET=whsec_… node local/provider/main.ts [--port N] [--data-dir DIR]
 *     [--webhook-url URL [--webhook-twice] [--webhook-first]]
 *
 * Its secrets come in the environment: every process of the machine can read the arguments of every other.
 * Prints {"ready":true,"url":...} when it is ready, logs to standard error, stops on SIGINT or SIGTERM. Start it
 * several times with the same --data-dir for several instances of one provider. Started by the local stack.
 */
import { parseArgs } from 'node:util';
import { portFlag, runService } from '../service/command.ts';
import { startProvider } from './server.ts';

await runService('provider', () => {
  const { values } = parseArgs({
    options: {
      port: { type: 'string' },
      'data-dir': { type: 'string' },
      'webhook-url': { type: 'string' },
      'webhook-twice': { type: 'boolean' },
      'webhook-first': { type: 'boolean' },
    },
  });
  return startProvider({
    port: portFlag(values.port),
    apiKey: process.env.PROVIDER_API_KEY ?? '',
    dataDir: values['data-dir'],
    webhookUrl: values['webhook-url'],
    webhookSecret: process.env.PROVIDER_WEBHOOK_SECRET,
    faults: { webhookTwice: values['webhook-twice'], webhookFirst: values['webhook-first'] },
  });
});
