/**
 * A client's WebSocket: the client's own live connection, with everything that is pushed in the log, in the order of arrival.
 *
 * A push may come twice, and two may overtake each other on their way; each carries a version, so the client shows what is
 * newer than what it shows already and drops the rest (invariant I5). What was shown is in the log, and judged there.
 */
import { type Live, type LiveMessage, openLive } from '#client/live.ts';
import type { Account } from './client.ts';
import type { ClientLog, PushLine, SeenStock } from './log.ts';

/** What the API pushes, as far as the log has it. */
interface Message extends LiveMessage {
  kind?: string;
  notificationId?: string;
  epoch?: number;
  version?: number;
  state?: string;
  phase?: string;
}

const pushedTypes = new Set(['reservation', 'purchase', 'reminder', 'stock', 'sale']);
const connectTimeoutMs = 20_000;

let connections = 0;

/** An open WebSocket of a customer. */
export class Listener {
  readonly #live: Live;

  private constructor(live: Live) {
    this.#live = live;
  }

  /** Connects; resolves when the connection is open. `heard` is told of every push that is shown. */
  static async open(
    url: string,
    account: Account,
    log: ClientLog,
    heard: (line: PushLine) => void = () => undefined,
  ): Promise<Listener> {
    const { customerId } = account;
    const opened = Promise.withResolvers<void>();
    /** One that comes back is another one. */
    let connection = 0;
    const note = (message: LiveMessage, shown: boolean) => {
      const line = lineOf(message, { connection, customerId, shown });
      if (!line) return;
      log.write(line);
      if (shown) heard(line);
    };
    const live = openLive({
      url,
      token: account.token,
      onMessage: (message) => note(message, true),
      onStale: (message) => note(message, false),
      onState(state) {
        if (state !== 'live') return;
        connection = ++connections;
        opened.resolve();
      },
    });
    live.open();
    const late = setTimeout(() => opened.reject(new Error('the WebSocket did not open in time')), connectTimeoutMs);
    try {
      await opened.promise;
    } catch (error) {
      live.close();
      throw error;
    } finally {
      clearTimeout(late);
    }
    return new Listener(live);
  }

  /** Asks for the live stock of a sale. */
  watch(saleId: string): void {
    this.#live.watch(saleId);
  }

  close(): void {
    this.#live.close();
  }
}

/** The line for a message, or undefined if it is an answer to something that this client said. */
function lineOf(
  message: Message & Partial<SeenStock>,
  facts: Pick<PushLine, 'connection' | 'customerId' | 'shown'>,
): PushLine | undefined {
  const { type = '', kind, notificationId, epoch, version = 0, state, phase } = message;
  if (!pushedTypes.has(type)) return undefined;
  return {
    type: 'push',
    ...facts,
    receivedMs: Date.now(),
    about: type,
    subjectId: message.reservationId ?? message.purchaseId ?? message.saleId ?? '',
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
