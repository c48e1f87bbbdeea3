/** What the API answers, as its document describes it: the types of the client. */

import type { components, operations } from '#client/schema.ts';

type Schemas = components['schemas'];

/** What the acts of operators are searched by. */
export type ActsQuery = Omit<NonNullable<operations['list-acts']['parameters']['query']>, 'limit' | 'cursor'>;
export type ApiKeyView = Schemas['ApiKey'];
export type ApiKeyWithSecret = Schemas['ApiKeyWithSecret'];
export type DeliveryView = Schemas['WebhookDelivery'];
export type DeliveryWithBody = Schemas['WebhookDeliveryWithBody'];
export type DisputeView = Schemas['Dispute'];
export type EndpointView = Schemas['WebhookEndpoint'];
export type EndpointWithSecret = Schemas['WebhookEndpointWithSecret'];
export type FailedRefund = Schemas['FailedRefund'];
export type FoundCustomer = Schemas['FoundCustomer'];
export type FoundPurchase = Schemas['FoundPurchase'];
export type FoundReservation = Schemas['FoundReservation'];
export type Health = Schemas['Health'];
export type Imported = Schemas['Imported'];
export type JobView = Schemas['SaleJob'];
export type LabelChange = Schemas['LabelChange'];
export type LabelKind = LabelView['kind'];
export type LabelView = Schemas['Label'];
/** A list of a sale, and what it is searched by. */
export type ListName = operations['export-list']['parameters']['path']['list'];
export type ListQuery = NonNullable<operations['export-list']['parameters']['query']>;
export type Me = Schemas['Me'];
export type NewProduct = Schemas['NewProduct'];
export type NewPicture = Schemas['NewPicture'];
export type NewSale = Schemas['NewSale'];
export type Notification = Schemas['Notification'];
export type OwnSession = Schemas['OwnSession'];
export type PictureUpload = Schemas['PictureUpload'];
export type Product = Schemas['Product'];
export type PurchaseAccepted = Schemas['PurchaseAccepted'];
export type PurchaseView = Schemas['Purchase'];
export type Reconciliations = Schemas['Reconciliations'];
export type RedeliveryView = Schemas['WebhookRedelivery'];
export type RefundRequest = Schemas['RefundRequest'];
export type ReservationAccepted = Schemas['ReservationAccepted'];
export type ReservationView = Schemas['Reservation'];
export type Reschedule = Schemas['Reschedule'];
/** What is wrong with a row of a file. */
export type RowError = NonNullable<Schemas['Problem']['rows']>[number];
export type SaleChange = Schemas['SaleChange'];
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
