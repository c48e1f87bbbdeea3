/** The routes of an account over all of its rooms. */
import { ExportQuery, OwnData } from '#account/own-data.ts';
import { defineRoute } from '#platform/handlers/route.ts';

export const exportOwnDataRoute = defineRoute({
  method: 'GET',
  path: '/me/export',
  summary: 'All that is kept about you: account, reservations, purchases, notices and sessions, in parts',
  tag: 'Identity',
  auth: 'customer',
  scope: 'customers:act',
  query: ExportQuery,
  status: 200,
  reply: OwnData,
  refusals: ['invalid_input'],
});
