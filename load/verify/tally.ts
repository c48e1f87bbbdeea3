/**
 * Counting: how often each invariant was checked, how often it did not hold, and the first few cases.
 */

export const invariantNames = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I7', 'I8', 'I11', 'I12', 'I13'] as const;
export type InvariantName = (typeof invariantNames)[number];

/** What each invariant promises, in a few words. */
export const meanings: Record<InvariantName, string> = {
  I1: 'no oversell',
  I2: 'nothing lost',
  I3: 'once',
  I4: 'cap per customer',
  I5: 'notices',
  I6: 'mirror',
  I7: 'money',
  I8: 'windows',
  I11: 'the line',
  I12: 'the clock',
  I13: 'the books',
};

/** How many cases are kept to be shown. */
const examplesKept = 10;

/** The count of one invariant. */
export class Tally {
  checked = 0;
  violations = 0;
  readonly examples: string[] = [];

  /** Counts one check. `tell` describes the case; it is only called if the check failed. */
  expect(holds: boolean, tell: () => string): void {
    this.checked++;
    if (holds) return;
    this.violations++;
    if (this.examples.length < examplesKept) this.examples.push(tell());
  }

  /** Adds another count of the same invariant. */
  add(other: Tally): void {
    this.checked += other.checked;
    this.violations += other.violations;
    this.examples.push(...other.examples.slice(0, examplesKept - this.examples.length));
  }
}

export type Tallies = Record<InvariantName, Tally>;

export function newTallies(): Tallies {
  return Object.fromEntries(invariantNames.map((name) => [name, new Tally()])) as Tallies;
}
