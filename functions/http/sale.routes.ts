/** The routes of sales: what everyone sees, and how operators run them. */

import * as z from 'zod';
import { CancelSale } from '#launch/cancellation.ts';
import { Granted, GrantRequest } from '#launch/grant.ts';
import { PageQuery, pageOf } from '#platform/handlers/pagination.ts';
import { defineRoute } from '#platform/handlers/route.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import {
  AdjustStock,
  Confirmation,
  CreateSale,
  RescheduleSale,
  SaleRescheduled,
  SaleView,
  ShownCode,
  UpdateSale,
} from '#sale/sale.shapes.ts';

const SalePath = z.strictObject({ saleId: idOf<SaleId>() });
const SalePage = pageOf(SaleView);
const tag = 'Sales';

export const listSalesRoute = defineRoute({
  method: 'GET',
  path: '/sales',
  summary: 'All sales that everybody can find, newest first, with their stock',
  tag,
  auth: 'none',
  query: PageQuery,
  status: 200,
  reply: SalePage,
  takesProof: true,
  refusals: ['unprocessable'],
});

export const getSaleRoute = defineRoute({
  method: 'GET',
  path: '/sales/{saleId}',
  summary: 'One sale with live stock, with a staleness of at most 250 ms',
  description: 'A draft, and a sale that asks for another code, is answered as if there were none.',
  tag,
  auth: 'none',
  params: SalePath,
  query: z.strictObject({ code: ShownCode.optional() }),
  status: 200,
  reply: SaleView,
  refusals: ['not_found', 'too_many_requests'],
});

export const getSalePageRoute = defineRoute({
  method: 'GET',
  path: '/pages/sales/{saleId}',
  summary: "The shop's page of a sale, with what its address looks like where it is shared (Open Graph)",
  description:
    'The distribution in front of the pages asks for it as `/sales/{saleId}`. Of a sale that is not there, or not known at the moment, the page comes without a preview.',
  tag,
  auth: 'none',
  params: SalePath,
  query: z.strictObject({ code: ShownCode.optional() }),
  status: 200,
  reply: z.string(),
  replyType: 'text/html; charset=utf-8',
  refusals: ['not_found'],
});

export const getSaleCoverRoute = defineRoute({
  method: 'GET',
  path: '/pages/sales/{saleId}/cover',
  summary: 'The picture of a sale in previews, as a PNG of 1200 by 630',
  tag,
  auth: 'none',
  params: SalePath,
  status: 200,
  reply: z.instanceof(Buffer).meta({ override: { type: 'string', format: 'binary' } }),
  replyType: 'image/png',
  refusals: ['not_found'],
});

export const createSaleRoute = defineRoute({
  method: 'POST',
  path: '/sales',
  summary: 'Create a sale of a product',
  tag,
  auth: 'operator',
  scope: 'sales:write',
  idempotent: 'optional',
  body: CreateSale,
  example: {
    productId: '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b',
    name: 'Brass lamp, first run',
    allotment: 500,
    capPerCustomer: 2,
    waitlistSize: 200,
    offerLifeSeconds: 3_600,
    reserveOpensAt: '2030-05-01T18:00:00Z',
    reserveClosesAt: '2030-05-03T18:00:00Z',
    purchaseOpensAt: '2030-05-04T18:00:00Z',
    purchaseClosesAt: '2030-05-06T18:00:00Z',
  },
  status: 201,
  reply: SaleView,
  refusals: ['unprocessable', 'not_found', 'reference_taken'],
});

export const updateSaleRoute = defineRoute({
  method: 'PATCH',
  path: '/sales/{saleId}',
  summary: 'Change the terms of a sale',
  description: 'Absent fields stay. Times have to be in order with those that stay.',
  tag,
  auth: 'operator',
  scope: 'sales:write',
  idempotent: 'optional',
  params: SalePath,
  body: UpdateSale,
  example: { capPerCustomer: 4, reserveClosesAt: '2030-05-03T20:00:00Z' },
  status: 200,
  reply: SaleView,
  refusals: ['unprocessable', 'not_found', 'sale_cancelled', 'illegal_state', 'confirmation_required'],
});

