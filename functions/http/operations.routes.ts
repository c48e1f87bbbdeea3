/** The routes of operations: health, the document of this API, dead letters, a sale from the inside, reconciling. */

import * as z from 'zod';
import { ActPage, ActQuery } from '#audit/act.ts';
import { CancellationView } from '#launch/cancellation.ts';
import { DeadLetterQuery, DeadLetters, Health, Redrive, Redriven } from '#operations/operations.shapes.ts';
import { SaleOverview } from '#operations/overview.ts';
import { defineRoute } from '#platform/handlers/route.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { idOf } from '#platform/kernel/shapes.ts';
import type { ReconciliationId } from '#reconcile/reconciliation.store.ts';
import { ReconcileRequest, Reconciliations, ReconciliationView } from '#reconcile/reconciliation.ts';

const tag = 'Operations';

export const getHealthRoute = defineRoute({
  method: 'GET',
  path: '/health',
  summary: 'Whether each part answers; 200 as long as reservations can be accepted',
  tag,
  auth: 'none',
  status: 200,
  reply: Health,
  refusals: ['queue_unavailable'],
});

export const getOpenapiRoute = defineRoute({
  method: 'GET',
  path: '/openapi.json',
  summary: 'This API as an OpenAPI 3.1 document',
  tag,
  auth: 'none',
  status: 200,
  reply: z.looseObject({ openapi: z.string() }),
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
  params: z.strictObject({ saleId: idOf<SaleId>() }),
  status: 200,
  reply: SaleOverview,
  refusals: ['not_found'],
});

export const getCancellationRoute = defineRoute({
  method: 'GET',
  path: '/ops/sales/{saleId}/cancellation',
  summary: 'How far cancelling a sale has come: who holds, waits or was refunded',
  tag,
  auth: 'viewer',
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
  query: ActQuery,
  status: 200,
  reply: ActPage,
  refusals: ['invalid_input'],
});
