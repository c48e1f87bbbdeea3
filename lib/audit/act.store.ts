/**
 * The store of operators' acts: the only code that writes `operator_acts`, and it only adds.
 */
import { type ApiKeyId, type CustomerId, fromBytes, newId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';

/** Who acts: an operator's account, or an API key. No two have the same id. */
export type OperatorId = CustomerId | ApiKeyId;

/** An act, as it is stored; what is JSON stays text. */
export interface ActRow {
  readonly actId: string;
  readonly atMs: number;
  readonly operatorId: OperatorId | null;
  readonly act: string;
  readonly subjectId: string | null;
  readonly asked: string;
  readonly before: string | null;
  readonly after: string | null;
  readonly correlationId: string | null;
}

/** Which acts are wanted: of one operator, about one subject, or both; older than one of them. */
export interface ActFilter {
  readonly operatorId?: string | undefined;
  readonly subjectId?: string | undefined;
  readonly beforeId?: string | undefined;
}

/** Adds an act, in the transaction of the act. */
export async function insertAct(tx: Tx, act: Omit<ActRow, 'actId'>): Promise<void> {
  const { atMs, operatorId, act: name, subjectId, asked, before, after, correlationId } = act;
  await tx.change(
    `INSERT INTO operator_acts
       (id, at_ms, operator_id, act, subject_id, asked, before_json, after_json, correlation_id) VALUES (?)`,
    [
      [
        ...[toBytes(newId(atMs)), atMs, operatorId && toBytes(operatorId), name, subjectId && toBytes(subjectId)],
        ...[asked, before, after, correlationId],
      ],
    ],
  );
}

/** A page of acts, the newest first. Each filter has an index that ends with the id, so a page reads a page. */
export async function listActs(
  sql: Pick<Sql, 'rows'>,
  { operatorId, subjectId, beforeId }: ActFilter,
  limit: number,
): Promise<ActRow[]> {
  const wanted = [
    { column: 'operator_id =', value: operatorId },
    { column: 'subject_id =', value: subjectId },
    { column: 'id <', value: beforeId },
  ].filter(({ value }) => value !== undefined);
  const where = wanted.map(({ column }) => `${column} ?`).join(' AND ');
  const rows = await sql.rows<Omit<ActRow, 'actId' | 'operatorId' | 'subjectId'> & Record<'id' | 'by' | 'of', Buffer>>(
    `SELECT id, at_ms AS atMs, operator_id AS \`by\`, act, subject_id AS \`of\`, asked, before_json AS \`before\`,
            after_json AS \`after\`, correlation_id AS correlationId
       FROM operator_acts ${where && `WHERE ${where}`} ORDER BY id DESC LIMIT ?`,
    [...wanted.map(({ value = '' }) => toBytes(value)), limit],
  );
  return rows.map(({ id, by, of, ...row }) => ({
    ...row,
    actId: fromBytes(id),
    operatorId: by && fromBytes<'customer'>(by),
    subjectId: of && fromBytes(of),
  }));
}
