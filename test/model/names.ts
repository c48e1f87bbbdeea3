/** The small cases, by name, those that take longest first. `scenarios.ts` says what they are. */
export const caseNames = [
  'last-unit',
  'crossed-sales',
  'three-workers',
  'declined',
  'payment',
  'refund',
  'gate',
  'expiry-and-purchase',
  'offer-ends',
  'cancel-and-ask',
  'cancel-and-offer',
  'unknown-commit',
  'accept',
  'cap',
  'cancel-twice',
  'relays',
  'redis-lost',
  'poison',
  'accept-once',
  'two-purchases',
] as const;

export type CaseName = (typeof caseNames)[number];
