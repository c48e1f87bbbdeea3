/**
 * Calls over connections that are kept: as much of HTTP/1.1 as it takes to ask a service the same thing again and again.
 * Node's own client can do everything, and takes more than twice the processor time for such a call. Called by
 * `brief.ts`, and by the local event source mapping's `sqs.ts`.
 *
 * Invariant: an answer is handed on whole or not at all. A connection whose state is in any doubt is closed, not kept.
 */
import { connect, isIP, type Socket, type SocketConstructorOpts } from 'node:net';
import { type ConnectionOptions, connect as connectSecurely } from 'node:tls';

export interface Answer {
  readonly status: number;
  readonly body: string;
}

export interface Lines {
  /**
   * Sends a whole request, head and body, to a host. Throws if no whole answer has come before `dueMs` (by the machine's
   * clock) or the signal; the request may have been carried out all the same.
   */
  call(url: URL, request: string | Buffer, dueMs: number, signal?: AbortSignal): Promise<Answer>;
  /** Closes what is kept; calls that are under way go on to their end. */
  close(): void;
}

/** Connections of one kind, kept for as long as the other side keeps them. They do not keep the process alive. */
export function openLines(secure: ConnectionOptions = {}): Lines {
  const free = new Map<string, Line[]>();
  let closed = false;

  function open({ protocol, hostname, port }: URL): Line {
    // Brackets around an IPv6 address belong to the URL, not to the address.
    const host = hostname.replace(/^\[|\]$/g, '');
    const servername = isIP(host) ? '' : host;
    return new Line((reading) =>
      protocol === 'https:'
        ? connectSecurely({ host, port: Number(port || 443), servername, ...secure, ...reading })
        : connect({ host, port: Number(port || 80), ...reading }),
    );
  }

  /** The connections to a place that carry no call. */
  function freeTo(origin: string): Line[] {
    const kept = free.get(origin) ?? [];
    free.set(origin, kept);
    return kept;
  }

  return {
    async call(url, request, dueMs, signal) {
      signal?.throwIfAborted();
      const kept = freeTo(url.origin);
      const line = takeOpen(kept) ?? open(url);
      const timer = setTimeout(() => line.end(new Error('no answer in time')), dueMs - Date.now());
      const abort = () => line.end(new Error('given up'));
      signal?.addEventListener('abort', abort);
      try {
        const answer = await line.call(request);
        if (line.isOpen() && !closed) kept.push(line);
        else line.end();
        return answer;
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
      }
    },
    close() {
      closed = true;
      for (const line of [...free.values()].flat()) line.end();
      free.clear();
    },
  };
}

/** Takes the latest that is still open out of those that are kept. */
function takeOpen(kept: Line[]): Line | undefined {
  for (let line = kept.pop(); line; line = kept.pop()) if (line.isOpen()) return line;
  return undefined;
}

/** Where every connection's bytes arrive. They are read, or copied, before the next ones can come. */
const inbox = Buffer.allocUnsafeSlow(2 ** 16);
const nothing = Buffer.alloc(0);

/** Spares a connection the stream that each piece would otherwise go through, and memory of its own for each. */
type Reading = Pick<SocketConstructorOpts, 'onread'>;

/** One connection, which carries one call at a time. */
class Line {
  readonly #socket: Socket;
  /** What has come of the answer so far. */
  #bytes: Buffer = nothing;
  #waiting: { resolve(answer: Answer): void; reject(error: Error): void } | undefined;

  constructor(open: (reading: Reading) => Socket) {
    const callback = (length: number): boolean => {
      this.#hear(inbox.subarray(0, length));
      return true;
    };
    this.#socket = open({ onread: { buffer: inbox, callback } });
    this.#socket.setNoDelay(true);
    this.#socket.on('end', () => this.#read(this.#bytes, true));
    this.#socket.on('error', (error) => this.end(error));
    this.#socket.on('close', () => this.end());
  }

  isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.writable && this.#socket.readable;
  }

  call(request: string | Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.ref();
      this.#socket.write(request);
    });
  }

  /** Closes the connection; whoever waits on it gets the error. */
  end(error = new Error('the connection was closed')): void {
    this.#socket.destroy();
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }

  #hear(part: Buffer): void {
    // Nobody has asked: what comes now cannot be an answer.
    if (!this.#waiting) this.end();
    else this.#read(this.#bytes === nothing ? part : Buffer.concat([this.#bytes, part]), false);
  }

  #read(bytes: Buffer, ended: boolean): void {
    try {
      const answer = parse(bytes, ended);
      if (answer) this.#answer(answer);
      else if (ended) this.end();
      else this.#bytes = bytes.buffer === inbox.buffer ? Buffer.from(bytes) : bytes;
    } catch (error) {
      this.end(error as Error);
    }
  }

  #answer({ kept, status, body }: Parsed): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#bytes = nothing;
    if (kept) this.#socket.unref();
    else this.#socket.destroy();
    waiting?.resolve({ status, body });
  }
}

interface Parsed extends Answer {
  /** Whether the connection can carry another call. */
  readonly kept: boolean;
}

/** The answer that some bytes begin with, undefined while it is not whole. Throws for what is not an answer. */
function parse(bytes: Buffer, ended: boolean): Parsed | undefined {
  const start = bytes.indexOf('\r\n\r\n') + 4;
  if (start < 4) return undefined;
  const head = bytes.toString('latin1', 0, start);
  const status = Number(/^HTTP\/1\.1 ([2-5]\d\d)\b/.exec(head)?.[1] ?? Number.NaN);
  if (Number.isNaN(status)) throw new Error('the answer is not HTTP');
  const chunked = /\r\ntransfer-encoding: *chunked\r\n/i.test(head);
  const length = chunked ? undefined : /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
  const found = chunked
    ? joined(bytes, start)
    : upTo(bytes, start, length === undefined ? undefined : Number(length), ended);
  if (!found) return undefined;
  const kept = found.end === bytes.length && !ended && !/\r\nconnection: *close\r\n/i.test(head);
  return { status, body: found.body, kept };
}

interface Found {
  readonly body: string;
  readonly end: number;
}

/** A body of this length, or, if nothing says how long it is, all there is once the connection has ended. */
function upTo(bytes: Buffer, start: number, length: number | undefined, ended: boolean): Found | undefined {
  if (length === undefined && !ended) return undefined;
  const end = length === undefined ? bytes.length : start + length;
  return bytes.length < end ? undefined : { body: bytes.toString('utf8', start, end), end };
}

/** A body that came in chunks, each with its length in hex before it. */
function joined(bytes: Buffer, start: number): Found | undefined {
  const parts: Buffer[] = [];
  for (let at = start; ; ) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = /^[\da-f]+/i.exec(bytes.toString('latin1', at, line))?.[0];
    if (size === undefined) throw new Error('a chunk has no length');
    const from = line + 2;
    const to = from + Number.parseInt(size, 16);
    if (to === from) {
      // After the last chunk come fields that nobody needs, if any, and an empty line.
      const end = bytes.indexOf('\r\n\r\n', line) + 4;
      return end < 4 ? undefined : { body: Buffer.concat(parts).toString(), end };
    }
    if (bytes.length < to + 2) return undefined;
    parts.push(bytes.subarray(from, to));
    at = to + 2;
  }
}
