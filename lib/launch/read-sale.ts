/** Sales as everyone sees them. */

import * as z from 'zod';
import type { Picture } from '#catalog/picture.shapes.ts';
import { withPictures } from '#catalog/picture-view.ts';
import { readLiveSale, readMirroredSale } from '#mirror/live-sale.ts';
import type { MirrorNeeds } from '#mirror/mirror.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { networkOf } from '#platform/handlers/limits.ts';
import { type Page, type PageQuery, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
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

/** The same with the first picture of its product, for where it is shared. */
export async function getSaleWithPicture(
  deps: MirrorNeeds,
  saleId: SaleId,
  address: string,
  code: string | undefined,
): Promise<(SaleView & { picture: Picture | undefined }) | Refusal> {
  const sale = await getSale(deps, saleId, address, code);
  if (isRefusal(sale)) return sale;
  const [product] = await withPictures(deps.db, [sale]);
  return { ...sale, picture: product?.pictures[0] };
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
