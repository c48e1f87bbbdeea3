/**
 * Live stock for readers: from this environment's memory for up to `liveStalenessMs`, then from the mirror, and from MySQL
 * only when the mirror does not have the sale. Concurrent reads of one sale share one look-up.
 *
 * For whom a sale is there is decided at each read, by the clock and the code that is shown (`visibility.ts`).
 */

import { LRUCache } from 'lru-cache';
import type { Needs } from '#platform/environment/deps.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import type { SaleTermsView, SaleView, StockView } from '#sale/sale.shapes.ts';
import { saleTag } from '#sale/sale-id.ts';
import { saleView, termsView } from '#sale/terms.ts';
import { accessOf, isThereFor, type Visibility, visibilityOf } from '#sale/visibility.ts';
import type { MirrorField } from './fields.ts';
import { stockFields, stockOfFields } from './fields.ts';
import { type MirrorNeeds, primeMirror } from './mirror.ts';

/** The staleness bound: how old live stock may be before the mirror is read again. */
export const liveStalenessMs = 200;
/** How many sales one environment caches; the least recently read are evicted first. */
const rememberedSales = 10_000;

interface LiveSale {
  readonly terms: SaleTermsView;
  readonly visibility: Visibility;
  readonly stock: StockView;
}

/** The sales that this environment read recently; concurrent reads of a sale share the result. */
const liveSales = (deps: MirrorNeeds) =>
  new LRUCache<SaleId, { readonly sale: LiveSale | undefined }>({
    max: rememberedSales,
    ttl: liveStalenessMs,
    perf: { now: deps.clock },
    ttlResolution: 0,
    fetchMethod: async (saleId) => ({ sale: (await readMirror(deps, saleId)) ?? (await readStore(deps, saleId)) }),
  });

/**
 * A sale with its live stock, at most `liveStalenessMs` old while the mirror is warm; undefined if there is none for a customer
 * who shows this code.
 */
export async function readLiveSale(deps: MirrorNeeds, saleId: SaleId, code?: string): Promise<SaleView | undefined> {
  const live = await deps.once(liveSales).forceFetch(saleId);
  return live.sale && shownTo(live.sale, saleId, code, deps.clock());
}

/** A sale as the mirror has it now; undefined if it has none for a customer who shows this code. Never asks MySQL. */
export async function readMirroredSale(
  deps: Needs<'redis' | 'clock'>,
  saleId: SaleId,
  code?: string,
): Promise<SaleView | undefined> {
  const known = await readMirror(deps, saleId);
  return known && shownTo(known, saleId, code, deps.clock());
}

function shownTo(sale: LiveSale, saleId: SaleId, code: string | undefined, nowMs: number): SaleView | undefined {
  const isThere = isThereFor(sale.visibility, accessOf(saleId, code), nowMs);
  return isThere ? saleView(sale.terms, sale.stock, nowMs) : undefined;
}

async function readMirror({ redis }: Needs<'redis'>, saleId: SaleId): Promise<LiveSale | undefined> {
  let values: (string | null)[];
  try {
    values = await redis.guarded(() =>
      redis.hmget(
        keys.sale(saleTag(saleId)),
        ...(['terms', 'public', 'access'] satisfies MirrorField[]),
        ...stockFields,
      ),
    );
  } catch {
    return undefined;
  }
  const [terms, publicFrom, access, ...stock] = values;
  // Terms that an older build has mirrored do not say for whom the sale is there.
  if (!terms || !publicFrom) return undefined;
  const parsed = JSON.parse(terms) as SaleTermsView;
  // Another sale may have the same tag by chance; then the mirror holds that one.
  if (parsed.saleId !== saleId) return undefined;
  const visibility = { publicFromMs: publicFrom === '-' ? null : Number(publicFrom), access: access ?? '' };
  return { terms: parsed, visibility, stock: stockOfFields(stock) };
}

async function readStore(deps: MirrorNeeds, saleId: SaleId): Promise<LiveSale | undefined> {
  const sale = await primeMirror(deps, saleId);
  return sale && { terms: termsView(sale), visibility: visibilityOf(sale), stock: sale };
}
