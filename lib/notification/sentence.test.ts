import { isTimeZone, localeFrom, readerOf } from '#platform/kernel/reader.ts';
import { type NoticeKind, noticeKinds } from './notice.ts';
import { sentenceFor } from './sentence.ts';

const inUtc = readerOf({});

describe('sentences', () => {
  it.each(noticeKinds)('%s is one sentence, also where facts are missing', (kind) => {
    expect(sentenceFor(kind, {}, inUtc)).toMatch(/^[A-Z1-9N].*\.$/s);
  });

  it('names how many of how many are set aside', () => {
    expect(sentenceFor('reservation.allocated', { units: 2, quantity: 5 }, inUtc)).toBe(
      '2 units of the 5 you asked for are set aside for you.',
    );
    expect(sentenceFor('reservation.allocated', { units: 1, quantity: 1 }, inUtc)).toBe('1 unit is set aside for you.');
  });

  it('gives the reason of a refusal in the words of its code', () => {
    expect(sentenceFor('reservation.rejected', { reason: 'over_cap' }, inUtc)).toBe(
      'Your reservation could not be accepted: that is more than one customer may have in this sale.',
    );
    expect(sentenceFor('purchase.declined', { reason: 'card_declined' }, inUtc)).toContain(': card declined.');
  });

  it.each([
    ['refund_ordered', '.'],
    ['refund_refused', '.'],
    ['refunded_by_provider', '.'],
    ['dispute_rejected', ': it was not what you had ordered.'],
    ['captured_after_decline', ': it was taken after it had been declined.'],
    ['reservation_gone', ': your reservation had ended.'],
    ['sale_cancelled', ': the sale was cancelled.'],
  ])('says why money went back as its customer sees it: %s', (reason, end) => {
    const amount = { amountMinor: 500, currency: 'EUR' };
    expect(sentenceFor('purchase.refunded', { amount, reason }, inUtc)).toBe(
      `Your payment of €5.00 was refunded${end}`,
    );
    expect(sentenceFor('purchase.refunded-in-part', { amount, reason }, inUtc)).toBe(
      `A part of €5.00 of your payment was refunded${end}`,
    );
  });

  it('counts one unit as one', () => {
    expect(sentenceFor('reservation.offered', { units: 1 }, inUtc)).toBe('1 unit became free and is yours to buy.');
  });

  it('shows money with as many digits as its currency has', () => {
    expect(sentenceFor('purchase.captured', { amount: { amountMinor: 12_345, currency: 'EUR' } }, inUtc)).toContain(
      '€123.45',
    );
    expect(sentenceFor('purchase.captured', { amount: { amountMinor: 12_345, currency: 'JPY' } }, inUtc)).toContain(
      '¥12,345',
    );
  });

  it('M7: a forint has two digits, in every version of ICU', () => {
    const text = sentenceFor('purchase.captured', { amount: { amountMinor: 100_000, currency: 'HUF' } }, inUtc);
    expect(text).toBe('Your payment of HUF\u00a01,000.00 was taken. Thank you.');
  });
});

