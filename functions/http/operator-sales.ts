/** The calls with which operators run a sale: one function, as all of them may do the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as adjustStock } from './adjust-stock.ts';
import { handler as cancelSale } from './cancel-sale.ts';
import { handler as createSale } from './create-sale.ts';
import { handler as pauseSale } from './pause-sale.ts';
import { handler as rescheduleSale } from './reschedule-sale.ts';
import { handler as resumeSale } from './resume-sale.ts';
import * as sale from './sale.routes.ts';
import { handler as updateSale } from './update-sale.ts';

export const handler = severalRoutes([
  [sale.createSaleRoute, createSale],
  [sale.updateSaleRoute, updateSale],
  [sale.pauseSaleRoute, pauseSale],
  [sale.resumeSaleRoute, resumeSale],
  [sale.rescheduleSaleRoute, rescheduleSale],
  [sale.cancelSaleRoute, cancelSale],
  [sale.adjustStockRoute, adjustStock],
]);
