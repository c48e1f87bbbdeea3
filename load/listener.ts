/**
 * A client's WebSocket: receives what is pushed to it and logs everything, in the order of arrival.
 *
 * A push may come twice, and two may overtake each other on their way; each carries a version, so a client shows what is
 * newer than what it shows already and drops the rest (invariant I5). What was shown is in the log, and judged there.
 */
import type { Account } from './client.ts';
import type { ClientLog, PushLine, SeenStock } from './log.ts';

/** What the API pushes, as far as a client needs it. */
interface Message {
  type: string;
  kind?: string;
  notificationId?: string;
  reservationId?: string;
  purchaseId?: string;
  saleId?: string;
  epoch?: number;
  version?: number;
  state?: string;
  phase?: string;
}

const pushedTypes = new Set(['reservation', 'purchase', 'reminder', 'stock', 'sale']);
const connectTimeoutMs = 20_000;
/** The server ends a connection on which no message arrives for 55 s. */
const pingEveryMs = 25_000;

let connections = 0;

/** An open WebSocket of a customer. */
export class Listener {
  readonly #socket: WebSocket;
  readonly #ping: NodeJS.Timeout;
  /** What is on the screen: the version of each thing, and what was said of it at that version. */
  readonly #screen = new Map<string, { epoch: number; version: number; said: Set<string> }>();

  #token: string;

  private constructor(
    socket: WebSocket,
    heard: (line: PushLine) => void,
    log: ClientLog,
    account: Account,
    token: string,
  ) {
    this.#socket = socket;
    this.#token = token;
    const { customerId } = account;
    const connection = ++connections;
    socket.addEventListener('message', ({ data }) => {
      const pushed = lineOf(String(data), connection, customerId);
      if (!pushed) return;
      const line = { ...pushed, shown: this.#show(pushed) };
      log.write(line);
      if (line.shown) heard(line);
    });
    this.#ping = setInterval(() => this.#stay(account), pingEveryMs);
    this.#ping.unref();
  }

  /** Connects; resolves when the connection is open. `heard` is told of every push that is shown. */
  static async open(
    url: string,
    account: Account,
    log: ClientLog,
    heard: (line: PushLine) => void = () => undefined,
  ): Promise<Listener> {
    const address = new URL(url);
    const token = await account.token();
    address.searchParams.set('token', token);
    const socket = new WebSocket(address);
    const listener = new Listener(socket, heard, log, account, token);
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('the WebSocket did not open in time')), connectTimeoutMs);
      socket.addEventListener('open', () => resolve(clearTimeout(late)), { once: true });
      socket.addEventListener('error', () => reject(new Error('the WebSocket could not be opened')), { once: true });
    });
    return listener;
  }

  /** Asks for the live stock of a sale. */
  watch(saleId: string): void {
    this.#send({ action: 'watch', saleId });
  }

  close(): void {
    clearInterval(this.#ping);
    this.#socket.close();
  }

  /** Shows that the client is there, with a fresh token as soon as it has one. */
  async #stay(account: Account): Promise<void> {
    // Without a fresh token the connection lasts as long as the old one.
    const token = await account.token().catch(() => this.#token);
    this.#send(token === this.#token ? { action: 'ping' } : { action: 'authenticate', token });
    this.#token = token;
  }

  /** Shows what is new; a reminder is new beside the state that it speaks of. */
  #show({ about, subjectId, kind = '', notificationId = '', epoch = 0, version }: Pushed): boolean {
    const place = `${about === 'reminder' ? 'reservation' : about}/${subjectId}`;
    const shown = this.#screen.get(place);
    const said = about === 'reminder' ? `${kind} ${notificationId}` : 'state';
    if (shown && shown.epoch === epoch && shown.version === version) {
      if (shown.said.has(said)) return false;
      shown.said.add(said);
      return true;
    }
    const isOlder = shown && (epoch < shown.epoch || (epoch === shown.epoch && version < shown.version));
    if (isOlder) return false;
    this.#screen.set(place, { epoch, version, said: new Set([said]) });
    return true;
  }

  #send(message: object): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}

type Pushed = Omit<PushLine, 'shown'>;

/** The line for a message, or undefined if it is an answer to something that this client said. */
function lineOf(text: string, connection: number, customerId: string): Pushed | undefined {
  const message = JSON.parse(text) as Message & Partial<SeenStock>;
  if (!pushedTypes.has(message.type)) return undefined;
  const { type, kind, notificationId, epoch, version = 0, state, phase } = message;
  const subjectId = message.reservationId ?? message.purchaseId ?? message.saleId ?? '';
  return {
    type: 'push',
    connection,
    customerId,
    receivedMs: Date.now(),
    about: type,
    subjectId,
    version,
    ...(epoch === undefined ? {} : { epoch }),
    ...(state === undefined ? {} : { state }),
    ...(kind === undefined ? {} : { kind }),
    ...(notificationId === undefined ? {} : { notificationId }),
    ...(phase === undefined ? {} : { phase }),
    ...(type === 'stock' ? { stock: stockOf(message) } : {}),
  };
}

function stockOf(message: Partial<SeenStock>): SeenStock {
  const { saleId = '', epoch = 0, version = 0 } = message;
  const { allotment = 0, available = 0, allocated = 0, sold = 0, waitlisted = 0 } = message;
  return { saleId, epoch, version, allotment, available, allocated, sold, waitlisted };
}
