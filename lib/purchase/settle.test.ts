import type { ReservationId, SaleId } from '#platform/kernel/ids.ts';
import { asRequested, type ReservationRow } from '#reservation/reservation.store.ts';
import { mayMove, type PurchaseState, purchaseStates } from '#state/purchase-state.ts';
import { newId } from '#test/support/ids.ts';
import type { Capture, PaymentAnswer } from './provider.ts';
import type { PurchaseItem } from './purchase.store.ts';
import type { RefundRow } from './refund.store.ts';
import { newRefund } from './refund-rules.ts';
import { decideSettlement, type Settlement } from './settle.ts';

const purchaseId = newId();
const saleId = newId();

const items: PurchaseItem[] = [1, 2].map(() => ({
  purchaseId,
  reservationId: newId(),
  saleId,
  units: 1,
  priceMinor: 100,
}));

function held(change: Partial<ReservationRow> = {}): Map<ReservationId, ReservationRow> {
  const row = (item: PurchaseItem): ReservationRow => ({
    reservationId: item.reservationId,
    saleId,
    customerId: newId(),
    ticket: 1,
    quantity: 1,
    atLeast: 1,
    state: 'allocated',
    units: 1,
    reason: null,
    deadlineMs: null,
    purchaseId,
    version: 1,
    acceptedAtMs: 1,
    decidedAtMs: 1,
    ...asRequested,
  });
  const rows = items.map(row);
  const [first, ...others] = rows;
  return new Map(
    [...(first ? [{ ...first, ...change }] : []), ...others].map((one): [ReservationId, ReservationRow] => [
      one.reservationId,
      one,
    ]),
  );
}

const decide = (state: PurchaseState, answer: PaymentAnswer, reservations = held()) =>
  decideSettlement({ ...order, state }, items, reservations, answer, { calledOff: new Set(), refunds: [] });

const order = {
  purchaseId,
  amountMinor: 200,
  currency: 'EUR',
  provider: null,
  chargeId: null,
  capturedMinor: null,
  capturedCurrency: null,
};
const capture: Capture = { chargeId: 'ch_1', amountMinor: 200, currency: 'EUR', reference: purchaseId };
const captured: PaymentAnswer = { outcome: 'captured', ...capture };
const declined: PaymentAnswer = { outcome: 'declined', reason: 'card_declined' };
const refunded: PaymentAnswer = { outcome: 'refunded', chargeId: 'ch_1', amountMinor: null };
const unknown: PaymentAnswer = { outcome: 'unknown', reason: 'the provider did not answer in time' };
const unsent: PaymentAnswer = { outcome: 'unsent', reason: 'breaker open' };
const overdue: PaymentAnswer = { outcome: 'overdue', reason: 'action_expired' };
const absent: PaymentAnswer = { outcome: 'absent' };

