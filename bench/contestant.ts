/**
 * What a design must offer to take part, and what it is given.
 *
 * A contestant lives in a player process of its own and is handed deliveries by lanes, its workers. It acknowledges a
 * delivery by returning, and asks for it again by returning requests. The main process judges by the rows it left.
 */
import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import type { Request } from './workload.ts';

/** Where the databases are. */
export interface Ground {
  readonly mysqlUrl: string;
  readonly redisUrl: string;
}

/** Where a contestant keeps the stock that must equal MySQL's at rest. */
export type MirrorKind = 'holdfast' | 'plain' | 'none';

/**
 * What is counted as stock: the four columns of the sale, or rows that stand for one unit each. Yardsticks leave stock
 * untouched, or store nothing at all.
 */
export type StockKind = 'counters' | 'unit-rows' | 'untouched' | 'nothing-stored';

export interface Contestant {
  readonly name: ContestantName;
  readonly title: string;
  readonly mirror: MirrorKind;
  readonly stock: StockKind;
  /** How many messages it takes at once. */
  readonly batch: number;
  /** The numbers of workers that are tried to find its best. */
  readonly workers: readonly number[];
  open(ground: Ground): Promise<Opened>;
}

export interface Opened {
  /** Called before each run, outside the measured time. */
  reset?(requests: readonly Request[]): Promise<void>;
  /** Builds what a delivery looks like, outside the measured time. */
  deliver?(requests: readonly Request[]): unknown;
  /** Handles one delivery. Returns those of its requests that must be delivered again. */
  handle(requests: readonly Request[], delivery: unknown): Promise<readonly Request[]>;
  /** Handles what a queue delivers; without it each message of a batch is handed to `handle` by itself. */
  consume?(event: SQSEvent, context: Context): Promise<SQSBatchResponse | undefined>;
  /** Waits for whatever was acknowledged before it was written. Part of the measured time. */
  settle?(): Promise<void>;
  close(): Promise<void>;
}

export type ContestantName =
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
