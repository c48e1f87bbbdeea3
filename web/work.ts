/**
 * Proof of work: what the API asks of a caller when many others come from the same address (ALTCHA, version 2). It takes a
 * moment of this device's time, and lets the call pass.
 */
import type { Challenge } from '#platform/security/proof-of-work.ts';

const bytesOf = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const hexOf = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Solves a challenge; returns what the header `X-Proof-Of-Work` has to hold. */
export async function prove(challenge: Challenge): Promise<string> {
  const { nonce, salt, cost, keyLength = 32, keyPrefix } = challenge.parameters;
  const nonceBytes = bytesOf(nonce);
  const guess = new Uint8Array(nonceBytes.length + 4);
  guess.set(nonceBytes);
  const view = new DataView(guess.buffer);
  const how = { name: 'PBKDF2', hash: 'SHA-256', salt: bytesOf(salt), iterations: cost };
  for (let counter = 0; ; counter++) {
    view.setUint32(nonceBytes.length, counter);
    const key = await crypto.subtle.importKey('raw', guess, 'PBKDF2', false, ['deriveBits']);
    const derivedKey = hexOf(new Uint8Array(await crypto.subtle.deriveBits(how, key, keyLength * 8)));
    if (derivedKey.startsWith(keyPrefix)) return btoa(JSON.stringify({ challenge, solution: { counter, derivedKey } }));
  }
}