describe('settling', () => {
  it('a timeout never settles anything: the purchase is unknown and keeps its units', () => {
    expect(decide('requested', unknown)).toEqual({ kind: 'await' });
    expect(decide('unknown', unknown)).toEqual({ kind: 'nothing' });
    expect(decide('requested', unsent)).toEqual({ kind: 'nothing' });
    expect(decide('unknown', absent)).toEqual({ kind: 'nothing' });
  });

  it('a customer is asked for an action once, until it is settled', () => {
    const action: PaymentAnswer = { outcome: 'requires_action', url: 'https://bank.example', deadlineMs: 7 };
    const asked = { kind: 'ask customer', url: 'https://bank.example', deadlineMs: 7, transferTo: null };
    expect(decide('requested', action)).toEqual(asked);
    expect(decide('unknown', action)).toEqual(asked);
    for (const state of ['requires_action', 'captured', 'declined', 'refunding', 'refunded', 'disputed'] as const) {
      expect(decide(state, action)).toEqual({ kind: 'nothing' });
    }
    for (const silence of [unknown, unsent, absent]) {
      expect(decide('requires_action', silence)).toEqual({ kind: 'nothing' });
    }
    expect(decide('requires_action', captured)).toMatchObject({ kind: 'capture' });
    expect(decide('requires_action', declined)).toMatchObject({ kind: 'decline' });
    expect(decide('requires_action', overdue)).toEqual({ kind: 'let go' });
    expect(decide('captured', overdue)).toEqual({ kind: 'nothing' });
  });

  it('a capture buys what the purchase still holds', () => {
    expect(decide('requested', captured)).toMatchObject({
      kind: 'capture',
      capture: { chargeId: 'ch_1' },
      calledOff: [],
    });
    expect(decide('unknown', captured)).toMatchObject({
      kind: 'capture',
      capture: { chargeId: 'ch_1' },
      calledOff: [],
    });
  });

  it.each([
    ['has expired', { state: 'expired' as const }],
    ['is held by another purchase', { purchaseId: newId() }],
    ['was let go', { purchaseId: null }],
  ])('a capture is refunded in full when one of its reservations %s', (_, change) => {
    expect(decide('unknown', captured, held(change))).toMatchObject({ kind: 'give back', reason: 'reservation_gone' });
  });

  it('a capture is refunded when a reservation no longer exists', () => {
    expect(decide('unknown', captured, new Map())).toMatchObject({ kind: 'give back' });
  });

  it('a capture after the decline is refunded, even if the reservation is still there', () => {
    expect(decide('declined', captured)).toMatchObject({ kind: 'give back', reason: 'captured_after_decline' });
  });

  it('a repeated answer has no further effect', () => {
    expect(decide('captured', captured)).toEqual({ kind: 'nothing' });
    expect(decide('declined', declined)).toEqual({ kind: 'nothing' });
    expect(decide('refunded', refunded)).toEqual({ kind: 'nothing' });
  });

  it('an old answer does not undo a newer one', () => {
    for (const state of ['captured', 'refunding', 'refunded'] as const) {
      expect(decide(state, declined)).toEqual({ kind: 'nothing' });
      expect(decide(state, captured)).toEqual({ kind: 'nothing' });
      expect(decide(state, unknown)).toEqual({ kind: 'nothing' });
    }
  });

  it.each([
    ['another amount', { amountMinor: 199 }, 'amount_mismatch'],
    ['another currency', { currency: 'JPY' }, 'currency_mismatch'],
    ['another reference', { reference: newId() }, 'reference_mismatch'],
  ])('M6: a capture of %s is disputed, never bought', (_, change, reason) => {
    for (const state of ['requested', 'unknown', 'declined'] as const) {
      expect(decide(state, { ...captured, ...change })).toMatchObject({ kind: 'dispute', reason });
    }
  });

  it('M1: a capture is given back when every sale of it was called off', () => {
    const off = { calledOff: new Set([saleId]), refunds: [] };
    expect(decideSettlement({ ...order, state: 'requested' }, items, held(), captured, off)).toMatchObject({
      kind: 'give back',
      reason: 'sale_cancelled',
    });
  });

  it('M3: a capture of which one sale was called off buys the rest', () => {
    const other: SaleId = newId();
    const [mine, theirs] = items;
    if (!mine || !theirs) throw new Error('two items');
    const off = { calledOff: new Set([other]), refunds: [] };
    const mixed = [mine, { ...theirs, saleId: other }];
    expect(decideSettlement({ ...order, state: 'requested' }, mixed, held(), captured, off)).toMatchObject({
      kind: 'capture',
      calledOff: [other],
    });
  });

  it('M4: a refund that was waived and is made after all is recorded as one of its own', () => {
    const asked = { purchaseId, refundKey: 'refund', amountMinor: 0, reason: 'closed_by_operator' };
    const given = { chargeId: 'ch_1', amountMinor: 50, currency: 'EUR', reference: purchaseId };
    const told: PaymentAnswer = { outcome: 'refunded', ...given, refundKey: 'refund', refundId: 're_1' };
    const paid = {
      ...order,
      state: 'captured',
      chargeId: 'ch_1',
      capturedMinor: 200,
      capturedCurrency: 'EUR',
    } as const;
    for (const state of ['pending', 'refunded'] as const) {
      const refunds = [{ ...newRefund(asked, 1), state }];
      const settlement = decideSettlement(paid, items, held(), told, { calledOff: new Set(), refunds });
      expect(settlement).toEqual({
        ...{ kind: 'refund', refund: undefined },
        given: { ...told, refundKey: 'at-provider:re_1' },
      });
    }
  });

  it('for every state and every answer, the move is legal', () => {
    const target: Partial<Record<Settlement['kind'], PurchaseState>> = {
      capture: 'captured',
      decline: 'declined',
      'give back': 'refunding',
      refund: 'refunded',
      dispute: 'disputed',
      await: 'unknown',
    };
    for (const state of purchaseStates) {
      for (const answer of [captured, declined, refunded, unknown, unsent, absent]) {
        for (const reservations of [held(), new Map()]) {
          const to = target[decide(state, answer, reservations).kind];
          if (to) expect([state, to, mayMove(state, to)]).toEqual([state, to, true]);
        }
      }
    }
  });
});

