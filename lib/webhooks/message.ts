/**
 * What an event says to endpoints: one message, or several of a bounded size if it tells of many. Pure.
 *
 * A message's id follows from its event, so an event that the bus delivers twice makes the same messages again.
 */
import type * as z from 'zod';
import type { BusEvent } from '#events/catalog.ts';
import type { Label } from '#labels/label.shapes.ts';
import type { SubjectId } from '#labels/label.store.ts';
import { noLabel } from '#labels/label.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { type CustomerId, consequentId } from '#platform/kernel/ids.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import type { testMessage, webhookMessages } from './message.shapes.ts';
import type { MessageId, WebhookMessage } from './message.store.ts';

/**
 * How many reservations one message tells of: some 25 KB, and with the most metadata on each 230 KB, as receivers limit the size of
 * bodies. By number and not by size, so that an event that comes twice makes the same messages whatever the labels are by then.
 */
export const changesPerMessage = 100;

type Bodies = z.input<(typeof webhookMessages)[keyof typeof webhookMessages] | typeof testMessage>;

/** A message of this name that says this. */
export function newMessage(body: Bodies, occurredAtMs: number, name: string): WebhookMessage {
  const messageId = consequentId(occurredAtMs, `webhook ${name}`) as MessageId;
  return { messageId, type: body.type, body: JSON.stringify(body) };
}

/** The labels of what an event tells of. */
export type LabelsOf = ReadonlyMap<SubjectId, Label>;

/** What an event tells of that can have a label. */
export function subjectsOf({ 'detail-type': type, detail }: BusEvent): SubjectId[] {
  const event = { 'detail-type': type, detail } as BusEvent;
  switch (event['detail-type']) {
    case 'reservations.changed':
      return event.detail.changes.map(({ reservationId }) => reservationId);
    case 'reservations.reminded':
      return event.detail.recipients.map(({ reservationId }) => reservationId);
    case 'purchase.changed':
      return [event.detail.purchaseId];
    case 'sale.changed':
    case 'sale.published':
      return [event.detail.saleId];
  }
}

/** Whose are those of an event's subjects that a customer has. */
export function ownersOf({ 'detail-type': type, detail }: BusEvent): [SubjectId, CustomerId][] {
  const event = { 'detail-type': type, detail } as BusEvent;
  switch (event['detail-type']) {
    case 'reservations.changed':
      return event.detail.changes.map(({ reservationId, customerId }) => [reservationId, customerId]);
    case 'reservations.reminded':
      return event.detail.recipients.map(({ reservationId, customerId }) => [reservationId, customerId]);
    case 'purchase.changed':
      return [[event.detail.purchaseId, event.detail.customerId]];
    case 'sale.changed':
    case 'sale.published':
      return [];
  }
}

/** The messages that tell of an event, with the labels of its subjects. */
export function messagesOf({ 'detail-type': type, detail }: BusEvent, labels: LabelsOf = new Map()): WebhookMessage[] {
  const { eventId, occurredAtMs } = detail;
  const timestamp = toIso(occurredAtMs);
  return bodiesOf({ 'detail-type': type, detail } as BusEvent, timestamp, labels).map((body, part) =>
    newMessage(body, occurredAtMs, `${eventId} ${part}`),
  );
}

function bodiesOf(event: BusEvent, timestamp: string, labels: LabelsOf): Bodies[] {
  const noted = (subjectId: SubjectId) => labelOf(labels.get(subjectId));
  switch (event['detail-type']) {
    case 'reservations.changed': {
      const { changes, stocks } = event.detail;
      return inParts(changes).map((part, index) => ({
        type: 'reservations.changed',
        timestamp,
        data: {
          changes: part.map(({ ticket: _, deadlineMs, ...change }) => ({
            ...{ ...change, ...deadline(deadlineMs) },
            ...noted(change.reservationId),
          })),
          // Each once, with the first of them.
          stocks: index === 0 ? stocks.map(stockOf) : [],
        },
      }));
    }
    case 'reservations.reminded': {
      const { saleId, reason, recipients } = event.detail;
      return inParts(recipients).map((part) => ({
        type: 'reservations.reminded',
        timestamp,
        data: {
          ...{ saleId, reason },
          recipients: part.map(({ deadlineMs, ...recipient }) => ({
            ...{ ...recipient, ...deadline(deadlineMs) },
            ...noted(recipient.reservationId),
          })),
        },
      }));
    }
    case 'purchase.changed': {
      const { purchaseId, customerId, state, amountMinor, currency, reservationIds, version } = event.detail;
      const { reason, givenBackMinor, deadlineMs } = event.detail;
      const data = {
        ...{ purchaseId, customerId, state, amount: { amountMinor, currency }, reservationIds, version },
        ...{ reason, givenBackMinor, ...deadline(deadlineMs), ...noted(purchaseId) },
      };
      return [{ type: 'purchase.changed', timestamp, data }];
    }
    case 'sale.changed': {
      const { saleId, phase, status, stock } = event.detail;
      const data = { saleId, phase, status, stock: stockOf(stock), ...noted(saleId) };
      return [{ type: 'sale.changed', timestamp, data }];
    }
    case 'sale.published': {
      const { saleId, publicFromMs, requiresCode } = event.detail;
      const data = { saleId, publicFrom: toIso(publicFromMs), requiresCode, ...noted(saleId) };
      return [{ type: 'sale.published', timestamp, data }];
    }
  }
}

/** What is told of a label: nothing where there is nothing. */
function labelOf(label: Label | undefined): { reference?: string; metadata?: Record<string, string> } {
  const { reference, metadata } = label ?? noLabel;
  return {
    ...(reference === null ? {} : { reference }),
    ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
  };
}

/** At least one part, so that an event of stock alone is told. */
function inParts<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.max(1, Math.ceil(all.length / changesPerMessage)) }, (_, index) =>
    all.slice(index * changesPerMessage, (index + 1) * changesPerMessage),
  );
}

function deadline(ms: number | undefined): { deadline?: string } {
  return ms === undefined ? {} : { deadline: toIso(ms) };
}

function stockOf({
  saleId,
  epoch,
  version,
  allotment,
  available,
  allocated,
  sold,
  waitlisted,
}: StockLevel): StockLevel {
  return { saleId, epoch, version, allotment, available, allocated, sold, waitlisted };
}