describe('T9: a notice for its reader', () => {
  const facts = { units: 2, deadline: '2026-01-31T09:00:07.250Z' };
  const plain = (text: string) => text.replaceAll(/[\u00a0\u202f]/g, ' ');
  const told = (locale: string | undefined, timeZone: string | undefined, kind = 'reservation.offered' as const) =>
    plain(sentenceFor(kind, facts, readerOf({ locale, timeZone })));

  it('T9: has its times to the second, in the zone and the language of its reader', () => {
    expect(told('en-US', 'Asia/Seoul')).toBe(
      '2 units became free and are yours to buy until Jan 31, 2026, 6:00:07 PM GMT+9.',
    );
    expect(told('en-GB', 'Europe/London')).toBe(
      '2 units became free and are yours to buy until 31 Jan 2026, 9:00:07 GMT.',
    );
    expect(told('ko-KR', 'Asia/Seoul')).toBe(
      '2개의 차례가 왔습니다. 2026년 1월 31일 오후 6시 0분 7초 GMT+9까지 구매하실 수 있습니다.',
    );
    expect(told(undefined, undefined)).toContain('until Jan 31, 2026, 9:00:07 AM UTC.');
  });

  it('a payment that waits for its customer is told with its time, and so is why it was stopped', () => {
    const amount = { amountMinor: 500, currency: 'EUR' };
    const say = (locale: string, kind: NoticeKind, more: object) =>
      plain(sentenceFor(kind, { amount, ...more }, readerOf({ locale, timeZone: 'Asia/Seoul' })));
    const { deadline } = facts;
    expect(say('en-US', 'purchase.requires_action', { deadline })).toBe(
      'Your payment of €5.00 needs your confirmation: you can confirm it until Jan 31, 2026, 6:00:07 PM GMT+9. Your units stay set aside until then.',
    );
    expect(say('ko-KR', 'purchase.requires_action', { deadline })).toBe(
      '결제를 완료하려면 확인이 필요합니다 (€5.00). 2026년 1월 31일 오후 6시 0분 7초 GMT+9까지 확인해 주세요. 그때까지 상품은 보관됩니다.',
    );
    expect(say('en-US', 'purchase.declined', { reason: 'action_expired' })).toBe(
      'Your payment of €5.00 was not taken: it was not confirmed in time.',
    );
    expect(say('ko-KR', 'purchase.declined', { reason: 'given_up' })).toContain('고객 취소');
  });

  it.each(noticeKinds)('T9: %s names the deadline in every language, or in none', (kind) => {
    const all = { ...facts, quantity: 3, amount: { amountMinor: 5, currency: 'KRW' }, reason: 'over_cap' };
    const names = (locale: string, more: object = {}) => {
      const reader = readerOf({ locale, timeZone: 'Asia/Seoul' });
      return sentenceFor(kind, { ...all, ...more }, reader).includes(reader.timeText(facts.deadline));
    };
    for (const more of [{}, { quantity: 2 }, { state: 'allocated' }]) expect(names('ko', more)).toBe(names('en', more));
  });

  it('T9: is in English for a language without a translation', () => {
    expect(told('fr-FR', 'Europe/Paris')).toContain('until Jan 31, 2026, 10:00:07 AM GMT+1.');
  });

  it.each(noticeKinds)('T9: %s shows no time as machines write it, in no language', (kind) => {
    for (const locale of ['en', 'ko']) {
      const at = facts.deadline;
      const times = { pausedAt: at, purchaseOpensAt: at, purchaseClosesAt: at };
      const all = {
        ...facts,
        ...times,
        quantity: 3,
        position: 2,
        amount: { amountMinor: 5, currency: 'KRW' },
        reason: 'over_cap',
      };
      const text = sentenceFor(kind, all, readerOf({ locale, timeZone: 'Asia/Seoul' }));
      expect(text).not.toMatch(/\dT\d|undefined|NaN/);
      expect(text).toMatch(/\.$/);
    }
  });

  it.each([
    ['ko-KR,ko;q=0.9,en-US;q=0.8', 'ko-KR'],
    ['en-US;q=0.8, ko;q=0.9', 'ko'],
    ['fr-FR,fr;q=0.9,en-GB;q=0.5', 'en-GB'],
    ['ko;q=0, en', 'en'],
    ['fr', undefined],
    ['*', undefined],
    ['', undefined],
    ['ko;q=x', undefined],
    ['../../etc/passwd,ko_KR,\u0000', undefined],
    [`${'en-'.repeat(5_000)}x`, undefined],
  ])('T9: of Accept-Language %j it takes %p', (header, locale) => {
    expect(localeFrom(header)).toBe(locale);
  });

  it('T9: knows time zones from other text', () => {
    expect(['Asia/Seoul', 'UTC', 'Europe/Berlin', 'Mars/Base', '', 'a\0'].map(isTimeZone)).toEqual([
      ...[true, true, true],
      ...[false, false, false],
    ]);
  });
});
