/** The store of codes: the only code that writes `customer_codes`. It decides nothing. */
import { type CustomerId, fromBytes, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { codePurposes } from './code.table.ts';

export type CodePurpose = (typeof codePurposes)[number];

export interface StoredCode {
  readonly customerId: CustomerId;
  readonly codeHash: Buffer;
  readonly issuedAtMs: number;
  readonly usedAtMs: number | null;
}

const columns = 'customer_id AS customerId, code_hash AS codeHash, issued_at_ms AS issuedAtMs, used_at_ms AS usedAtMs';

/** The code that was last issued to an account for a purpose, locked until the transaction ends. */
export async function lockCode(tx: Tx, customerId: CustomerId, purpose: CodePurpose): Promise<StoredCode | undefined> {
  return first(tx, `SELECT ${columns} FROM customer_codes WHERE customer_id = ? AND purpose = ? FOR UPDATE`, [
    toBytes(customerId),
    purpose,
  ]);
}

/** The code with this hash. */
export async function findCode(sql: Sql, codeHash: Buffer, purpose: CodePurpose): Promise<StoredCode | undefined> {
  return first(sql, `SELECT ${columns} FROM customer_codes WHERE code_hash = ? AND purpose = ?`, [codeHash, purpose]);
}

/** Writes a code in the place of the one before. */
export async function writeCode(
  tx: Tx,
  { customerId, codeHash, issuedAtMs }: StoredCode,
  purpose: CodePurpose,
): Promise<void> {
  await tx.change(
    `INSERT INTO customer_codes (customer_id, purpose, code_hash, issued_at_ms) VALUES (?)
     ON DUPLICATE KEY UPDATE code_hash = VALUES(code_hash), issued_at_ms = VALUES(issued_at_ms), used_at_ms = NULL`,
    [[toBytes(customerId), purpose, codeHash, issuedAtMs]],
  );
}

/** Notes that a code is used; false if it was before. */
export async function useCode(tx: Tx, codeHash: Buffer, nowMs: number): Promise<boolean> {
  const sql = 'UPDATE customer_codes SET used_at_ms = ? WHERE code_hash = ? AND used_at_ms IS NULL';
  return (await tx.change(sql, [nowMs, codeHash])) === 1;
}

/** Forgets the codes of an account. */
export async function deleteCodesOf(tx: Tx, customerId: CustomerId): Promise<void> {
  await tx.change('DELETE FROM customer_codes WHERE customer_id = ?', [toBytes(customerId)]);
}

async function first(sql: Sql, text: string, values: unknown[]): Promise<StoredCode | undefined> {
  const [row] = await sql.rows<Omit<StoredCode, 'customerId'> & { customerId: Buffer }>(text, values);
  return row && { ...row, customerId: fromBytes<'customer'>(row.customerId) };
}
