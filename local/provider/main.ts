/**
 * The sandbox payment provider as a process of its own:
 *
 *   node local/provider/main.ts --api-key KEY [--port N] [--data-dir DIR]
 *     [--webhook-url URL --webhook-secret whsec_… [--webhook-twice] [--webhook-first]]
 *
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
      'api-key': { type: 'string' },
      'data-dir': { type: 'string' },
      'webhook-url': { type: 'string' },
      'webhook-secret': { type: 'string' },
      'webhook-twice': { type: 'boolean' },
      'webhook-first': { type: 'boolean' },
    },
  });
  return startProvider({
    port: portFlag(values.port),
    apiKey: values['api-key'] ?? '',
    dataDir: values['data-dir'],
    webhookUrl: values['webhook-url'],
    webhookSecret: values['webhook-secret'],
    faults: { webhookTwice: values['webhook-twice'], webhookFirst: values['webhook-first'] },
  });
});
