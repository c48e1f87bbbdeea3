/**
 * The verifier: compares the clients' own log, MySQL, Redis and the payment providers' books, and counts
 * for each invariant of the design how often it was checked and how often it did not hold.
 *
 * It shares no code with the workers: its SQL, its reading of Redis and of the providers are its own, so that a mistake
 * cannot hide by being made twice. It waits for rest first, since stores that are still moving cannot be compared.
 * Called by the demo, the load scenarios and the chaos driver; `load/verify/main.ts` runs it by hand.
 */
import { AnswerCheck, MovementCheck, TicketCheck } from './verify/answers.ts';
import { CapCheck, checkPersons } from './verify/caps.ts';
import { ClientView } from './verify/clients.ts';
import { ClockCheck } from './verify/clock.ts';
import { FigureCollector, type Figures } from './verify/figures.ts';
import { readHistories } from './verify/history.ts';
import { LineCheck } from './verify/line.ts';
import { checkMirror, MirrorReader } from './verify/mirror.ts';
import { MoneyCheck } from './verify/money.ts';
import { NoticeCheck } from './verify/notices.ts';
import { readBooks } from './verify/provider.ts';
import { QueueReader } from './verify/queues.ts';
import { walk } from './verify/read-by-reservation.ts';
import { RefundCheck } from './verify/refunds.ts';
import { StockCheck } from './verify/stock.ts';
import { Store } from './verify/store.ts';
import { type InvariantName, invariantNames, newTallies, type Tallies } from './verify/tally.ts';
import type { Target } from './verify/target.ts';
import { type Quiet, waitForQuiet } from './verify/wait-for-rest.ts';
import { checkAcceptedInPublic, checkAcceptedInWindow, checkOrderedInWindow, WindowCheck } from './verify/windows.ts';

export interface VerifyOptions {
  /** The clients' logs. */
  logs: string[];
  /** How long to wait for rest. Default: a minute and a half. */
  quietTimeoutMs?: number;
  /** How long nothing may change before that counts as rest. Default: a second and a half. */
  stillForMs?: number;
  /** Told what is going on, one line at a time. */
  report?: (line: string) => void;
}

export interface Verification extends Figures {
  /** True if everything could be checked and nothing was found. */
  holds: boolean;
  invariants: Record<InvariantName, { checked: number; violations: number; examples: string[] }>;
  /** Invariants for which there was nothing to check, which proves nothing. */
  unchecked: InvariantName[];
  quiet: Quiet;
  counts: Record<string, number>;
  /** How often clients were answered how. */
  outcomes: Record<string, number>;
}

/** Longer than a message stays invisible after a worker died with it. */
const defaultQuietTimeoutMs = 90_000;
const defaultStillForMs = 1_500;

/** Verifies a stack. Throws if something cannot be read at all: then nothing is proved. */
export async function verify(target: Target, options: VerifyOptions): Promise<Verification> {
  const report = options.report ?? (() => undefined);
  const tallies = newTallies();
  const clients = await ClientView.read(options.logs, tallies);
  const queues = new QueueReader(target.sqs);
  const store = await Store.open(target.mysqlUrl);
  try {
    const quiet = await waitForQuiet(target, { store, queues }, clients, {
      timeoutMs: options.quietTimeoutMs ?? defaultQuietTimeoutMs,
      stillForMs: options.stillForMs ?? defaultStillForMs,
      report,
    });
    const dead = await queues.depths(target.deadLetters);
    const books = await readBooks(target);
    await store.snapshot();
    const { figures, counts } = await compare(store, clients, { dead, books }, tallies);
    const mirror = await MirrorReader.open(target.redisUrl, target.redisPrefix);
    try {
      tallies.I6.add(await checkMirror(store, mirror, report));
    } finally {
      mirror.close();
    }
    return { ...conclude(tallies, quiet), quiet, ...figures, counts, outcomes: outcomesOf(clients) };
  } finally {
    queues.close();
    await store.close();
  }
}

type Others = { dead: Awaited<ReturnType<QueueReader['depths']>>; books: Awaited<ReturnType<typeof readBooks>> };

