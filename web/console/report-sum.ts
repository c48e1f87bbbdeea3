/** The parts of a report added up. Pure. */
import type { SaleReport } from '../types.ts';

type Counts = Readonly<Record<string, number>>;

/** The sum of two counts of the same names; what only one of them names counts as it is. */
function plus<T extends Counts>(one: T, other: T): T {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return Object.fromEntries([...names].map((name) => [name, (one[name] ?? 0) + (other[name] ?? 0)])) as T;
}

/** Two lists of counts added up, each with what is at the same place. */
function plusEach<T extends Counts>(one: readonly T[], other: readonly T[]): T[] {
  const [longer, shorter] = one.length >= other.length ? [one, other] : [other, one];
  return longer.map((counts, at) => {
    const more = shorter[at];
    return more ? plus(counts, more) : counts;
  });
}

/** A report so far with one more part: the next cursor is the part's. */
export function withPart(soFar: SaleReport, part: SaleReport): SaleReport {
  const { money } = soFar;
  const { refunds } = part.money;
  return {
    ...soFar,
    points: soFar.points.map(({ at, ...counts }, index) => {
      const { at: _, ...more } = part.points[index] ?? { at, ...counts };
      return { at, ...plus(counts, more) };
    }),
    turnedDown: plus(soFar.turnedDown, part.turnedDown),
    turns: plusEach(soFar.turns, part.turns),
    granted: soFar.granted + part.granted,
    money: {
      currency: money.currency,
      purchases: money.purchases + part.money.purchases,
      paidMinor: money.paidMinor + part.money.paidMinor,
      refunds: {
        pending: plus(money.refunds.pending, refunds.pending),
        refunded: plus(money.refunds.refunded, refunds.refunded),
        failed: plus(money.refunds.failed, refunds.failed),
      },
    },
    nextCursor: part.nextCursor,
  };
}
