/**
 * Our own text that a client keeps and returns, signed so that no other can have written it. It is not encrypted:
 * every holder can read it.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

/** Long enough that no signature can be guessed. */
const signatureBytes = 16;

/** The text with its signature. `about` says what it is about and for whom; it is signed, but not part of the result. */
export function signText(secret: string, about: string, text: string): string {
  const body = Buffer.from(text).toString('base64url');
  return `${body}.${signatureOf(secret, about, body).toString('base64url')}`;
}

/** The text, or undefined unless it was signed with one of these secrets and the same `about`. */
export function readSignedText(secrets: readonly string[], about: string, signed: string): string | undefined {
  const [body = '', signature = ''] = signed.split('.');
  const given = Buffer.from(signature, 'base64url');
  const isOurs = secrets.some((secret) => {
    const own = signatureOf(secret, about, body);
    return given.length === own.length && timingSafeEqual(given, own);
  });
  if (!isOurs) return undefined;
  return Buffer.from(body, 'base64url').toString();
}

function signatureOf(secret: string, about: string, body: string): Buffer {
  return createHmac('sha256', secret).update(`${about}\0${body}`).digest().subarray(0, signatureBytes);
}
