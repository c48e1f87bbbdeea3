/**
 * The verifier's own reading of MySQL: its own statements on its own connection, sharing nothing with the workers.
 *
 * Everything is read in one snapshot, so that what is compared belongs to one moment; big tables are read in pages by
 * key, so that memory does not follow their size.
 */
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';

export interface SaleRow {
  id: string;
  status: string;
  cap: number;
  waitlistSize: number;
  priceMinor: number;
  currency: string;
  /** Who charges what is bought in it; null for the provider of its currency. */
  paymentProvider: string | null;
  /** When an operator last changed its terms; null if never. */
  patchedAtMs: number | null;
  reserveOpensAtMs: number;
  reserveClosesAtMs: number;
  purchaseOpensAtMs: number;
  purchaseClosesAtMs: number;
  /** Since when it is public, or will be; null for a draft. It changes only as long as nobody could reserve. */
  publicFromMs: number | null;
  /** How much later deadlines are than they are stored. */
  clockOffsetMs: number;
  allotment: number;
  available: number;
  allocated: number;
  sold: number;
  waitlisted: number;
  epoch: number;
  version: number;
}

/** Somebody who has something in a sale that counts by person, and what tells the person from others. */
export interface PersonHolder {
  saleId: string;
  customerId: string;
  capPer: 'contact' | 'externalId';
  cap: number;
  saleCreatedAtMs: number;
  /** What they hold, have bought and wait for. */
  units: number;
  /** When the first of it was accepted. */
  acceptedAtMs: number;
  email: string;
  externalId: string | null;
  /** From when on what the sale counts by is this account's; null if it has none. */
  sinceMs: number | null;
  /** When an operator last said another external id for the account. */
  changedAtMs: number | null;
}

export interface ReservationRow {
  id: string;
  saleId: string;
  customerId: string;
  ticket: number;
  quantity: number;
  atLeast: number;
  state: string;
  units: number;
  reason: string | null;
  deadlineMs: number | null;
  purchaseId: string | null;
  version: number;
  acceptedAtMs: number;
  decidedAtMs: number;
  /** The reservation that it was split from at first; null for a requested one. */
  partOf: string | null;
  /** What was requested, if it has been reduced or split since. */
  askedQuantity: number | null;
  askedAtLeast: number | null;
}

export interface MovementRow {
  subjectId: string;
  kind: string;
  saleId: string;
  units: number;
  atMs: number;
}

export interface NoticeRow {
  subjectId: string;
  version: number;
  kind: string;
  /** Which announcement of its kind it is. */
  round: number;
  customerId: string;
  createdAtMs: number;
  /** The time that it announced, if any. */
  deadline: string | null;
}

/** One announcement of a sale: what many were told in one round. */
export interface AnnouncementRow {
  saleId: string;
  kind: string;
  round: number;
  /** How many were told, and when the last of them was. */
  notices: number;
  lastAtMs: number;
  /** The last of them in the order of ids, in which an announcement goes over a sale. */
  lastId: string;
}

export interface PurchaseRow {
  id: string;
  customerId: string;
  state: string;
  amountMinor: number;
  currency: string;
  chargeId: string | null;
  /** Who charges it; null before the first attempt. */
  provider: string | null;
  version: number;
  createdAtMs: number;
}

export interface ItemRow {
  purchaseId: string;
  reservationId: string;
  saleId: string;
  units: number;
  priceMinor: number;
}

export interface RefundRow {
  purchaseId: string;
  refundKey: string;
  /** The sale that was called off; null if something else asked for it. */
  saleId: string | null;
  amountMinor: number;
  /** How much of it an operator has waived, since it is given back in another way or not at all. */
  waivedMinor: number;
  state: string;
  /** The units that return with it, as JSON: a reservation's id, or its id and how many; `*` for all. */
  releases: string;
}

export interface CancellationRow {
  saleId: string;
  refunds: string;
  calledOffAtMs: number;
  /** When every buyer had been told; null until then. */
  sweptAtMs: number | null;
}

const pageRows = 5_000;
const zeros = '00000000000000000000000000000000';
/** Reading a page of a big table may take long on a busy machine; never answering is a failure all the same. */
const statementTimeoutMs = 60_000;

/** An open connection of the verifier. */
export class Store {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  static async open(url: string): Promise<Store> {
    const connection = await mysql.createConnection({ uri: url, connectTimeout: 10_000, supportBigNumbers: true });
    await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    return new Store(connection);
  }

