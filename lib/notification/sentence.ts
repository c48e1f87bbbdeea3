/**
 * The text of a notice: one sentence for each kind, made from the facts that the notice carries. Facts have times in
 * ISO 8601; a sentence shows them in its reader's language and time zone.
 */
import { codes } from '#platform/kernel/errors.ts';
import { formatMoney } from '#platform/kernel/money.ts';
import type { Reader } from '#platform/kernel/reader.ts';
import { koreanSentences } from './korean.ts';
import type { NoticeKind } from './notice.ts';

type Facts = Record<string, unknown>;

const sentences: Record<NoticeKind, (facts: Facts) => string> = {
  'reservation.allocated': (facts) =>
    Number(facts.units) < Number(facts.quantity)
      ? `${units(facts)} of the ${facts.quantity} you asked for are set aside for you${until(facts)}.`
      : `${units(facts)} ${Number(facts.units) === 1 ? 'is' : 'are'} set aside for you${until(facts)}.`,
  'reservation.waitlisted': () => 'Not enough is free for your request right now; you are on the waitlist.',
  'reservation.rejected': (facts) => `Your reservation could not be accepted${because(facts)}.`,
  'reservation.offered': (facts) =>
    facts.reason === 'granted'
      ? `The organiser has set ${units(facts)} aside for you${until(facts)}.`
      : `${units(facts)} became free and ${Number(facts.units) === 1 ? 'is' : 'are'} yours to buy${until(facts)}.`,
  'reservation.reduced': (facts) =>
    facts.state === 'waitlisted'
      ? `You are waiting for ${units({ units: facts.quantity })} now, with the same place in line.`
      : facts.state === 'purchased'
        ? `${units(facts)} of your purchase ${Number(facts.units) === 1 ? 'remains' : 'remain'} yours.`
        : `${units(facts)} of your reservation ${Number(facts.units) === 1 ? 'stays' : 'stay'} set aside for you${until(facts)}.`,
  'reservation.purchased': (facts) =>
    `${units(facts)} ${Number(facts.units) === 1 ? 'is' : 'are'} yours: the purchase went through.`,
  'reservation.cancelled': (facts) => `Your reservation was cancelled${because(facts)}.`,
  'reservation.expired': (facts) => `The time to buy is over; your reservation has expired${because(facts)}.`,
  'reservation.refunded': (facts) =>
    facts.reason === 'units_returned'
      ? `${units(facts)} of your purchase went back to the sale.`
      : `The purchase of ${units(facts)} was refunded.`,
  'reminder.purchase-opened': (facts) =>
    `The purchase window is open: you can buy your ${units(facts)}${until(facts)}.`,
  'reminder.closing-soon': (facts) =>
    `The purchase window closes soon: you can buy your ${units(facts)}${until(facts)}.`,
  'reminder.payment-due': (facts) =>
    `Your time to pay ends soon: you can buy your ${units(facts)}${until(facts)}; after that ${Number(facts.units) === 1 ? 'it goes' : 'they go'} to the next in line.`,
  'reminder.rescheduled': (facts) =>
    facts.deadline === undefined
      ? `The sale has new times${window(facts)}. You keep your place in line.`
      : `The sale has new times${window(facts)}. You can buy your ${units(facts)}${until(facts)}.`,
  'reminder.paused': (facts) =>
    `The sale has been paused since ${facts.pausedAt}. ${kept(facts)}, and the time of the pause will be given back.`,
  'reminder.resumed': (facts) =>
    facts.deadline === undefined
      ? `The sale has resumed${window(facts)}. You keep your place in line.`
      : `The sale has resumed${window(facts)}. You can buy your ${units(facts)}${until(facts)}.`,
  'reminder.called-off-refund': (facts) =>
    `The sale was cancelled after you had bought ${units(facts)}; what you paid for ${them(facts)} will be refunded.`,
  'reminder.called-off-keep': (facts) =>
    `The sale was cancelled after you had bought ${units(facts)}; your purchase of ${them(facts)} stays as it is.`,
  'reminder.moved-up': ({ position }) =>
    Number(position) === 1
      ? 'You have moved up on the waitlist: you are next.'
      : `You have moved up on the waitlist: you are number ${position} now.`,
  'purchase.captured': (facts) => `Your payment${money(facts)} was taken. Thank you.`,
  'purchase.declined': (facts) =>
    ['sale_cancelled', 'given_up', 'action_expired'].includes(String(facts.reason))
      ? `Your payment${money(facts)} was not taken${because(facts)}.`
      : `Your payment${money(facts)} was declined${because(facts)}. You can try again.`,
  'purchase.refunded': (facts) => `Your payment${money(facts)} was refunded${refundedBecause(facts)}.`,
  'purchase.requires_action': (facts) =>
    `Your payment${money(facts)} needs your confirmation: you can confirm it${until(facts)}. Your units stay set aside until then.`,
  'purchase.refunded-in-part': (facts) =>
    `A part${money(facts)} of your payment was refunded${refundedBecause(facts)}.`,
};

