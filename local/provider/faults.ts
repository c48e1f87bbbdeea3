/**
 * Faults that the payment provider can inject, for chaos tests. Set with `POST /_faults` (see server.ts) on one
 * instance, held in memory only. Random choices come from a seed. Called by server.ts and webhooks.ts.
 */
import * as z from 'zod';
import { seededRandom } from '../service/random.ts';

const fraction = z.number().min(0).max(1);
const durationMs = z.number().int().min(0).max(3_600_000);

export const FaultSettings = z.strictObject({
  /** Seed of the random choices. */
  seed: z.number().int().default(1),
  /** Everything under /v1 answers 503, and nothing happens. */
  down: z.boolean().default(false),
  /** Every charge and refund waits this long BEFORE it is made: a query in between finds nothing, and then it is there. */
  slowMs: durationMs.default(0),
  /** Fraction of charges and refunds answered 500 and not made. */
  failRate: fraction.default(0),
  /** Fraction of charges that capture one unit more than was ordered. */
  otherAmountRate: fraction.default(0),
  /** The 4xx status with which every refund is refused; 0 refuses none. */
  refuseRefunds: z.union([z.literal(0), z.int().min(400).max(499)]).default(0),
  /** How far a capture differs from the amount that the customer confirmed, in minor units. */
  confirmShiftMinor: z.int().min(-1_000_000).max(1_000_000).default(0),
  /** Fraction of charges and refunds that are made, and the connection cut instead of an answer. */
  lostAnswerRate: fraction.default(0),
  /** Every webhook is sent twice, with the same id. */
  webhookTwice: z.boolean().default(false),
  /** The webhook is sent, and answered, before the charge is. */
  webhookFirst: z.boolean().default(false),
  /** Every webhook waits this long before its first attempt. */
  webhookDelayMs: durationMs.default(0),
  /** Fraction of webhooks that are never sent. */
  webhookLossRate: fraction.default(0),
});

export type FaultSettings = z.infer<typeof FaultSettings>;

/** The faults in force. */
export class Faults {
  private current: FaultSettings;
  private random: () => number;

  constructor(initial: Partial<FaultSettings> = {}) {
    this.current = FaultSettings.parse(initial);
    this.random = seededRandom(this.current.seed);
  }

  get settings(): FaultSettings {
    return this.current;
  }

  /** Replaces all faults; what is not given is off. Restarts the random sequence from the seed. Throws ZodError. */
  set(input: unknown): void {
    this.current = FaultSettings.parse(input);
    this.random = seededRandom(this.current.seed);
  }

  /** Draws for one of the rates; a rate of 0 draws nothing, so that it does not disturb the others' sequence. */
  happens(rate: 'failRate' | 'otherAmountRate' | 'lostAnswerRate' | 'webhookLossRate'): boolean {
    return this.current[rate] > 0 && this.random() < this.current[rate];
  }
}
