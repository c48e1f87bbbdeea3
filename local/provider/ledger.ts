/**
 * The provider's ledger: charges, refunds and their webhooks, in one SQLite file.
 *
 * Invariants: an idempotency key has at most one charge or one refund, whichever instance was asked, because every
 * instance opens the same file and each write is one immediate transaction; the refunds of a charge never exceed what was
 * captured; a charge never changes once written; a payment that waits for its customer becomes a charge once, by a decision
 * of the customer or the shop, or when its time is over; the webhook of a fact is written in the fact's own transaction. WAL
 * with synchronous=NORMAL: a killed process loses nothing it answered. Called by server.ts and webhooks.ts.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export interface Charge {
  id: string;
  idempotencyKey: string;
  reference: string;
  amountMinor: number;
  currency: string;
  token: string;
  status: 'captured' | 'declined';
  declineCode?: string;
  createdAt: string;
}

/** A payment that waits for its customer. Its charge is written once that is decided. */
export interface PendingCharge extends Omit<Charge, 'status' | 'declineCode'> {
  status: 'requires_action';
  /** The unguessable part of the address at which the customer decides. */
  actionKey: string;
  expiresAt: string;
}

export interface Refund {
  id: string;
  chargeId: string;
  idempotencyKey: string;
  amountMinor: number;
  currency: string;
  status: 'refunded';
  createdAt: string;
}

/** Why a charge is not given back. */
export type RefundRefusal = 'no_such_charge' | 'not_captured' | 'exceeds_charge' | 'idempotency_key_reused';

/** What a payment that waited for its customer became. */
export type Decision = { status: 'captured'; amountMinor?: number } | { status: 'declined'; declineCode: string };

export type NewCharge = Omit<Charge, 'id' | 'createdAt'> & {
  /** Digest of the request body; a key may be used again only with the same one. */
  fingerprint: string;
};

export interface Webhook {
  id: string;
  body: string;
  attempts: number;
  createdMs: number;
}

/** A fact, with the id of the webhook written beside it if the provider sends webhooks. */
export type Recorded<T> = { outcome: 'new'; value: T; webhookId?: string } | { outcome: 'replayed'; value: T };

const schema = `
CREATE TABLE IF NOT EXISTS charges (
  id TEXT PRIMARY KEY, idempotency_key TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL, reference TEXT NOT NULL,
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), currency TEXT NOT NULL, token TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('captured', 'declined')), decline_code TEXT, created_ms INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS charges_by_reference ON charges (reference);
CREATE TABLE IF NOT EXISTS pending (
  id TEXT PRIMARY KEY, idempotency_key TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL, reference TEXT NOT NULL,
  amount_minor INTEGER NOT NULL, currency TEXT NOT NULL, token TEXT NOT NULL, created_ms INTEGER NOT NULL,
  action_key TEXT NOT NULL UNIQUE, expires_ms INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS repayments (
  id TEXT PRIMARY KEY, charge_id TEXT NOT NULL REFERENCES charges (id), idempotency_key TEXT NOT NULL UNIQUE,
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), currency TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS repayments_by_charge ON repayments (charge_id);
CREATE TABLE IF NOT EXISTS attempts (idempotency_key TEXT PRIMARY KEY, attempts INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS webhooks (
  id TEXT PRIMARY KEY, body TEXT NOT NULL, created_ms INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  due_ms INTEGER NOT NULL, leased_until_ms INTEGER NOT NULL DEFAULT 0, outcome TEXT) STRICT;
CREATE INDEX IF NOT EXISTS webhooks_to_send ON webhooks (due_ms) WHERE outcome IS NULL;
`;

/** Long enough for another instance to finish its transaction on a slow disk. */
const busyTimeoutMs = 5_000;

type Row = Record<string, unknown>;

export class Ledger {
  private readonly db: DatabaseSync;
  private readonly now: () => number;
  private readonly tellsWebhooks: boolean;

