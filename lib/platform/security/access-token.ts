/**
 * Access tokens: signed with EdDSA or ES256, valid for ten minutes. Algorithm, issuer, audience, type and key id are all
 * checked against fixed values (RFC 8725). A token states a customer's id and role, and nothing else.
 */

import { calculateJwkThumbprint, errors, importJWK, type JWK, jwtVerify, SignJWT } from 'jose';
import type { Clock } from '#platform/kernel/clock.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
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
  readonly customerId: CustomerId;
  readonly role: Role;
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

/**
 * Opens the signer and verifier for a private key in JWK form; the key determines the algorithm. Given only the public
 * half it can verify, but issuing throws.
 */
export async function openTokens(jwkText: string, clock: Clock): Promise<Tokens> {
  const jwk = JSON.parse(jwkText) as JWK;
  const algorithm = jwk.kty === 'OKP' ? 'EdDSA' : 'ES256';
  const { d: secret, ...publicJwk } = jwk;
  const privateKey = secret === undefined ? undefined : await importJWK(jwk, algorithm);
  const publicKey = await importJWK(publicJwk, algorithm);
  const keyId = await calculateJwkThumbprint(publicJwk);
  /** Tokens whose signature and claims were verified. Only time can end them. */
  const verified = new Map<string, { caller: VerifiedCaller; notBefore: number; expiresAt: number }>();

  return {
    issue: async (caller) => {
      if (!privateKey) throw new Error('this function has no private key to sign tokens with; it can only verify them');
      const nowSeconds = Math.floor(clock() / 1000);
      return new SignJWT({ role: caller.role })
        .setProtectedHeader({ alg: algorithm, typ: tokenType, kid: keyId })
        .setSubject(caller.customerId)
        .setIssuer(issuer)
        .setAudience(audience)
        .setIssuedAt(nowSeconds)
        .setExpirationTime(nowSeconds + accessTokenLifeSeconds)
        .sign(privateKey);
    },
    verify: async (token) => {
      const nowSeconds = clock() / 1000;
      const known = verified.get(token);
      if (known && nowSeconds >= known.notBefore && nowSeconds < known.expiresAt) return known.caller;
      // One encoding for each token: jose would also accept base64 with padding or line breaks.
      if (token.length > longestToken || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return undefined;
      try {
        const { payload, protectedHeader } = await jwtVerify(token, publicKey, {
          issuer,
          audience,
          typ: tokenType,
          algorithms: allowedAlgorithms.filter((name) => name === algorithm),
          clockTolerance: clockToleranceSeconds,
          currentDate: new Date(nowSeconds * 1000),
          requiredClaims: ['sub', 'iat', 'exp'],
          // Whatever expiry a token claims, none issued here lives longer.
          maxTokenAge: accessTokenLifeSeconds,
        });
        const { sub, role, iat = 0, exp = 0 } = payload;
        if (protectedHeader.kid !== keyId || sub === undefined) return undefined;
        if (!isRole(role)) return undefined;
        // We signed it, so its subject is the id of a customer.
        const expiresAt = Math.min(exp, iat + accessTokenLifeSeconds);
        const caller: VerifiedCaller = { customerId: sub as CustomerId, role, expiresAtMs: expiresAt * 1000 };
        // Evicts the oldest entry: a Map keeps the order of insertion.
        if (verified.size >= tokensRemembered) verified.delete(verified.keys().next().value ?? '');
        verified.set(token, { caller, notBefore: iat, expiresAt });
        return caller;
      } catch (error) {
        if (error instanceof errors.JOSEError) return undefined;
        throw error;
      }
    },
  };
}
