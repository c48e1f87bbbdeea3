/**
 * Accounts that stay while something is written of their owners.
 *
 * A message may be under way while its customer deletes their account: in a queue, in a worker, among dead letters that an operator
 * sends back weeks later. Whoever writes what tells of a person holds the account first. If the deletion is committed, there is no
 * account to hold; if it is under way, it is waited for; and if the writer is first, the deletion waits for it, and then finds and
 * erases what it wrote. So neither order leaves anything, as the deletion locks the account before it looks for what there is.
 *
 * Writers share the lock, so they wait for no other. Hold accounts before what a deletion erases is locked: labels, mails, codes.
 */
import { type CustomerId, fromBytes, toBytes } from '#platform/kernel/ids.ts';
import type { Tx } from '#platform/mysql/mysql.ts';

/** Those of these customers who have an account; none of these accounts is deleted before the transaction ends. */
export async function holdAccounts(tx: Tx, customerIds: readonly CustomerId[]): Promise<ReadonlySet<CustomerId>> {
  const ids = [...new Set(customerIds)].sort();
  if (ids.length === 0) return new Set();
  const rows = await tx.rows<{ id: Buffer }>(
    'SELECT id FROM customers FORCE INDEX (PRIMARY) WHERE id IN (?) ORDER BY id LOCK IN SHARE MODE',
    [ids.map(toBytes)],
  );
  return new Set(rows.map(({ id }) => fromBytes<'customer'>(id)));
}
