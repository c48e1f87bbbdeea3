/** How much a database goes over to answer. */
import type { Db, Sql } from '#platform/mysql/mysql.ts';

/** How many rows the server went over while this was read, by its own count. */
export async function rowsReadBy(db: Db, read: (sql: Pick<Sql, 'rows'>) => Promise<unknown>): Promise<number> {
  return db.snapshot(async (sql) => {
    const soFar = async () => {
      const counts = await sql.rows<{ Value: string }>("SHOW SESSION STATUS LIKE 'Handler_read%'");
      return counts.reduce((sum, { Value }) => sum + Number(Value), 0);
    };
    const before = await soFar();
    await read(sql);
    return (await soFar()) - before;
  });
}
