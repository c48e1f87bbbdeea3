/**
 * The mirror's stock against MySQL. A commit reaches the mirror slightly later, so a difference counts only if a second
 * read finds the same. The repair is a conditional write against the value that was read (invariant I6).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { stockFields } from '#mirror/fields.ts';
import { writeMirror } from '#mirror/mirror.ts';
import { repairScript } from '#mirror/repair.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import { readSales, readStock } from '#sale/sale.store.ts';
import { saleTag } from '#sale/sale-id.ts';
import type { Drift } from './drift.ts';

/** How long a commit may take to reach the mirror before the difference counts. */
export const inFlightMs = 300;

/** The mirror's stock against the row. */
export async function checkStock(deps: Needs<'db' | 'redis'>, saleId: SaleId): Promise<Drift[]> {
  const differing = async () => {
    const row = (await readStock(deps.db, [saleId])).get(saleId);
    const mirrored = await deps.redis.hmget(keys.sale(saleTag(saleId)), ...stockFields);
    if (!row) return undefined;
    const wrong = stockFields.filter((name, index) => mirrored[index] !== String(row[name]));
    return wrong.length > 0 ? { row, mirrored, wrong } : undefined;
  };
  const first = await differing();
  if (!first) return [];
  await sleep(inFlightMs);
  const second = await differing();
  // A mirror that changed between the two reads is being written just now; that is not drift.
  if (!second || second.mirrored.join() !== first.mirrored.join()) return [];

  const { row, mirrored, wrong } = second;
  const repaired = await repairStock(deps, row, mirrored[1] ?? null);
  const likelyCause = causeOf(row, Number(mirrored[0]), mirrored[1] ?? null);
  return wrong.map((name) => ({
    saleId,
    kind: 'stock',
    what: name,
    expected: String(row[name]),
    found: mirrored[stockFields.indexOf(name)] ?? 'missing',
    likelyCause,
    repaired,
  }));
}

function causeOf(row: StockLevel, epoch: number, version: string | null): string {
  if (version === null) return 'Redis lost the sale';
  if (epoch < row.epoch) return 'MySQL was restored and the mirror is from before';
  if (Number(version) < row.version)
    return 'a worker died between its commit and the mirror, or Redis came back with old data';
  if (Number(version) > row.version) return 'MySQL lost commits, or the mirror was changed by hand';
  return 'the mirror was changed by hand';
}

async function repairStock(deps: Needs<'db' | 'redis'>, row: StockLevel, seenVersion: string | null): Promise<boolean> {
  if (seenVersion === null) {
    const sales = [...(await readSales(deps.db, [row.saleId])).values()];
    // Its claims are missing too, and it takes a while until a large sale has them back.
    await writeMirror(deps, sales, [], sales, { lost: true });
    return true;
  }
  const values = stockFields.map((name) => row[name]);
  return (await repairScript.run(deps.redis, [keys.sale(saleTag(row.saleId))], [seenVersion, ...values])) === 1;
}
