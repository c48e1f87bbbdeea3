/** What the API answers, from the shapes that the API itself is made of; nothing of it is in the bundles. */
import type { Product } from '#catalog/product.shapes.ts';
import type { Me } from '#identity/identity.shapes.ts';
import type { Notification } from '#notification/notification.shapes.ts';
import type { PurchaseAccepted, PurchaseView } from '#purchase/purchase.shapes.ts';
import type { ReservationAccepted, ReservationView } from '#reservation/reservation.shapes.ts';
import type { SaleView } from '#sale/sale.shapes.ts';

export type {
  Me,
  Notification,
  Product,
  PurchaseAccepted,
  PurchaseView,
  ReservationAccepted,
  ReservationView,
  SaleView,
};

/** A page of a list. */
export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}
