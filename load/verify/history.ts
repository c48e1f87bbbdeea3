/**
 * The times of each sale as they were announced, one after the other: from operators' answers in the clients' log, from the
 * notices of each change, and from the sale's row for the final times.
 *
 * An act takes effect between its first sending and its answer, so consecutive terms overlap by that much, and what happened
 * then may belong to either. If an act is missing from the log, the history has a hole; what depends on it is neither judged
 * nor counted as checked.
 */
import type { SaleAct } from '../log.ts';
import type { AnnouncedTerms } from './clients.ts';
import type { AnnouncementRow, SaleRow } from './store.ts';

/** The boundaries of a sale. */
export interface Times {
  readonly reserveOpensAtMs: number;
  readonly reserveClosesAtMs: number;
  readonly purchaseOpensAtMs: number;
  readonly purchaseClosesAtMs: number;
}

/** Terms of a sale, and when they held. */
export interface Terms extends Times {
  /** The sale's version with them; undefined for those known only from its row. */
  readonly version: number | undefined;
  readonly act: SaleAct | undefined;
  readonly status: string;
  /** Where the clock of a paused sale stood; undefined if it was not paused, or nobody knows. */
  readonly clockStandsAtMs: number | undefined;
  /** They did not hold before. */
  readonly fromMs: number;
  /** They held from then on at the latest. */
  readonly heldByMs: number;
}

/** A span of time in which a sale certainly had these terms. */
export interface Stretch {
  readonly terms: Terms;
  readonly fromMs: number;
  readonly toMs: number;
}

const timeNames = ['reserveOpensAtMs', 'reserveClosesAtMs', 'purchaseOpensAtMs', 'purchaseClosesAtMs'] as const;
const changeKinds = ['reminder.rescheduled', 'reminder.paused', 'reminder.resumed'];

/** What holders and waiters are told of an act, if it concerns them. */
const kindTold: Partial<Record<SaleAct, string>> = {
  pause: 'reminder.paused',
  resume: 'reminder.resumed',
  'resume without giving back': 'reminder.resumed',
  reschedule: 'reminder.rescheduled',
};

/** The terms of one sale through time. */
export class SaleHistory {
  readonly terms: readonly Terms[];
  /** Whether every change is known. If not, its earlier times are not. */
  readonly isWhole: boolean;

  constructor(sale: SaleRow, logged: readonly AnnouncedTerms[], announced: readonly AnnouncementRow[]) {
    const known = withoutRepeats(logged.map(toTerms).sort((one, other) => (one.version ?? 0) - (other.version ?? 0)));
    const last = known.at(-1);
    const versions = new Set(known.map(({ version }) => version));
    const changes = announced.filter(({ kind }) => changeKinds.includes(kind));
    if (last && sameTimes(last, sale) && last.status === sale.status) {
      this.terms = known;
      this.isWhole = known[0]?.act === 'create' && changes.every(({ round }) => versions.has(round));
    } else {
      this.terms = [presentTerms(sale)];
      this.isWhole = known.length === 0 && changes.length === 0 && sale.status === 'active';
    }
  }

  /** Terms that may have held at some moment of a time span. */
  between(fromMs: number, toMs: number): Terms[] {
    return this.terms.filter((one, index) => {
      const next = this.terms[index + 1];
      return one.fromMs <= toMs && (next === undefined || next.heldByMs >= fromMs);
    });
  }

  /** When the sale certainly was paused, or certainly was called off. */
  stretches(status: 'paused' | 'cancelled'): Stretch[] {
    return this.terms.flatMap((terms, index) => {
      const toMs = this.terms[index + 1]?.fromMs ?? Number.POSITIVE_INFINITY;
      return terms.status === status && terms.heldByMs < toMs ? [{ terms, fromMs: terms.heldByMs, toMs }] : [];
    });
  }

  /** The changes of which every holder and waiter had to be told, with their notices. */
  told(): { before: Terms; terms: Terms; kind: string }[] {
    return this.terms.flatMap((terms, index) => {
      const before = this.terms[index - 1];
      const kind = terms.act && kindTold[terms.act];
      if (!before || !kind) return [];
      const isMoved =
        before.purchaseOpensAtMs !== terms.purchaseOpensAtMs || before.purchaseClosesAtMs !== terms.purchaseClosesAtMs;
      return kind !== 'reminder.rescheduled' || isMoved ? [{ before, terms, kind }] : [];
    });
  }
}

