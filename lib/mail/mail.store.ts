/** The store of mails: the only code that writes `mails`. It decides nothing. */
import { holdAccounts } from '#erasure/hold-accounts.ts';
import { type CustomerId, consequentId, fromBytes, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { mailStates } from './mail.table.ts';

export type MailState = (typeof mailStates)[number];

/** The channel of mail itself; all others tell notices alone. */
export const mailChannel = 'mail';

/** A mail that is to be sent. */
export interface AskedMail {
  readonly id: string;
  readonly kind: string;
  readonly customerId: CustomerId | null;
  readonly address: string | null;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly createdAtMs: number;
}

/** A mail that a worker has claimed. */
export interface DueMail extends AskedMail {
  /** Attempts, this one included. */
  readonly attempts: number;
}

/**
 * Writes messages that are due now; one that is there already stays as it is, so what is told by two channels is written once for each.
 * Those that are `urgent` are sent before all others, however many wait. None is written to a customer whose account is deleted.
 */
export async function insertMails(
  tx: Tx,
  wanted: readonly AskedMail[],
  { urgent = false, channel = mailChannel } = {},
): Promise<void> {
  const held = await holdAccounts(
    tx,
    wanted.flatMap(({ customerId }) => customerId ?? []),
  );
  const told = wanted.filter(({ customerId }) => customerId === null || held.has(customerId));
  if (told.length === 0) return;
  const asked =
    channel === mailChannel
      ? told
      : told.map((one) => ({ ...one, id: consequentId(one.createdAtMs, `${channel} ${one.id}`) }));
  // In the order of the primary key, so that two batches that overlap take their locks in the same order.
  const rows = [...asked]
    .sort((one, other) => (one.id < other.id ? -1 : 1))
    .map(({ id, kind, customerId, address, facts, createdAtMs }) => [
      ...[toBytes(id), kind, customerId === null ? null : toBytes(customerId), address, JSON.stringify(facts)],
      ...['due', 0, urgent ? 0 : createdAtMs, createdAtMs, channel],
    ]);
  await tx.change(
    `INSERT INTO mails (id, kind, customer_id, address, facts, state, attempts, due_at_ms, created_at_ms, channel)
     VALUES ?
     ON DUPLICATE KEY UPDATE attempts = mails.attempts`,
    [rows],
  );
}

/**
 * Claims messages of a channel that are due, those first that have been due longest, and leaves those that another worker claims:
 * counts the attempt, which is taken to have died at `diesAtMs`. They are found first and then locked by their keys, since whoever
 * locks a range locks what follows it too: a message of another channel, which its worker would then leave.
 */
export async function claimDueMails(
  tx: Tx,
  channel: string,
  { nowMs, diesAtMs, limit }: { readonly nowMs: number; readonly diesAtMs: number; readonly limit: number },
): Promise<DueMail[]> {
  type Row = Omit<DueMail, 'id' | 'customerId' | 'facts'> & {
    readonly id: Buffer;
    readonly customerId: Buffer | null;
    /** MySQL returns an object, MariaDB its JSON text. */
    readonly facts: string | Record<string, unknown>;
  };
  const found = await tx.rows<Pick<Row, 'id'>>(
    `SELECT id FROM mails WHERE channel = ? AND state = 'due' AND due_at_ms <= ? ORDER BY due_at_ms LIMIT ?`,
    [channel, nowMs, limit],
  );
  if (found.length === 0) return [];
  const rows = await tx.rows<Row>(
    `SELECT id, kind, customer_id AS customerId, address, facts, created_at_ms AS createdAtMs, attempts
     FROM mails FORCE INDEX (PRIMARY)
     WHERE id IN (?) AND state = 'due' AND due_at_ms <= ? ORDER BY due_at_ms FOR UPDATE SKIP LOCKED`,
    [found.map(({ id }) => id), nowMs],
  );
  if (rows.length === 0) return [];
  await tx.change('UPDATE mails FORCE INDEX (PRIMARY) SET attempts = attempts + 1, due_at_ms = ? WHERE id IN (?)', [
    diesAtMs,
    rows.map(({ id }) => id),
  ]);
  return rows.map(({ id, customerId, facts, attempts, ...row }) => ({
    ...row,
    id: fromBytes(id),
    customerId: customerId && fromBytes<'customer'>(customerId),
    facts: typeof facts === 'string' ? (JSON.parse(facts) as Record<string, unknown>) : facts,
    attempts: attempts + 1,
  }));
}

/** Writes what came of an attempt. An address is kept for as long as there may be another one: it may be nobody's here, or no longer. */
export async function noteMail(
  sql: Sql,
  { id, state, dueAtMs, error }: { id: string; state: MailState; dueAtMs: number; error: string | null },
): Promise<void> {
  await sql.change(
    `UPDATE mails SET state = ?, due_at_ms = ?, last_error = ?, address = IF(? = 'due', address, NULL)
     WHERE id = ? AND state = 'due'`,
    [state, dueAtMs, error, state, toBytes(id)],
  );
}

/** Forgets all mails of a customer, those included that were not sent. */
export async function deleteMailsOf(sql: Sql, customerId: CustomerId): Promise<void> {
  await sql.change('DELETE FROM mails WHERE customer_id = ?', [toBytes(customerId)]);
}

/** Deletes mails from before this time, a bounded number; returns how many. */
export function deleteMailsBefore(sql: Sql, beforeMs: number, limit: number): Promise<number> {
  return sql.change('DELETE FROM mails WHERE created_at_ms < ? ORDER BY created_at_ms LIMIT ?', [beforeMs, limit]);
}
