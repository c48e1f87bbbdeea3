/**
 * Live stock for readers: from this process's memory for 200 ms, then from the mirror, and only when the
 * mirror does not know the sale from MySQL, once however many ask.
 */

import { saleTag } from '#platform/kernel/ids.ts';
import { log } from '#platform/kernel/log.ts';
import type { Db } from '#platform/mysql/mysql.ts';
import { keys } from '#platform/redis/keys.ts';
import { type RedisClient, redisBreaker } from '#platform/redis/redis.ts';
import type { SaleTermsView, SaleView } from '#sale/sale.shapes.ts';
import { mirroredTerms, readSaleRecords, saleView, termsView } from '#sale/terms.ts';
import { type RebuildDeps, requestRebuild, writeMirror } from './mirror.ts';

/** How old what a reader sees may be before the mirror is asked again. */
export const liveForMs = 200;
/** How many sales one process remembers; the oldest go first. */
const rememberedSales = 10_000;

type LiveDeps = RebuildDeps & { readonly db: Db };

interface Remembered {
  readonly readAtMs: number;
  readonly sale: Promise<Live | undefined>;
}

interface Live {
  readonly terms: SaleTermsView;
  readonly stock: {
    allotment: number;
    available: number;
    allocated: number;
    sold: number;
    waitlisted: number;
    version: number;
    epoch: number;
  };
}

const remembered = new WeakMap<RedisClient, Map<string, Remembered>>();

/** A sale with its live stock, at most `liveForMs` old while the mirror is warm; undefined if there is none. */
export async function readLiveSale(deps: LiveDeps, saleId: string, nowMs: number): Promise<SaleView | undefined> {
  const live = await remember(deps, saleId, nowMs);
  return live && saleView(live.terms, live.stock, nowMs);
}

/** Everyone who asks while one look-up is under way, or shortly after it, shares its answer. */
function remember(deps: LiveDeps, saleId: string, nowMs: number): Promise<Live | undefined> {
  const memory = remembered.get(deps.redis) ?? new Map<string, Remembered>();
  remembered.set(deps.redis, memory);
  const known = memory.get(saleId);
  if (known && nowMs - known.readAtMs < liveForMs) return known.sale;
  const sale = look(deps, saleId);
  // Deleting first moves the sale to the end, so that the first key is always the one read longest ago.
  memory.delete(saleId);
  memory.set(saleId, { readAtMs: nowMs, sale });
  if (memory.size > rememberedSales) memory.delete(memory.keys().next().value ?? saleId);
  sale.catch(() => memory.delete(saleId));
  return sale;
}

async function look(deps: LiveDeps, saleId: string): Promise<Live | undefined> {
  const mirrored = await readMirror(deps.redis, saleId);
  if (mirrored) return mirrored;
  return primeMirror(deps, saleId);
}

async function readMirror(redis: RedisClient, saleId: string): Promise<Live | undefined> {
  const fields = ['terms', 'allotment', 'available', 'allocated', 'sold', 'waitlisted', 'version', 'epoch'] as const;
  let values: (string | null)[];
  try {
    values = await redisBreaker.run(() => redis.hmget(keys.sale(saleTag(saleId)), ...fields));
  } catch {
    return undefined;
  }
  const [terms, ...counters] = values;
  if (!terms) return undefined;
  const parsed = JSON.parse(terms) as SaleTermsView;
  // Another sale may share the tag by chance; then the mirror speaks of that one.
  if (parsed.saleId !== saleId) return undefined;
  const [allotment, available, allocated, sold, waitlisted, version, epoch] = counters.map(Number);
  return {
    terms: parsed,
    stock: {
      allotment: allotment ?? 0,
      available: available ?? 0,
      allocated: allocated ?? 0,
      sold: sold ?? 0,
      waitlisted: waitlisted ?? 0,
      version: version ?? 0,
      epoch: epoch ?? 0,
    },
  };
}

/** Reads a sale from MySQL and puts it into the mirror, so that the gate and the next reader find it there. */
export async function primeMirror(deps: LiveDeps, saleId: string): Promise<Live | undefined> {
  const record = (await readSaleRecords(deps.db, [saleId])).get(saleId);
  if (!record) return undefined;
  try {
    await writeMirror(deps.redis, [record], [], new Map([[saleId, mirroredTerms(record)]]));
    await requestRebuild(deps, [saleId]);
  } catch (error) {
    log.warn('the sale could not be mirrored', { error, saleId });
  }
  return { terms: termsView(record), stock: record };
}
