/**
 * Every route of the API under the name of its operation, from which the OpenAPI document is made. A route that is
 * exported as `createSaleRoute` is the operation `create-sale`, which the file of that name handles.
 */
import type { Route } from '#platform/handlers/route.ts';
import * as account from './account.routes.ts';
import * as catalog from './catalog.routes.ts';
import * as identity from './identity.routes.ts';
import * as keys from './keys.routes.ts';
import * as notification from './notification.routes.ts';
import * as operations from './operations.routes.ts';
import * as purchase from './purchase.routes.ts';
import * as reservation from './reservation.routes.ts';
import * as sale from './sale.routes.ts';
import * as webhooks from './webhooks.routes.ts';

const nouns: Record<string, Route>[] = [
  identity,
  account,
  keys,
  catalog,
  sale,
  reservation,
  purchase,
  notification,
  webhooks,
  operations,
];

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

export const routes: Record<string, Route> = Object.fromEntries(
  nouns.flatMap((noun) =>
    Object.entries(noun)
      .sort(inReadingOrder)
      .map(([name, route]) => [operationName(name), route]),
  ),
);

/** By address, and what reads before what writes. */
function inReadingOrder([, one]: [string, Route], [, other]: [string, Route]): number {
  return one.path.localeCompare(other.path) || methods.indexOf(one.method) - methods.indexOf(other.method);
}

function operationName(exported: string): string {
  return exported.replace(/Route$/, '').replace(/[A-Z]/g, (capital) => `-${capital.toLowerCase()}`);
}