/** The histories of all sales. */
export function readHistories(
  sales: Map<string, SaleRow>,
  logged: ReadonlyMap<string, readonly AnnouncedTerms[]>,
  announced: readonly AnnouncementRow[],
): Map<string, SaleHistory> {
  const rounds = Map.groupBy(announced, ({ saleId }) => saleId);
  return new Map(
    [...sales].map(([id, sale]) => [id, new SaleHistory(sale, logged.get(id) ?? [], rounds.get(id) ?? [])]),
  );
}

/** Whether a time belongs to a window that may have been announced then. */
export function mayBeWithin(
  history: SaleHistory,
  { fromMs, toMs }: { fromMs: number; toMs: number },
  window: 'reserve' | 'purchase',
): boolean {
  return history.between(fromMs, toMs).some((terms) => {
    const { opensAtMs, closesAtMs } = windowOf(terms, window);
    return toMs >= opensAtMs && fromMs < closesAtMs;
  });
}

export function windowOf(times: Times, window: 'reserve' | 'purchase'): { opensAtMs: number; closesAtMs: number } {
  return window === 'reserve'
    ? { opensAtMs: times.reserveOpensAtMs, closesAtMs: times.reserveClosesAtMs }
    : { opensAtMs: times.purchaseOpensAtMs, closesAtMs: times.purchaseClosesAtMs };
}

/**
 * What is wrong with how a pause was given back, or undefined: whatever was still to come must be later by its length, and
 * nothing else may have moved.
 */
export function wrongGivingBack(paused: Terms, resumed: Terms): string | undefined {
  const { clockStandsAtMs } = paused;
  if (clockStandsAtMs === undefined) return 'nobody knows where its clock stood';
  const later = timeNames.map((name) => resumed[name] - paused[name]);
  const wasToCome = timeNames.map((name) => paused[name] > clockStandsAtMs);
  const pauses = later.filter((_, index) => wasToCome[index]);
  if (later.some((byMs, index) => !wasToCome[index] && byMs !== 0)) return 'a time that had passed was moved';
  const givesBack = resumed.act === 'resume';
  const least = givesBack ? resumed.fromMs - clockStandsAtMs : 0;
  const most = givesBack ? resumed.heldByMs - clockStandsAtMs : 0;
  const fits = pauses.every((byMs) => byMs === pauses[0] && byMs >= least && byMs <= most);
  return fits ? undefined : `times moved by ${pauses.join(', ')} ms after a pause of ${least} to ${most} ms`;
}

/** Identical answers, as those of a repeated call, are one change. */
function withoutRepeats(terms: readonly Terms[]): Terms[] {
  return terms.filter((one, index) => {
    const before = terms[index - 1];
    return !before || before.version !== one.version;
  });
}

function toTerms({ act, terms, firstSentMs, answeredMs }: AnnouncedTerms): Terms {
  return {
    ...{ act, version: terms.version, status: terms.status },
    clockStandsAtMs: terms.clockStandsAt === null ? undefined : Date.parse(terms.clockStandsAt),
    reserveOpensAtMs: Date.parse(terms.reserveOpensAt),
    reserveClosesAtMs: Date.parse(terms.reserveClosesAt),
    purchaseOpensAtMs: Date.parse(terms.purchaseOpensAt),
    purchaseClosesAtMs: Date.parse(terms.purchaseClosesAt),
    fromMs: act === 'create' ? Number.NEGATIVE_INFINITY : firstSentMs,
    heldByMs: answeredMs,
  };
}

function presentTerms(sale: SaleRow): Terms {
  const { status, reserveOpensAtMs, reserveClosesAtMs, purchaseOpensAtMs, purchaseClosesAtMs } = sale;
  return {
    ...{ version: undefined, act: undefined, status, clockStandsAtMs: undefined },
    ...{ reserveOpensAtMs, reserveClosesAtMs, purchaseOpensAtMs, purchaseClosesAtMs },
    ...{ fromMs: Number.NEGATIVE_INFINITY, heldByMs: Number.NEGATIVE_INFINITY },
  };
}

function sameTimes(one: Times, other: Times): boolean {
  return timeNames.every((name) => one[name] === other[name]);
}
