/**
 * The store of refunds: the only code that writes `refunds`. It decides nothing. Its
 * callers hold the lock on the purchase's row when they write.
 */
import { fromBytes, type PurchaseId, type ReservationId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import { type RefundState, refundStates } from '#state/purchase-state.ts';
import type { BankAccount } from './purchase.shapes.ts';

/** Units of one reservation that return with the money. */
export interface Release {
  readonly reservationId: ReservationId;
  /** Null: all that it still has. */
  readonly units: number | null;
}

/** What returns with the money: units of some of the purchase's reservations, or all of the purchase. */
export type Releases = readonly Release[] | 'all';

/** Units of one reservation whose price is given back. */
export interface RefundedItem {
  readonly reservationId: ReservationId;
  readonly units: number;
}

/** A refund's row. */
export interface RefundRow {
  readonly purchaseId: PurchaseId;
  /** What asked for it; with the purchase, the row's key. */
  readonly refundKey: string;
  /** The sale that was called off; null if something else asked for it. */
  readonly saleId: SaleId | null;
  readonly amountMinor: number;
  readonly state: RefundState;
  readonly reason: string;
  /** The provider's reason for refusing it. */
  readonly failure: string | null;
  readonly releases: Releases;
  /** The units whose price it gives back; null if it is an amount. */
  readonly forItems: readonly RefundedItem[] | null;
  /** Where the money goes, if an operator has said so; null once the provider has answered. */
  readonly account: BankAccount | null;
  /** How much of it an operator has waived. A refund that an older build waived says zero here, too. */
  readonly waivedMinor: number;
  /** How often the provider refused it. */
  readonly refusals: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

type StoredRefund = Omit<RefundRow, 'purchaseId' | 'saleId' | 'releases' | 'forItems' | 'account'> & {
  purchaseId: Buffer;
  saleId: Buffer | null;
  releases: string;
  forItems: string | null;
  account: string | null;
};

const refundColumns = `r.purchase_id AS purchaseId, r.refund_key AS refundKey, r.sale_id AS saleId,
  r.amount_minor AS amountMinor, r.state, r.reason, r.failure, r.releases, r.for_items AS forItems, r.waived_minor AS waivedMinor,
  r.refusals, r.account,
  r.created_at_ms AS createdAtMs, r.updated_at_ms AS updatedAtMs`;

/** The refunds of these purchases, in the order in which they were asked for. */
export async function readRefunds(sql: Sql, purchaseIds: readonly PurchaseId[]): Promise<RefundRow[]> {
  if (purchaseIds.length === 0) return [];
  const rows = await sql.rows<StoredRefund>(
    `SELECT ${refundColumns} FROM refunds r FORCE INDEX (PRIMARY) WHERE r.purchase_id IN (?) ORDER BY r.created_at_ms`,
    [purchaseIds.map(toBytes)],
  );
  return rows.map(refundOf);
}

function refundOf<Stored extends StoredRefund>({ purchaseId, saleId, releases, forItems, account, ...row }: Stored) {
  return {
    ...row,
    purchaseId: fromBytes(purchaseId) as PurchaseId,
    saleId: saleId && (fromBytes(saleId) as SaleId),
    releases: readReleases(releases),
    forItems: forItems === null ? null : itemsOf(forItems),
    account: account === null ? null : (JSON.parse(account) as BankAccount),
  };
}

/** Where a page of refunds begins. */
export type RefundPosition = readonly [purchaseId: PurchaseId, refundKey: string];

/**
 * Refunds that the provider refused and that nothing has made up for since, after a position in the order of their keys; with
 * a sale, those for it alone: its share of a purchase if it was called off, and any other refund of a purchase in it.
 */
export async function listFailedRefunds(
  sql: Sql,
  { saleId, after, limit }: { saleId: SaleId | undefined; after: RefundPosition | undefined; limit: number },
): Promise<(RefundRow & { currency: string })[]> {
  const ofSale = `AND (r.sale_id = ? OR (r.sale_id IS NULL AND EXISTS (
    SELECT 1 FROM purchase_items i WHERE i.purchase_id = p.id AND i.sale_id = ?)))`;
  const onward = 'AND (r.purchase_id > ? OR (r.purchase_id = ? AND r.refund_key > ?))';
  // The state of the purchase leads to them by its index.
  const rows = await sql.rows<StoredRefund & { currency: string }>(
    `SELECT ${refundColumns}, COALESCE(p.captured_currency, p.currency) AS currency
     FROM purchases p JOIN refunds r ON r.purchase_id = p.id
     WHERE p.state IN ('refund_failed', 'refunding') AND r.state = 'failed'
       ${saleId ? ofSale : ''} ${after ? onward : ''}
     ORDER BY r.purchase_id, r.refund_key LIMIT ?`,
    [
      ...(saleId ? [toBytes(saleId), toBytes(saleId)] : []),
      ...(after ? [toBytes(after[0]), toBytes(after[0]), after[1]] : []),
      limit,
    ],
  );
  return rows.map(refundOf);
}

function readReleases(stored: string): Releases {
  if (stored === '*') return 'all';
  const entries = JSON.parse(stored) as (ReservationId | [ReservationId, number])[];
  return entries.map((entry) =>
    typeof entry === 'string' ? { reservationId: entry, units: null } : { reservationId: entry[0], units: entry[1] },
  );
}

function itemsOf(stored: string): RefundedItem[] {
  return (JSON.parse(stored) as [ReservationId, number][]).map(([reservationId, units]) => ({ reservationId, units }));
}

function releasesText(releases: Releases): string {
  if (releases === 'all') return '*';
  return JSON.stringify(
    releases.map(({ reservationId, units }) => (units === null ? reservationId : [reservationId, units])),
  );
}

/** How many refunds are in each state, and how much money that is. */
export type RefundCounts = Record<RefundState, { refunds: number; amountMinor: number }>;

/** A row of such a count. */
export interface RefundCount {
  readonly state: RefundState;
  readonly refunds: number;
  readonly amountMinor: number;
}

/**
 * The refunds that a called-off sale led to, counted by state, and those of its purchases that were ordered for another
 * reason and are not done. A refund of a purchase over several sales counts with its whole amount then. What the provider
 * refused does not count once all of the money has gone back in another way.
 */
export async function countRefundsOfSale(sql: Sql, saleId: SaleId): Promise<RefundCounts> {
  const rows = await sql.rows<RefundCount>(
    `SELECT f.state, COUNT(*) AS refunds, SUM(f.amount_minor) AS amountMinor
     FROM refunds f JOIN purchases p ON p.id = f.purchase_id
     WHERE (f.sale_id = ? OR (f.sale_id IS NULL AND f.state IN ('pending', 'failed') AND EXISTS (
       SELECT 1 FROM purchase_items i WHERE i.purchase_id = f.purchase_id AND i.sale_id = ?)))
       AND NOT (f.state = 'failed' AND p.state = 'refunded')
     GROUP BY f.state`,
    [toBytes(saleId), toBytes(saleId)],
  );
  return toRefundCounts(rows);
}

/** The counts by state of refunds that were counted in the database; a state that has no row has none. */
export function toRefundCounts(rows: readonly RefundCount[]): RefundCounts {
  const found = new Map(rows.map((row) => [row.state, row]));
  const count = (state: RefundState) => ({
    refunds: Number(found.get(state)?.refunds ?? 0),
    amountMinor: Number(found.get(state)?.amountMinor ?? 0),
  });
  return Object.fromEntries(refundStates.map((state) => [state, count(state)])) as RefundCounts;
}

/** The account as it is stored: only while the money is on its way. */
function accountText({ state, account }: Pick<RefundRow, 'state' | 'account'>): string | null {
  return account && state === 'pending' ? JSON.stringify(account) : null;
}

/** Writes refunds. They must not exist yet. */
export async function insertRefunds(tx: Tx, refunds: readonly RefundRow[]): Promise<void> {
  if (refunds.length === 0) return;
  await tx.change(
    `INSERT INTO refunds (purchase_id, refund_key, sale_id, amount_minor, state, reason, failure, releases, for_items,
       waived_minor, refusals, account, created_at_ms, updated_at_ms) VALUES ?`,
    [
      refunds.map((refund) => [
        toBytes(refund.purchaseId),
        refund.refundKey,
        refund.saleId && toBytes(refund.saleId),
        refund.amountMinor,
        refund.state,
        refund.reason,
        refund.failure,
        releasesText(refund.releases),
        refund.forItems && JSON.stringify(refund.forItems.map(({ reservationId, units }) => [reservationId, units])),
        refund.waivedMinor,
        refund.refusals,
        accountText(refund),
        refund.createdAtMs,
        refund.updatedAtMs,
      ]),
    ],
  );
}

/** Writes how refunds stand now. Their rows were read in this transaction, with their purchases held. */
export async function updateRefunds(tx: Tx, refunds: readonly RefundRow[]): Promise<void> {
  for (const { purchaseId, refundKey, amountMinor, state, reason, failure, ...refund } of refunds) {
    const { waivedMinor, refusals, updatedAtMs, account } = refund;
    await tx.change(
      `UPDATE refunds SET amount_minor = ?, state = ?, reason = ?, failure = ?, waived_minor = ?, refusals = ?,
         account = ?, updated_at_ms = ? WHERE purchase_id = ? AND refund_key = ?`,
      [
        ...[amountMinor, state, reason, failure, waivedMinor, refusals],
        ...[accountText({ state, account }), updatedAtMs, toBytes(purchaseId), refundKey],
      ],
    );
  }
}
