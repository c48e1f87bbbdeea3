/**
 * The store of kept answers: the only code that writes `kept_answers`.
 */
import type { Sql, Tx } from '#platform/mysql/mysql.ts';

/** An answer as it is kept. */
export interface KeptAnswer {
  /** SHA-256 of who called what under which key. */
  readonly callHash: Buffer;
  /** SHA-256 of what was asked for. */
  readonly fingerprint: Buffer;
  /** JSON. */
  readonly answer: string;
}

/** The answer that is kept for a call. */
export async function findAnswer(sql: Sql, callHash: Buffer): Promise<KeptAnswer | undefined> {
  const [row] = await sql.rows<KeptAnswer>(
    'SELECT call_hash AS callHash, fingerprint, answer FROM kept_answers WHERE call_hash = ?',
    [callHash],
  );
  return row;
}

/** Keeps the answer of a call, in the transaction of its effect if it has one. Throws a duplicate key if one is kept already. */
export async function insertAnswer(
  tx: Tx | Sql,
  { callHash, fingerprint, answer }: KeptAnswer,
  nowMs: number,
): Promise<void> {
  await tx.change('INSERT INTO kept_answers (call_hash, fingerprint, answer, created_at_ms) VALUES (?, ?, ?, ?)', [
    callHash,
    fingerprint,
    answer,
    nowMs,
  ]);
}

/** Deletes answers that were kept before this time, at most `limit` of them; returns how many. */
export function deleteAnswersBefore(sql: Sql, beforeMs: number, limit: number): Promise<number> {
  return sql.change('DELETE FROM kept_answers WHERE created_at_ms < ? ORDER BY created_at_ms LIMIT ?', [
    beforeMs,
    limit,
  ]);
}
