/** The routes of operations: health, the document of this API, dead letters, a sale from the inside, reconciling. */

import * as z from 'zod';
import { ActPage, ActQuery } from '#audit/act.ts';
import { LabelChange } from '#labels/label.shapes.ts';
import { CancellationView } from '#launch/cancellation.ts';
import { LabelPage, LabelPath, LabelQuery, LabelView } from '#operations/labels.ts';
import {
  ActExportQuery,
  CustomerSearch,
  ExportPath,
  ExportQuery,
  FoundCustomers,
  FoundPurchases,
  FoundReservations,
  PurchaseSearch,
  ReservationSearch,
  SaleOfPath,
} from '#operations/look-up.shapes.ts';
import { DeadLetterQuery, DeadLetters, Health, Redrive, Redriven } from '#operations/operations.shapes.ts';
import { SaleOverview } from '#operations/overview.ts';
import { ReportQuery, SaleReport } from '#operations/report.ts';
import { Story, StoryPath, StoryQuery } from '#operations/story.ts';
import { defineRoute } from '#platform/handlers/route.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import type { ReconciliationId } from '#reconcile/reconciliation.store.ts';
import { ReconcileRequest, Reconciliations, ReconciliationView } from '#reconcile/reconciliation.ts';

const tag = 'Operations';

const NextCursor = z.string().optional().meta({ description: 'Names the next part; absent with the last one' });

export const getHealthRoute = defineRoute({
  method: 'GET',
  path: '/health',
  summary: 'Whether each part answers; 200 as long as reservations can be accepted',
  tag,
  auth: 'optional',
  status: 200,
  reply: Health,
  refusals: ['queue_unavailable'],
});

export const getOpenapiRoute = defineRoute({
  method: 'GET',
  path: '/openapi.json',
  summary: 'This API as an OpenAPI 3.1 document',
  description: 'The messages of the WebSocket are described by GET /asyncapi.json.',
  tag,
  auth: 'none',
  status: 200,
  reply: z.looseObject({ openapi: z.string() }),
  refusals: [],
});

export const getAsyncapiRoute = defineRoute({
  method: 'GET',
  path: '/asyncapi.json',
  summary: 'The messages of the WebSocket and the webhooks as an AsyncAPI document',
  tag,
  auth: 'none',
  status: 200,
  reply: z.looseObject({ asyncapi: z.string() }),
  refusals: [],
});

export const getDocsRoute = defineRoute({
  method: 'GET',
  path: '/docs',
  summary: 'This API as a page to read and to try',
  tag,
  auth: 'none',
  status: 200,
  reply: z.string(),
  replyType: 'text/html; charset=utf-8',
  refusals: [],
});

export const getDocsScriptRoute = defineRoute({
  method: 'GET',
  path: '/docs/scalar.js',
  summary: 'The script of that page, compressed with gzip',
  tag,
  auth: 'none',
  status: 200,
  reply: z.instanceof(Buffer).meta({ override: { type: 'string', format: 'binary' } }),
  replyType: 'text/javascript; charset=utf-8',
  refusals: [],
});

export const listDeadLettersRoute = defineRoute({
  method: 'GET',
  path: '/ops/dead-letters',
  summary: 'Messages that queues gave up on, and why',
  tag,
  auth: 'viewer',
  scope: 'operations:read',
  query: DeadLetterQuery,
  status: 200,
  reply: DeadLetters,
  refusals: ['not_found'],
});

export const redriveDeadLettersRoute = defineRoute({
  method: 'POST',
  path: '/ops/dead-letters/redrive',
  summary: 'Redrive dead letters to their queue, named ones or all; idempotent',
  tag,
  auth: 'operator',
  scope: 'operations:write',
  idempotent: 'optional',
  body: Redrive,
  example: { queue: 'reservations', messageIds: 'all' },
  status: 200,
  reply: Redriven,
  refusals: ['not_found'],
});

export const getSaleOperationsRoute = defineRoute({
  method: 'GET',
  path: '/ops/sales/{saleId}',
  summary: 'A sale from the inside: counters, queues, breakers, drift',
  tag,
  auth: 'viewer',
  scope: 'sales:read',
  params: z.strictObject({ saleId: idOf<SaleId>() }),
  status: 200,
  reply: SaleOverview,
  refusals: ['not_found'],
});

export const getSaleReportRoute = defineRoute({
  method: 'GET',
  path: '/ops/sales/{saleId}/report',
  summary:
    'How a sale went so far: curves, why requests were turned down, who was served in the order of arrival, money',
  description:
    'In parts: each tells of some of the reservations, and the whole is their sum (counts, points, turns and money by place and ' +
    'name). Follow `nextCursor` until it is null; a sale of up to 20,000 reservations is one part.',
  tag,
  auth: 'viewer',
  scope: 'sales:read',
  params: SaleOfPath,
  query: ReportQuery,
  status: 200,
  reply: SaleReport,
  refusals: ['unprocessable', 'not_found'],
});

export const getCancellationRoute = defineRoute({
  method: 'GET',
  path: '/ops/sales/{saleId}/cancellation',
  summary: 'How far cancelling a sale has come: who holds, waits or was refunded',
  tag,
  auth: 'viewer',
  scope: 'sales:read',
  params: z.strictObject({ saleId: idOf<SaleId>() }),
  status: 200,
  reply: CancellationView,
  refusals: ['not_found'],
});

