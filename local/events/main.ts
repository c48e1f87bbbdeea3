/**
 * The local EventBridge as a process of its own:
 *
 *   node local/events/main.ts [--port N] [--data-dir DIR] [--region R] [--account ID] [--sqs-endpoint URL]
 *
 * Prints {"ready":true,"url":...} when it is ready, logs to standard error, stops on SIGINT or SIGTERM. Without
 * --sqs-endpoint it uses AWS_ENDPOINT_URL_SQS. Started by the local stack.
 */
import { parseArgs } from 'node:util';
import { portFlag, runService } from '../service/command.ts';
import { startEventsServer } from './server.ts';

await runService('events', () => {
  const { values } = parseArgs({
    options: {
      port: { type: 'string' },
      'data-dir': { type: 'string' },
      region: { type: 'string' },
      account: { type: 'string' },
      'sqs-endpoint': { type: 'string' },
    },
  });
  return startEventsServer({
    port: portFlag(values.port),
    dataDir: values['data-dir'],
    region: values.region ?? process.env.AWS_REGION,
    account: values.account,
    sqsEndpoint: values['sqs-endpoint'],
  });
});
