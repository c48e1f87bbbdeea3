/**
 * Access tokens of other issuers (OpenID Connect), checked by RFC 8725 and RFC 9068: signature, algorithm, issuer, audience, the
 * kind of token, and its times are held against what the operator has set for the issuer.
 *
 * Invariants: the token chooses nothing but one of the issuer's own keys; only signatures of key pairs count; a token without an
 * end is none; a token that the issuer makes for anything else (an ID token, a refresh token, a program's own) is refused. What a
 * token says of roles is not read.
 */
import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  type JSONWebKeySet,
  type JWK,
  type JWTPayload,
  jwtVerify,
} from 'jose';
import { LRUCache } from 'lru-cache';
import type { Issuer } from './issuers.ts';

/** Longer than any issuer's tokens that still fit into a gateway's headers. */
const longestToken = 8_192;
/** Allowed difference between our clock and the issuer's. */
const clockToleranceSeconds = 30;
/** A token counts for no longer, whatever end it names. */
const longestLifeSeconds = 86_400;
const tokensRemembered = 10_000;
/** How many keys of one issuer are kept. */
const keysAtMost = 20;

/** Why a token is not accepted. */
export type Unfit =
  | 'malformed'
  | 'algorithm'
  | 'key'
  | 'signature'
  | 'audience'
  | 'type'
  | 'expired'
  | 'not_valid_yet'
  | 'too_old'
  | 'claims'
  | 'program';

/** What is read from a token that is accepted. */
export interface Identified {
  readonly subject: string;
  /** An address that the issuer has verified, as it is written in the token; undefined if it is not to be read, or there is none. */
  readonly email: string | undefined;
  readonly expiresAtMs: number;
}

/** A key with which an issuer signs. */
interface IssuerKey {
  readonly id: string;
  readonly algorithm: string | undefined;
  readonly jwk: JWK;
}

/** The keys of an issuer, by their ids. */
export type IssuerKeys = ReadonlyMap<string, IssuerKey>;

/** The configured issuer whom a token names. That it names one proves nothing. */
export function issuerOf(issuers: readonly Issuer[], token: string): Issuer | undefined {
  if (issuers.length === 0 || token.length > longestToken || !/^[\w-]+\.[\w-]+\.[\w-]*$/.test(token)) return undefined;
  try {
    const { iss } = decodeJwt(token);
    return issuers.find(({ issuer }) => issuer === iss);
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined;
    throw error;
  }
}

/**
 * The public keys of a published set that may sign tokens by these algorithms, as text. Undefined if the text is no set, or has
 * no such key. Nothing else of the set is kept, so no secret that was published by mistake is.
 */
export function signingKeysIn(text: string, allowed: readonly string[]): string | undefined {
  const set = parse(text);
  if (!set || !Array.isArray(set.keys)) return undefined;
  const keys = (set.keys as JWK[])
    .filter((key) => typeof key?.kid === 'string' && key.kid !== '' && (key.use ?? 'sig') === 'sig')
    .filter(({ alg }) => alg === undefined || allowed.includes(alg))
    .filter(({ kty }) => kty === 'RSA' || kty === 'EC' || kty === 'OKP')
    .slice(0, keysAtMost)
    .map(({ kid, kty, alg, n, e, crv, x, y }) => ({ kid, kty, alg, n, e, crv, x, y }));
  return keys.length === 0 ? undefined : JSON.stringify({ keys });
}

/** The keys of what `signingKeysIn` made. */
export function readSigningKeys(text: string): IssuerKeys {
  const { keys } = JSON.parse(text) as JSONWebKeySet;
  return new Map(keys.map((jwk) => [jwk.kid ?? '', { id: jwk.kid ?? '', algorithm: jwk.alg, jwk }]));
}

export interface OutsideTokens {
  /** What a token of this issuer says, or why it is not accepted. */
  read(token: string, issuer: Issuer, keys: IssuerKeys): Promise<Identified | { readonly unfit: Unfit }>;
}

/**
 * Opens the check of tokens by this clock. A token that was good is remembered, so that a frequent caller does not cost a
 * signature check each time; it counts for as long as its key does.
 */
