/**
 * The store of kept answers: the only code that writes `kept_answers`.
 */
import type { Sql, Tx } from '#platform/mysql/mysql.ts';

/** An answer as it is kept. */
export interface KeptAnswer {
  /** SHA-256 of who called what under which key, or a digest that only the holder of the key can make. */
  readonly callHash: Buffer;
  /** SHA-256 of what was asked for, or an HMAC where that holds a secret. */
  readonly fingerprint: Buffer;
  /** JSON, or JSON that is sealed. */
  readonly answer: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
}

/** How long an answer is kept that an older build has kept, which wrote down no end. */
const keptByOlderBuildsMs = 24 * 60 * 60 * 1_000;

/** The answer that is kept for a call, though its time may be over. */
export async function findAnswer(sql: Sql, callHash: Buffer): Promise<KeptAnswer | undefined> {
  const [row] = await sql.rows<Omit<KeptAnswer, 'expiresAtMs'> & { expiresAtMs: number | null }>(
    `SELECT call_hash AS callHash, fingerprint, answer, created_at_ms AS createdAtMs, expires_at_ms AS expiresAtMs
       FROM kept_answers WHERE call_hash = ?`,
    [callHash],
  );
  if (!row) return undefined;
  return { ...row, expiresAtMs: row.expiresAtMs ?? row.createdAtMs + keptByOlderBuildsMs };
}

/** Keeps the answer of a call, in the transaction of its effect if it has one. Throws a duplicate key if one is kept already. */
export async function insertAnswer(
  tx: Tx | Sql,
  { callHash, fingerprint, answer, createdAtMs, expiresAtMs }: KeptAnswer,
): Promise<void> {
  await tx.change(
    'INSERT INTO kept_answers (call_hash, fingerprint, answer, created_at_ms, expires_at_ms) VALUES (?, ?, ?, ?, ?)',
    [callHash, fingerprint, answer, createdAtMs, expiresAtMs],
  );
}

/** Deletes an answer as it was read: one that was kept since stays. */
export async function deleteAnswer(
  sql: Sql,
  { callHash, createdAtMs }: Pick<KeptAnswer, 'callHash' | 'createdAtMs'>,
): Promise<void> {
  await sql.change('DELETE FROM kept_answers WHERE call_hash = ? AND created_at_ms = ?', [callHash, createdAtMs]);
}

/** Deletes answers whose time is over, at most `limit` of them; returns how many. */
export async function deleteAnswersBefore(sql: Sql, nowMs: number, limit: number): Promise<number> {
  const ended = await sql.change('DELETE FROM kept_answers WHERE expires_at_ms < ? ORDER BY expires_at_ms LIMIT ?', [
    nowMs,
    limit,
  ]);
  if (ended === limit) return ended;
  const older = await sql.change(
    'DELETE FROM kept_answers WHERE created_at_ms < ? AND expires_at_ms IS NULL ORDER BY created_at_ms LIMIT ?',
    [nowMs - keptByOlderBuildsMs, limit - ended],
  );
  return ended + older;
}
