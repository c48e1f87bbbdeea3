/**
 * The receivers of the suite `webhooks`, in a process of their own: one server, whose paths are the receivers. Good ones take
 * everything, `failing` ones answer 503 and `silent` ones never, until they are told to take it too. Says what each has got.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a receiver got. */
export interface Got {
  /** Different messages that it has taken, and how often it took one again. */
  readonly taken: number;
  readonly again: number;
  /** Calls that it did not take. */
  readonly refused: number;
}

interface Receiver {
  readonly ids: Set<string>;
  again: number;
  refused: number;
}

const receivers = new Map<string, Receiver>();
let isMended = false;

function of(path: string): Receiver {
  const known = receivers.get(path) ?? { ids: new Set<string>(), again: 0, refused: 0 };
  receivers.set(path, known);
  return known;
}

const server = createServer((request, response) => {
  const path = request.url ?? '/';
  const receiver = of(path);
  request.resume().on('end', () => {
    if (!isMended && !path.startsWith('/good')) {
      receiver.refused++;
      if (path.startsWith('/failing')) response.writeHead(503).end();
      return;
    }
    const id = String(request.headers['webhook-id']);
    if (receiver.ids.has(id)) receiver.again++;
    receiver.ids.add(id);
    response.writeHead(204).end();
  });
});
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));

process.on('message', (order: { mend?: boolean; forget?: boolean }) => {
  if (order.forget) receivers.clear();
  if (order.forget || order.mend) {
    isMended = order.mend === true;
    server.closeAllConnections();
  }
  const got = [...receivers].map(([path, { ids, again, refused }]) => [path, { taken: ids.size, again, refused }]);
  process.send?.({ got: Object.fromEntries(got) });
});
process.on('disconnect', () => process.exit(0));
