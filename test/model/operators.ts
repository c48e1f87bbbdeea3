/**
 * Operators at work in an episode: they pause and resume sales, grant units out of turn, move their times by a shift and by naming them, extend and
 * shorten the window, add stock and take it back, raise the waitlist, call sales off, give money back as a whole and in
 * parts, ask again for what was refused or waive it, and decide disputes; each at any moment, among everything that customers do. Called by `episode.ts`.
 */
import { adjustStock } from '#launch/adjust-stock.ts';
import { cancelSale, pauseSale, resumeSale, updateSale } from '#launch/change-sale.ts';
import { grantReservation } from '#launch/grant.ts';
import { rescheduleSale } from '#launch/reschedule.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import type { PurchaseId, SaleId } from '#platform/kernel/ids.ts';
import { decideDispute } from '#purchase/dispute.ts';
import type { RefundRequest } from '#purchase/purchase.shapes.ts';
import { refundOnOrder } from '#purchase/refund.ts';
import type { RescheduleSale } from '#sale/sale.shapes.ts';
import type { Checker } from './check/checker.ts';
import type { SaleSetting } from './setting.ts';
import type { Random } from './world/choice.ts';
import { depsOf } from './world/deps.ts';
import type { Process, World } from './world/world.ts';

/** What operators have at hand. */
export interface Desk {
  readonly world: World;
  readonly checker: Checker;
  readonly random: Random;
  readonly sales: readonly SaleSetting[];
  /** Until when they begin something new, milliseconds from the beginning. */
  readonly untilMs: number;
  /** Does something at a time. */
  readonly at: (ms: number, what: string, run: () => void) => void;
  /** Calls a verb; what it throws or refuses is its caller's to repeat, and nobody does. */
  readonly act: (name: string, verb: (process: Process) => Promise<unknown>) => void;
}

type Act = (desk: Desk, sale: SaleSetting, name: string) => void;

/** What an operator may do, each with how often it is done. Calling a sale off ends what the others are about. */
const acts: readonly (readonly [Act, number])[] = [
  [pauses, 4],
  [moves, 4],
  [shifts, 3],
  [movesTheClose, 4],
  [adjusts, 4],
  [grants, 3],
  [raisesTheWaitlist, 2],
  [refundsAPart, 3],
  [refundsAll, 3],
  [decidesAboutRefused, 2],
  [callsOff, 1],
];
const drawn: readonly Act[] = acts.flatMap(([act, weight]) => Array.from({ length: weight }, () => act));

/** Lets operators do a few things at random. */
export function letOperatorsWork(desk: Desk): void {
  const { random, sales, untilMs, at } = desk;
  const times = random.between(1, 8);
  for (let n = 0; n < times; n++) {
    const act = random.of(drawn);
    const sale = random.of(sales);
    at(random.below(untilMs), `an operator ${act.name}`, () => act(desk, sale, `${act.name} ${n}`));
  }
  // By then something was paid, where at random most refunds come too early to find a purchase.
  for (const act of [refundsAll, refundsAPart, decidesAboutRefused]) {
    const atMs = untilMs + random.below(lateMs);
    for (const sale of sales)
      at(atMs, `an operator ${act.name} late`, () => act(desk, sale, `${act.name} late ${sale.saleId}`));
  }
}

/** For how long after the other acts refunds are ordered. */
const lateMs = 15_000;

/** What operators do once nothing fails any more: they resume what is paused. */
export function resumeAll({ sales, act }: Desk): void {
  for (const { saleId } of sales) act(`resume ${saleId}`, (process) => resumeSale(depsOf(process), saleId));
}

/**
 * What is left to operators when nothing else goes on: a dispute is decided, and a refund that the provider refused is
 * ordered again, alone or with the rest, or waived. Returns how many purchases wait for them.
 */
export function decideWhatWaits({ checker, random, act }: Desk): number {
  let waiting = 0;
  for (const { purchaseId, state } of checker.purchases()) {
    if (state !== 'disputed' && state !== 'refund_failed') continue;
    waiting++;
    if (state === 'refund_failed') {
      const request = random.of<RefundRequest>([{}, { retryFailed: true }, { waiveFailed: true }]);
      act(`again ${purchaseId}`, (own) => refundOnOrder(depsOf(own), purchaseId, '', request));
    } else decides(act, purchaseId, random.next() < 0.5);
  }
  return waiting;
}

function decides(act: Desk['act'], purchaseId: PurchaseId, accepts: boolean): void {
  act(`decide ${purchaseId}`, async (own) => {
    const deps = depsOf(own);
    const decided = accepts ? await decideDispute(deps, purchaseId, { decision: 'accept' }) : undefined;
    if (decided === undefined || isRefusal(decided)) await decideDispute(deps, purchaseId, { decision: 'refund' });
  });
}

function pauses({ checker, random, at, act }: Desk, { saleId }: SaleSetting, name: string): void {
  act(name, (own) => pauseSale(depsOf(own), saleId));
  const lastsMs = random.of([10, 2_000, 15_000, 40_000]);
  const keepTimes = random.next() < 0.2;
  if (keepTimes) checker.timesAreKept(saleId);
  at(lastsMs, 'an operator resumes', () =>
    act(`resume ${name}`, async (own) => {
      const resumed = await resumeSale(depsOf(own), saleId, { keepTimes });
      if (!isRefusal(resumed) || typeof resumed.facts?.confirmation !== 'string') return;
      await resumeSale(depsOf(own), saleId, { keepTimes, confirmation: resumed.facts.confirmation });
    }),
  );
}

