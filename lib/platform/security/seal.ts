/**
 * What is kept of a call whose request or answer holds a secret: a password, a code, a token.
 *
 * Everything is derived from our own key and from the Idempotency-Key of the call, which is stored nowhere: under what name the
 * answer is kept, by what its request is known again, and what opens it. So the database alone opens nothing and tells no request
 * from another, and neither does our key without the client's. Whoever calls again brings both the key and the same request.
 *
 * Names and requests are compared with what was stored before, so they have the lasting key of the ring: a call has one name while one
 * key replaces another. What is closed with the current key opens as long as that is accepted.
 */
import { createHash, createHmac, hkdfSync } from 'node:crypto';
import { CompactEncrypt, compactDecrypt, errors } from 'jose';
import type { KeyRing } from './key-ring.ts';

/** How the answer of one call is kept. */
export interface Seal {
  /** Under what it is kept. */
  readonly name: Buffer;
  /** By what a request is known again. */
  digest(asked: string): Buffer;
  close(text: string): Promise<string>;
  /** The text; undefined if it was not closed for this call, or with a key that is accepted no more. */
  open(sealed: string): Promise<string | undefined>;
}

const keyBytes = 32;
const header = { alg: 'dir', enc: 'A256GCM' } as const;

/** The seal of a call; `call` says who calls what under which key. */
export function sealOf({ current, accepted, lasting }: KeyRing, call: string): Seal {
  const salt = createHash('sha256').update(call).digest();
  const derived = (key: string, what: 'name' | 'request' | 'answer') =>
    Buffer.from(hkdfSync('sha256', key, salt, `kept answer: ${what}`, keyBytes));
  return {
    name: derived(lasting, 'name'),
    digest: (asked) => createHmac('sha256', derived(lasting, 'request')).update(asked).digest(),
    close: (text) =>
      new CompactEncrypt(Buffer.from(text)).setProtectedHeader(header).encrypt(derived(current, 'answer')),
    async open(sealed) {
      for (const key of accepted) {
        const text = await opened(sealed, derived(key, 'answer'));
        if (text !== undefined) return text;
      }
      return undefined;
    },
  };
}

async function opened(sealed: string, key: Buffer): Promise<string | undefined> {
  const algorithms = { keyManagementAlgorithms: [header.alg], contentEncryptionAlgorithms: [header.enc] };
  try {
    return Buffer.from((await compactDecrypt(sealed, key, algorithms)).plaintext).toString();
  } catch (error) {
    if (error instanceof errors.JWEDecryptionFailed) return undefined;
    throw error;
  }
}
