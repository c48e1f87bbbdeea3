/**
 * The shapes of a sale: what an operator sends, and the public view.
 */

import * as z from 'zod';
import type { ProductId, SaleId } from '#platform/kernel/ids.ts';
import { Instant, idOf, line } from '#platform/kernel/shapes.ts';
import { salePhases, saleStatuses } from './sale.table.ts';

/** The largest allotment; beyond it the counters of a row would not be safe from overflow when summed. */
const maxUnits = 100_000_000;

const Units = z.number().int().min(0).max(maxUnits);

const terms = {
  name: line(1, 200),
  capPerCustomer: z.number().int().min(1).max(10_000),
  waitlistSize: z.number().int().min(0).max(10_000_000),
  /** How long a waitlisted customer has to buy units that were offered. */
  offerLifeSeconds: z.number().int().min(5).max(604_800),
  reserveOpensAt: Instant,
  reserveClosesAt: Instant,
  purchaseOpensAt: Instant,
  purchaseClosesAt: Instant,
};

/** What an operator sends to create a sale. */
export const CreateSale = z.strictObject({
  productId: idOf<ProductId>(),
  allotment: Units.min(1),
  ...terms,
  waitlistSize: terms.waitlistSize.default(0),
  offerLifeSeconds: terms.offerLifeSeconds.default(3_600),
});
export type CreateSale = z.output<typeof CreateSale>;

/** What an operator may change later; absent fields keep their values. */
export const UpdateSale = z
  .strictObject(terms)
  .partial()
  .refine((change) => Object.keys(change).length > 0, { message: 'name at least one field to change' });
export type UpdateSale = z.output<typeof UpdateSale>;

/** Units added to a sale, or removed if negative. */
export const AdjustStock = z.strictObject({
  units: z
    .number()
    .int()
    .min(-maxUnits)
    .max(maxUnits)
    .refine((units) => units !== 0, { message: 'must not be zero' }),
});
export type AdjustStock = z.output<typeof AdjustStock>;

/**
 * The stock of a sale as of a commit. A higher epoch is newer (it rises when MySQL is restored from a backup), then a
 * higher version.
 */
export const StockLevel = z.object({
  saleId: idOf<SaleId>(),
  epoch: z.number().int(),
  version: z.number().int(),
  allotment: z.number().int(),
  available: z.number().int(),
  allocated: z.number().int(),
  sold: z.number().int(),
  waitlisted: z.number().int(),
});
export type StockLevel = z.infer<typeof StockLevel>;

/** Live stock as part of a sale. */
export const StockView = StockLevel.omit({ saleId: true });
export type StockView = z.infer<typeof StockView>;

/** A sale without its stock and phase: the part that only an operator changes. */
export const SaleTermsView = z.object({
  saleId: idOf<SaleId>(),
  productId: idOf<ProductId>(),
  name: z.string(),
  status: z.enum(saleStatuses),
  price: z.object({ amountMinor: z.number().int(), currency: z.string() }),
  capPerCustomer: z.number().int(),
  waitlistSize: z.number().int(),
  offerLifeSeconds: z.number().int(),
  reserveOpensAt: z.iso.datetime(),
  reserveClosesAt: z.iso.datetime(),
  purchaseOpensAt: z.iso.datetime(),
  purchaseClosesAt: z.iso.datetime(),
});
export type SaleTermsView = z.infer<typeof SaleTermsView>;

/** A sale as everyone sees it. */
export const SaleView = SaleTermsView.extend({
  /** By the clock at the time of the response. */
  phase: z.enum(salePhases),
  stock: StockView,
});
export type SaleView = z.infer<typeof SaleView>;
