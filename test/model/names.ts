/** The small cases by name, slowest first. `scenarios.ts` defines them. */
export const caseNames = [
  'poison',
  'cap',
  'expiry-and-death',
  'last-unit',
  'crossed-sales',
  'three-workers',
  'refund-unsure',
  'gate',
  'declined',
  'unknown-commit',
  'offer-ends',
  'expiry-and-purchase',
  'accept',
  'two-purchases',
  'payment',
  'cancel-twice',
  'payment-twice',
  'webhook-twice',
  'cancel-and-offer',
  'cancel-and-ask',
  'resume-and-ask',
  'ask-in-a-pause',
  'hidden-demand',
  'cancel-undecided',
  'called-off-unpaid',
  'called-off-twice',
  'pause-and-offer-end',
  'move-among-offers',
  'refund',
  'refund-in-parts',
  'accept-once',
  'one-environment',
  'redis-lost',
  'relays',
] as const;

export type CaseName = (typeof caseNames)[number];

/** The small cases that are fully explored in a few seconds; `--quick` explores these and samples the others. */
export const quickCases: readonly CaseName[] = ['accept-once', 'one-environment', 'redis-lost', 'relays'];
