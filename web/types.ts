/** What the API answers, from the shapes that the API itself is made of; nothing of it is in the bundles. */
import type { ActView } from '#audit/act.ts';
import type { PictureUpload } from '#catalog/picture.shapes.ts';
import type { Product, RowError } from '#catalog/product.shapes.ts';
import type { Me, OwnSession } from '#identity/identity.shapes.ts';
import type { OperatorView } from '#identity/operators.ts';
import type { ApiKeyView, ApiKeyWithSecret } from '#keys/keys.shapes.ts';
import type { CancellationView } from '#launch/cancellation.ts';
import type { JobView } from '#launch/jobs.ts';
import type { Notification } from '#notification/notification.shapes.ts';
import type { FoundCustomer, FoundPurchase, FoundReservation, ListName } from '#operations/look-up.shapes.ts';
import type { DeadLetters, Health } from '#operations/operations.shapes.ts';
import type { SaleOverview } from '#operations/overview.ts';
import type { SaleReport } from '#operations/report.ts';
import type { Story } from '#operations/story.ts';
import type { DisputeView, FailedRefund, PurchaseAccepted, PurchaseView } from '#purchase/purchase.shapes.ts';
import type { Reconciliations, ReconciliationView } from '#reconcile/reconciliation.ts';
import type { ReservationAccepted, ReservationView } from '#reservation/reservation.shapes.ts';
import type { SaleRescheduled as SaleMove, SaleView } from '#sale/sale.shapes.ts';
import type { DeliveryView, DeliveryWithBody, EndpointView, RedeliveryView } from '#webhooks/webhooks.shapes.ts';

export type {
  ActView,
  ApiKeyView,
  ApiKeyWithSecret,
  CancellationView,
  DeadLetters,
  DeliveryView,
  DeliveryWithBody,
  DisputeView,
  EndpointView,
  FailedRefund,
  FoundCustomer,
  FoundPurchase,
  FoundReservation,
  Health,
  JobView,
  ListName,
  Me,
  Notification,
  OperatorView,
  OwnSession,
  PictureUpload,
  Product,
  PurchaseAccepted,
  PurchaseView,
  Reconciliations,
  ReconciliationView,
  RedeliveryView,
  ReservationAccepted,
  ReservationView,
  RowError,
  SaleMove,
  SaleOverview,
  SaleReport,
  SaleView,
  Story,
};

/** A page of a list. */
export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}
