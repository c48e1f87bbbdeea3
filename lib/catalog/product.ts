/**
 * Products: what can be sold. Everyone may read them; operators write them.
 *
 * A sale copies the price of its product when it is created, so nothing here changes the price of an existing sale.
 */

import * as z from 'zod';
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import { insertLabel, soleReferenceKey } from '#labels/label.store.ts';
import { labelOf, refuseReference, withoutLabel } from '#labels/label.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Page, type PageQuery, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { ProductId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import { isDuplicateKey } from '#platform/mysql/mysql.ts';
import { withPictures } from './picture-view.ts';
import type { NewProduct, Product, ProductChange } from './product.shapes.ts';
import { changeProduct, findProduct, insertProduct, listNewestProducts, lockProduct } from './product.store.ts';

const list = 'products';
const Position = z.tuple([idOf<ProductId>()]);

/** A page of products, the newest first. */
export async function listProducts(
  { db }: Needs<'db'>,
  { limit, cursor }: PageQuery,
): Promise<Page<Product> | Refusal> {
  const before = readCursor(list, cursor, Position);
  if (isRefusal(before)) return before;
  const products = await withPictures(db, await listNewestProducts(db, before?.[0], limit + 1));
  return toPage(
    list,
    products,
    limit,
    (product) => [product.productId],
    (product) => product,
  );
}

/** One product. */
export async function getProduct({ db }: Needs<'db'>, productId: ProductId): Promise<Product | Refusal> {
  const found = await findProduct(db, productId);
  const [product] = found ? await withPictures(db, [found]) : [];
  return product ?? noSuchProduct;
}

/** Creates a product. Refused if its SKU or its reference is taken. */
export async function createProduct(
  { db, clock }: Needs<'db' | 'clock'>,
  request: NewProduct,
  keep: Keep = keepNothing,
): Promise<Product | Refusal> {
  const [product, label] = [withoutLabel(request), labelOf(request)];
  try {
    return await db.transaction(async (tx) => {
      const productId = await insertProduct(tx, product, clock());
      const created = { productId, ...product, pictures: [] };
      if (label) await insertLabel(tx, { kind: 'product', subjectId: productId, label }, clock());
      return keep(tx, created, changeOf(productId, null, { ...created, ...label }));
    });
  } catch (error) {
    if (isDuplicateKey(error, soleReferenceKey)) return refuseReference('product');
    if (isDuplicateKey(error)) return refuse('sku_taken', 'Change the existing product, or use another SKU.');
    throw error;
  }
}

/** Changes the given fields of a product and returns the updated product. */
export async function updateProduct(
  { db, clock }: Needs<'db' | 'clock'>,
  productId: ProductId,
  change: ProductChange,
  keep: Keep = keepNothing,
): Promise<Product | Refusal> {
  return db.transaction(async (tx) => {
    const before = await lockProduct(tx, productId);
    if (!before) return noSuchProduct;
    await changeProduct(tx, productId, change, clock());
    const after = await findProduct(tx, productId);
    const [product] = after ? await withPictures(tx, [after]) : [];
    return after && product ? keep(tx, product, changeOf(productId, before, after)) : noSuchProduct;
  });
}

const noSuchProduct = refuse('not_found', 'There is no such product.');