export function openOutsideTokens(clock: () => number): OutsideTokens {
  type Known = { readonly key: IssuerKey; readonly identified: Identified; readonly notBeforeMs: number };
  const known = new LRUCache<string, Known>({ max: tokensRemembered });
  return {
    async read(token, issuer, keys) {
      const nowMs = clock();
      const before = known.get(token);
      const isKept = before && keys.get(before.key.id) === before.key;
      if (isKept && nowMs >= before.notBeforeMs && nowMs < before.identified.expiresAtMs) return before.identified;
      const key = keyOf(token, issuer, keys);
      if (typeof key === 'string') return { unfit: key };
      const payload = await verify(token, issuer, key, nowMs);
      if (typeof payload === 'string') return { unfit: payload };
      const unfit = isOfKind(payload, issuer) ? (isProgram(payload) ? 'program' : undefined) : 'type';
      if (unfit) return { unfit };
      if (issuer.kind === 'cognito' && !issuer.audience.includes(String(payload.client_id)))
        return { unfit: 'audience' };
      const { sub, iat = 0, exp = 0, nbf = iat } = payload;
      // The check asks only that it is there. As text, another kind of value could read like somebody's subject.
      if (typeof sub !== 'string' || sub === '') return { unfit: 'claims' };
      const expiresAtMs = Math.min(exp, iat + longestLifeSeconds) * 1_000;
      const identified = { subject: sub, email: emailOf(payload, issuer), expiresAtMs };
      known.set(token, { key, identified, notBeforeMs: (Math.max(iat, nbf) - clockToleranceSeconds) * 1_000 });
      return identified;
    },
  };
}

/** The key that a token names, if it may sign by the algorithm that the token names. */
function keyOf(token: string, { algorithms }: Issuer, keys: IssuerKeys): IssuerKey | Unfit {
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(token);
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) return 'malformed';
    throw error;
  }
  const { alg = '', kid } = header;
  if (!(algorithms as readonly string[]).includes(alg)) return 'algorithm';
  const key = keys.get(kid ?? '');
  if (!key) return 'key';
  return key.algorithm === undefined || key.algorithm === alg ? key : 'algorithm';
}

async function verify(token: string, issuer: Issuer, key: IssuerKey, nowMs: number): Promise<JWTPayload | Unfit> {
  try {
    const { payload } = await jwtVerify(token, key.jwk, {
      issuer: issuer.issuer,
      ...(issuer.kind === 'cognito' ? {} : { audience: issuer.audience }),
      ...(issuer.kind === 'standard' ? { typ: 'at+jwt' } : {}),
      algorithms: issuer.algorithms,
      clockTolerance: clockToleranceSeconds,
      currentDate: new Date(nowMs),
      requiredClaims: ['sub', 'iat', 'exp'],
      maxTokenAge: longestLifeSeconds,
    });
    return payload;
  } catch (error) {
    const unfit = unfitBy(error);
    if (unfit) return unfit;
    throw error;
  }
}

const byClaim: Readonly<Record<string, Unfit>> = { aud: 'audience', typ: 'type' };

/** What an error of the check says of the token; undefined if it says nothing of it. */
function unfitBy(error: unknown): Unfit | undefined {
  if (error instanceof errors.JWTExpired) return error.claim === 'iat' ? 'too_old' : 'expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    const isTime = error.reason === 'check_failed' && (error.claim === 'nbf' || error.claim === 'iat');
    return isTime ? 'not_valid_yet' : (byClaim[error.claim] ?? 'claims');
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature';
  // A published key that cannot check by the algorithm which the token names is a TypeError.
  return error instanceof errors.JOSEError || error instanceof TypeError ? 'malformed' : undefined;
}

/** Whether the issuer made it as an access token. That of `standard` is marked in its header. */
function isOfKind(payload: JWTPayload, { kind }: Issuer): boolean {
  if (kind === 'cognito') return payload.token_use === 'access';
  if (kind === 'keycloak') return payload.typ === 'Bearer';
  // Auth0 makes ID tokens for a client and never for an API, and puts a nonce or a hash of the access token into them.
  return payload.nonce === undefined && payload.at_hash === undefined;
}

/** Whether it was issued to a program for itself, with no person behind it. */
function isProgram(payload: JWTPayload): boolean {
  const { sub, client_id: client, azp, gty, preferred_username: username } = payload;
  if (sub === client || sub === azp || gty === 'client-credentials') return true;
  return typeof username === 'string' && username.startsWith('service-account-');
}

function emailOf(payload: JWTPayload, { emailClaim }: Issuer): string | undefined {
  if (emailClaim === undefined) return undefined;
  const email = payload[emailClaim];
  return typeof email === 'string' && payload[`${emailClaim}_verified`] === true ? email : undefined;
}

function parse(text: string): { keys?: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
