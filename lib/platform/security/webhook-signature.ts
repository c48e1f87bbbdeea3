/**
 * Webhooks in and out as Standard Webhooks specifies: verifies that one was signed with the shared secret and is recent, and
 * signs our own.
 *
 * The signature is an HMAC-SHA256 over id, time and the exact bytes of the body, so an altered body, a signature moved to
 * another message and an old message that is replayed are all refused. A message that is sent again within the tolerance
 * passes: handling it must be idempotent.
 *
 * The package `standardwebhooks` computes the signature. Its `verify` reads the system clock; here the caller's clock is
 * used, as everywhere, so the signatures are compared here.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Webhook } from 'standardwebhooks';

/** How far a webhook's timestamp may differ from the current time, in the past or in the future. */
export const webhookToleranceMs = 5 * 60_000;

/** A webhook as received: header names in lower case, the body as sent. */
export interface SignedMessage {
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly rawBody: string;
}

/**
 * True if the message is signed with one of the secrets and its time lies within the tolerance. `secrets` holds one or,
 * while a secret is being rotated, several separated by whitespace, each `whsec_` and base64.
 */
export function isAuthentic(secrets: string, message: SignedMessage, nowMs: number): boolean {
  const id = message.headers['webhook-id'];
  const timestamp = message.headers['webhook-timestamp'];
  const signatures = message.headers['webhook-signature'];
  if (!id || !timestamp || !signatures || !/^\d{1,12}$/.test(timestamp)) return false;
  const sentAt = new Date(Number(timestamp) * 1000);
  if (Math.abs(nowMs - sentAt.getTime()) > webhookToleranceMs) return false;
  const expected = secrets
    .split(/\s+/)
    .filter(Boolean)
    .map((secret) => new Webhook(secret).sign(id, sentAt, message.rawBody));
  return signatures.split(' ').some((given) => expected.some((own) => isEqual(given, own)));
}

/**
 * The headers of a webhook that is sent at this time: its id, which stays the same at every attempt, the time of this one, and
 * a signature by each of the secrets, of which the receiver needs to know one.
 */
export function signedHeaders(
  secrets: readonly string[],
  id: string,
  rawBody: string,
  nowMs: number,
): Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string> {
  const sentAt = new Date(nowMs);
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(nowMs / 1000)),
    'webhook-signature': secrets.map((secret) => new Webhook(secret).sign(id, sentAt, rawBody)).join(' '),
  };
}

/** A secret of this name, `whsec_` and base64: the same for the same key, and telling nothing of the key or other secrets. */
export function secretOf(key: string, name: string): string {
  return `whsec_${createHmac('sha256', key).update(`webhook secret\0${name}`).digest('base64')}`;
}

/** Compares in constant time. */
function isEqual(given: string, own: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(own)];
  return one.length === other.length && timingSafeEqual(one, other);
}
