/**
 * The mirror's terms, by which the gate judges requests, against MySQL. An operator's call that was committed but not
 * mirrored would otherwise never reach the gate. As in `check-stock.ts`, a difference counts only if a second read finds the
 * same, and the repair is the conditional write that every commit makes (invariant I6).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { termFields } from '#mirror/fields.ts';
import { mirroredTerms, writeMirror } from '#mirror/mirror.ts';
import type { Needs } from '#platform/environment/deps.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { readSales } from '#sale/sale.store.ts';
import { saleTag } from '#sale/sale-id.ts';
import { inFlightMs } from './check-stock.ts';
import type { Drift } from './drift.ts';

/** Compares the mirror's terms with the row. Skips a sale that Redis does not have. */
export async function checkTerms(deps: Needs<'db' | 'redis'>, saleId: SaleId): Promise<Drift[]> {
  const differing = async () => {
    const sale = (await readSales(deps.db, [saleId])).get(saleId);
    const mirrored = await deps.redis.hmget(keys.sale(saleTag(saleId)), ...termFields);
    if (!sale || mirrored.every((value) => value === null)) return undefined;
    const right = mirroredTerms(sale);
    const wrong = termFields.filter((name, index) => !isSame(name, right[name], mirrored[index] ?? null));
    return wrong.length > 0 ? { sale, mirrored, wrong, right } : undefined;
  };
  const first = await differing();
  if (!first) return [];
  await sleep(inFlightMs);
  const second = await differing();
  // A mirror that changed between the two reads is being written just now; that is not drift.
  if (!second || second.mirrored.join() !== first.mirrored.join()) return [];

  const { sale, mirrored, wrong, right } = second;
  await writeMirror(deps, [sale], [], [sale]);
  return wrong.map((name) => ({
    saleId,
    kind: 'terms',
    what: name,
    expected: right[name],
    found: mirrored[termFields.indexOf(name)] ?? 'missing',
    likelyCause: 'a process died between its commit and the mirror, or the mirror was changed by hand',
    repaired: true,
  }));
}

/** Whether a field is right. A field that an older build did not mirror is not wrong: readers do without. */
function isSame(name: (typeof termFields)[number], right: string, mirrored: string | null): boolean {
  if (name === 'clock' && mirrored === null) return true;
  if ((name === 'asks' || name === 'access') && mirrored === null) return right === '';
  if (name !== 'terms' || mirrored === null) return right === mirrored;
  const [expected, found] = [right, mirrored].map((text) => JSON.parse(text) as Record<string, unknown>);
  return Object.entries(found ?? {}).every(([key, value]) => JSON.stringify(value) === JSON.stringify(expected?.[key]));
}
