/**
 * Runs packaged functions in a process of their own, as Lambda would: imports each bundle, hands its handler the events,
 * and prints one line of JSON with every answer. Reads its orders from standard input.
 */
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

export interface Order {
  bundle: string;
  /** None: the bundle is only loaded. */
  event?: unknown;
}

type Handler = (event: unknown, context: unknown) => Promise<unknown>;

const orders = JSON.parse(await text(process.stdin)) as Order[];
const answers: unknown[] = [];
for (const { bundle, event } of orders) {
  const { handler } = (await import(pathToFileURL(bundle).href)) as { handler: Handler };
  const endsAtMs = Date.now() + 10_000;
  const context = { awsRequestId: 'bundle-run', getRemainingTimeInMillis: () => endsAtMs - Date.now() };
  answers.push(event === undefined ? typeof handler : await handler(event, context));
}
process.stdout.write(`\n${JSON.stringify(answers)}\n`);
process.exit(0);
