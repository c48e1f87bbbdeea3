/**
 * Products: what can be sold. Everyone may read them; operators write them.
 *
 * A sale copies the price of its product when it is created, so nothing here can change what a customer was promised.
 */
import * as z from 'zod';
import { type Page, type PageQuery, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { fromBytes, newId, toBytes } from '#platform/kernel/ids.ts';
import { Id } from '#platform/kernel/shapes.ts';
import { isDuplicateKey, type Sql } from '#platform/mysql/mysql.ts';
import type { NewProduct, Product, ProductChange } from './product.shapes.ts';

interface Row {
  id: Buffer;
  sku: string;
  name: string;
  description: string;
  price_minor: number;
  currency: string;
}

const columns = 'id, sku, name, description, price_minor, currency';
const list = 'products';
const Position = z.tuple([Id]);

/** A page of products, the newest first. */
export async function listProducts(sql: Sql, { limit, cursor }: PageQuery): Promise<Page<Product> | Refusal> {
  const after = readCursor(list, cursor, Position);
  if (isRefusal(after)) return after;
  const rows = await sql.rows<Row>(
    `SELECT ${columns} FROM products ${after ? 'WHERE id < ?' : ''} ORDER BY id DESC LIMIT ?`,
    after ? [toBytes(after[0]), limit + 1] : [limit + 1],
  );
  return toPage(list, rows, limit, (row) => [fromBytes(row.id)], toProduct);
}

/** One product. */
export async function getProduct(sql: Sql, productId: string): Promise<Product | Refusal> {
  const [row] = await sql.rows<Row>(`SELECT ${columns} FROM products WHERE id = ?`, [toBytes(productId)]);
  return row ? toProduct(row) : refuse('not_found', 'There is no such product.');
}

/** Creates a product. Refused if its SKU is taken. */
export async function createProduct(sql: Sql, product: NewProduct, nowMs: number): Promise<Product | Refusal> {
  const productId = newId(nowMs);
  const { sku, name, description, price } = product;
  try {
    await sql.change(`INSERT INTO products (${columns}, created_at_ms, updated_at_ms) VALUES (?)`, [
      [toBytes(productId), sku, name, description, price.amountMinor, price.currency, nowMs, nowMs],
    ]);
  } catch (error) {
    if (isDuplicateKey(error)) return refuse('sku_taken', 'Change that product, or use another SKU.');
    throw error;
  }
  return { productId, ...product };
}

/** Changes the given fields of a product and returns it as it is then. */
export async function updateProduct(
  sql: Sql,
  productId: string,
  { name, description, price }: ProductChange,
  nowMs: number,
): Promise<Product | Refusal> {
  await sql.change(
    `UPDATE products SET name = COALESCE(?, name), description = COALESCE(?, description),
       price_minor = COALESCE(?, price_minor), currency = COALESCE(?, currency), updated_at_ms = ? WHERE id = ?`,
    [name ?? null, description ?? null, price?.amountMinor ?? null, price?.currency ?? null, nowMs, toBytes(productId)],
  );
  return getProduct(sql, productId);
}

function toProduct(row: Row): Product {
  return {
    productId: fromBytes(row.id),
    sku: row.sku,
    name: row.name,
    description: row.description,
    price: { amountMinor: row.price_minor, currency: row.currency },
  };
}