describe('M6: what the provider said of a refund is contradicted', () => {
  const refund = (change: Partial<RefundRow>): RefundRow => ({
    ...newRefund({ purchaseId, refundKey: 'part-1', amountMinor: 70, reason: 'refund_ordered', releases: [] }, 1),
    ...change,
  });
  const told = { chargeId: 'ch_1', amountMinor: 70, currency: 'EUR', reference: purchaseId, refusals: 0 };
  const judge = (state: PurchaseState, row: RefundRow, answer: PaymentAnswer) =>
    decideSettlement({ ...order, ...paid, state }, items, held(), answer, { calledOff: new Set(), refunds: [row] });
  const paid = { chargeId: 'ch_1', capturedMinor: 200, capturedCurrency: 'EUR' };
  const refused = (change = {}): PaymentAnswer => ({
    ...{ outcome: 'refused', refundKey: 'part-1', reason: 'no', told: { ...told, ...change } },
  });

  it('refused after it was given back: disputed', () => {
    const done = refund({ state: 'refunded' });
    expect(judge('captured', done, refused())).toMatchObject({
      ...{ kind: 'dispute refund', reason: 'refused_after_refund', given: { refundKey: 'part-1', amountMinor: 70 } },
    });
  });

  it('given back after it was refused: disputed if it is told, done if our own request is answered or an operator accepts', () => {
    const failed = refund({ state: 'failed', failure: 'no', refusals: 1 });
    const given: PaymentAnswer = { outcome: 'refunded', chargeId: 'ch_1', refundKey: 'part-1', amountMinor: 70 };
    const contradiction = { kind: 'dispute refund', reason: 'refunded_after_refusal' };
    expect(judge('refund_failed', failed, { ...given, currency: 'EUR' })).toMatchObject(contradiction);
    expect(judge('refund_failed', failed, given)).toMatchObject({ kind: 'refund' });
  });

  it('given back again with another amount: disputed; with the same one, it is known', () => {
    const done = refund({ state: 'refunded' });
    const given = (amountMinor: number): PaymentAnswer => ({
      ...{ outcome: 'refunded', chargeId: 'ch_1', refundKey: 'part-1', amountMinor, currency: 'EUR' },
    });
    expect(judge('captured', done, given(71))).toMatchObject({ kind: 'dispute refund', reason: 'amount_mismatch' });
    expect(judge('captured', done, given(70))).toEqual({ kind: 'nothing' });
  });

  it.each([
    ['a refusal that was made up for', refund({ state: 'refunded', refusals: 1 })],
    ['a refusal that is asked for again', refund({ state: 'pending', refusals: 1 })],
    ['a refusal that is known', refund({ state: 'failed', refusals: 1 })],
    ['one that was waived', refund({ state: 'refunded', refusals: 1, amountMinor: 0, waivedMinor: 70 })],
  ])('%s is no contradiction', (_, row) => {
    expect(judge('captured', row, refused())).toEqual({ kind: 'nothing' });
  });

  it('one that is pending is refused, as if our request had been answered so', () => {
    expect(judge('refunding', refund({}), refused())).toMatchObject({ kind: 'refuse refund', reason: 'no' });
  });
});
