/** The routes of reservations. */

import * as z from 'zod';
import { PageQuery, pageOf } from '#platform/handlers/pagination.ts';
import { defineRoute } from '#platform/handlers/route.ts';
import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { characters, idOf } from '#platform/kernel/shapes.ts';
import {
  ReservationAccepted,
  ReservationReduction,
  ReservationRequest,
  ReservationView,
} from '#reservation/reservation.shapes.ts';

const ReservationPath = z.strictObject({ reservationId: idOf<ReservationId>() });
const StatusQuery = z.object({
  receipt: characters(0, 512)
    .optional()
    .describe('From the status URL of an accepted request: proves that there is one, though it is not decided yet'),
});
const tag = 'Reservations';

export const createReservationRoute = defineRoute({
  method: 'POST',
  path: '/sales/{saleId}/reservations',
  summary: 'Request units of a sale; the decision follows at the status URL and by notification',
  description:
    'A 202 means that the request is in the queue and cannot be lost; it is decided in the order of `ticket`. Ask the status URL, or hear ' +
    'of the decision over the WebSocket. Units that are not free now may be had by waiting: `waitlisted` is a decision too, with a place ' +
    'in the line.',
  tag,
  auth: 'customer',
  scope: 'customers:act',
  params: z.strictObject({ saleId: idOf<SaleId>() }),
  body: ReservationRequest,
  example: { quantity: 2, fill: { atLeast: 1 } },
  idempotent: true,
  keysAre:
    'A reservation is made once under its Idempotency-Key, for as long as it exists: the same request is given the first answer ' +
    'again, with `Idempotent-Replayed: true`, and another one is refused as `idempotency_key_reused`. A refusal that is ' +
    'final (409, but for `sale_paused`) is kept for an hour and given again likewise: a new attempt needs a new key. A sale that is not there ' +
    'for you (404) is judged anew.',
  status: 202,
  reply: ReservationAccepted,
  takesProof: true,
  refusals: [
    'unprocessable',
    'not_found',
    'sale_not_open',
    'sale_closed',
    'sale_paused',
    'sale_cancelled',
    'over_allotment',
    'not_entitled',
    'contact_not_verified',
    'external_id_missing',
    'person_known_elsewhere',
    'keys_only',
    'over_cap',
    'sold_out',
    'queue_unavailable',
  ],
});

export const listReservationsRoute = defineRoute({
  method: 'GET',
  path: '/reservations',
  summary: 'Your reservations that have been decided, the latest first',
  tag,
  auth: 'customer',
  scope: 'customers:act',
  query: PageQuery,
  status: 200,
  reply: pageOf(ReservationView),
  refusals: ['unprocessable'],
});

export const getReservationRoute = defineRoute({
  method: 'GET',
  path: '/reservations/{reservationId}',
  summary: 'The state of one of your reservations',
  tag,
  auth: 'customer',
  scope: 'customers:act',
  params: ReservationPath,
  query: StatusQuery,
  status: 200,
  reply: ReservationView,
  refusals: ['not_found', 'status_unknown'],
});

export const reduceReservationRoute = defineRoute({
  method: 'PATCH',
  path: '/reservations/{reservationId}',
  summary: 'Take fewer units: what you hold beyond the new quantity goes to the waitlist; waiting, you keep your place',
  tag,
  auth: 'customer',
  scope: 'customers:act',
  params: ReservationPath,
  query: StatusQuery,
  body: ReservationReduction,
  example: { quantity: 1 },
  status: 200,
  reply: ReservationView,
  refusals: [
    'unprocessable',
    'not_found',
    'not_decided_yet',
    'cannot_grow',
    'already_resolved',
    'purchase_in_progress',
    'status_unknown',
  ],
});

export const cancelReservationRoute = defineRoute({
  method: 'DELETE',
  path: '/reservations/{reservationId}',
  summary: 'Give a reservation back, decided or not; its units go to the waitlist',
  tag,
  auth: 'customer',
  scope: 'customers:act',
  params: ReservationPath,
  query: StatusQuery,
  status: 200,
  reply: ReservationView,
  refusals: ['not_found', 'conflict', 'already_resolved', 'purchase_in_progress', 'status_unknown'],
});
