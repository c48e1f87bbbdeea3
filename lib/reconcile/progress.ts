/**
 * How far a run of reconcile has come, and the limits of one step: everything that must outlive an invocation, because
 * another process may make the next step.
 *
 * A sale is processed in five parts: its stock, its rows a page at a time, its claims in Redis some buckets at a time, its
 * line if that needs it, and its books. A run after a restore starts with two more, over all sales: raising epochs, and deleting claims from Redis.
 */
import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';
import type { LinePlace } from './check-line.ts';

/** Where the next page of claims begins. A bucket that is too large to be held at once is read in parts, by owner. */
export interface ClaimsPlace {
  readonly bucket: number;
  readonly part: number;
  readonly parts: number;
}

/** The units, and the requests beyond the stock, that undecided requests ask for. */
export interface Pending {
  readonly units: number;
  readonly over: number;
}

/** The sums of a sale's rows and movements. */
export interface Sums {
  readonly allocatedUnits: number;
  readonly purchasedUnits: number;
  readonly waiting: number;
  readonly adjusted: number;
  readonly heldByLedger: number;
}

/** How far adding up the books of a large sale has come. */
export interface BooksPlace {
  /** The sale's version at the beginning; later pages belong to the same sums only if it has not changed. */
  readonly version: number;
  readonly table: 'reservations' | 'ledger';
  /** The last id that was added up; null before the first. */
  readonly afterId: string | null;
  readonly sums: Sums;
  /** How often it has started again because the sale changed. */
  readonly restarts: number;
}

export type Progress =
  /** After a restore: every epoch is to be raised. */
  | { readonly part: 'epochs' }
  /** After a restore: Redis's data of sales older than this one is still to be deleted. */
  | { readonly part: 'forget'; readonly beforeId: SaleId | null }
  /** The sales older than this one are to be reconciled, or the only one. */
  | { readonly part: 'sales'; readonly beforeId: SaleId | null }
  | {
      readonly part: 'rows';
      readonly saleId: SaleId;
      readonly afterId: ReservationId | null;
      readonly rows: number;
      readonly partial: string | null;
    }
  | {
      readonly part: 'claims';
      readonly saleId: SaleId;
      readonly rows: number;
      readonly place: ClaimsPlace;
      /** The gate's counters at the beginning of this part, less what the part itself has taken back. */
      readonly seen: readonly (string | null)[];
      readonly pending: Pending;
    }
  | { readonly part: 'line'; readonly saleId: SaleId; readonly rows: number; readonly place: LinePlace | null }
  | { readonly part: 'books'; readonly saleId: SaleId; readonly rows: number; readonly place: BooksPlace | null }
  | { readonly part: 'end' };

/** How much is processed, and kept in memory, at once. */
export interface Sizes {
  /** Rows of MySQL that are read and compared with the mirror in one page. */
  readonly rowsPerPage: number;
  /** Fields of Redis that are held in one page; a larger bucket is read in parts. */
  readonly fieldsPerPage: number;
  /** Up to how many rows the books of a sale are added up by one statement; those of a larger one are in pages. */
  readonly rowsInOneSum: number;
  /** Rows that one statement adds up of larger books. */
  readonly rowsPerSum: number;
  /** Rows and fields after which a step is committed. */
  readonly workPerStep: number;
  /** How long a step may take before it is committed. */
  readonly stepMs: number;
}

/**
 * A page of either kind takes a few megabytes, for a sale of any size. A step is committed every second or so, so a
 * crash loses no more than that, and a run's row is written at most some thousand times for a million reservations.
 */
export const defaultSizes: Sizes = {
  rowsPerPage: 500,
  fieldsPerPage: 2_500,
  rowsInOneSum: 50_000,
  rowsPerSum: 5_000,
  workPerStep: 20_000,
  stepMs: 1_500,
};
