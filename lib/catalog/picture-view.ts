/** Pictures as everyone sees them. Apart from what changes them, so that who reads needs no bucket. */
import type { ProductId } from '#platform/kernel/ids.ts';
import type { Sql } from '#platform/mysql/mysql.ts';
import type { Picture } from './picture.shapes.ts';
import { listPictures, type StoredPicture } from './picture.store.ts';
import { pictureTypes } from './picture-type.ts';

/** Where the file of a picture that is shown lies in the bucket, and behind the pages. */
export const shownKey = ({ pictureId, type }: Pick<StoredPicture, 'pictureId' | 'type'>) =>
  `pictures/${pictureId}.${pictureTypes[type]}`;

/** A picture with its address. */
export function pictureOf(picture: StoredPicture): Picture {
  const { pictureId, type, alt } = picture;
  return { pictureId, path: `/${shownKey(picture)}`, type, alt };
}

/** The same products with the pictures of each that are shown. */
export async function withPictures<Product extends { readonly productId: ProductId }>(
  sql: Sql,
  products: readonly Product[],
): Promise<(Product & { pictures: Picture[] })[]> {
  const stored = await listPictures(
    sql,
    products.map(({ productId }) => productId),
  );
  const shown = Map.groupBy(
    stored.filter(({ state }) => state === 'shown'),
    ({ productId }) => productId,
  );
  return products.map((product) => ({
    ...product,
    pictures: (shown.get(product.productId) ?? []).map(pictureOf),
  }));
}
