/**
 * The load of the HTTP measures: autocannon in a process of its own, with a fixed number of requests on a fixed number of
 * connections, closed loop. Every request is written out before the clock starts.
 */
import { performance } from 'node:perf_hooks';
import autocannon from 'autocannon';

/** What to send. */
export interface Volley {
  readonly port: number;
  readonly connections: number;
  /** How many requests in all. */
  readonly amount: number;
  readonly method: 'GET' | 'POST';
  /** The path; for reservations the one of the sale. */
  readonly path: string;
  /** Access tokens; given only for reservations. */
  readonly tokens?: readonly string[];
  /** Makes Idempotency-Keys of this volley different from every other's. */
  readonly label: string;
}

/** What came back. */
export interface Hits {
  readonly elapsedMs: number;
  /** Answers by status. */
  readonly statuses: Record<string, number>;
  /** Requests without an answer. */
  readonly errors: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

process.on('message', (volley: Volley) => {
  shoot(volley).then(
    (hits) => process.send?.({ hits }),
    (error: Error) => process.send?.({ error: error.message }),
  );
});
process.on('disconnect', () => process.exit(0));
process.send?.({ ready: true });

async function shoot(volley: Volley): Promise<Hits> {
  const { port, connections, amount, method, path, tokens, label } = volley;
  const each = Math.ceil(amount / connections);
  let connection = 0;
  let startedMs = 0;
  let lastMs = 0;
  const result = await autocannon({
    url: `http://127.0.0.1:${port}`,
    connections,
    amount,
    timeout: 30,
    // Each connection is given requests of its own, so that no two carry the same key.
    setupClient: (client) => {
      const mine = connection++;
      client.setRequests(Array.from({ length: tokens ? each + 1 : 1 }, (_, index) => requestOf(mine, index)));
      // autocannon itself looks at the clock only twice a second.
      client.on('response', () => {
        lastMs = performance.now();
      });
      startedMs = performance.now();
    },
  });
  const statuses = Object.fromEntries(
    Object.entries(result.statusCodeStats ?? {}).map(([status, { count = 0 }]) => [status, count]),
  );
  return {
    elapsedMs: lastMs - startedMs,
    statuses,
    errors: result.errors,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
  };

  function requestOf(mine: number, index: number): autocannon.Request {
    if (!tokens) return { method, path };
    const number = mine * (each + 1) + index;
    return {
      method,
      path,
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${tokens[number % tokens.length]}`,
        'idempotency-key': `${label}-${number}`,
      },
      body: '{"quantity":1}',
    };
  }
}
