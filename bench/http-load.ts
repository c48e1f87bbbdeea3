/**
 * The HTTP load generator, in a process of its own: a fixed number of requests on a fixed number of connections, closed
 * loop. Requests are built before the clock starts, and answers are hardly parsed, so that the generator takes little of
 * the processors that it shares with the server; autocannon took more for a read than a bare server did to answer it.
 */
import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { percentile } from './statistics.ts';

/** What to send. */
export interface HttpLoad {
  readonly port: number;
  readonly connections: number;
  /** How many requests in all. */
  readonly amount: number;
  readonly method: 'GET' | 'POST';
  /** The path; for reservations the one of the sale. */
  readonly path: string;
  /** Access tokens, for reservations and for their statuses. */
  readonly tokens?: readonly string[];
  /** What the customers of the tokens ask for, one after the other, instead of `path`. */
  readonly paths?: readonly string[];
  /** Makes Idempotency-Keys of this load different from every other's. */
  readonly label: string;
}

/** What came back. */
export interface LoadResult {
  readonly elapsedMs: number;
  /** Answers by status. */
  readonly statuses: Record<string, number>;
  /** Requests without an answer. */
  readonly errors: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

process.on('message', (load: HttpLoad) => {
  send(load).then(
    (result) => process.send?.({ result }),
    (error: Error) => process.send?.({ error: error.message }),
  );
});
process.on('disconnect', () => process.exit(0));
process.send?.({ ready: true });

/** A connection that is silent for so long counts as dead. */
const silenceMs = 30_000;

async function send(load: HttpLoad): Promise<LoadResult> {
  const { connections, amount } = load;
  const perConnection = Array.from({ length: connections }, (_, connection) => {
    const mine = Math.floor(amount / connections) + (connection < amount % connections ? 1 : 0);
    return requestsOf(load, connection, mine);
  });
  const sockets = await Promise.all(perConnection.map(() => open(load.port)));
  const statuses = new Map<string, number>();
  const latencies: number[] = [];
  const startedMs = performance.now();
  const answered = await Promise.all(
    sockets.map((socket, connection) => run(socket, perConnection[connection] ?? [], statuses, latencies)),
  );
  const elapsedMs = performance.now() - startedMs;
  return {
    elapsedMs,
    statuses: Object.fromEntries(statuses),
    errors: amount - answered.reduce((sum, count) => sum + count, 0),
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
  };
}

/** What one connection will send, in order. No two requests of a load carry the same key. */
function requestsOf(load: HttpLoad, connection: number, count: number): Buffer[] {
  const { port, method, path, tokens, paths, label } = load;
  if (tokens && paths) {
    return Array.from({ length: count }, (_, index) => {
      const asked = (connection * count + index) % tokens.length;
      const from = `host: 127.0.0.1:${port}\r\nconnection: keep-alive\r\nauthorization: Bearer ${tokens[asked]}`;
      return Buffer.from(`${method} ${paths[asked]} HTTP/1.1\r\n${from}\r\n\r\n`);
    });
  }
  const head = `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nconnection: keep-alive\r\n`;
  if (!tokens) return new Array<Buffer>(count).fill(Buffer.from(`${head}\r\n`));
  const body = '{"quantity":1}';
  return Array.from({ length: count }, (_, index) => {
    const number = index * 1_000 + connection;
    return Buffer.from(
      `${head}content-type: application/json\r\ncontent-length: ${body.length}\r\n` +
        `authorization: Bearer ${tokens[(connection * count + index) % tokens.length]}\r\n` +
        `idempotency-key: ${label}-${number}\r\n\r\n${body}`,
    );
  });
}

/** A connection and its listener. */
interface Line {
  readonly socket: Socket;
  hear: (text: string) => void;
}

function open(port: number): Promise<Line> {
  return new Promise((resolve, reject) => {
    const line: Line = {
      hear: () => undefined,
      socket: connect({
        port,
        host: '127.0.0.1',
        noDelay: true,
        // One buffer for all that comes, instead of a stream.
        onread: {
          buffer: Buffer.allocUnsafe(65_536),
          callback: (length, bytes) => {
            line.hear(Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('latin1'));
            return true;
          },
        },
      }),
    };
    line.socket.once('connect', () => resolve(line));
    line.socket.once('error', reject);
  });
}

/** Sends one request after the other. Resolves with the number of answers, once all are there or the connection is not. */
function run(line: Line, requests: Buffer[], statuses: Map<string, number>, latencies: number[]): Promise<number> {
  return new Promise((resolve) => {
    let sent = 0;
    let sentAtMs = 0;
    let text = '';
    const next = () => {
      const request = requests[sent];
      if (!request) return void line.socket.destroy();
      sent++;
      sentAtMs = performance.now();
      line.socket.write(request);
    };
    let answers = 0;
    line.socket.on('error', () => undefined);
    line.socket.setTimeout(silenceMs, () => line.socket.destroy());
    line.socket.once('close', () => resolve(answers));
    line.hear = (part) => {
      text = text === '' ? part : text + part;
      if (!isWhole(text)) return;
      const status = text.slice(9, 12);
      text = '';
      answers++;
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      latencies.push(performance.now() - sentAtMs);
      next();
    };
    next();
  });
}

const lengthField = /\r\ncontent-length: *(\d+)\r\n/i;

/** Whether an answer has come to its end. Each of our hosts says how long its answers are. */
function isWhole(text: string): boolean {
  const head = text.indexOf('\r\n\r\n');
  if (head < 0) return false;
  return text.length >= head + 4 + Number(lengthField.exec(text)?.[1] ?? 0);
}
