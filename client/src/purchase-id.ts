/**
 * The id of a purchase before it is made: it follows from its customer and its Idempotency-Key. A payment provider that is told
 * the order first, such as Toss Payments, gets this as the name of the order.
 */

/** The id that a purchase of this customer under this key has. `customerId` is from `GET /me`. */
export async function purchaseIdOf(customerId: string, idempotencyKey: string): Promise<string> {
  const named = new TextEncoder().encode(`purchase\0${customerId}\0${idempotencyKey}`);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', named)).subarray(0, 16);
  // A UUID of version 8: a digest, but for the digits that say so.
  digest[6] = ((digest[6] ?? 0) & 0x0f) | 0x80;
  digest[8] = ((digest[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
