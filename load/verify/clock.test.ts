/**
 * Whom a change may leave untold, as the verifier judges it by what was announced and when: each exception with what lies just
 * beyond it.
 */
import type { SaleAct } from '../log.ts';
import type { AnnouncedTerms } from './clients.ts';
import { ClockCheck } from './clock.ts';
import { SaleHistory } from './history.ts';
import type { AnnouncementRow, CancellationRow, NoticeRow, ReservationRow, SaleRow } from './store.ts';
import { newTallies } from './tally.ts';

const startMs = Date.parse('2026-01-01T10:00:00.000Z');
const second = (n: number) => startMs + n * 1_000;
const iso = (atMs: number) => new Date(atMs).toISOString();
const saleId = '00000000-0000-7000-8000-000000000001';
const idOf = (n: number) => `00000000-0000-8000-8000-${n.toString().padStart(12, '0')}`;

/** What an operator did at a second, and by how many seconds the close has moved since the creation. */
interface Act {
  readonly act: SaleAct;
  readonly at: number;
  readonly closeMoved?: number;
  readonly standsAt?: number;
}

const closes = 3_600;

function logged(acts: readonly Act[]): AnnouncedTerms[] {
  return acts.map(({ act, at, closeMoved = 0, standsAt }, index) => {
    const clockStandsAt = standsAt === undefined ? null : iso(second(standsAt));
    const status = act === 'cancel' ? 'cancelled' : clockStandsAt ? 'paused' : 'active';
    const terms = {
      ...{ version: index + 1, status, pausedAt: clockStandsAt, clockStandsAt },
      ...{ reserveOpensAt: iso(second(-100)), reserveClosesAt: iso(second(closes + closeMoved)) },
      ...{ purchaseOpensAt: iso(second(-100)), purchaseClosesAt: iso(second(closes + closeMoved)) },
    };
    return { act, terms, firstSentMs: second(at) - 5, answeredMs: second(at) + 5 };
  });
}

interface Told {
  readonly kind: string;
  readonly at: number;
  readonly round?: number;
  readonly until?: number;
}

const notice = ({ kind, at, round = 0, until }: Told): NoticeRow => ({
  ...{ subjectId: '', version: 1, kind, round, customerId: 'c', createdAtMs: second(at) },
  deadline: until === undefined ? null : iso(second(until)),
});

/** How a change was announced: its version, the second of its last notice, and how far it came. */
interface Announcement {
  readonly kind: string;
  readonly round: number;
  readonly at: number;
  readonly upTo: number;
}

interface Case {
  readonly acts: readonly Act[];
  readonly announced: readonly Announcement[];
  readonly told: readonly Told[];
  /** How many reservations of the sale come before this one. */
  readonly place?: number;
  readonly row?: Partial<ReservationRow>;
  readonly calledOffAt?: number;
}

/** What the verifier says of one reservation, whose number is also its id. */
function judge({ acts, announced, told, place = 700, row = {}, calledOffAt }: Case): string[] {
  const terms = logged([{ act: 'create', at: -200 }, ...acts]);
  const last = terms.at(-1)?.terms;
  if (!last) throw new Error('there are no terms');
  const pausedFor = acts.reduce((moved, { act, closeMoved = moved }) => (act === 'resume' ? closeMoved : moved), 0);
  const sale = {
    ...{ id: saleId, status: calledOffAt === undefined ? last.status : 'cancelled', clockOffsetMs: pausedFor * 1_000 },
    ...{ reserveOpensAtMs: Date.parse(last.reserveOpensAt), reserveClosesAtMs: Date.parse(last.reserveClosesAt) },
    ...{ purchaseOpensAtMs: Date.parse(last.purchaseOpensAt), purchaseClosesAtMs: Date.parse(last.purchaseClosesAt) },
  } as SaleRow;
  const rounds = announced.map(
    ({ kind, round, at, upTo }): AnnouncementRow => ({
      ...{ saleId, kind, round, notices: 1, lastAtMs: second(at), lastId: idOf(upTo) },
    }),
  );
  const cancellations = new Map<string, CancellationRow>();
  if (calledOffAt !== undefined) {
    cancellations.set(saleId, { saleId, refunds: 'keep', calledOffAtMs: second(calledOffAt), sweptAtMs: null });
  }
  const history = new SaleHistory(sale, terms, rounds);
  expect(history.isWhole).toBe(true);
  const clients = { refusedForTime: [] };
  const check = new ClockCheck(
    new Map([[saleId, sale]]),
    new Map([[saleId, history]]),
    { announced: rounds, cancellations },
    clients,
    second(3_000),
  );
  const { I12 } = newTallies();
  const rowOf = (n: number) => ({ id: idOf(n), saleId, state: 'expired', deadlineMs: null, ...row }) as ReservationRow;
  for (let n = 0; n < place; n++) check.add({ id: idOf(n), row: rowOf(n), movements: [], notices: [] }, I12);
  const notices = [notice({ kind: 'reservation.allocated', at: -60 }), ...told.map(notice)];
  check.add({ id: idOf(place), row: rowOf(place), movements: [], notices }, I12);
  return I12.examples;
}

