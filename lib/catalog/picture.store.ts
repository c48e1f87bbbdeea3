/** The store of pictures: the only code that writes `product_pictures`. It decides nothing. */
import { fromBytes, type Id, type ProductId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { pictureStates } from './picture.table.ts';
import type { PictureType } from './picture-type.ts';

export type PictureId = Id<'picture'>;

export interface StoredPicture {
  readonly pictureId: PictureId;
  readonly productId: ProductId;
  readonly type: PictureType;
  readonly bytes: number;
  readonly alt: { readonly en: string; readonly ko: string };
  readonly state: (typeof pictureStates)[number];
  readonly createdAtMs: number;
}

interface Row {
  readonly id: Buffer;
  readonly product_id: Buffer;
  readonly type: PictureType;
  readonly bytes: number;
  readonly alt_en: string;
  readonly alt_ko: string;
  readonly state: StoredPicture['state'];
  readonly created_at_ms: number;
}

const columns = 'id, product_id, type, bytes, alt_en, alt_ko, state, created_at_ms';

/** All pictures of products, in the order in which they were added. */
export async function listPictures(sql: Sql, productIds: readonly ProductId[]): Promise<StoredPicture[]> {
  if (productIds.length === 0) return [];
  const rows = await sql.rows<Row>(
    `SELECT ${columns} FROM product_pictures WHERE product_id IN (?) ORDER BY product_id, id`,
    [productIds.map(toBytes)],
  );
  return rows.map(toPicture);
}

/** A picture of a product, with its row locked until the transaction ends. */
export async function lockPicture(
  tx: Tx,
  productId: ProductId,
  pictureId: PictureId,
): Promise<StoredPicture | undefined> {
  const [row] = await tx.rows<Row>(
    `SELECT ${columns} FROM product_pictures WHERE id = ? AND product_id = ? FOR UPDATE`,
    [toBytes(pictureId), toBytes(productId)],
  );
  return row && toPicture(row);
}

/** A picture of a product. */
export async function findPicture(
  sql: Sql,
  productId: ProductId,
  pictureId: PictureId,
): Promise<StoredPicture | undefined> {
  const [row] = await sql.rows<Row>(`SELECT ${columns} FROM product_pictures WHERE id = ? AND product_id = ?`, [
    toBytes(pictureId),
    toBytes(productId),
  ]);
  return row && toPicture(row);
}

/** Writes a new picture. */
export async function insertPicture(tx: Tx, picture: StoredPicture): Promise<void> {
  const { pictureId, productId, type, bytes, alt, state, createdAtMs } = picture;
  await tx.change(`INSERT INTO product_pictures (${columns}) VALUES (?)`, [
    [toBytes(pictureId), toBytes(productId), type, bytes, alt.en, alt.ko, state, createdAtMs],
  ]);
}

/** Shows a picture from now on. */
export async function markShown(tx: Tx, pictureId: PictureId): Promise<void> {
  await tx.change(`UPDATE product_pictures SET state = 'shown' WHERE id = ?`, [toBytes(pictureId)]);
}

/** Deletes pictures. */
export async function deletePictures(tx: Tx, pictureIds: readonly PictureId[]): Promise<void> {
  if (pictureIds.length === 0) return;
  await tx.change('DELETE FROM product_pictures WHERE id IN (?)', [pictureIds.map(toBytes)]);
}

function toPicture(row: Row): StoredPicture {
  return {
    pictureId: fromBytes(row.id),
    productId: fromBytes(row.product_id),
    type: row.type,
    bytes: row.bytes,
    alt: { en: row.alt_en, ko: row.alt_ko },
    state: row.state,
    createdAtMs: row.created_at_ms,
  };
}
