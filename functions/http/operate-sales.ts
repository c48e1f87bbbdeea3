/** Operators' calls that run a sale: one function, since all of them need the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as adjustStock } from './adjust-stock.ts';
import { handler as cancelSale } from './cancel-sale.ts';
import { handler as createSale } from './create-sale.ts';
import { handler as grantReservation } from './grant-reservation.ts';
import { handler as pauseSale } from './pause-sale.ts';
import { handler as publishSale } from './publish-sale.ts';
import { handler as rescheduleSale } from './reschedule-sale.ts';
import { handler as resumeSale } from './resume-sale.ts';
import * as routes from './sale.routes.ts';
import { handler as updateSale } from './update-sale.ts';

export const handler = severalRoutes([
  [routes.createSaleRoute, createSale],
  [routes.updateSaleRoute, updateSale],
  [routes.publishSaleRoute, publishSale],
  [routes.pauseSaleRoute, pauseSale],
  [routes.resumeSaleRoute, resumeSale],
  [routes.rescheduleSaleRoute, rescheduleSale],
  [routes.cancelSaleRoute, cancelSale],
  [routes.adjustStockRoute, adjustStock],
  [routes.grantReservationRoute, grantReservation],
]);
