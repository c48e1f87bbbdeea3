/**
 * Access tokens: signed with EdDSA or ES256, valid for ten minutes. Algorithm, issuer, audience, type and key id are all
 * checked against fixed values (RFC 8725). A token states a customer's id, role and session, and since when a verified address and an
 * external id are theirs, and nothing else.
 *
 * Several keys may be valid at a time, so that one can replace another without refusing a token (`infra/signing-keys.ts`):
 * the first signs, and each verifies what it signed.
 */

import {
  calculateJwkThumbprint,
  decodeProtectedHeader,
  errors,
  importJWK,
  type JSONWebKeySet,
  type JWK,
  jwtVerify,
  SignJWT,
} from 'jose';
import type { Clock } from '#platform/kernel/clock.ts';
import type { ApiKeyId, CustomerId } from '#platform/kernel/ids.ts';
import { isRole, type Role } from './roles.ts';

const issuer = 'holdfast';
const audience = 'holdfast-api';
/** The `typ` header of access tokens (RFC 9068), so that no token of another type is accepted as one. */
const tokenType = 'at+jwt';
const allowedAlgorithms = ['EdDSA', 'ES256'];
/** Allowed clock skew between two machines. */
const clockToleranceSeconds = 5;

/** How long an access token is valid. */
export const accessTokenLifeSeconds = 600;

/** Who is calling. */
export interface Caller {
  /** The account; empty if it is an API key that acts for no customer. */
  readonly customerId: CustomerId;
  readonly role: Role;
  /** The sign-in that the token descends from; older tokens name none. */
  readonly sessionId?: string | undefined;
  /**
   * Since when the verified address counts as the customer's; undefined if they had not verified one when the token was issued. A
   * refresh brings a token that knows.
   */
  readonly contactSinceMs?: number | undefined;
  /** The same for the external id. */
  readonly externalSinceMs?: number | undefined;
  /** The API key that the call came with; no access token names one. */
  readonly keyId?: ApiKeyId | undefined;
}

/** The caller whom a token names, and when the token ends. */
export interface VerifiedCaller extends Caller {
  readonly expiresAtMs: number;
}

export interface Tokens {
  /** A signed access token for this caller. */
  issue(caller: Caller): Promise<string>;
  /** The caller, or undefined if the token is not one of ours, not for us, or expired. */
  verify(token: string): Promise<VerifiedCaller | undefined>;
}

/** Longer than any token issued here. */
const longestToken = 4_096;
/** How many verified tokens are cached, so that a frequent caller does not cost a signature check each time. */
const tokensRemembered = 10_000;

type ImportedKey = Awaited<ReturnType<typeof importJWK>>;

/** A key that tokens are signed with, or only verified. */
interface Key {
  readonly id: string;
  readonly algorithm: string;
  readonly publicKey: ImportedKey;
  readonly privateKey: ImportedKey | undefined;
}

/** The keys of a text: a JWK, or a set of them (`{"keys":[…]}`), of which the first signs. */
export function keysOf(text: string): JWK[] {
  const parsed = JSON.parse(text) as JWK | JSONWebKeySet;
  return 'keys' in parsed && Array.isArray(parsed.keys) ? parsed.keys : [parsed as JWK];
}

async function importKey(jwk: JWK): Promise<Key> {
  const algorithm = jwk.kty === 'OKP' ? 'EdDSA' : 'ES256';
  const { d: secret, ...publicJwk } = jwk;
  const [id, publicKey, privateKey] = await Promise.all([
    calculateJwkThumbprint(publicJwk),
    importJWK(publicJwk, algorithm),
    secret === undefined ? undefined : importJWK(jwk, algorithm),
  ]);
  return { id, algorithm, publicKey, privateKey };
}

/**
 * Opens the signer and verifier for private keys in JWK form; a key determines its algorithm. Given only the public halves
 * it can verify, but issuing throws.
 */
export async function openTokens(jwkText: string, clock: Clock): Promise<Tokens> {
  const keys = await Promise.all(keysOf(jwkText).map(importKey));
  const byId = new Map(keys.map((key) => [key.id, key]));
  const [signer] = keys;
  /** Tokens whose signature and claims were verified. Only time can end them. */
  const verified = new Map<string, { caller: VerifiedCaller; notBefore: number; expiresAt: number }>();

  return {
    issue: async (caller) => {
      if (!signer?.privateKey) {
        throw new Error('this function has no private key to sign tokens with; it can only verify them');
      }
      const nowSeconds = Math.floor(clock() / 1000);
      const { role, sessionId, contactSinceMs, externalSinceMs } = caller;
      // A claim that is undefined is left out.
      return new SignJWT({ role, sid: sessionId, contact: contactSinceMs, external: externalSinceMs })
        .setProtectedHeader({ alg: signer.algorithm, typ: tokenType, kid: signer.id })
        .setSubject(caller.customerId)
        .setIssuer(issuer)
        .setAudience(audience)
        .setIssuedAt(nowSeconds)
        .setExpirationTime(nowSeconds + accessTokenLifeSeconds)
        .sign(signer.privateKey);
    },
    verify: async (token) => {
      const nowSeconds = clock() / 1000;
      const known = verified.get(token);
      if (known && nowSeconds >= known.notBefore && nowSeconds < known.expiresAt) return known.caller;
      // One encoding for each token: jose would also accept base64 with padding or line breaks.
      if (token.length > longestToken || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return undefined;
      try {
        const key = byId.get(decodeProtectedHeader(token).kid ?? '');
        if (!key) return undefined;
        const { payload } = await jwtVerify(token, key.publicKey, {
          issuer,
          audience,
          typ: tokenType,
          algorithms: allowedAlgorithms.filter((name) => name === key.algorithm),
          clockTolerance: clockToleranceSeconds,
          currentDate: new Date(nowSeconds * 1000),
          requiredClaims: ['sub', 'iat', 'exp'],
          // No token issued here lives longer, even if it claims to.
          maxTokenAge: accessTokenLifeSeconds,
        });
        const { sub, role, sid, contact, external, iat = 0, exp = 0 } = payload;
        if (sub === undefined) return undefined;
        if (!isRole(role)) return undefined;
        // We signed it, so its subject is the id of a customer.
        const expiresAt = Math.min(exp, iat + accessTokenLifeSeconds);
        const session = {
          ...(typeof sid === 'string' ? { sessionId: sid } : {}),
          ...(typeof contact === 'number' ? { contactSinceMs: contact } : {}),
          ...(typeof external === 'number' ? { externalSinceMs: external } : {}),
        };
        const customerId = sub as CustomerId;
        const caller: VerifiedCaller = { customerId, role, ...session, expiresAtMs: expiresAt * 1000 };
        // Evicts the oldest entry: a Map keeps the order of insertion.
        if (verified.size >= tokensRemembered) verified.delete(verified.keys().next().value ?? '');
        verified.set(token, { caller, notBefore: iat, expiresAt });
        return caller;
      } catch (error) {
        // A header that cannot be read is a TypeError of `decodeProtectedHeader`.
        if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined;
        throw error;
      }
    },
  };
}
