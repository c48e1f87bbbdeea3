/** The times of a sale as an operator gives them. */
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { latestMs } from '#platform/kernel/shapes.ts';
import type { SaleTimes } from '#sale/phase.ts';

type Instants = Partial<Record<'reserveOpensAt' | 'reserveClosesAt' | 'purchaseOpensAt' | 'purchaseClosesAt', string>>;

/** Milliseconds of the times that are given. */
export function readTimes(request: Required<Instants>): SaleTimes;
export function readTimes(request: Instants): Partial<SaleTimes>;
export function readTimes(request: Instants): Partial<SaleTimes> {
  const read = (name: keyof SaleTimes, text: string | undefined) =>
    text === undefined ? {} : { [name]: Date.parse(text) };
  return {
    ...read('reserveOpensAtMs', request.reserveOpensAt),
    ...read('reserveClosesAtMs', request.reserveClosesAt),
    ...read('purchaseOpensAtMs', request.purchaseOpensAt),
    ...read('purchaseClosesAtMs', request.purchaseClosesAt),
  };
}

/** The milliseconds of a time of publication; null for a draft. */
export function readPublishAt(publishAt: string | null): number | null {
  return publishAt === null ? null : Date.parse(publishAt);
}

/** Refuses times that are not in order, among them a reservation period that outlasts the purchase window, or too late. */
export function refuseDisorder(times: SaleTimes): Refusal | undefined {
  if (times.reserveOpensAtMs >= times.reserveClosesAtMs) {
    return refuse('unprocessable', 'reserveOpensAt must be before reserveClosesAt.');
  }
  if (times.purchaseOpensAtMs >= times.purchaseClosesAtMs) {
    return refuse('unprocessable', 'purchaseOpensAt must be before purchaseClosesAt.');
  }
  if (times.reserveOpensAtMs > times.purchaseOpensAtMs) {
    return refuse('unprocessable', 'reserveOpensAt must not be after purchaseOpensAt.');
  }
  if (times.reserveClosesAtMs > times.purchaseClosesAtMs) {
    return refuse('unprocessable', 'reserveClosesAt must not be after purchaseClosesAt: nobody could buy after that.');
  }
  if (times.purchaseClosesAtMs >= latestMs) {
    return refuse('unprocessable', 'purchaseClosesAt must be before the year 2100.');
  }
  return undefined;
}

/** The longest cut-off that a sale gets by itself. */
const longestDefaultCutoffMs = 60_000;

/**
 * The cut-off of a sale for which none was named, in whole seconds: a tenth of the purchase window, at most a minute. So
 * a customer who gets an offer has time to take it.
 */
export function defaultOfferCutoffMs(times: Pick<SaleTimes, 'purchaseOpensAtMs' | 'purchaseClosesAtMs'>): number {
  const windowMs = times.purchaseClosesAtMs - times.purchaseOpensAtMs;
  const wholeMs = Math.ceil(Math.min(longestDefaultCutoffMs, windowMs / 10) / 1_000) * 1_000;
  return wholeMs < windowMs ? wholeMs : 0;
}

/** Refuses a new cut-off that is not shorter than what is left of the purchase window: no offer could be made any more. */
export function refuseNewCutoff(
  offerCutoffMs: number,
  { purchaseOpensAtMs, purchaseClosesAtMs }: Pick<SaleTimes, 'purchaseOpensAtMs' | 'purchaseClosesAtMs'>,
  nowMs: number,
): Refusal | undefined {
  return refuseCutoff(offerCutoffMs, {
    purchaseOpensAtMs: Math.max(purchaseOpensAtMs, nowMs),
    purchaseClosesAtMs,
  });
}

/** Refuses a purchase window no longer than its cut-off, whichever of them is new: nothing could ever be offered in it. */
export function refuseCutoff(
  offerCutoffMs: number,
  times: Pick<SaleTimes, 'purchaseOpensAtMs' | 'purchaseClosesAtMs'>,
): Refusal | undefined {
  const windowMs = times.purchaseClosesAtMs - times.purchaseOpensAtMs;
  if (offerCutoffMs === 0 || offerCutoffMs < windowMs) return undefined;
  return refuse(
    'unprocessable',
    `offerCutoffSeconds (${offerCutoffMs / 1_000}) must be shorter than the purchase window, of which there are ${Math.max(0, Math.floor(windowMs / 1_000))} seconds.`,
  );
}