  /** Opens the ledger in `dataDir` (in memory without one). With `tellsWebhooks`, charges and refunds get a webhook. */
  constructor(options: { dataDir?: string; tellsWebhooks: boolean; now: () => number }) {
    if (options.dataDir !== undefined) mkdirSync(options.dataDir, { recursive: true });
    const file = options.dataDir === undefined ? ':memory:' : join(options.dataDir, 'provider.sqlite');
    this.db = new DatabaseSync(file, { timeout: busyTimeoutMs });
    this.db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
    // One immediate transaction, because several instances may start on a new file at once.
    this.db.exec(`BEGIN IMMEDIATE; ${schema} COMMIT;`);
    this.now = options.now;
    this.tellsWebhooks = options.tellsWebhooks;
  }

  /** Writes a charge, or finds the one its key already has. Undefined: the key belongs to a different request. */
  charge(given: NewCharge): Recorded<Charge> | undefined {
    return this.inTransaction(() => {
      const existing = this.db.prepare('SELECT * FROM charges WHERE idempotency_key = ?').get(given.idempotencyKey);
      if (existing) {
        return existing.fingerprint === given.fingerprint
          ? { outcome: 'replayed', value: chargeOf(existing) }
          : undefined;
      }
      const charge = this.write(newId('ch'), given, this.now());
      return { outcome: 'new', value: charge, webhookId: this.tell(`payment.${charge.status}`, charge) };
    });
  }

