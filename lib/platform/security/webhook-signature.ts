/**
 * Checks that a webhook comes from who shares our secret, and is fresh, as Standard Webhooks describes it.
 *
 * The signature is an HMAC-SHA256 over id, time and the exact bytes of the body, so an altered body, a signature moved to
 * another message and an old recording are all refused. A message that is sent again within the tolerance passes: what
 * it leads to must be harmless twice.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

/** How far a webhook's own time may lie from ours, in the past or in the future. */
export const webhookToleranceMs = 5 * 60_000;

/** A webhook as it came in: headers in lower case, the body as sent. */
export interface SignedMessage {
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly rawBody: string;
}

/**
 * True if the message is signed with one of the secrets and its time lies within the tolerance. `secrets` holds one or,
 * while a secret is being replaced, several separated by blanks, each `whsec_` and base64.
 */
export function isAuthentic(secrets: string, message: SignedMessage, nowMs: number): boolean {
  const id = message.headers['webhook-id'];
  const timestamp = message.headers['webhook-timestamp'];
  const signatures = message.headers['webhook-signature'];
  if (!id || !timestamp || !signatures || !/^\d{1,12}$/.test(timestamp)) return false;
  if (Math.abs(nowMs - Number(timestamp) * 1000) > webhookToleranceMs) return false;
  const expected = secrets
    .split(/\s+/)
    .filter(Boolean)
    .map((secret) => sign(secret, id, timestamp, message.rawBody));
  return signatures
    .split(' ')
    .filter((signature) => signature.startsWith('v1,'))
    .map((signature) => Buffer.from(signature.slice('v1,'.length), 'base64'))
    .some((given) => expected.some((own) => given.length === own.length && timingSafeEqual(given, own)));
}

function sign(secret: string, id: string, timestamp: string, rawBody: string): Buffer {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  return createHmac('sha256', key).update(`${id}.${timestamp}.${rawBody}`).digest();
}
