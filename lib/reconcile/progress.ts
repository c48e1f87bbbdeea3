/**
 * Where a run of reconcile stands, and what one step of it may hold: everything that must outlive an invocation, because
 * the next step may be made by another process.
 *
 * A sale is gone through in four parts: its stock, its rows a page at a time, its claims in Redis some buckets at a time,
 * and its books. A run after a restore begins with two more, over all sales: raising epochs, and forgetting claims.
 */
import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';

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
  /** The sale's version when it began: what is added up later belongs to it only if the version is still the same. */
  readonly version: number;
  readonly table: 'reservations' | 'ledger';
  /** The last id that was added up; null before the first. */
  readonly afterId: string | null;
  readonly sums: Sums;
  /** How often it has begun anew because the sale had moved on. */
  readonly restarts: number;
}

export type Progress =
  /** After a restore: every epoch is to be raised. */
  | { readonly part: 'epochs' }
  /** After a restore: what Redis has of the sales older than this one is to be forgotten. */
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
      /** The gate's counters when this part began, less what it has returned itself. */
      readonly seen: readonly (string | null)[];
      readonly pending: Pending;
    }
  | { readonly part: 'books'; readonly saleId: SaleId; readonly rows: number; readonly place: BooksPlace | null }
  | { readonly part: 'end' };

/** How much is done, and held in memory, at once. */
export interface Sizes {
  /** Rows of MySQL that are read, and held against the mirror, in one page. */
  readonly rowsPerPage: number;
  /** Fields of Redis that are held in one page; a larger bucket is read in parts. */
  readonly fieldsPerPage: number;
  /** Rows that one statement adds up. */
  readonly rowsPerSum: number;
  /** Rows and fields after which a step is committed. */
  readonly workPerStep: number;
  /** How long a step may take before it is committed. */
  readonly stepMs: number;
}

/**
 * A page of either kind is a few megabytes, whatever the size of a sale. A step is committed every second or so, so
 * dying costs as much, and the row of a run is written some thousand times for a million reservations at most.
 */
export const defaultSizes: Sizes = {
  rowsPerPage: 2_000,
  fieldsPerPage: 10_000,
  rowsPerSum: 50_000,
  workPerStep: 20_000,
  stepMs: 1_500,
};