export const rescheduleSaleRoute = defineRoute({
  method: 'POST',
  path: '/sales/{saleId}/reschedule',
  summary: 'Move the times of a sale with all that depends on them; with `dryRun`, say what that would do',
  description:
    'Name either new times or `shiftSeconds`. A move that takes time from customers, closes the sale or leaves hardly any time is refused ' +
    'as `confirmation_required` without the `confirmation` of a preview of this very move.',
  tag,
  auth: 'operator',
  scope: 'sales:write',
  idempotent: 'optional',
  params: SalePath,
  body: RescheduleSale,
  example: { shiftSeconds: 1_200, dryRun: true },
  status: 200,
  reply: SaleRescheduled,
  refusals: ['unprocessable', 'not_found', 'sale_cancelled', 'illegal_state', 'confirmation_required'],
});

export const publishSaleRoute = defineRoute({
  method: 'POST',
  path: '/sales/{saleId}/publish',
  summary: 'Make a draft public now; a sale that is public stays so',
  description:
    'To publish it at a time, or to take it back to draft, change `publishAt`. A sale is public before its reservations open, so a ' +
    'draft whose `reserveOpensAt` has passed must be rescheduled first.',
  tag,
  auth: 'operator',
  scope: 'sales:write',
  idempotent: 'optional',
  params: SalePath,
  status: 200,
  reply: SaleView,
  refusals: ['unprocessable', 'not_found', 'sale_cancelled', 'illegal_state'],
});

export const listEverySaleRoute = defineRoute({
  method: 'GET',
  path: '/ops/sales',
  summary: 'All sales, newest first: also drafts, and those that ask for a code',
  tag,
  auth: 'viewer',
  scope: 'sales:read',
  query: PageQuery,
  status: 200,
  reply: SalePage,
  refusals: ['unprocessable'],
});

export const pauseSaleRoute = defineRoute({
  method: 'POST',
  path: '/sales/{saleId}/pause',
  summary: 'Pause a sale: nothing can be reserved or bought, and its clock stands still',
  tag,
  auth: 'operator',
  scope: 'sales:write',
  idempotent: 'optional',
  params: SalePath,
  status: 200,
  reply: SaleView,
  refusals: ['not_found', 'sale_cancelled', 'illegal_state'],
});

export const resumeSaleRoute = defineRoute({
  method: 'POST',
  path: '/sales/{saleId}/resume',
  summary: 'Resume a paused sale; the time of the pause is given back unless `keepTimes` is true',
  tag,
  auth: 'operator',
  scope: 'sales:write',
  idempotent: 'optional',
  params: SalePath,
  query: z.strictObject({ keepTimes: z.enum(['true', 'false']).optional(), confirmation: Confirmation }),
  status: 200,
  reply: SaleView,
  refusals: ['unprocessable', 'not_found', 'sale_cancelled', 'confirmation_required'],
});

export const cancelSaleRoute = defineRoute({
  method: 'POST',
  path: '/sales/{saleId}/cancel',
  summary: 'Cancel a sale for good, and refund what was paid in it unless it is to be kept',
  tag,
  auth: 'operator',
  scope: 'sales:write',
  idempotent: 'optional',
  params: SalePath,
  body: CancelSale,
  bodyOptional: true,
  example: { refunds: 'refund' },
  status: 200,
  reply: SaleView,
  refusals: ['unprocessable', 'not_found', 'illegal_state'],
});

export const adjustStockRoute = defineRoute({
  method: 'POST',
  path: '/sales/{saleId}/stock',
  summary: 'Add units to a sale, or take back available ones',
  tag,
  auth: 'operator',
  scope: 'sales:write',
  params: SalePath,
  idempotent: 'optional',
  body: AdjustStock,
  example: { units: 100 },
  status: 200,
  reply: SaleView,
  refusals: ['unprocessable', 'not_found', 'sale_cancelled', 'illegal_state'],
});

export const grantReservationRoute = defineRoute({
  method: 'POST',
  path: '/sales/{saleId}/grants',
  summary: 'Give units to somebody who waits, out of turn and with a reason; those behind are told their new places',
  tag,
  auth: 'operator',
  scope: 'reservations:write',
  params: SalePath,
  idempotent: 'optional',
  body: GrantRequest,
  example: {
    reservationId: '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b',
    reason: 'The wheelchair places were sold by mistake; ticket 4711',
  },
  status: 200,
  reply: Granted,
  refusals: ['unprocessable', 'not_found', 'sale_cancelled', 'illegal_state'],
});
