/** What the package offers. */
export type { TokenSource } from './calls.ts';
export {
  type Action,
  type Client,
  type ClientOptions,
  createClient,
  type News,
  type PaymentOptions,
  type Purchase,
  type PurchaseAccepted,
  type PurchaseRequest,
  type Reservation,
  type ReservationAccepted,
  type ReservationRequest,
  type SendOptions,
  type WaitOptions,
} from './client.ts';
export { dataOf, type Http } from './http.ts';
export {
  type Exclusively,
  type Intent,
  type IntentOptions,
  type Intents,
  newKey,
  openIntents,
  type Store,
} from './intents.ts';
export type { LinkState } from './live.ts';
export { isOutcome, Problem, type ProblemBody, type ProblemCode } from './problem.ts';
export { purchaseIdOf } from './purchase-id.ts';
export type { components, operations, paths } from './schema.ts';
