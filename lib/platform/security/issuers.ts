/**
 * Who may be a customer here: the issuers whose access tokens are accepted, and whether there are accounts of our own. Set by the
 * operator alone, under `auth/customers` (docs/operations.md); what is not set there is not accepted.
 */
import * as z from 'zod';
import { loopbackName, type Registry } from '#platform/kernel/registry.ts';
import { isLoopbackAddress } from './public-address.ts';

/**
 * What differs between issuers: how they mark an access token, so that no other token of theirs passes for one, and where they
 * say for whom it is.
 */
const kinds = ['standard', 'auth0', 'cognito', 'keycloak'] as const;

/** Signatures with a key pair: whoever can check one cannot make one. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const;

const claimName = z.string().min(1).max(200);

const Issuer = z
  .strictObject({
    /** Exactly as its tokens and its discovery document have it, a slash at the end included. */
    issuer: z.string().max(200),
    kind: z.enum(kinds).default('standard'),
    /** For whom a token must be: one of these. Cognito's access tokens name a client instead. */
    audience: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]).transform((one) => [one].flat()),
    algorithms: z.array(z.enum(algorithms)).min(1).default(['RS256']),
    /** What stands before the subject in a customer's external id, so that the subjects of two issuers stay apart. */
    prefix: z
      .string()
      .max(200)
      .regex(/^[\x21-\x2b\x2d-\x7e]*$/)
      .optional(),
    /** The claim with the customer's address; `<claim>_verified` must be true beside it. Without it, addresses are not read. */
    emailClaim: claimName.optional(),
  })
  .transform(({ prefix, ...issuer }) => ({ ...issuer, prefix: prefix ?? `${issuer.issuer}|` }));

/** An issuer whose tokens are accepted. */
export type Issuer = z.output<typeof Issuer>;

const Customers = z.strictObject({
  ownAccounts: z.boolean().default(true),
  issuers: z.array(Issuer).max(8).default([]),
});

export interface CustomersSetting {
  /** Whether customers may open accounts here and sign in to them. */
  readonly ownAccounts: boolean;
  readonly issuers: readonly Issuer[];
}

/**
 * What the registry says of customers; without it there are accounts of our own and no issuers. Throws for what does not go
 * together, so that a mistake is not taken for permission.
 */
export function customersSettingOf({ registry }: { readonly registry: Registry }): CustomersSetting {
  const text = registry['auth/customers'];
  if (!text) return { ownAccounts: true, issuers: [] };
  const setting = Customers.parse(JSON.parse(text));
  for (const { issuer } of setting.issuers) checkAddress(issuer, registry[loopbackName] !== undefined);
  checkApart(setting.issuers);
  return setting;
}

/** HTTPS, and nothing in it that a discovery document is not found by. On this machine, where that is allowed, also HTTP. */
function checkAddress(issuer: string, loopback: boolean): void {
  if (!URL.canParse(issuer) || /[?#@]/.test(issuer)) {
    throw new Error(`auth/customers: "${issuer}" is not the address of an issuer`);
  }
  const url = new URL(issuer);
  if (url.protocol === 'https:' || (loopback && url.protocol === 'http:' && isHere(url))) return;
  throw new Error(`auth/customers: "${issuer}" must begin with https://`);
}

/** Whether an address leads to this machine. */
export function isHere({ hostname }: URL): boolean {
  return hostname === 'localhost' || isLoopbackAddress(hostname.replace(/^\[|\]$/g, ''));
}

/** No prefix begins with another, so no subject of one issuer is spelled like one of another. */
function checkApart(issuers: readonly Issuer[]): void {
  for (const [index, one] of issuers.entries()) {
    for (const other of issuers.slice(index + 1)) {
      if (one.issuer === other.issuer) throw new Error(`auth/customers: "${one.issuer}" is there twice`);
      if (one.prefix.startsWith(other.prefix) || other.prefix.startsWith(one.prefix)) {
        throw new Error(`auth/customers: the prefixes of "${one.issuer}" and "${other.issuer}" do not tell them apart`);
      }
    }
  }
}