/** Moves a sale, and if that is dangerous, looks at the preview and confirms it. */
async function reschedules(own: Process, saleId: SaleId, wanted: Omit<RescheduleSale, 'dryRun'>): Promise<void> {
  const deps = depsOf(own);
  const moved = await rescheduleSale(deps, saleId, { ...wanted, dryRun: false });
  if (!isRefusal(moved) || moved.refused !== 'confirmation_required') return;
  const preview = await rescheduleSale(deps, saleId, { ...wanted, dryRun: true });
  if (isRefusal(preview) || preview.confirmation === null) return;
  await rescheduleSale(deps, saleId, { ...wanted, dryRun: false, confirmation: preview.confirmation });
}

/** New times for the opening of the window, and for the end of the reservation period with it. */
function moves({ world, random, act }: Desk, { saleId }: SaleSetting, name: string): void {
  const opensMs = world.nowMs + random.of([-5_000, 1_000, 10_000, 50_000]);
  const purchaseOpensAt = new Date(opensMs).toISOString();
  const times = random.next() < 0.5 ? { purchaseOpensAt } : { purchaseOpensAt, reserveClosesAt: purchaseOpensAt };
  act(name, (own) => reschedules(own, saleId, times));
}

function shifts({ random, act }: Desk, { saleId }: SaleSetting, name: string): void {
  const shiftSeconds = random.of([-5, -1, 1, 7, 60]);
  act(name, (own) => reschedules(own, saleId, { shiftSeconds }));
}

/** Extends the window, or shortens it: by an hour, to soon, or to now. */
function movesTheClose({ world, random, act }: Desk, { saleId, ...sale }: SaleSetting, name: string): void {
  const later = sale.purchaseClosesAtMs + random.between(1, 600) * 1_000;
  const closesMs = random.of([
    later,
    later,
    sale.purchaseClosesAtMs - 1_000_000,
    world.nowMs + 30_000,
    world.nowMs + 1,
  ]);
  act(name, (own) => reschedules(own, saleId, { purchaseClosesAt: new Date(closesMs).toISOString() }));
}

function adjusts({ random, act }: Desk, { saleId }: SaleSetting, name: string): void {
  const units = random.between(-3, 5) || 1;
  act(name, (own) => adjustStock(depsOf(own), saleId, units));
}

/** To the last in line, or to any. */
function grants({ checker, random, act }: Desk, { saleId }: SaleSetting, name: string): void {
  const waiting = checker.waitingIn(saleId);
  const reservationId = random.next() < 0.5 ? waiting.at(-1) : waiting[random.below(Math.max(1, waiting.length))];
  if (!reservationId) return;
  act(name, (own) => grantReservation(depsOf(own), saleId, { reservationId, reason: 'It was promised' }));
}

function raisesTheWaitlist({ random, act }: Desk, { saleId, ...sale }: SaleSetting, name: string): void {
  const waitlistSize = sale.waitlistSize + random.between(1, 10);
  act(name, (own) => updateSale(depsOf(own), saleId, { waitlistSize }));
}

/** A purchase of the sale or of any other that was paid, at random. */
function paid({ checker, random }: Desk): PurchaseId | undefined {
  const captured = [...checker.purchases()].filter(({ state }) => state === 'captured' || state === 'refunding');
  return captured[random.below(Math.max(1, captured.length))]?.purchaseId;
}

function refundsAll(desk: Desk, _: SaleSetting, name: string): void {
  const purchaseId = paid(desk);
  if (purchaseId) desk.act(name, (own) => refundOnOrder(depsOf(own), purchaseId, '', {}));
}

/** Asks again for what the provider has refused of some purchase, or waives it. */
function decidesAboutRefused({ checker, random, act }: Desk, _: SaleSetting, name: string): void {
  const refused = [...checker.purchases()].filter(({ state }) => state === 'refund_failed' || state === 'refunding');
  const purchaseId = refused[random.below(Math.max(1, refused.length))]?.purchaseId;
  if (!purchaseId) return;
  const request = random.of<RefundRequest>([{ retryFailed: true }, { waiveFailed: true }]);
  act(name, (own) => refundOnOrder(depsOf(own), purchaseId, name, request));
}

/**
 * An amount, or some units of an item, or units that return without money; with the money all of its units return, some, or
 * none. Twice under one key now and then, as when an answer was lost.
 */
function refundsAPart(desk: Desk, _: SaleSetting, name: string): void {
  const { checker, random, act } = desk;
  const purchaseId = paid(desk);
  if (!purchaseId) return;
  const [item] = checker.itemsOf(purchaseId);
  if (!item) return;
  const { reservationId } = item;
  const units = random.between(1, item.units);
  const cancel = random.of([[], [reservationId], [{ reservationId, units }]]);
  const request = random.of<RefundRequest>([
    { amountMinor: random.of([1, 60, 100]), cancel },
    { items: [{ reservationId, units }], cancel },
    { cancel: [{ reservationId, units }] },
  ]);
  const times = random.of([1, 1, 2]);
  for (let n = 0; n < times; n++) act(`${name}.${n}`, (own) => refundOnOrder(depsOf(own), purchaseId, name, request));
}

function callsOff({ random, act }: Desk, { saleId }: SaleSetting, name: string): void {
  const refunds = random.of(['refund', 'refund', 'keep'] as const);
  act(name, (own) => cancelSale(depsOf(own), saleId, { refunds }));
}
