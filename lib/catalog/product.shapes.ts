/**
 * The shapes of products in the API and in the import file.
 */

import * as z from 'zod';
import { labelFields } from '#labels/label.shapes.ts';
import { namedEncodings } from '#platform/handlers/body.ts';
import { PageQuery, pageOf } from '#platform/handlers/pagination.ts';
import type { ProductId } from '#platform/kernel/ids.ts';
import { Amount, Currency, idOf, line, Money, maxAmountMinor, notEmpty, text } from '#platform/kernel/shapes.ts';
import { Picture } from './picture.shapes.ts';

/** Plain characters only: a SKU is typed, printed, scanned and pasted into spreadsheets. */
const Sku = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be letters, digits, dots, dashes and underscores');
const Name = line(1, 200);
const Description = text(2_000);

export const ProductPath = z.strictObject({ productId: idOf<ProductId>() });

export const Product = z
  .object({
    productId: idOf<ProductId>(),
    sku: z.string(),
    name: z.string(),
    description: z.string(),
    price: Amount,
    pictures: z.array(Picture).describe('In the order in which they were added'),
  })
  .meta({ id: 'Product' });
export type Product = z.infer<typeof Product>;
/** A product as its own row has it. */
export type StoredProduct = Omit<Product, 'pictures'>;

export const ProductPage = pageOf(Product);
export const ProductQuery = PageQuery;

export const NewProduct = z
  .strictObject({ sku: Sku, name: Name, description: Description, price: Money, ...labelFields })
  .meta({ id: 'NewProduct' });
export type NewProduct = z.output<typeof NewProduct>;

/** The SKU stays: it is what an import finds a product by. */
export const ProductChange = notEmpty(
  z.strictObject({ name: Name.optional(), description: Description.optional(), price: Money.optional() }),
).meta({ id: 'ProductChange' });
export type ProductChange = z.output<typeof ProductChange>;

/** The largest file that is imported, and the most products in it. */
export const maxImportBytes = 1_048_576;
export const maxImportRows = 5_000;

export const ImportQuery = z.strictObject({
  encoding: z
    .enum(namedEncodings)
    .optional()
    .describe('What a file of bytes without a byte order mark is in: UTF-8 unless given, or CP949 (EUC-KR)'),
});

export const ImportFile = z
  .string()
  .regex(/^[^\ufffd]+$/, 'must be text')
  .describe(
    `CSV with commas, semicolons or tabs and the header sku,name,description,price_minor,currency, in any order; \`price\` in the place of \`price_minor\` is in major units with a dot, such as 12.50. At most ${maxImportRows} rows`,
  );

/** One row of the file, as text without blanks around it. */
export const ImportRow = z.object({
  sku: Sku,
  name: Name,
  description: Description,
  price_minor: z
    .string()
    .regex(/^[0-9]{1,12}$/, 'must be a whole number of minor units')
    .transform(Number)
    .pipe(z.int().min(1).max(maxAmountMinor)),
  currency: Currency,
});
export type ImportRow = z.output<typeof ImportRow>;

export const Imported = z.object({ created: z.int(), updated: z.int() }).meta({ id: 'Imported' });

/** What is wrong with a row of the file. Rows count from 1, the header included, as a spreadsheet shows them. */
export interface RowError {
  row: number;
  /** The column, or empty if it is the row as a whole. */
  field: string;
  message: string;
}
