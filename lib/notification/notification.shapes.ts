/**
 * The shapes of notifications in the API, and of what a client may say over the WebSocket.
 */

import * as z from 'zod';
import { PageQuery, pageOf } from '#platform/handlers/pagination.ts';
import { type Code, closingCodes, codes } from '#platform/kernel/errors.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { characters, Id, idOf, Time, TimeZone } from '#platform/kernel/shapes.ts';
import { ShownCode, StockLevel } from '#sale/sale.shapes.ts';
import { salePhases, saleStatuses } from '#sale/sale.table.ts';
import { noticeKinds } from './notice.ts';

export const Notification = z
  .object({
    notificationId: Id,
    kind: z.enum(noticeKinds),
    subjectId: Id.describe('The reservation or purchase that it is about'),
    version: z.int().describe('The version of the subject; what has a lower one than something shown is out of date'),
    facts: z.record(z.string(), z.unknown()).describe('What happened, for programs; times are in ISO 8601'),
    text: z
      .string()
      .describe(
        'What happened, for people: in the language of Accept-Language if it is English or Korean, or else in that of the account',
      ),
    createdAt: Time,
    readAt: Time.nullable(),
  })
  .meta({ id: 'Notification' });
export type Notification = z.infer<typeof Notification>;

export const NotificationQuery = PageQuery.extend({
  timeZone: TimeZone.optional().describe(
    'Where the reader is, for times in texts; as in the account unless given, or UTC',
  ),
  unread: z.enum(['true', 'false']).optional().describe('Only those that are unread, or only those that are read'),
});

export const NotificationPage = pageOf(Notification)
  .extend({ unread: z.int().describe('How many are unread in total, on this page or not') })
  .meta({ id: 'NotificationPage' });

export const ReadNotifications = z
  .strictObject({
    notificationIds: z
      .union([z.array(Id).min(1).max(100), z.literal('all')])
      .describe('Which have been read, or "all" of them'),
  })
  .meta({ id: 'ReadNotifications' });

export const ReadCount = z
  .object({ read: z.int().describe('How many were unread until now') })
  .meta({ id: 'ReadCount' });

const Token = characters(0, 4_000).describe('A fresh access token');

/** What a client may send over the WebSocket, by name. */
export const clientMessages = {
  Watch: z
    .strictObject({ action: z.enum(['watch', 'unwatch']), saleId: idOf<SaleId>(), code: ShownCode.optional() })
    .meta({ description: 'Begin or cease to hear of the stock and the phase of a sale' }),
  Authenticate: z
    .strictObject({ action: z.literal('authenticate'), token: Token })
    .meta({ description: 'Go on with a fresh access token' }),
  Ping: z
    .strictObject({ action: z.literal('ping'), token: Token.optional() })
    .meta({ description: 'Say that the client is there; with a token, go on with it as well' }),
};

export const ClientMessage = z.discriminatedUnion('action', [
  clientMessages.Watch,
  clientMessages.Authenticate,
  clientMessages.Ping,
]);
export type ClientMessage = z.infer<typeof ClientMessage>;

const Version = z.int().describe('Of the subject; drop what is older than what you have');
const problem = { title: z.string(), detail: z.string() };

/** What a client is told over the WebSocket, by name: in answer to what it said, and by itself. */
export const serverMessages = {
  Told: z
    .looseObject({
      type: z.enum(['reservation', 'purchase', 'reminder']),
      kind: z.enum(noticeKinds),
      notificationId: Id.describe('As in GET /notifications'),
      reservationId: Id.optional(),
      purchaseId: Id.optional(),
      version: Version,
      state: z.string().optional().describe('Of the reservation or the purchase from now on'),
      text: z.string().describe('What happened, for people, in the language of the account'),
    })
    .meta({ description: 'Something happened to a reservation or a purchase of this customer; with its facts' }),
  Stock: StockLevel.extend({ type: z.literal('stock') }).meta({ description: 'The stock of a sale that is watched' }),
  Phase: z
    .object({
      type: z.literal('sale'),
      saleId: idOf<SaleId>(),
      phase: z.enum(salePhases),
      status: z.enum(saleStatuses),
      epoch: z.int(),
      version: Version,
    })
    .meta({ description: 'The phase and the status of a sale that is watched' }),
  Watching: z
    .object({ type: z.enum(['watching', 'unwatched']), saleId: idOf<SaleId>() })
    .meta({ description: 'The answer to watch and unwatch' }),
  Hidden: z.object({ type: z.literal('hidden'), saleId: idOf<SaleId>() }).meta({
    description: 'A sale is watched no longer: it was hidden, or asks for another code; watch it anew with that',
  }),
  Heard: z
    .object({ type: z.enum(['pong', 'authenticated']) })
    .meta({ description: 'The answer to ping and authenticate' }),
  Refused: z
    .object({ type: z.literal('problem'), code: z.enum(Object.keys(codes) as Code[]), ...problem })
    .meta({ description: 'What was said could not be done; the connection goes on' }),
  Closing: z
    .object({ type: z.literal('closing'), code: z.enum(closingCodes), ...problem })
    .meta({ description: 'The last message of a connection that the server ends' }),
};
