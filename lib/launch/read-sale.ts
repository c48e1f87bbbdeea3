/** Sales as everyone sees them. */

import { LRUCache } from 'lru-cache';
import * as z from 'zod';
import type { Picture } from '#catalog/picture.shapes.ts';
import { withPictures } from '#catalog/picture-view.ts';
import { readLiveSale, readMirroredSale } from '#mirror/live-sale.ts';
import type { MirrorNeeds } from '#mirror/mirror.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { networkOf } from '#platform/handlers/limits.ts';
import { type Page, type PageQuery, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { ProductId, SaleId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { missesOf } from '#platform/resilience/unknown-ids.ts';
import type { SaleView } from '#sale/sale.shapes.ts';
import { listSales } from '#sale/sale.store.ts';
import { viewOfRow } from '#sale/terms.ts';

/**
 * A sale with live stock, for everyone for whom it is there. An address that has asked for many sales that do not exist, or
 * guessed at codes, is answered from the mirror alone for a while: what that does not know, and what asks for a code, it has to
 * wait for.
 */
export async function getSale(
  deps: MirrorNeeds,
  saleId: SaleId,
  address: string,
  code?: string,
): Promise<SaleView | Refusal> {
  const misses = deps.once(missesOf);
  const mustWait = misses.refusal(networkOf(address));
  if (mustWait) return (await readMirroredSale(deps, saleId)) ?? mustWait;
  const sale = await readLiveSale(deps, saleId, code);
  if (sale) return sale;
  misses.note(networkOf(address));
  return refuse('not_found', 'There is no such sale.');
}

/** How old the picture of a preview may be, which is kept in front of the API for longer; and how many products are remembered. */
export const pictureStalenessMs = 10_000;
const rememberedProducts = 1_000;

/** The first pictures of products of which this environment has shown a preview lately: who calls without an account asks MySQL no more often. */
const firstPictures = ({ db, clock }: Needs<'db' | 'clock'>) =>
  new LRUCache<ProductId, { readonly picture: Picture | undefined }>({
    max: rememberedProducts,
    ttl: pictureStalenessMs,
    perf: { now: clock },
    ttlResolution: 0,
    fetchMethod: async (productId) => {
      const [product] = await withPictures(db, [{ productId }]);
      return { picture: product?.pictures[0] };
    },
  });

/** The same with the first picture of its product, for where it is shared; the picture is `pictureStalenessMs` old at most. */
export async function getSaleWithPicture(
  deps: MirrorNeeds,
  saleId: SaleId,
  address: string,
  code: string | undefined,
): Promise<(SaleView & { picture: Picture | undefined }) | Refusal> {
  const sale = await getSale(deps, saleId, address, code);
  if (isRefusal(sale)) return sale;
  const { picture } = await deps.once(firstPictures).forceFetch(sale.productId);
  return { ...sale, picture };
}

/** All sales that everybody can find, newest first. */
export function listSalePage(deps: Needs<'db' | 'clock'>, page: PageQuery): Promise<Page<SaleView> | Refusal> {
  return pageOfSales(deps, page, deps.clock());
}

/** All sales, for operators, newest first: drafts and those that ask for a code too. */
export function listEverySale(deps: Needs<'db' | 'clock'>, page: PageQuery): Promise<Page<SaleView> | Refusal> {
  return pageOfSales(deps, page);
}

async function pageOfSales(
  { db, clock }: Needs<'db' | 'clock'>,
  page: PageQuery,
  forAllAtMs?: number,
): Promise<Page<SaleView> | Refusal> {
  const before = readCursor('sales', page.cursor, z.tuple([idOf<SaleId>()]));
  if (isRefusal(before)) return before;
  const nowMs = clock();
  const sales = await listSales(db, before?.[0], page.limit + 1, forAllAtMs);
  return toPage(
    'sales',
    sales,
    page.limit,
    (sale) => [sale.saleId],
    (sale) => viewOfRow(sale, nowMs),
  );
}
