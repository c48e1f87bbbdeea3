import { jest } from '@jest/globals';
import fc from 'fast-check';
import { log } from '#platform/kernel/log.ts';
import { newId } from '#test/support/ids.ts';
import type { PaymentAnswer } from './provider.ts';
import type { PurchaseItem, PurchaseRow } from './purchase.store.ts';
import type { RefundRow } from './refund.store.ts';
import { leftToRefund, missingShares, newRefund, shareOf, triedAgain, waived } from './refund-rules.ts';
import { planFor } from './settle.ts';

beforeAll(() => void jest.spyOn(log, 'error').mockImplementation(() => undefined));
afterAll(() => jest.restoreAllMocks());

const purchaseId = newId();
const sales = [newId(), newId()];

/** A purchase over two sales, its refunds, and the provider's books; every act is done by the shipped rules. */
class Desk {
  purchase: PurchaseRow;
  refunds: RefundRow[] = [];
  readonly items: PurchaseItem[];
  readonly calledOff = new Set<number>();
  #givenBack = 0;
  #nowMs = 1;
  #orders = 0;

  constructor(prices: readonly [number, number]) {
    this.items = prices.map((priceMinor, n) => ({
      ...{ purchaseId, reservationId: newId(), saleId: sales[n] ?? newId(), units: 1, priceMinor },
    }));
    const amountMinor = prices[0] + prices[1];
    this.purchase = {
      ...{
        purchaseId,
        customerId: newId(),
        state: 'captured',
        amountMinor,
        currency: 'EUR',
        capturedMinor: amountMinor,
      },
      ...{
        capturedCurrency: 'EUR',
        provider: 'sandbox' as const,
        chargeId: 'ch_1',
        paymentToken: null,
        fingerprint: '',
        reason: null,
        attempts: 1,
      },
      ...{
        absences: 0,
        actionUrl: null,
        actionDeadlineMs: null,
        actionAccount: null,
        version: 1,
        createdAtMs: 1,
        updatedAtMs: 1,
      },
    };
  }

  get captured(): number {
    return this.purchase.amountMinor;
  }

  sumOf(...states: RefundRow['state'][]): number {
    return this.refunds.reduce((sum, one) => sum + (states.includes(one.state) ? one.amountMinor : 0), 0);
  }

  /** What we have ordered and is pending or done. */
  orderedOrDone(): number {
    const counts = (one: RefundRow) => one.state !== 'failed' && one.reason !== 'refunded_by_provider';
    return this.refunds.reduce((sum, one) => sum + (counts(one) ? one.amountMinor : 0), 0);
  }

