/**
 * A database in which the guard of the stock is taken out, as a control: sales are never held, and stock is set to what
 * was read plus what is moved, as read-modify-write does. Everything else is what the shipped code asks for.
 */
import type { Db, Tx } from '#platform/mysql/mysql.ts';

/** What was read of a sale. */
interface Seen {
  readonly id: Buffer;
  readonly available: number;
  readonly allocated: number;
}

/** How many values the shipped statement has for each move, and where in them are what this control needs. */
const valuesPerMove = 13;
const place = { id: 0, available: 2, allocated: 3 };

/** Such a database on these connections. */
export function unguarded(db: Db): Db {
  return { ...db, transaction: (work) => db.transaction((tx) => work(withoutGuard(tx))) };
}

function withoutGuard(tx: Tx): Tx {
  const seen = new Map<string, Seen>();

  async function setStock(values: unknown[]): Promise<number> {
    let moved = 0;
    for (let start = 0; start < values.length; start += valuesPerMove) {
      const id = values[start + place.id] as Buffer;
      const sale = seen.get(id.toString('hex'));
      if (!sale) throw new Error('a sale was moved that had not been read');
      moved += await tx.change('UPDATE sales SET available = ?, allocated = ?, version = version + 1 WHERE id = ?', [
        sale.available + Number(values[start + place.available]),
        sale.allocated + Number(values[start + place.allocated]),
        id,
      ]);
    }
    return moved;
  }

  return {
    ...tx,
    async rows<R>(sql: string, values?: unknown[]): Promise<R[]> {
      if (!/ FROM sales /.test(sql)) return tx.rows<R>(sql, values);
      const sales = await tx.rows<R & Seen>(sql.replace('FOR UPDATE', ''), values);
      for (const sale of sales) seen.set(sale.id.toString('hex'), sale);
      return sales;
    },
    change: (sql, values = []) => (/JOIN sales /.test(sql) ? setStock(values) : tx.change(sql, values)),
  };
}
