/**
 * API keys as text: `hfk_`, the id, and a secret of 256 random bits. The id finds the key, and the hash of the secret shows that it
 * is right; a fast hash is enough, as nobody can guess that many bits.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { type ApiKeyId, fromBytes, toBytes } from '#platform/kernel/ids.ts';

/** By which scanners of source code, and we, tell a key from a token. */
const prefix = 'hfk_';
const secretBytes = 32;
const pattern = /^hfk_([0-9a-f]{32})_([\w-]{43})$/;

/** What a key says of itself. */
export interface ReadKey {
  readonly keyId: ApiKeyId;
  readonly secretHash: Buffer;
}

/** Whether this looks like an API key, right or not. */
export function isApiKey(text: string): boolean {
  return text.startsWith(prefix);
}

/** A new secret for a key: the text to show once, and the hash to store. */
export function makeApiKey(keyId: ApiKeyId): { readonly text: string; readonly secretHash: Buffer } {
  const secret = randomBytes(secretBytes).toString('base64url');
  return { text: `${prefix}${toBytes(keyId).toString('hex')}_${secret}`, secretHash: hashOf(secret) };
}

/** Reads a key; undefined if it is none. */
export function readApiKey(text: string): ReadKey | undefined {
  const [, id, secret] = pattern.exec(text) ?? [];
  if (id === undefined || secret === undefined) return undefined;
  return { keyId: fromBytes(Buffer.from(id, 'hex')), secretHash: hashOf(secret) };
}

/** Whether two hashes of secrets are the same. */
export function isSameSecret(one: Buffer, other: Buffer): boolean {
  return timingSafeEqual(one, other);
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
