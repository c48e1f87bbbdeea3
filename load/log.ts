/**
 * The clients' own log: what every client asked, when, and what it was told, one JSON line each.
 *
 * Invariant: a line is written for every attempt, answered or not, and nothing in it is taken from the servers' side
 * except what they answered. The verifier compares it with the databases, so everything that puts load on Holdfast (the
 * demo, load scenarios, chaos driver) writes this format. Times are milliseconds since the epoch by the client's clock.
 */
import { createWriteStream, type WriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';

/** What a client attempted. `garbage` is a request that must be refused whatever the time and the stock. */
export type Operation =
  | 'register'
  | 'login'
  | 'refresh'
  | 'reserve'
  | 'reservation'
  | 'reservations'
  | 'cancel'
  | 'buy'
  | 'purchase'
  | 'purchases'
  | 'refund'
  | 'notifications'
  | 'sale'
  | 'products'
  | 'operator'
  | 'garbage';

/** What an operator does to a sale that may change its times or its status. */
export type SaleAct = 'create' | 'pause' | 'resume' | 'resume without giving back' | 'reschedule' | 'cancel';

/** A reservation as an answer showed it. */
export interface SeenReservation {
  reservationId: string;
  state: string;
  version: number;
  units: number;
}

/** A purchase as an answer showed it. */
export interface SeenPurchase {
  purchaseId: string;
  state: string;
  amountMinor: number;
  currency: string;
}

/** The stock of a sale as an answer or a push showed it. */
export interface SeenStock {
  saleId: string;
  epoch: number;
  version: number;
  allotment: number;
  available: number;
  allocated: number;
  sold: number;
  waitlisted: number;
}

/** The times and the status of a sale, as the answer to an operator showed them. */
export interface SeenTerms {
  /** The sale's version with them, which is the round of what is announced of them. */
  version: number;
  status: string;
  pausedAt: string | null;
  /** Where the clock of a paused sale stands: when the pause began, or when its times were set in it. */
  clockStandsAt: string | null;
  reserveOpensAt: string;
  reserveClosesAt: string;
  purchaseOpensAt: string;
  purchaseClosesAt: string;
}

/** A notification as the list of notifications showed it. */
export interface SeenNotice {
  notificationId: string;
  subjectId: string;
  version: number;
  kind: string;
}

/** One attempt, with what was asked and, if an answer came, what it said. */
export interface RequestLine {
  type: 'request';
  op: Operation;
  customerId?: string;
  /** When it should have been sent; in an open loop latency counts from here. */
  scheduledMs: number;
  sentMs: number;
  answeredMs: number;
  /** HTTP status; 0 if no answer came. */
  status: number;
  /** The code of the problem, or of the error of the connection. */
  code?: string;
  key?: string;
  saleId?: string;
  quantity?: number;
  atLeast?: number;
  reservationId?: string;
  ticket?: number | null;
  position?: number | null;
  reservationIds?: string[];
  purchaseId?: string;
  amountMinor?: number;
  currency?: string;
  reservations?: SeenReservation[];
  purchases?: SeenPurchase[];
  stocks?: SeenStock[];
  notices?: SeenNotice[];
  /** What an operator did to a sale, the resulting terms, and when it was first sent, answered or not. */
  act?: SaleAct;
  terms?: SeenTerms;
  firstSentMs?: number;
}

/** One message that a client received over its WebSocket. */
export interface PushLine {
  type: 'push';
  /** The client's own number for the connection: order is promised within one. */
  connection: number;
  customerId: string;
  receivedMs: number;
  /** The message's own type: reservation, purchase, reminder, stock or sale. */
  about: string;
  subjectId: string;
  epoch?: number;
  version: number;
  state?: string;
  kind?: string;
  /** For pushes that are notifications too: distinguishes reminders of one kind. */
  notificationId?: string;
  phase?: string;
  stock?: SeenStock;
  /** False if the client had shown something newer, or this very thing, and so dropped it. */
  shown: boolean;
}

export type LogLine = RequestLine | PushLine;

/** The facts of an attempt that the caller knows or learns, beside those that the client measures. */
export type Facts = Partial<Omit<RequestLine, 'type' | 'op' | 'sentMs' | 'answeredMs' | 'status'>>;

/** A log being written. */
export class ClientLog {
  readonly file: string;
  readonly #stream: WriteStream;
  #failure: Error | undefined;

  /** Begins a new file. Folders must exist. */
  constructor(file: string) {
    this.file = file;
    this.#stream = createWriteStream(file);
    this.#stream.on('error', (error) => {
      this.#failure = error;
    });
  }

  /**
   * Appends a line. Throws if an earlier line could not be written, since a log with holes proves nothing, and after the
   * end, where a client that is still busy must not hide what ended it.
   */
  write(line: LogLine): void {
    if (this.#failure) throw this.#failure;
    if (this.#stream.writableEnded) throw new Error('the clients’ log has ended');
    this.#stream.write(`${JSON.stringify(line)}\n`);
  }

  /** Resolves when everything is in the file. */
  async close(): Promise<void> {
    this.#stream.end();
    await finished(this.#stream);
  }
}