  #change(changed: readonly RefundRow[], fresh: readonly RefundRow[]): void {
    const now = (row: RefundRow) => changed.find((one) => one.refundKey === row.refundKey) ?? row;
    this.refunds = [...this.refunds.map(now), ...fresh];
    if (this.refunds.some((one) => one.state === 'pending')) this.purchase = { ...this.purchase, state: 'refunding' };
  }

  callOff(n: number): void {
    this.calledOff.add(n);
    const saleId = sales[n] ?? newId();
    const share = shareOf(this.purchase, saleId, this.items, this.refunds, this.#nowMs++, { isBought: true });
    this.#change([], share ? [share] : []);
  }

  decide(rule: typeof waived): void {
    const changed = rule(this.purchase, this.refunds, this.#nowMs++);
    if (changed.length === 0) return;
    this.#change(changed, []);
    this.#change([], missingShares(this.purchase, this.items, this.refunds, this.#nowMs));
  }

  order(wanted: number, part: Partial<RefundRow>): void {
    const amountMinor = Math.min(wanted, leftToRefund(this.purchase, this.refunds));
    if (amountMinor === 0 || amountMinor < (part.forItems ? wanted : 0)) return;
    const refundKey = `part-${++this.#orders}`;
    const row = newRefund(
      { purchaseId, refundKey, amountMinor, reason: 'refund_ordered', releases: [] },
      this.#nowMs++,
    );
    this.#change([], [{ ...row, ...part }]);
  }

  /** The provider answers the next question, as one that never gives back more than it took. */
  answer(refuses: boolean): boolean {
    const next = this.refunds.find((one) => one.state === 'pending');
    if (!next) return false;
    const { refundKey, amountMinor } = next;
    if (amountMinor > 0 && (refuses || amountMinor > this.captured - this.#givenBack)) {
      this.#settle({ outcome: 'refused', refundKey, reason: 'no' });
    } else {
      this.#givenBack += amountMinor;
      this.#settle({ outcome: 'refunded', chargeId: 'ch_1', refundKey, amountMinor });
    }
    return true;
  }

  /** An operator gives money back at the provider, and its webhook tells of it. */
  foreign(wanted: number): void {
    const amountMinor = Math.min(wanted, this.captured - this.#givenBack);
    if (amountMinor === 0) return;
    this.#givenBack += amountMinor;
    const refundId = `re_${++this.#orders}`;
    this.#settle({ outcome: 'refunded', chargeId: 'ch_1', refundKey: null, refundId, amountMinor, currency: 'EUR' });
  }

  #settle(answer: PaymentAnswer): void {
    const plan = planFor(
      [this.purchase],
      new Map([[purchaseId, this.items]]),
      new Map(),
      new Map([[purchaseId, { purchaseId, answer }]]),
      { calledOff: new Set(), refunds: new Map([[purchaseId, this.refunds]]), closesAtMs: new Map() },
      this.#nowMs++,
    );
    this.#change(plan.changedRefunds, plan.newRefunds);
    this.purchase = { ...this.purchase, state: plan.moves[0]?.to ?? this.purchase.state };
    expect(plan.disputedRefunds).toEqual([]);
    expect(this.sumOf('refunded')).toBe(this.#givenBack);
  }

  /** What is given back, waived or reported as refused of a sale's price. */
  accountedFor(n: number): number {
    const { reservationId, saleId } = this.items[n] ?? {};
    const isOwn = (one: RefundRow) => one.saleId === saleId || one.forItems?.[0]?.reservationId === reservationId;
    return this.refunds.filter(isOwn).reduce((sum, one) => sum + one.amountMinor + one.waivedMinor, 0);
  }
}

type Act = (desk: Desk) => void;

const amount = fc.integer({ min: 1, max: 260 });
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.constantFrom(0, 1).map(
    (n): Act =>
      (desk) =>
        desk.callOff(n),
  ),
  {
    arbitrary: fc.boolean().map(
      (refuses): Act =>
        (desk) =>
          void desk.answer(refuses),
    ),
    weight: 3,
  },
  fc.constant<Act>((desk) => desk.decide(waived)),
  fc.constant<Act>((desk) => desk.decide(triedAgain)),
  amount.map(
    (minor): Act =>
      (desk) =>
        desk.foreign(minor),
  ),
  amount.map(
    (minor): Act =>
      (desk) =>
        desk.order(minor, {}),
  ),
  fc.constantFrom(0, 1).map(
    (n): Act =>
      (desk) => {
        const { reservationId = newId(), priceMinor = 0 } = desk.items[n] ?? {};
        desk.order(priceMinor, { forItems: [{ reservationId, units: 1 }] });
      },
  ),
  fc.constant<Act>((desk) => {
    desk.decide(triedAgain);
    desk.order(desk.captured, { refundKey: `refund-${desk.refunds.length}`, releases: 'all' });
  }),
);

it('a called-off sale gets its share, while other refunds are given, refused and waived', () => {
  fc.assert(
    fc.property(
      fc.tuple(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 200 })),
      fc.array(act, { minLength: 3, maxLength: 25 }),
      fc.boolean(),
      (prices, acts, refuses) => {
        const desk = new Desk(prices);
        for (const one of acts) {
          one(desk);
          expect(desk.sumOf('refunded')).toBeLessThanOrEqual(desk.captured);
          expect(desk.orderedOrDone()).toBeLessThanOrEqual(desk.captured);
        }
        for (let n = 0; desk.answer(refuses); n++) expect(n).toBeLessThan(100);
        const isWaivedWhole = desk.refunds.some((one) => one.releases === 'all' && one.waivedMinor > 0);
        for (const n of desk.calledOff) {
          const shares = desk.refunds.filter((one) => one.saleId === sales[n]);
          const ordered = shares.reduce((sum, one) => sum + one.amountMinor + one.waivedMinor, 0);
          expect(ordered).toBeLessThanOrEqual(prices[n] ?? 0);
          const isOpen = (one: RefundRow) => one.state === 'failed' && (one.saleId ?? sales[n]) === sales[n];
          const open = desk.refunds.reduce((sum, one) => sum + (isOpen(one) ? one.amountMinor : 0), 0);
          const isOver = desk.sumOf('refunded') + open >= desk.captured;
          if (!isOver && !isWaivedWhole) expect(desk.accountedFor(n)).toBeGreaterThanOrEqual(prices[n] ?? 0);
        }
      },
    ),
    { numRuns: 1_000 },
  );
});

describe('two sales, of which one was refused its share and is given back by hand', () => {
  const refusedAndByHand = () => {
    const desk = new Desk([100, 100]);
    desk.callOff(0);
    desk.answer(true);
    desk.foreign(100);
    return desk;
  };

  it.each(['before', 'after'])(
    'the other is called off %s the operator closes it: it gets all of its share',
    (when) => {
      const desk = refusedAndByHand();
      if (when === 'after') desk.decide(waived);
      desk.callOff(1);
      if (when === 'before') desk.decide(waived);
      while (desk.answer(false));
      expect(desk.refunds.map(({ amountMinor, waivedMinor, state }) => [amountMinor, waivedMinor, state])).toEqual(
        [
          [0, 100, 'refunded'],
          [100, 0, 'refunded'],
          [100, 0, 'refunded'],
        ].sort(() => 0),
      );
    },
  );

  it('asked for again, it gets only what is left beside the other', () => {
    const desk = refusedAndByHand();
    desk.callOff(1);
    desk.decide(triedAgain);
    while (desk.answer(false));
    expect(desk.sumOf('refunded')).toBe(200);
    expect(desk.purchase.state).toBe('refunded');
  });
});

it('a share that found no room beside a pending refund is ordered when that is waived', () => {
  const desk = new Desk([100, 100]);
  desk.order(150, {});
  desk.callOff(0);
  desk.callOff(1);
  expect(desk.refunds.map(({ amountMinor }) => amountMinor)).toEqual([150, 50, 0]);
  desk.answer(true);
  expect(desk.refunds).toHaveLength(3);
  desk.decide(waived);
  expect(desk.refunds.slice(3).map(({ amountMinor, releases }) => [amountMinor, releases])).toEqual([
    [50, []],
    [100, []],
  ]);
});

it('a refund that an older build waived, which did not say how much, is not owed again', () => {
  const desk = new Desk([100, 100]);
  desk.callOff(0);
  desk.answer(true);
  desk.decide((...of) => waived(...of).map((one) => ({ ...one, waivedMinor: 0 })));
  desk.callOff(0);
  desk.order(150, {});
  while (desk.answer(true));
  expect(desk.refunds.filter(({ saleId }) => saleId === sales[0])).toMatchObject([{ amountMinor: 0 }]);
});
