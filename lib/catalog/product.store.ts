/**
 * The store of products: the only code that writes `products`.
 */
import { fromBytes, newId, type ProductId, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { NewProduct, ProductChange, StoredProduct } from './product.shapes.ts';

interface Row {
  readonly id: Buffer;
  readonly sku: string;
  readonly name: string;
  readonly description: string;
  readonly price_minor: number;
  readonly currency: string;
}

const columns = 'id, sku, name, description, price_minor, currency';

/** A page of products older than `beforeId`, newest first. */
export async function listNewestProducts(
  sql: Sql,
  beforeId: string | undefined,
  limit: number,
): Promise<StoredProduct[]> {
  const rows = await sql.rows<Row>(
    `SELECT ${columns} FROM products ${beforeId === undefined ? '' : 'WHERE id < ?'} ORDER BY id DESC LIMIT ?`,
    beforeId === undefined ? [limit] : [toBytes(beforeId), limit],
  );
  return rows.map(toProduct);
}

/** The product with this id. */
export async function findProduct(sql: Sql, productId: ProductId): Promise<StoredProduct | undefined> {
  const [row] = await sql.rows<Row>(`SELECT ${columns} FROM products WHERE id = ?`, [toBytes(productId)]);
  return row && toProduct(row);
}

/** The same, with its row locked until the transaction ends. */
export async function lockProduct(tx: Tx, productId: ProductId): Promise<StoredProduct | undefined> {
  const [row] = await tx.rows<Row>(`SELECT ${columns} FROM products WHERE id = ? FOR UPDATE`, [toBytes(productId)]);
  return row && toProduct(row);
}

/** Writes a new product and returns its id. Throws if its SKU is taken. */
export async function insertProduct(sql: Sql, product: NewProduct, nowMs: number): Promise<ProductId> {
  const productId = newId<'product'>(nowMs);
  const { sku, name, description, price } = product;
  await sql.change(`INSERT INTO products (${columns}, created_at_ms, updated_at_ms) VALUES (?)`, [
    [toBytes(productId), sku, name, description, price.amountMinor, price.currency, nowMs, nowMs],
  ]);
  return productId;
}

/** Writes the given fields of a product. */
export async function changeProduct(
  sql: Sql,
  productId: ProductId,
  { name, description, price }: ProductChange,
  nowMs: number,
): Promise<void> {
  await sql.change(
    `UPDATE products SET name = COALESCE(?, name), description = COALESCE(?, description),
       price_minor = COALESCE(?, price_minor), currency = COALESCE(?, currency), updated_at_ms = ? WHERE id = ?`,
    [name ?? null, description ?? null, price?.amountMinor ?? null, price?.currency ?? null, nowMs, toBytes(productId)],
  );
}

/** Inserts or updates products by SKU; returns those that existed, as they were before. */
export async function upsertProducts(tx: Tx, products: readonly NewProduct[], nowMs: number): Promise<StoredProduct[]> {
  const known = await tx.rows<Row>(`SELECT ${columns} FROM products WHERE sku IN (?) FOR UPDATE`, [
    products.map(({ sku }) => sku),
  ]);
  await tx.change(
    `INSERT INTO products (${columns}, created_at_ms, updated_at_ms) VALUES ?
       ON DUPLICATE KEY UPDATE name = VALUES(name), description = VALUES(description),
         price_minor = VALUES(price_minor), currency = VALUES(currency), updated_at_ms = VALUES(updated_at_ms)`,
    [
      products.map(({ sku, name, description, price }) => [
        toBytes(newId(nowMs)),
        ...[sku, name, description, price.amountMinor, price.currency],
        ...[nowMs, nowMs],
      ]),
    ],
  );
  return known.map(toProduct);
}

function toProduct(row: Row): StoredProduct {
  return {
    productId: fromBytes(row.id),
    sku: row.sku,
    name: row.name,
    description: row.description,
    price: { amountMinor: row.price_minor, currency: row.currency },
  };
}
