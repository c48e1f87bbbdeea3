/**
 * What is kept of a call whose request or answer holds a secret: a password, a code, a token.
 *
 * Everything is derived from our own key and from the Idempotency-Key of the call, which is stored nowhere: under what name the
 * answer is kept, by what its request is known again, and what opens it. So the database alone opens nothing and tells no request
 * from another, and neither does our key without the client's. Whoever calls again brings both the key and the same request.
 */
import { createHash, createHmac, hkdfSync } from 'node:crypto';
import { CompactEncrypt, compactDecrypt } from 'jose';

/** How the answer of one call is kept. */
export interface Seal {
  /** Under what it is kept. */
  readonly name: Buffer;
  /** By what a request is known again. */
  digest(asked: string): Buffer;
  close(text: string): Promise<string>;
  /** The text. Throws if it was not closed for this call. */
  open(sealed: string): Promise<string>;
}

const keyBytes = 32;
const header = { alg: 'dir', enc: 'A256GCM' } as const;

/** The seal of a call; `call` says who calls what under which key. */
export function sealOf(secret: string, call: string): Seal {
  const salt = createHash('sha256').update(call).digest();
  const derived = (what: string) => Buffer.from(hkdfSync('sha256', secret, salt, `kept answer: ${what}`, keyBytes));
  const opener = derived('answer');
  return {
    name: derived('name'),
    digest: (asked) => createHmac('sha256', derived('request')).update(asked).digest(),
    close: (text) => new CompactEncrypt(Buffer.from(text)).setProtectedHeader(header).encrypt(opener),
    async open(sealed) {
      const algorithms = { keyManagementAlgorithms: [header.alg], contentEncryptionAlgorithms: [header.enc] };
      return Buffer.from((await compactDecrypt(sealed, opener, algorithms)).plaintext).toString();
    },
  };
}
