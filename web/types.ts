/** What the API answers, as its document describes it: the types of the client. */

import type { RowError } from '#catalog/product.shapes.ts';
import type { components } from '#client/schema.ts';
import type { ListName } from '#operations/look-up.shapes.ts';

type Schemas = components['schemas'];

export type { ListName, RowError };
export type ActView = Schemas['OperatorAct'];
export type ApiKeyView = Schemas['ApiKey'];
export type ApiKeyWithSecret = Schemas['ApiKeyWithSecret'];
export type DeliveryView = Schemas['WebhookDelivery'];
export type DeliveryWithBody = Schemas['WebhookDeliveryWithBody'];
export type DisputeView = Schemas['Dispute'];
export type EndpointView = Schemas['WebhookEndpoint'];
export type FailedRefund = Schemas['FailedRefund'];
export type FoundCustomer = Schemas['FoundCustomer'];
export type FoundPurchase = Schemas['FoundPurchase'];
export type FoundReservation = Schemas['FoundReservation'];
export type Health = Schemas['Health'];
export type JobView = Schemas['SaleJob'];
export type Me = Schemas['Me'];
export type Notification = Schemas['Notification'];
export type OperatorView = Schemas['Operator'];
export type OwnSession = Schemas['OwnSession'];
export type PictureUpload = Schemas['PictureUpload'];
export type Product = Schemas['Product'];
export type PurchaseAccepted = Schemas['PurchaseAccepted'];
export type PurchaseView = Schemas['Purchase'];
export type ReconciliationView = Schemas['Reconciliation'];
export type Reconciliations = Schemas['Reconciliations'];
export type RedeliveryView = Schemas['WebhookRedelivery'];
export type ReservationAccepted = Schemas['ReservationAccepted'];
export type ReservationView = Schemas['Reservation'];
export type SaleMove = Schemas['Rescheduled'];
export type SaleOverview = Schemas['SaleOverview'];
export type SaleReport = Schemas['SaleReport'];
export type SaleView = Schemas['Sale'];
export type Story = Schemas['CustomerStory'];

/** A page of a list. */
export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}