/** Everything but the mirror, in one walk through one snapshot of MySQL. */
async function compare(
  store: Store,
  clients: ClientView,
  { dead, books }: Others,
  tallies: Tallies,
): Promise<{ figures: Figures; counts: Record<string, number> }> {
  const [sales, purchases, items] = [await store.sales(), await store.purchases(), await store.items()];
  const nowMs = Date.now();
  const stock = new StockCheck();
  const answers = new AnswerCheck(clients);
  const moves = new MovementCheck();
  const tickets = new TicketCheck(clients);
  const caps = new CapCheck();
  const notices = new NoticeCheck(clients);
  const refunds = await store.refunds();
  const money = new MoneyCheck(purchases, items, sales, refunds);
  const cancellations = await store.cancellations();
  const refundCheck = new RefundCheck(purchases, items, refunds, cancellations);
  const announced = await store.announcements();
  const histories = readHistories(sales, clients.announced, announced);
  const windows = new WindowCheck(histories);
  const clock = new ClockCheck(sales, histories, { announced, cancellations }, clients, nowMs);
  const grants = await store.grants();
  const line = new LineCheck(grants);
  const figures = new FigureCollector(clients);
  const states = new Map<string, number>();

  for await (const stop of walk(store)) {
    stock.add(stop);
    moves.add(stop, tallies.I3);
    notices.add(stop, purchases, tallies.I5);
    line.add(stop);
    clock.add(stop, tallies.I12);
    const { row } = stop;
    if (!row) continue;
    const sale = sales.get(row.saleId);
    answers.add(row, sale, nowMs, tallies.I2);
    tickets.add(row, tallies.I3);
    caps.add(row);
    money.add(row, tallies.I7);
    refundCheck.add(row);
    checkAcceptedInWindow(row, histories.get(row.saleId), tallies.I8);
    checkAcceptedInPublic(row, sale, tallies.I8);
    windows.add(row);
    if (row.partOf === null) figures.add(row);
    states.set(row.state, (states.get(row.state) ?? 0) + 1);
  }
  stock.finish(sales, tallies.I1);
  answers.finish(purchases, dead, tallies);
  moves.finish(tallies.I3);
  caps.finish(sales, tallies.I4);
  await checkPersons(store.holdersByPerson(), tallies.I4);
  notices.finish(purchases, refunds, tallies.I5);
  money.finish(books, clients, tallies.I7);
  refundCheck.finish(books, tallies.I13);
  checkOrderedInWindow(purchases, items, histories, tallies.I8);
  windows.finish(clients, tallies.I8);
  clock.finish(announced, clients, tallies.I12);
  line.finish(sales, nowMs, tallies.I11);

  const captured = books.charges.filter((charge) => charge.status === 'captured').length;
  const counts = {
    sales: sales.size,
    requests: clients.reserveAttempts,
    accepted: clients.promised.size,
    acceptedWithoutGate: [...clients.promised.values()].filter((promise) => promise.withoutGate.length > 0).length,
    repeats: clients.repeats,
    ...Object.fromEntries([...states].sort().map(([state, count]) => [`reservations.${state}`, count])),
    purchases: purchases.size,
    captures: captured,
    refunds: books.refunds.length,
    grants: grants.size,
    pushes: clients.pushes,
    pushesDropped: clients.pushesDropped,
    logLines: clients.lines,
  };
  return { figures: figures.finish(sales), counts };
}

function conclude(tallies: Tallies, quiet: Quiet): Pick<Verification, 'holds' | 'invariants' | 'unchecked'> {
  const invariants = Object.fromEntries(
    invariantNames.map((name) => {
      const { checked, violations, examples } = tallies[name];
      return [name, { checked, violations, examples }];
    }),
  ) as Verification['invariants'];
  const unchecked = invariantNames.filter((name) => invariants[name].checked === 0);
  const broken = invariantNames.some((name) => invariants[name].violations > 0);
  return { holds: quiet.reached && !broken && unchecked.length === 0, invariants, unchecked };
}

function outcomesOf(clients: ClientView): Record<string, number> {
  return Object.fromEntries([...clients.outcomes].sort(([one], [other]) => (one < other ? -1 : 1)));
}