export const reconcileNowRoute = defineRoute({
  method: 'POST',
  path: '/ops/reconcile',
  summary: 'Begin to compare MySQL, ledger, mirror and gate, and to repair the mirror; the status tells what was found',
  tag,
  auth: 'operator',
  scope: 'operations:write',
  idempotent: 'optional',
  body: ReconcileRequest,
  example: { saleId: '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b' },
  status: 202,
  reply: ReconciliationView,
  refusals: ['not_found'],
});

export const listReconciliationsRoute = defineRoute({
  method: 'GET',
  path: '/ops/reconciliations',
  summary: 'The latest runs of reconcile and how far each has come, newest first',
  tag,
  auth: 'viewer',
  scope: 'operations:read',
  status: 200,
  reply: Reconciliations,
  refusals: [],
});

export const getReconciliationRoute = defineRoute({
  method: 'GET',
  path: '/ops/reconciliations/{reconciliationId}',
  summary: 'How far a run of reconcile has come, and what it found',
  tag,
  auth: 'viewer',
  scope: 'operations:read',
  params: z.strictObject({ reconciliationId: idOf<ReconciliationId>() }),
  status: 200,
  reply: ReconciliationView,
  refusals: ['not_found'],
});

export const listActsRoute = defineRoute({
  method: 'GET',
  path: '/ops/acts',
  summary:
    'What operators did, newest first: who, what, before and after; of all or one operator, about all or one subject',
  tag,
  auth: 'viewer',
  scope: 'operations:read',
  query: ActQuery,
  status: 200,
  reply: ActPage,
  refusals: ['unprocessable'],
});

export const listLabelsRoute = defineRoute({
  method: 'GET',
  path: '/ops/labels',
  summary:
    'References and metadata of products, sales, reservations and purchases, by a reference or by what they are on',
  tag,
  auth: 'viewer',
  scope: 'labels:read',
  query: LabelQuery,
  status: 200,
  reply: LabelPage,
  refusals: ['unprocessable'],
});

export const updateLabelRoute = defineRoute({
  method: 'PATCH',
  path: '/ops/labels/{kind}/{subjectId}',
  summary: 'Change the reference and the metadata of a product, a sale, a reservation or a purchase',
  description:
    'Absent fields and keys stay. It is no event: the next one of its subject tells the label as it is then. No two products, and no ' +
    'two sales, have the same reference; reservations and purchases may share one, as an order of yours may be several.',
  tag,
  auth: 'operator',
  scope: 'labels:write',
  params: LabelPath,
  idempotent: 'optional',
  body: LabelChange,
  example: { reference: 'order-2030-0042', metadata: { channel: 'app', campaign: null } },
  status: 200,
  reply: LabelView,
  refusals: ['unprocessable', 'not_found', 'reference_taken', 'illegal_state'],
});

export const lookUpReservationsRoute = defineRoute({
  method: 'GET',
  path: '/ops/sales/{saleId}/reservations',
  summary:
    'The reservations of a sale, by state, e-mail address, charge, reference and time; a page may be short and still have a next one',
  tag,
  auth: 'viewer',
  scope: 'reservations:read',
  params: SaleOfPath,
  query: ReservationSearch,
  status: 200,
  reply: FoundReservations,
  refusals: ['unprocessable', 'not_found'],
});

export const lookUpPurchasesRoute = defineRoute({
  method: 'GET',
  path: '/ops/sales/{saleId}/purchases',
  summary:
    'The purchases of a sale, by state, e-mail address, charge, reference and time; a page may be short and still have a next one',
  tag,
  auth: 'viewer',
  scope: 'purchases:read',
  params: SaleOfPath,
  query: PurchaseSearch,
  status: 200,
  reply: FoundPurchases,
  refusals: ['unprocessable', 'not_found'],
});

export const lookUpCustomersRoute = defineRoute({
  method: 'GET',
  path: '/ops/sales/{saleId}/customers',
  summary:
    'The customers of a sale, by state, e-mail address, charge, reference and time; a page may be short and still have a next one',
  tag,
  auth: 'viewer',
  scope: 'customers:read',
  params: SaleOfPath,
  query: CustomerSearch,
  status: 200,
  reply: FoundCustomers,
  refusals: ['unprocessable', 'not_found'],
});

export const getStoryRoute = defineRoute({
  method: 'GET',
  path: '/ops/customers/{customerId}',
  summary: 'A customer’s whole story, newest first: reservations, purchases, refunds, notices, and what operators did',
  tag,
  auth: 'viewer',
  scope: 'customers:read',
  params: StoryPath,
  query: StoryQuery,
  status: 200,
  reply: Story,
  refusals: ['unprocessable', 'not_found'],
});

export const exportListRoute = defineRoute({
  method: 'GET',
  path: '/ops/sales/{saleId}/exports/{list}',
  summary:
    'A list of a sale as CSV for spreadsheets, in parts: while the header x-next-cursor names another, append it',
  tag,
  auth: 'operator',
  scope: 'customers:read',
  params: ExportPath,
  query: ExportQuery,
  status: 200,
  reply: z.string(),
  replyType: 'text/csv; charset=utf-8',
  replyHeaders: { 'x-next-cursor': NextCursor },
  refusals: ['unprocessable', 'not_found'],
});

export const exportActsRoute = defineRoute({
  method: 'GET',
  path: '/ops/acts/export',
  summary: 'The audit trail as CSV for spreadsheets, in parts: while the header x-next-cursor names another, append it',
  tag,
  auth: 'operator',
  scope: 'operations:read',
  query: ActExportQuery,
  status: 200,
  reply: z.string(),
  replyType: 'text/csv; charset=utf-8',
  replyHeaders: { 'x-next-cursor': NextCursor },
  refusals: ['unprocessable'],
});
