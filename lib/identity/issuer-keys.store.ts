/** The store of issuers' keys: the only code that writes `issuer_keys`. It decides nothing. */
import type { Sql } from '#platform/mysql/mysql.ts';

/** The keys of an issuer, and when they were read from it. */
export interface StoredKeys {
  readonly signingKeys: string;
  readonly readAtMs: number;
}

/** Writes the keys that an issuer has now. */
export async function writeIssuerKeys(sql: Sql, issuer: string, { signingKeys, readAtMs }: StoredKeys): Promise<void> {
  await sql.change(
    `INSERT INTO issuer_keys (issuer, signing_keys, read_at_ms) VALUES (?)
     ON DUPLICATE KEY UPDATE signing_keys = VALUES(signing_keys), read_at_ms = VALUES(read_at_ms)`,
    [[issuer, signingKeys, readAtMs]],
  );
}

/** The keys of an issuer as they were read last. */
export async function findIssuerKeys(sql: Sql, issuer: string): Promise<StoredKeys | undefined> {
  const [row] = await sql.rows<StoredKeys>(
    'SELECT signing_keys AS signingKeys, read_at_ms AS readAtMs FROM issuer_keys WHERE issuer = ?',
    [issuer],
  );
  return row;
}
