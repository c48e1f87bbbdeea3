/**
 * The interface of a contender: a design that is measured.
 *
 * A contender has worker processes of its own, which hand it deliveries: one at a time, or in as many lanes as it is best
 * with. It acknowledges a delivery by returning; the requests that it returns are delivered again. The main process
 * verifies the rows that it wrote.
 */
import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import type { Request } from './workload.ts';

/** Addresses of the databases. */
export interface DatabaseUrls {
  readonly mysqlUrl: string;
  readonly redisUrl: string;
}

/** Where a contender keeps the stock that must equal MySQL's at rest. */
export type MirrorKind = 'holdfast' | 'plain' | 'none';

/**
 * What is counted as stock: the four columns of the sale, or rows that stand for one unit each. Yardsticks leave stock
 * untouched or store nothing.
 */
export type StockKind = 'counters' | 'unit-rows' | 'untouched' | 'nothing-stored';

export interface Contender {
  readonly name: ContenderName;
  readonly title: string;
  readonly mirror: MirrorKind;
  readonly stock: StockKind;
  /** How many messages it takes at once. */
  readonly batch: number;
  /** Other sizes to try for its best. */
  readonly batches?: readonly number[];
  /** The numbers of deliveries under way at once, in each process, to try for its best. */
  readonly lanes: readonly number[];
  /** True for a design that is one process; others have as many as Holdfast has workers. */
  readonly oneProcess?: boolean;
  /** True if it leaves out second deliveries, so that these say nothing of what is stored. */
  readonly skipsRepeats?: boolean;
  /** True if it takes single requests and gathers its batches itself. */
  readonly gathers?: boolean;
  open(urls: DatabaseUrls): Promise<Opened>;
}

export interface Opened {
  /** Called before each run, outside the measured time, with what this process will be handed and the size of a batch. */
  reset?(requests: readonly Request[], batch: number): Promise<void>;
  /** Builds what a delivery looks like, outside the measured time. */
  deliver?(requests: readonly Request[]): unknown;
  /** Handles one delivery. Returns those of its requests that must be delivered again. */
  handle(requests: readonly Request[], delivery: unknown): Promise<readonly Request[]>;
  /** Handles what a queue delivers; without it each message of a batch is handed to `handle` by itself. */
  consume?(event: SQSEvent, context: Context): Promise<SQSBatchResponse | undefined>;
  /** Waits until everything acknowledged is written. Part of the measured time. */
  settle?(): Promise<void>;
  close(): Promise<void>;
}

export type ContenderName =
  | 'ours'
  | 'r0-setnx'
  | 'r1-redlock'
  | 'r2-for-update'
  | 'r3-conditional'
  | 'r4-lua-write-behind'
  | 'r5-skip-locked'
  | 'r6-fifo'
  | 'r7-group-commit'
  | 'bulk-insert'
  | 'empty';

/** Nothing to deliver again. */
export const acknowledged: readonly Request[] = [];
