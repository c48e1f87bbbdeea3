/**
 * The roles of accounts, each with all rights of those before it. Which role a route wants is said where it is declared
 * (`functions/http/*.routes.ts`), and nowhere else; `isAtLeast` is the only comparison.
 */

/** From the least to the most: buys; sees what operators see; acts; says who has which role. */
export const roles = ['customer', 'viewer', 'operator', 'admin'] as const;
export type Role = (typeof roles)[number];

/** The roles of those who run sales. */
export const operatorRoles = roles.slice(1);

export function isRole(value: unknown): value is Role {
  return roles.includes(value as Role);
}

/** Whether a caller with this role may do what the wanted role may. */
export function isAtLeast(role: Role, wanted: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(wanted);
}
