/**
 * What an API key may be allowed. Which scope a route wants is said where it is declared (`functions/http/*.routes.ts`), and
 * nowhere else. A scope contains no other one; reading the public lists needs none.
 */
export const scopes = [
  'catalog:write',
  'sales:read',
  'sales:write',
  'reservations:read',
  /** Giving units out of turn. Customers' own requests need `customers:act`. */
  'reservations:write',
  'purchases:read',
  'purchases:write',
  'customers:read',
  'customers:write',
  /** Everything that customers do with their reservations and purchases, for each customer whom the call names. */
  'customers:act',
  /** References and metadata of products, sales, reservations and purchases. */
  'labels:read',
  'labels:write',
  'webhooks:read',
  'webhooks:write',
  'operations:read',
  'operations:write',
] as const;
export type Scope = (typeof scopes)[number];
