/**
 * Calls over connections that are kept: as much of HTTP/1.1 as it takes to ask a service the same thing again and again.
 * Node's own client can do everything, and takes more than twice the processor time for such a call. Called by
 * `brief.ts`.
 *
 * Invariant: an answer is handed on whole or not at all. A connection whose state is in any doubt is closed, not kept.
 */
import { connect, isIP, type Socket } from 'node:net';
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
  call(url: URL, request: string, dueMs: number, signal?: AbortSignal): Promise<Answer>;
  /** Closes what is kept; calls that are under way go on to their end. */
  close(): void;
}

/** Connections of one kind, kept for as long as the other side keeps them. They do not keep the process alive. */
export function openLines(secure: ConnectionOptions = {}): Lines {
  const free = new Map<string, Line[]>();
  let closed = false;

  function take({ protocol, hostname, port, origin }: URL): Line {
    const kept = free.get(origin) ?? [];
    free.set(origin, kept);
    for (let line = kept.pop(); line; line = kept.pop()) if (line.isOpen()) return line;
    // Brackets around an IPv6 address belong to the URL, not to the address.
    const host = hostname.replace(/^\[|\]$/g, '');
    if (protocol !== 'https:') return new Line(connect({ host, port: Number(port || 80) }));
    return new Line(
      connectSecurely({ host, port: Number(port || 443), servername: isIP(host) ? '' : host, ...secure }),
    );
  }

  return {
    async call(url, request, dueMs, signal) {
      signal?.throwIfAborted();
      const line = take(url);
      const timer = setTimeout(() => line.end(new Error('no answer in time')), dueMs - Date.now());
      const abort = () => line.end(new Error('given up'));
      signal?.addEventListener('abort', abort);
      try {
        const answer = await line.call(request);
        if (line.isOpen() && !closed) free.get(url.origin)?.push(line);
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

/** One connection, which carries one call at a time. */
class Line {
  readonly #socket: Socket;
  /** What has come of the answer so far, a character for each byte. */
  #text = '';
  #waiting: { resolve(answer: Answer): void; reject(error: Error): void } | undefined;

  constructor(socket: Socket) {
    this.#socket = socket.setNoDelay(true).setEncoding('latin1');
    socket.on('data', (part: string) => this.#hear(part));
    socket.on('end', () => this.#read(true));
    socket.on('error', (error) => this.end(error));
    socket.on('close', () => this.end());
  }

  isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.writable && this.#socket.readable;
  }

  call(request: string): Promise<Answer> {
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

  #hear(part: string): void {
    this.#text = this.#text === '' ? part : this.#text + part;
    // Nobody has asked: what comes now cannot be an answer.
    if (this.#waiting) this.#read(false);
    else this.end();
  }

  #read(ended: boolean): void {
    try {
      const answer = parse(this.#text, ended);
      if (answer) this.#answer(answer);
      else if (ended) this.end();
    } catch (error) {
      this.end(error as Error);
    }
  }

  #answer({ kept, status, body }: Parsed): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#text = '';
    if (kept) this.#socket.unref();
    else this.#socket.destroy();
    waiting?.resolve({ status, body });
  }
}

interface Parsed extends Answer {
  /** Whether the connection can carry another call. */
  readonly kept: boolean;
}

/** The answer that a text begins with, undefined while it is not whole. Throws for what is not an answer. */
function parse(text: string, ended: boolean): Parsed | undefined {
  const start = text.indexOf('\r\n\r\n') + 4;
  if (start < 4) return undefined;
  const head = text.slice(0, start);
  const status = Number(/^HTTP\/1\.1 ([2-5]\d\d)\b/.exec(head)?.[1] ?? Number.NaN);
  if (Number.isNaN(status)) throw new Error('the answer is not HTTP');
  const chunked = /\r\ntransfer-encoding: *chunked\r\n/i.test(head);
  const length = chunked ? undefined : /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
  const found = chunked
    ? joined(text, start)
    : upTo(text, start, length === undefined ? undefined : Number(length), ended);
  if (!found) return undefined;
  const kept = found.end === text.length && !ended && !/\r\nconnection: *close\r\n/i.test(head);
  return { status, body: Buffer.from(found.body, 'latin1').toString('utf8'), kept };
}

interface Found {
  readonly body: string;
  readonly end: number;
}

/** A body of this length, or, if nothing says how long it is, all there is once the connection has ended. */
function upTo(text: string, start: number, length: number | undefined, ended: boolean): Found | undefined {
  if (length === undefined) return ended ? { body: text.slice(start), end: text.length } : undefined;
  const end = start + length;
  return text.length < end ? undefined : { body: text.slice(start, end), end };
}

/** A body that came in chunks, each with its length in hex before it. */
function joined(text: string, start: number): Found | undefined {
  let body = '';
  for (let at = start; ; ) {
    const line = text.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = /^[\da-f]+/i.exec(text.slice(at, line))?.[0];
    if (size === undefined) throw new Error('a chunk has no length');
    const from = line + 2;
    const to = from + Number.parseInt(size, 16);
    if (to === from) {
      // After the last chunk come fields that nobody needs, if any, and an empty line.
      const end = text.startsWith('\r\n', from) ? from : text.indexOf('\r\n\r\n', from) + 2;
      return end < from || text.length < end + 2 ? undefined : { body, end: end + 2 };
    }
    if (text.length < to + 2) return undefined;
    body += text.slice(from, to);
    at = to + 2;
  }
}