  private write(id: string, given: NewCharge, atMs: number): Charge {
    this.db
      .prepare('INSERT INTO charges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
      .run(
        id,
        given.idempotencyKey,
        given.fingerprint,
        given.reference,
        given.amountMinor,
        given.currency,
        given.token,
        given.status,
        given.declineCode ?? null,
        atMs,
      );
    return chargeOf(this.db.prepare('SELECT * FROM charges WHERE id = ?').get(id) ?? {});
  }

  /**
   * Writes a payment that waits for its customer until `waitsMs` from now, or finds the one that its key already has.
   * Undefined if the key belongs to a different request. `urlOf` makes the address that the webhook names.
   */
  hold(
    given: Omit<NewCharge, 'status' | 'declineCode'>,
    waitsMs: number,
    urlOf: (actionKey: string) => string,
  ): Recorded<PendingCharge> | undefined {
    return this.inTransaction(() => {
      const existing = this.db.prepare('SELECT * FROM pending WHERE idempotency_key = ?').get(given.idempotencyKey);
      if (existing) {
        const same = existing.fingerprint === given.fingerprint;
        return same ? { outcome: 'replayed', value: pendingOf(existing) } : undefined;
      }
      const [id, nowMs] = [newId('ch'), this.now()];
      const { idempotencyKey, fingerprint, reference, amountMinor, currency, token } = given;
      this.db
        .prepare('INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
        .run(
          ...[id, idempotencyKey, fingerprint, reference, amountMinor, currency, token, nowMs],
          ...[newId('act'), nowMs + waitsMs],
        );
      const value = pendingOf(this.db.prepare('SELECT * FROM pending WHERE id = ?').get(id) ?? {});
      return { outcome: 'new', value, webhookId: this.tellAction(value, urlOf(value.actionKey)) };
    });
  }

  /** The undecided payment under this charge id, idempotency key or action key. */
  findPending(key: string): PendingCharge | undefined {
    const row = this.db
      .prepare(
        `SELECT * FROM pending WHERE (id = ? OR idempotency_key = ? OR action_key = ?)
           AND idempotency_key NOT IN (SELECT idempotency_key FROM charges)`,
      )
      .get(key, key, key);
    return row && pendingOf(row);
  }

  /**
   * Decides a payment that waits for its customer, once: later calls get what it became. Undefined if there is nothing under
   * this charge id, idempotency key or action key. After its time it is declined, whatever the decision.
   */
  decide(key: string, decision: Decision): Recorded<Charge> | undefined {
    return this.inTransaction((): Recorded<Charge> | undefined => {
      const row = this.db
        .prepare('SELECT * FROM pending WHERE id = ? OR idempotency_key = ? OR action_key = ?')
        .get(key, key, key);
      if (!row) {
        const charge = this.findCharge(key);
        return charge && { outcome: 'replayed', value: charge };
      }
      const known = this.findCharge(String(row.id));
      if (known) return { outcome: 'replayed', value: known };
      const waiting = pendingOf(row);
      const isLate = this.now() >= Date.parse(waiting.expiresAt);
      const decided = isLate ? ({ status: 'declined', declineCode: 'action_expired' } as const) : decision;
      const given = { ...waiting, fingerprint: String(row.fingerprint), ...decided };
      const charge = this.write(waiting.id, given, this.now());
      return { outcome: 'new', value: charge, webhookId: this.tell(`payment.${charge.status}`, charge) };
    });
  }

  /**
   * Refunds a captured charge, or a part of it: without an amount, all that is left. The same key gets the same answer;
   * without a key, a charge is refunded once, as a whole. Returns the reason if it is not refunded.
   */
  refund(
    chargeId: string,
    { key, amountMinor }: { key?: string | undefined; amountMinor?: number | undefined } = {},
  ): Recorded<Refund> | RefundRefusal {
    return this.inTransaction((): Recorded<Refund> | RefundRefusal => {
      const charge = this.findCharge(chargeId);
      if (!charge) return 'no_such_charge';
      if (charge.status !== 'captured') return 'not_captured';
      const own = key ?? `${charge.id}:whole`;
      const existing = this.db.prepare('SELECT * FROM repayments WHERE idempotency_key = ?').get(own);
      if (existing) {
        const value = refundOf(existing);
        const same = value.chargeId === charge.id && (amountMinor === undefined || amountMinor === value.amountMinor);
        return same ? { outcome: 'replayed', value } : 'idempotency_key_reused';
      }
      const left = charge.amountMinor - this.refunded(charge.id);
      const amount = amountMinor ?? left;
      if (amount > left || amount <= 0) return 'exceeds_charge';
      const id = newId('re');
      this.db
        .prepare('INSERT INTO repayments VALUES (?, ?, ?, ?, ?, ?)')
        .run(id, charge.id, own, amount, charge.currency, this.now());
      const refund = refundOf(this.db.prepare('SELECT * FROM repayments WHERE id = ?').get(id) ?? {});
      return { outcome: 'new', value: refund, webhookId: this.tell('payment.refunded', charge, refund) };
    });
  }

  /** How much of a charge was given back. */
  private refunded(chargeId: string): number {
    const row = this.db.prepare('SELECT SUM(amount_minor) AS total FROM repayments WHERE charge_id = ?').get(chargeId);
    return Number(row?.total ?? 0);
  }

  /** The charge with this id or idempotency key. */
  findCharge(idOrKey: string): Charge | undefined {
    const row = this.db.prepare('SELECT * FROM charges WHERE id = ? OR idempotency_key = ?').get(idOrKey, idOrKey);
    return row && chargeOf(row);
  }

  /** Whether a key is taken by a request with another body. */
  conflicts(idempotencyKey: string, fingerprint: string): boolean {
    const row = this.db
      .prepare(
        `SELECT fingerprint FROM charges WHERE idempotency_key = ?
         UNION ALL SELECT fingerprint FROM pending WHERE idempotency_key = ?`,
      )
      .get(idempotencyKey, idempotencyKey);
    return row !== undefined && row.fingerprint !== fingerprint;
  }

  chargesWithReference(reference: string): Charge[] {
    return this.db
      .prepare('SELECT * FROM charges WHERE reference = ? ORDER BY created_ms, id')
      .all(reference)
      .map(chargeOf);
  }

  /** Everything ever written, in order of time. */
  all(): { charges: Charge[]; refunds: Refund[] } {
    return {
      charges: this.db.prepare('SELECT * FROM charges ORDER BY created_ms, id').all().map(chargeOf),
      refunds: this.db.prepare('SELECT * FROM repayments ORDER BY created_ms, id').all().map(refundOf),
    };
  }

  /** Counts one more attempt with a key, over all instances, and returns how many there have been. */
  countAttempt(idempotencyKey: string): number {
    const row = this.db
      .prepare(
        `INSERT INTO attempts VALUES (?, 1)
         ON CONFLICT (idempotency_key) DO UPDATE SET attempts = attempts + 1 RETURNING attempts`,
      )
      .get(idempotencyKey);
    return Number(row?.attempts);
  }

  /** Ids of webhooks that are due and that no instance is sending, the longest overdue first. */
  dueWebhooks(limit: number): string[] {
    const nowMs = this.now();
    return this.db
      .prepare(
        `SELECT id FROM webhooks WHERE outcome IS NULL AND due_ms <= ? AND leased_until_ms <= ?
         ORDER BY due_ms LIMIT ?`,
      )
      .all(nowMs, nowMs, limit)
      .map((row) => String(row.id));
  }

  /** Leases a webhook for sending, unless it is done or another instance has it. Counts as an attempt. */
  leaseWebhook(id: string, leaseMs: number): Webhook | undefined {
    const nowMs = this.now();
    const row = this.db
      .prepare(
        `UPDATE webhooks SET leased_until_ms = ?, attempts = attempts + 1
         WHERE id = ? AND outcome IS NULL AND leased_until_ms <= ? RETURNING *`,
      )
      .get(nowMs + leaseMs, id, nowMs);
    if (!row) return undefined;
    return {
      id,
      body: String(row.body),
      attempts: Number(row.attempts),
      createdMs: Number(row.created_ms),
    };
  }

  /** Marks a webhook as delivered or given up. */
  finishWebhook(id: string, outcome: 'delivered' | 'abandoned'): void {
    this.db.prepare('UPDATE webhooks SET outcome = ?, leased_until_ms = 0 WHERE id = ?').run(outcome, id);
  }

  /** Releases a webhook, to be sent again at `dueMs`. */
  postponeWebhook(id: string, dueMs: number): void {
    this.db.prepare('UPDATE webhooks SET due_ms = ?, leased_until_ms = 0 WHERE id = ?').run(dueMs, id);
  }

  close(): void {
    this.db.close();
  }

  private tell(type: string, charge: Charge, refund?: Refund): string | undefined {
    if (!this.tellsWebhooks) return undefined;
    const { id: chargeId, idempotencyKey, reference, currency, declineCode } = charge;
    // For a refund, the amount is that of this refund.
    const { amountMinor, status } = refund ?? charge;
    const of = refund && { refundId: refund.id, refundKey: refund.idempotencyKey };
    return this.keepWebhook(type, {
      ...{ chargeId, idempotencyKey, reference, amountMinor, currency, status, declineCode, ...of },
    });
  }

  private tellAction(pending: PendingCharge, url: string): string | undefined {
    if (!this.tellsWebhooks) return undefined;
    const { id: chargeId, idempotencyKey, reference, amountMinor, currency, status, expiresAt } = pending;
    const action = { url, expiresAt };
    return this.keepWebhook('payment.requires_action', {
      ...{ chargeId, idempotencyKey, reference, amountMinor, currency, status, action },
    });
  }

  private keepWebhook(type: string, data: object): string {
    const nowMs = this.now();
    const id = newId('msg');
    this.db
      .prepare('INSERT INTO webhooks (id, body, created_ms, due_ms) VALUES (?, ?, ?, ?)')
      .run(id, JSON.stringify({ type, timestamp: new Date(nowMs).toISOString(), data }), nowMs, nowMs);
    return id;
  }

  private inTransaction<T>(run: () => T): T {
    this.db.exec('BEGIN IMMEDIATE');
    try {
      const result = run();
      this.db.exec('COMMIT');
      return result;
    } catch (error) {
      if (this.db.isTransaction) this.db.exec('ROLLBACK');
      throw error;
    }
  }
}

function newId(prefix: string): string {
  return `${prefix}_${randomBytes(16).toString('hex')}`;
}

function chargeOf(row: Row): Charge {
  return {
    id: String(row.id),
    idempotencyKey: String(row.idempotency_key),
    reference: String(row.reference),
    amountMinor: Number(row.amount_minor),
    currency: String(row.currency),
    token: String(row.token),
    status: row.status === 'captured' ? 'captured' : 'declined',
    ...(row.decline_code === null ? {} : { declineCode: String(row.decline_code) }),
    createdAt: new Date(Number(row.created_ms)).toISOString(),
  };
}

function pendingOf(row: Row): PendingCharge {
  const { status: _, declineCode: __, ...charge } = chargeOf({ ...row, decline_code: null });
  const expiresAt = new Date(Number(row.expires_ms)).toISOString();
  return { ...charge, status: 'requires_action', actionKey: String(row.action_key), expiresAt };
}

function refundOf(row: Row): Refund {
  return {
    id: String(row.id),
    chargeId: String(row.charge_id),
    idempotencyKey: String(row.idempotency_key),
    amountMinor: Number(row.amount_minor),
    currency: String(row.currency),
    status: 'refunded',
    createdAt: new Date(Number(row.created_ms)).toISOString(),
  };
}
