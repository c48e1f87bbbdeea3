/**
 * What an event says to endpoints: one message, or several of a bounded size if it tells of many. Pure.
 *
 * A message's id follows from its event, so an event that the bus delivers twice makes the same messages again.
 */
import type * as z from 'zod';
import type { BusEvent } from '#events/catalog.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { consequentId } from '#platform/kernel/ids.ts';
import type { StockLevel } from '#sale/sale.shapes.ts';
import type { testMessage, webhookMessages } from './message.shapes.ts';
import type { MessageId, WebhookMessage } from './message.store.ts';

/** How many reservations one message tells of: some 25 KB, as receivers limit the size of bodies. */
export const changesPerMessage = 100;

type Bodies = z.input<(typeof webhookMessages)[keyof typeof webhookMessages] | typeof testMessage>;

/** A message of this name that says this. */
export function newMessage(body: Bodies, occurredAtMs: number, name: string): WebhookMessage {
  const messageId = consequentId(occurredAtMs, `webhook ${name}`) as MessageId;
  return { messageId, type: body.type, body: JSON.stringify(body) };
}

/** The messages that tell of an event. */
export function messagesOf({ 'detail-type': type, detail }: BusEvent): WebhookMessage[] {
  const { eventId, occurredAtMs } = detail;
  const timestamp = toIso(occurredAtMs);
  return bodiesOf({ 'detail-type': type, detail } as BusEvent, timestamp).map((body, part) =>
    newMessage(body, occurredAtMs, `${eventId} ${part}`),
  );
}

function bodiesOf(event: BusEvent, timestamp: string): Bodies[] {
  switch (event['detail-type']) {
    case 'reservations.changed': {
      const { changes, stocks } = event.detail;
      return inParts(changes).map((part, index) => ({
        type: 'reservations.changed',
        timestamp,
        data: {
          changes: part.map(({ ticket: _, deadlineMs, ...change }) => ({ ...change, ...deadline(deadlineMs) })),
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
          recipients: part.map(({ deadlineMs, ...recipient }) => ({ ...recipient, ...deadline(deadlineMs) })),
        },
      }));
    }
    case 'purchase.changed': {
      const { purchaseId, customerId, state, amountMinor, currency, reservationIds, version } = event.detail;
      const { reason, givenBackMinor, deadlineMs } = event.detail;
      const data = {
        ...{ purchaseId, customerId, state, amount: { amountMinor, currency }, reservationIds, version },
        ...{ reason, givenBackMinor, ...deadline(deadlineMs) },
      };
      return [{ type: 'purchase.changed', timestamp, data }];
    }
    case 'sale.changed': {
      const { saleId, phase, status, stock } = event.detail;
      return [{ type: 'sale.changed', timestamp, data: { saleId, phase, status, stock: stockOf(stock) } }];
    }
    case 'sale.published': {
      const { saleId, publicFromMs, requiresCode } = event.detail;
      return [{ type: 'sale.published', timestamp, data: { saleId, publicFrom: toIso(publicFromMs), requiresCode } }];
    }
  }
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
