/**
 * Codes that come by mail: 80 bits, in letters and digits that cannot be taken for one another (Crockford's base 32).
 *
 * A code is derived from a key, its purpose, the account and the time, so what waits to be mailed need not contain it, and a mail
 * that is sent twice has the same. Only a hash is stored.
 */
import { createHash, createHmac } from 'node:crypto';

const digits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const codeDigits = 16;
const groupDigits = 4;

/** A code as a customer may type it: with dashes and blanks anywhere, in any case, with letters for digits that look like them. */
export const typedCode = new RegExp(`^[ -]*(?:[0-9A-TV-Za-tv-z][ -]*){${codeDigits}}$`);

/** The code that a customer has typed. */
export function canonicalCode(typed: string): string {
  return typed.toUpperCase().replace(/[ -]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1');
}

/** The code for this purpose and account that is issued at this time. */
export function deriveCode(key: string, purpose: string, customerId: string, issuedAtMs: number): string {
  const bytes = createHmac('sha256', key).update(`code\0${purpose}\0${customerId}\0${issuedAtMs}`).digest();
  // 32 divides 256, so each digit is as likely as any other.
  return Array.from(bytes.subarray(0, codeDigits), (byte) => digits[byte % digits.length]).join('');
}

/** The code as it is shown. */
export function shownCode(code: string): string {
  return (code.match(new RegExp(`.{${groupDigits}}`, 'g')) ?? []).join('-');
}

/** What is stored of a code. It has 80 bits of chance, so it needs no salt. */
export function hashOfCode(code: string): Buffer {
  return createHash('sha256').update(code).digest();
}