/** The sentence of a notice, in its reader's language and time zone. */
export function sentenceFor(kind: NoticeKind, facts: Facts, reader: Reader): string {
  const told = { ...withTimes(facts, reader), locale: reader.locale };
  const korean = reader.locale.startsWith('ko') ? koreanSentences[kind] : undefined;
  return (korean ?? sentences[kind])(told);
}

const isoTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

/** The facts, with every time formatted for the reader. */
function withTimes(facts: Facts, reader: Reader): Facts {
  return Object.fromEntries(
    Object.entries(facts).map(([name, value]) => [
      name,
      typeof value === 'string' && isoTime.test(value) ? reader.timeText(value) : value,
    ]),
  );
}

function them({ units }: Facts): string {
  return Number(units) === 1 ? 'it' : 'them';
}

function units({ units }: Facts): string {
  return Number(units) === 1 ? '1 unit' : `${Number(units)} units`;
}

/** A reason that is an error code gives the code's title; any other is used as it is. */
function because({ reason }: Facts): string {
  if (typeof reason !== 'string' || reason === '') return '';
  if (Object.hasOwn(reasonTexts, reason)) return `: ${reasonTexts[reason]}`;
  const title = Object.hasOwn(codes, reason) ? codes[reason as keyof typeof codes].title : undefined;
  return `: ${title ? title.charAt(0).toLowerCase() + title.slice(1) : reason.replaceAll(/[_-]/g, ' ')}`;
}

/** Why money went back, as far as it concerns the customer; who ordered it, and by which way, does not. */
function refundedBecause(facts: Facts): string {
  const reason = String(facts.reason);
  if (Object.hasOwn(refundReasons, reason)) return `: ${refundReasons[reason]}`;
  return Object.hasOwn(codes, reason) ? because(facts) : '';
}

const refundReasons: Record<string, string> = {
  dispute_rejected: 'it was not what you had ordered',
  captured_after_decline: 'it was taken after it had been declined',
  reservation_gone: 'your reservation had ended',
};

/** Reasons that are no error codes, in words. */
const reasonTexts: Record<string, string> = {
  given_up: 'you gave it up',
  action_expired: 'it was not confirmed in time',
  sale_cancelled_while_paying: 'the sale was cancelled; what your payment takes for it will be refunded',
};

function until({ deadline }: Facts): string {
  return typeof deadline === 'string' ? ` until ${deadline}` : '';
}

function window({ purchaseOpensAt, purchaseClosesAt }: Facts): string {
  return `: the purchase window is from ${purchaseOpensAt} to ${purchaseClosesAt}`;
}

function kept(facts: Facts): string {
  if (facts.deadline === undefined) return 'You keep your place in line';
  return `Your ${units(facts)} ${Number(facts.units) === 1 ? 'stays' : 'stay'} set aside`;
}

function money({ amount, locale }: Facts): string {
  const { amountMinor, currency } = (amount ?? {}) as { amountMinor?: number; currency?: string };
  if (amountMinor === undefined || currency === undefined) return '';
  return ` of ${formatMoney({ amountMinor, currency }, String(locale))}`;
}