  /** From here on everything is read as it is then. */
  async live(): Promise<void> {
    await this.#connection.query('COMMIT');
  }

  /** From here on everything is read as of this moment. */
  async snapshot(): Promise<void> {
    await this.live();
    await this.#connection.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
  }

  async close(): Promise<void> {
    await this.#connection.end();
  }

  /** What changes whenever anything happens; the same twice means that nothing did. */
  async pulse(): Promise<{ outbox: number; openPurchases: number; fingerprint: string }> {
    const [row] = await this.#rows<Record<string, string | number | null>>(
      `SELECT (SELECT COUNT(*) FROM outbox) AS outbox,
         (SELECT COUNT(*) FROM purchases WHERE state IN ('requested', 'unknown', 'requires_action', 'refunding')) AS openPurchases,
         (SELECT CONCAT(COUNT(*), '/', COALESCE(SUM(version), 0)) FROM reservations) AS reservations,
         (SELECT COUNT(*) FROM notifications) AS notifications,
         (SELECT COALESCE(SUM(version), 0) FROM purchases) AS purchases,
         (SELECT COALESCE(SUM(allocated + waitlisted), 0) FROM sales) AS held`,
    );
    if (!row) throw new Error('MySQL answered nothing');
    const { outbox, openPurchases, ...rest } = row;
    return { outbox: Number(outbox), openPurchases: Number(openPurchases), fingerprint: Object.values(rest).join(' ') };
  }

  /** How many reservations there are. */
  async countReservations(): Promise<number> {
    const [row] = await this.#rows<{ n: number }>('SELECT COUNT(*) AS n FROM reservations');
    return Number(row?.n ?? 0);
  }

  /** Units and places that are still held in sales whose purchase window is over. */
  async heldAfterClose(nowMs: number): Promise<number> {
    const [row] = await this.#rows<{ n: number }>(
      `SELECT COALESCE(SUM(allocated + waitlisted), 0) AS n FROM sales
       WHERE purchase_closes_at_ms <= ? AND status <> 'paused'`,
      [nowMs],
    );
    return Number(row?.n ?? 0);
  }

  async sales(): Promise<Map<string, SaleRow>> {
    const rows = await this.#rows<SaleRow>(
      `SELECT LOWER(HEX(id)) AS id, status, cap_per_customer AS cap, waitlist_size AS waitlistSize,
         price_minor AS priceMinor, currency, payment_provider AS paymentProvider,
         (SELECT MAX(at_ms) FROM operator_acts WHERE subject_id = sales.id AND act = 'PATCH /sales/{saleId}') AS patchedAtMs,
         reserve_opens_at_ms AS reserveOpensAtMs,
         reserve_closes_at_ms AS reserveClosesAtMs, purchase_opens_at_ms AS purchaseOpensAtMs,
         purchase_closes_at_ms AS purchaseClosesAtMs, clock_offset_ms AS clockOffsetMs, public_from_ms AS publicFromMs,
         allotment, available, allocated, sold, waitlisted, epoch, version
       FROM sales`,
    );
    return new Map(rows.map((row) => [dashed(row.id), { ...row, id: dashed(row.id) }]));
  }

  /** Who has something in a sale that counts by contact or by external id; not those who are gone. */
  async *holdersByPerson(): AsyncGenerator<PersonHolder> {
    const rows = await this.#rows<PersonHolder>(
      `SELECT LOWER(HEX(s.id)) AS saleId, LOWER(HEX(c.id)) AS customerId, s.cap_per AS capPer,
         s.cap_per_customer AS cap, s.created_at_ms AS saleCreatedAtMs, c.email, c.external_id AS externalId,
         IF(s.cap_per = 'contact', c.contact_since_ms, c.external_since_ms) AS sinceMs,
         h.units, h.acceptedAtMs,
         (SELECT MAX(at_ms) FROM operator_acts WHERE subject_id = c.id AND act LIKE '%/external-id') AS changedAtMs
       FROM (SELECT sale_id, customer_id, SUM(IF(state = 'waitlisted', quantity, units)) AS units,
           MIN(accepted_at_ms) AS acceptedAtMs
         FROM reservations
         WHERE sale_id IN (SELECT id FROM sales WHERE cap_per <> 'customer')
           AND state IN ('allocated', 'waitlisted', 'purchased')
         GROUP BY sale_id, customer_id) h JOIN sales s ON s.id = h.sale_id JOIN customers c ON c.id = h.customer_id`,
    );
    for (const row of rows) {
      const [saleId, customerId] = [dashed(row.saleId), dashed(row.customerId)];
      yield { ...row, saleId, customerId, units: Number(row.units), acceptedAtMs: Number(row.acceptedAtMs) };
    }
  }

  /** All reservations in order of their ids, or those whose id begins with `idPrefix` (hex). */
  async *reservations(idPrefix = ''): AsyncGenerator<ReservationRow> {
    const last = Buffer.from(idPrefix.padEnd(32, 'f'), 'hex');
    let after = Buffer.from(`${idPrefix}${zeros}`.slice(0, 32), 'hex');
    for (;;) {
      const rows = await this.#rows<ReservationRow>(
        `SELECT LOWER(HEX(id)) AS id, LOWER(HEX(sale_id)) AS saleId, LOWER(HEX(customer_id)) AS customerId, ticket,
           quantity, at_least AS atLeast, state, units, reason, deadline_ms AS deadlineMs,
           LOWER(HEX(purchase_id)) AS purchaseId, version, accepted_at_ms AS acceptedAtMs, decided_at_ms AS decidedAtMs,
           LOWER(HEX(part_of)) AS partOf, asked_quantity AS askedQuantity, asked_at_least AS askedAtLeast
         FROM reservations WHERE id > ? AND id <= ? ORDER BY id LIMIT ${pageRows}`,
        [after, last],
      );
      for (const row of rows) {
        yield {
          ...row,
          id: dashed(row.id),
          saleId: dashed(row.saleId),
          customerId: dashed(row.customerId),
          purchaseId: row.purchaseId === null ? null : dashed(row.purchaseId),
          partOf: row.partOf === null ? null : dashed(row.partOf),
        };
      }
      const end = rows.at(-1);
      if (!end || rows.length < pageRows) return;
      after = Buffer.from(end.id, 'hex');
    }
  }

  /** All movements in order of their subjects. */
  async *movements(): AsyncGenerator<MovementRow> {
    const columns = 'LOWER(HEX(subject_id)) AS subjectId, kind, LOWER(HEX(sale_id)) AS saleId, units, at_ms AS atMs';
    for await (const row of this.#bySubject<MovementRow>(`SELECT ${columns} FROM ledger`)) {
      yield { ...row, saleId: dashed(row.saleId) };
    }
  }

  /** All notices in order of their subjects and, within one, of versions. */
  async *notices(): AsyncGenerator<NoticeRow> {
    const columns = `LOWER(HEX(subject_id)) AS subjectId, version, kind, round, LOWER(HEX(customer_id)) AS customerId,
      created_at_ms AS createdAtMs, JSON_UNQUOTE(JSON_EXTRACT(facts, '$.deadline')) AS deadline`;
    const select = `SELECT ${columns} FROM notifications`;
    for await (const row of this.#bySubject<NoticeRow>(select, ', version, kind')) {
      yield { ...row, customerId: dashed(row.customerId) };
    }
  }

  /** What was announced of the sales, each announcement once. */
  async announcements(): Promise<AnnouncementRow[]> {
    const rows = await this.#rows<AnnouncementRow & { notices: string | number }>(
      `SELECT JSON_UNQUOTE(JSON_EXTRACT(facts, '$.saleId')) AS saleId, kind, round, COUNT(*) AS notices,
         MAX(created_at_ms) AS lastAtMs, LOWER(HEX(MAX(subject_id))) AS lastId
       FROM notifications WHERE kind LIKE 'reminder.%' GROUP BY 1, 2, 3`,
    );
    return rows.map((row) => ({ ...row, notices: Number(row.notices), lastId: dashed(row.lastId) }));
  }

  /** How many notices of a kind there are about reservations of a sale. */
  async countNotices(
    saleId: string,
    kind: string,
    { fromMs = 0, toMs, reason }: { fromMs?: number; toMs?: number; reason?: string } = {},
  ): Promise<number> {
    const [row] = await this.#rows<{ n: number }>(
      `SELECT COUNT(*) AS n FROM notifications
       WHERE kind = ? AND JSON_UNQUOTE(JSON_EXTRACT(facts, '$.saleId')) = ? AND created_at_ms BETWEEN ? AND ?
         AND (? IS NULL OR JSON_UNQUOTE(JSON_EXTRACT(facts, '$.reason')) = ?)`,
      [kind, saleId, fromMs, toMs ?? Number.MAX_SAFE_INTEGER, reason ?? null, reason ?? null],
    );
    return Number(row?.n ?? 0);
  }

  /** Reads a table whose key begins with the subject, in pages that end where a subject ends. */
  async *#bySubject<Row extends { subjectId: string }>(select: string, then = ''): AsyncGenerator<Row> {
    let after = zeros;
    for (;;) {
      const rows = await this.#rows<Row>(
        `${select} WHERE subject_id > ? ORDER BY subject_id${then} LIMIT ${pageRows}`,
        [Buffer.from(after, 'hex')],
      );
      const full = rows.length === pageRows;
      const lastSubject = rows.at(-1)?.subjectId;
      // The last subject of a full page may go on beyond it, so it is read again as a whole.
      const whole = full ? rows.filter((row) => row.subjectId !== lastSubject) : rows;
      for (const row of whole) yield { ...row, subjectId: dashed(row.subjectId) };
      const end = whole.at(-1);
      if (!end || !full) return;
      after = end.subjectId;
    }
  }

  async purchases(): Promise<Map<string, PurchaseRow>> {
    const rows = await this.#rows<PurchaseRow>(
      `SELECT LOWER(HEX(id)) AS id, LOWER(HEX(customer_id)) AS customerId, state, amount_minor AS amountMinor, currency,
         charge_id AS chargeId, provider, version, created_at_ms AS createdAtMs FROM purchases`,
    );
    return new Map(
      rows.map((row) => [dashed(row.id), { ...row, id: dashed(row.id), customerId: dashed(row.customerId) }]),
    );
  }

  /** All refunds, by purchase. */
  async refunds(): Promise<Map<string, RefundRow[]>> {
    const rows = await this.#rows<RefundRow>(
      `SELECT LOWER(HEX(purchase_id)) AS purchaseId, refund_key AS refundKey, LOWER(HEX(sale_id)) AS saleId,
         amount_minor AS amountMinor, waived_minor AS waivedMinor, state, releases
       FROM refunds`,
    );
    return Map.groupBy(
      rows.map((row) => ({ ...row, purchaseId: dashed(row.purchaseId), saleId: row.saleId && dashed(row.saleId) })),
      (row) => row.purchaseId,
    );
  }

  /** The units that an operator has granted out of turn, by reservation. */
  async grants(): Promise<Map<string, number>> {
    const rows = await this.#rows<{ id: string; units: number }>(
      'SELECT LOWER(HEX(reservation_id)) AS id, units FROM grants',
    );
    return new Map(rows.map(({ id, units }) => [dashed(id), units]));
  }

  /** The sales that were called off, by sale. */
  async cancellations(): Promise<Map<string, CancellationRow>> {
    const rows = await this.#rows<CancellationRow>(
      `SELECT LOWER(HEX(sale_id)) AS saleId, refunds, called_off_at_ms AS calledOffAtMs, swept_at_ms AS sweptAtMs
       FROM cancellations`,
    );
    return new Map(rows.map((row) => [dashed(row.saleId), { ...row, saleId: dashed(row.saleId) }]));
  }

  /** The lines of all purchases, by purchase. */
  async items(): Promise<Map<string, ItemRow[]>> {
    const rows = await this.#rows<ItemRow>(
      `SELECT LOWER(HEX(purchase_id)) AS purchaseId, LOWER(HEX(reservation_id)) AS reservationId,
         LOWER(HEX(sale_id)) AS saleId, units, price_minor AS priceMinor FROM purchase_items`,
    );
    return Map.groupBy(
      rows.map((row) => ({
        ...row,
        purchaseId: dashed(row.purchaseId),
        reservationId: dashed(row.reservationId),
        saleId: dashed(row.saleId),
      })),
      (row) => row.purchaseId,
    );
  }

  async #rows<Row>(sql: string, values: unknown[] = []): Promise<Row[]> {
    const [rows] = await this.#connection.query<RowDataPacket[]>({ sql, values, timeout: statementTimeoutMs });
    return rows as Row[];
  }
}

/** 32 hex digits as an id is written. */
function dashed(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
