/**
 * Faults that the local bus can inject, for chaos tests. Set with `POST /_faults` (see server.ts), held in
 * memory only, so a restart ends them. Random choices come from a seed: the same seed and the same traffic give the
 * same faults. Called by accept.ts (what is accepted), delivery.ts (what is sent) and server.ts (the endpoint).
 */
import * as z from 'zod';
import { seededRandom } from '../service/random.ts';

const fraction = z.number().min(0).max(1);
const delayMs = z.number().int().min(0).max(3_600_000);

export const FaultSettings = z.strictObject({
  /** Seed of the random choices. */
  seed: z.number().int().default(1),
  /** Fraction of PutEvents entries that are refused with ErrorCode InternalFailure and not accepted. */
  failEntries: fraction.default(0),
  /** Entries with a longer detail than this, in bytes, are refused as too large. */
  largestDetailBytes: z.number().int().min(1).optional(),
  /** Fraction of deliveries that are sent twice, with the same event id. */
  duplicate: fraction.default(0),
  /** Every delivery waits this long before its first attempt. */
  delayMs: delayMs.default(0),
  /** Each delivery waits a further random time up to this, which reorders them. */
  jitterMs: delayMs.default(0),
  /** Fraction of delivery attempts that fail as if the queue had; they are retried with back-off. */
  failDeliveries: fraction.default(0),
  /** Deliveries of these rules, by name, are accepted and held until the name is taken off the list. */
  pauseRules: z.array(z.string()).default([]),
});

export type FaultSettings = z.infer<typeof FaultSettings>;

/** The faults in force, with one method per question the server asks. */
export class Faults {
  private current: FaultSettings = FaultSettings.parse({});
  private random = seededRandom(1);

  /** What is in force now. */
  get settings(): FaultSettings {
    return this.current;
  }

  /** Replaces all faults; what is not given is off. Restarts the random sequence from the seed. Throws ZodError. */
  set(input: unknown): void {
    this.current = FaultSettings.parse(input);
    this.random = seededRandom(this.current.seed);
  }

  refusesEntry(): boolean {
    return this.happens(this.current.failEntries);
  }

  findsTooLarge(detail: string): boolean {
    return Buffer.byteLength(detail) > (this.current.largestDetailBytes ?? Number.POSITIVE_INFINITY);
  }

  duplicates(): boolean {
    return this.happens(this.current.duplicate);
  }

  failsDelivery(): boolean {
    return this.happens(this.current.failDeliveries);
  }

  /** How long a new delivery waits, in ms. */
  delayMs(): number {
    const { delayMs, jitterMs } = this.current;
    return delayMs + (jitterMs > 0 ? Math.floor(this.random() * (jitterMs + 1)) : 0);
  }

  /** Whether deliveries of the rule with this ARN are held. */
  holds(ruleArn: string): boolean {
    return this.current.pauseRules.length > 0 && this.current.pauseRules.includes(ruleArn.split('/').at(-1) ?? '');
  }

  /** Draws a number only for a fault that is on, so that faults do not disturb each other's sequence. */
  private happens(chance: number): boolean {
    return chance > 0 && this.random() < chance;
  }
}
