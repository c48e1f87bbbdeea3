/**
 * Notices in Korean, made from the facts that the notice carries; their times are formatted for the reader already. A kind
 * without an entry here is told in English.
 */
import { formatMoney } from '#platform/kernel/money.ts';
import type { NoticeKind } from './notice.ts';

type Facts = Record<string, unknown>;

/** The sentences, by the kind of notice. */
export const koreanSentences: Partial<Record<NoticeKind, (facts: Facts) => string>> = {
  'reservation.allocated': (facts) =>
    Number(facts.units) < Number(facts.quantity)
      ? `요청하신 ${Number(facts.quantity)}개 중 ${units(facts)}가 배정되었습니다.${buyUntil(facts)}`
      : `${units(facts)}가 배정되었습니다.${buyUntil(facts)}`,
  'reservation.waitlisted': () => '지금은 요청하신 수량이 남아 있지 않아 대기 명단에 올랐습니다.',
  'reservation.rejected': (facts) => `예약이 접수되지 않았습니다${because(facts)}.`,
  'reservation.offered': (facts) =>
    facts.reason === 'granted'
      ? `판매자가 ${units(facts)}를 배정했습니다. ${until(facts)}구매하실 수 있습니다.`
      : `${units(facts)}의 차례가 왔습니다. ${until(facts)}구매하실 수 있습니다.`,
  'reservation.reduced': (facts) =>
    facts.state === 'waitlisted'
      ? `이제 ${units({ units: facts.quantity })}를 기다립니다. 대기 순서는 유지됩니다.`
      : facts.state === 'purchased'
        ? `구매하신 것 중 ${units(facts)}가 남아 있습니다.`
        : `예약 중 ${units(facts)}가 계속 배정되어 있습니다.${buyUntil(facts)}`,
  'reservation.purchased': (facts) => `${units(facts)}의 구매가 완료되었습니다.`,
  'reservation.cancelled': (facts) => `예약이 취소되었습니다${because(facts)}.`,
  'reservation.expired': (facts) => `구매 시간이 지나 예약이 만료되었습니다${because(facts)}.`,
  'reservation.refunded': (facts) =>
    facts.reason === 'units_returned'
      ? `구매하신 것 중 ${units(facts)}가 반환되었습니다.`
      : `${units(facts)}의 구매가 환불되었습니다.`,
  'reminder.purchase-opened': (facts) => `구매가 시작되었습니다. ${until(facts)}${units(facts)}를 구매해 주세요.`,
  'reminder.closing-soon': (facts) => `구매가 곧 마감됩니다. ${until(facts)}${units(facts)}를 구매해 주세요.`,
  'reminder.payment-due': (facts) =>
    `결제 기한이 곧 끝납니다. ${until(facts)}${units(facts)}를 구매하지 않으시면 다음 대기자에게 넘어갑니다.`,
  'reminder.rescheduled': (facts) => `판매 일정이 변경되었습니다${window(facts)}. ${kept(facts)}`,
  'reminder.paused': (facts) =>
    `${facts.pausedAt}부터 판매가 일시 중지되었습니다. 중지된 시간은 다시 드립니다. ${
      facts.deadline === undefined ? '대기 순서는 유지됩니다.' : `${units(facts)}는 계속 보관됩니다.`
    }`,
  'reminder.resumed': (facts) => `판매가 재개되었습니다${window(facts)}. ${kept(facts)}`,
  'reminder.called-off-refund': (facts) =>
    `${units(facts)}를 구매하신 뒤에 판매가 취소되었습니다. 결제하신 금액은 환불됩니다.`,
  'reminder.called-off-keep': (facts) =>
    `${units(facts)}를 구매하신 뒤에 판매가 취소되었습니다. 구매하신 것은 그대로 유지됩니다.`,
  'reminder.moved-up': ({ position }) => `대기 순서가 앞당겨졌습니다. 이제 ${Number(position)}번째입니다.`,
  'purchase.captured': (facts) => `결제가 완료되었습니다${money(facts)}. 감사합니다.`,
  'purchase.declined': (facts) =>
    ['sale_cancelled', 'given_up', 'action_expired'].includes(String(facts.reason))
      ? `결제가 이루어지지 않았습니다${money(facts)}${because(facts)}.`
      : `결제가 거절되었습니다${money(facts)}. 다시 시도하실 수 있습니다.`,
  'purchase.requires_action': (facts) =>
    `결제를 완료하려면 확인이 필요합니다${money(facts)}. ${until(facts)}확인해 주세요. 그때까지 상품은 보관됩니다.`,
  'purchase.refunded': (facts) => `결제 금액이 환불되었습니다${money(facts)}.`,
  'purchase.refunded-in-part': (facts) => `결제 금액의 일부가 환불되었습니다${money(facts)}.`,
};

/** Reasons that help the customer; others are left out. */
const reasons: Record<string, string> = {
  sold_out: '매진',
  over_cap: '1인당 한도 초과',
  not_entitled: '참여 조건 미충족',
  sale_not_open: '예약 시작 전',
  sale_closed: '예약 마감',
  sale_paused: '판매 일시 중지',
  sale_cancelled: '판매 취소',
  sale_cancelled_while_paying: '판매 취소, 결제되는 경우 해당 금액은 환불됩니다',
  window_closed: '구매 기간 종료',
  deadline_passed: '구매 기한 경과',
  given_up: '고객 취소',
  action_expired: '확인 시간 초과',
};

function units({ units }: Facts): string {
  return `${Number(units)}개`;
}

function because({ reason }: Facts): string {
  return typeof reason === 'string' && Object.hasOwn(reasons, reason) ? ` (${reasons[reason]})` : '';
}

function until({ deadline }: Facts): string {
  return typeof deadline === 'string' ? `${deadline}까지 ` : '';
}

/** By when to buy; nothing for a reservation without a deadline of its own. */
function buyUntil(facts: Facts): string {
  return facts.deadline === undefined ? '' : ` ${until(facts)}구매하실 수 있습니다.`;
}

function window({ purchaseOpensAt, purchaseClosesAt }: Facts): string {
  return ` (구매 기간: ${purchaseOpensAt} ~ ${purchaseClosesAt})`;
}

function kept(facts: Facts): string {
  if (facts.deadline === undefined) return '대기 순서는 유지됩니다.';
  return `${until(facts)}${units(facts)}를 구매하실 수 있습니다.`;
}

function money({ amount, locale }: Facts): string {
  const { amountMinor, currency } = (amount ?? {}) as { amountMinor?: number; currency?: string };
  if (amountMinor === undefined || currency === undefined) return '';
  return ` (${formatMoney({ amountMinor, currency }, String(locale))})`;
}