const [paused, resumed, rescheduled] = ['reminder.paused', 'reminder.resumed', 'reminder.rescheduled'];
const pause: Act = { act: 'pause', at: 0, standsAt: 0 };
const resume: Act = { act: 'resume', at: 60, closeMoved: 60 };

describe('an announcement that a newer one replaced', () => {
  /** A pause that came to 600 reservations, and a resuming that came to all. */
  const replaced: Case = {
    acts: [pause, resume],
    announced: [
      { kind: paused, round: 2, at: 1, upTo: 600 },
      { kind: resumed, round: 3, at: 61, upTo: 900 },
    ],
    told: [{ kind: resumed, at: 61, round: 3, until: closes + 60 }],
  };

  test('may leave out whom it had not come to, and who was told the newer one', () => {
    expect(judge(replaced)).toEqual([]);
  });

  test.each<[string, Partial<Case>]>([
    ['whom it must have told at once', { place: 499 }],
    ['whom it passed', { announced: [{ kind: paused, round: 2, at: 1, upTo: 800 }, ...replaced.announced.slice(1)] }],
    ['who was not told the newer one either', { told: [] }],
    [
      'whom it must have come to long before',
      {
        acts: [pause, { ...resume, at: 200, closeMoved: 200 }],
        told: [{ kind: resumed, at: 201, round: 3, until: closes + 200 }],
      },
    ],
    [
      'who was told new times set in the pause, which do not say that there is one',
      {
        acts: [pause, { act: 'reschedule', at: 30, standsAt: 30, closeMoved: 90 }],
        announced: [
          { kind: paused, round: 2, at: 1, upTo: 600 },
          { kind: rescheduled, round: 3, at: 31, upTo: 900 },
        ],
        told: [{ kind: rescheduled, at: 31, round: 3, until: closes + 90 }],
      },
    ],
  ])('may not leave out %s', (_, change) => {
    expect(judge({ ...replaced, ...change })).toContainEqual(expect.stringContaining(`${paused} of version 2 0 times`));
  });
});

describe('an announcement that the end of its sale replaced', () => {
  const ended: Case = {
    acts: [pause, { act: 'cancel', at: 60 }],
    announced: [{ kind: paused, round: 2, at: 1, upTo: 600 }],
    told: [{ kind: 'reservation.cancelled', at: 63 }],
    calledOffAt: 60,
  };

  test('may leave out whom it had not come to, and who was told of the end', () => {
    expect(judge(ended)).toEqual([]);
  });

  test.each<[string, Partial<Case>]>([
    ['who was not told of the end', { told: [] }],
    [
      'whom it must have come to long before',
      {
        acts: [pause, { act: 'cancel', at: 200 }],
        calledOffAt: 200,
        told: [{ kind: 'reservation.cancelled', at: 203 }],
      },
    ],
  ])('may not leave out %s', (_, change) => {
    expect(judge({ ...ended, ...change })).toContainEqual(expect.stringContaining(`${paused} of version 2 0 times`));
  });
});

describe('whose own time was over at a change', () => {
  const offered = (until: number): Told => ({ kind: 'reservation.offered', at: -50, until });
  const over: Case = {
    acts: [pause, resume],
    announced: [
      { kind: paused, round: 2, at: 0, upTo: 900 },
      { kind: resumed, round: 3, at: 60, upTo: 900 },
    ],
    told: [offered(-1), { kind: 'reservation.expired', at: 75 }],
    row: { deadlineMs: second(-1) },
    place: 3,
  };

  test('is told of the end, and of no change', () => {
    expect(judge(over)).toEqual([]);
    expect(judge({ ...over, told: [offered(0), { kind: 'reservation.expired', at: 75 }] })).toEqual([]);
  });

  test('must not be told of a pause', () => {
    const told = [offered(-1), { kind: paused, at: 0, round: 2, until: -1 }, { kind: 'reservation.expired', at: 75 }];
    expect(judge({ ...over, told })).toContainEqual(expect.stringContaining('and their time was over'));
  });

  test('whoever had a moment left must be told', () => {
    const told = [offered(1), { kind: 'reservation.expired', at: 75 }];
    const examples = judge({ ...over, told });
    for (const kind of [`${paused} of version 2`, `${resumed} of version 3`])
      expect(examples).toContainEqual(expect.stringContaining(`${kind} 0 times`));
  });

  test('whoever has time again by new times must be told', () => {
    const acts: Act[] = [{ act: 'reschedule', at: 0, closeMoved: 100 }];
    const moved: Case = {
      acts,
      announced: [{ kind: rescheduled, round: 2, at: 0, upTo: 900 }],
      told: [offered(-1), { kind: 'reservation.expired', at: 99 }],
      place: 3,
    };
    expect(judge({ ...moved, row: { deadlineMs: second(-1) } })).toEqual([]);
    expect(judge({ ...moved, row: { deadlineMs: second(99) } })).toContainEqual(
      expect.stringContaining(`${rescheduled} of version 2 0 times`),
    );
  });
});
