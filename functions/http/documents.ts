/** The documents of this API, the page that shows it, and what else follows from nothing but the address: one function, since all of it needs the same. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as getAsyncapi } from './get-asyncapi.ts';
import { handler as getDocs } from './get-docs.ts';
import { handler as getDocsScript } from './get-docs-script.ts';
import { handler as getOpenapi } from './get-openapi.ts';
import { handler as getSaleCover } from './get-sale-cover.ts';
import * as operations from './operations.routes.ts';
import * as sale from './sale.routes.ts';

export const handler = severalRoutes([
  [operations.getOpenapiRoute, getOpenapi],
  [operations.getAsyncapiRoute, getAsyncapi],
  [operations.getDocsRoute, getDocs],
  [operations.getDocsScriptRoute, getDocsScript],
  [sale.getSaleCoverRoute, getSaleCover],
]);
