/**
 * Every Redis key, in one place. A sale's keys have its tag in braces (a hash tag), so that in a cluster they share a
 * slot and one script may access them all.
 */
import type { CustomerId, SaleId, SaleTag } from '#platform/kernel/ids.ts';

/** Set once per process from `HOLDFAST_REDIS_PREFIX`, so that several stacks or tests can share one Redis. */
const prefix = process.env.HOLDFAST_REDIS_PREFIX ?? '';

export const keys = {
  /** Hash: the sale as the gate and the readers see it: terms, stock, epoch and version, counters of the gate. */
  sale: (tag: SaleTag) => `${prefix}sale:{${tag}}`,
  /** String: a bit for each place among the requests of a sale, set while that request is on the waitlist. */
  line: (tag: SaleTag) => `${prefix}sale:{${tag}}:line`,
  /** Hash: claims of some customers of a sale. Small enough per key to stay a listpack. */
  claims: (tag: SaleTag, bucket: number) => `${prefix}claims:{${tag}}:${bucket.toString(36)}`,
  /** The prefix of the keys of all claims buckets of a sale, for the script that writes many of them. */
  claimsOf: (tag: SaleTag) => `${prefix}claims:{${tag}}:`,
  /** The prefix of the keys that have the digests of labels of a sale's requests, a string each. */
  labelsOf: (tag: SaleTag) => `${prefix}labels:{${tag}}:`,
  /** The prefix of the keys that have what each customer was refused for good in a sale, by request: a hash each, for an hour. */
  refusalsOf: (tag: SaleTag) => `${prefix}refusals:{${tag}}:`,
  /** String: the lock of a sale; held by a worker while it decides. */
  lock: (tag: SaleTag) => `${prefix}lock:${tag}`,
  /** String: the highest fencing token ever granted. */
  fencingToken: () => `${prefix}fencing-token`,
  /** Sorted set: WebSocket connections of a customer, by the time until which they are served. */
  connectionsOf: (customerId: CustomerId) => `${prefix}ws:customer:${customerId}`,
  /** Sorted set: WebSocket connections that watch a sale, by the time until which they are served. */
  watchersOf: (saleId: SaleId) => `${prefix}ws:sale:${saleId}`,
  /** Sorted set: all WebSocket connections, by the time until which they are served. */
  connections: () => `${prefix}ws:connections`,
  /** Hash: a WebSocket connection's customer, its times, and a field for each sale that it watches. */
  connection: (connectionId: string) => `${prefix}ws:connection:${connectionId}`,
  /** String: a session that has ended, for as long as access tokens of it may be valid. */
  endedSession: (sessionId: string) => `${prefix}ws:ended:${sessionId}`,
  /** Hash: the newest version pushed, by subject: a customer's reservations and purchases, or a sale's stock. */
  pushed: (audienceId: string) => `${prefix}ws:pushed:${audienceId}`,
  /** List: messages that wait to be pushed to a customer, or to the watchers of a sale. */
  pushesInLine: (audienceId: string) => `${prefix}ws:line:${audienceId}`,
  /** String: which process may push to a customer, or to the watchers of a sale; expires within seconds. */
  pushTurn: (audienceId: string) => `${prefix}ws:turn:${audienceId}`,
  /** String: an Idempotency-Key whose first request is still running. */
  running: (kind: string, id: string) => `${prefix}running:${kind}:${id}`,
  /** String: that a process works on a sale's long work of a kind; expires within seconds. */
  turn: (kind: string, saleId: SaleId) => `${prefix}turn:${kind}:${saleId}`,
  /** String: that a trigger of that work was sent again, to look once the turn is over; expires as the turn does. */
  waitsForTurn: (kind: string, saleId: SaleId) => `${prefix}turn:${kind}:${saleId}:waiting`,
  /** String: the age of the oldest message of a queue's latest batch. */
  oldestMessageAge: (queue: string) => `${prefix}oldest-message-age:${queue}`,
  /** String: a breaker's shared state: until when it is open. */
  breaker: (name: string) => `${prefix}breaker:${name}`,
  /** String: the latest cause of a message's failure. */
  cause: (messageId: string) => `${prefix}cause:${messageId}`,
  /** String: a token bucket of a caller. */
  rate: (what: string, who: string) => `${prefix}rate:${what}:${who}`,
  /** String: a proof of work that was used, until it ends. */
  used: (id: string) => `${prefix}used:${id}`,
} as const;
