/** Notices by mail: once each, for their reader, and whatever becomes of the mail server. */
import type { BusEvent } from '#events/catalog.ts';
import { changeProfile, findRecipients } from '#identity/customer.store.ts';
import { startMailServer } from '#local/mail/server.ts';
import { waitFor } from '#local/wait.ts';
import { claimDueMails } from '#mail/mail.store.ts';
import { attemptDiesAfterMs, givenUpAfterMs, mailsPerPage } from '#mail/send-due.ts';
import { byMail } from '#notification/by-mail.ts';
import type { NoticeChannel } from '#notification/channel.ts';
import { recordMails } from '#notification/mail-notices.ts';
import { sendBy, sendMails } from '#notification/send-mails.ts';
import { type Deps, openDeps } from '#platform/environment/deps.ts';
import { type CustomerId, toBytes } from '#platform/kernel/ids.ts';
import { openMailer } from '#platform/mail/smtp.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi } from '../support/api.ts';
import { withDeps } from '../support/deps.ts';
import { type Mailing, startMailing } from '../support/mailing.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let mailing: Mailing;

beforeAll(async () => {
  mailing = await startMailing();
  bed = await testBed({ rules: false, registry: { ...mailing.registry, 'limit/codes-caller': '1000/60000' } });
  api = openApi();
  deps = await api.deps();
  await redisReady(deps.redis);
});

afterEach(() => mailing.server.answers(() => undefined));

afterAll(async () => {
  await api?.close();
  await bed?.close();
  await mailing?.server.stop();
});

/** A customer whose address is verified. */
async function verified(profile: Parameters<typeof changeProfile>[2] = {}) {
  const customer = await api.customer();
  await deps.db.change('UPDATE customers SET contact_since_ms = 0 WHERE id = ?', [toBytes(customer.customerId)]);
  await changeProfile(deps.db, customer.customerId, profile, Date.now());
  return customer;
}

/** The event that a purchase of this customer was captured. */
function captured(customerId: CustomerId, occurredAtMs = Date.now()): BusEvent {
  return {
    'detail-type': 'purchase.changed',
    detail: {
      ...{ eventId: newId(), occurredAtMs, purchaseId: newId(), customerId, state: 'captured', version: 2 },
      ...{ amountMinor: 1_250, currency: 'EUR', saleIds: [newId()], reservationIds: [newId()] },
    },
  } as unknown as BusEvent;
}

/** The event that reminds this customer that the purchase window closes soon. */
function reminded(customerId: CustomerId, deadlineMs = Date.UTC(2030, 4, 1, 12)): BusEvent {
  return {
    'detail-type': 'reservations.reminded',
    detail: {
      ...{ eventId: newId(), occurredAtMs: Date.now(), saleId: newId(), reason: 'closing-soon', round: 1 },
      recipients: [{ reservationId: newId(), customerId, version: 1, units: 2, deadlineMs }],
    },
  } as unknown as BusEvent;
}

let delivered = 0;
const consumeWith =
  (send: typeof sendMails) =>
  (environment: Deps, ...events: BusEvent[]) =>
    send(
      environment,
      events.map((message) => ({ messageId: `m${delivered++}`, message, sentAtMs: Date.now(), deliveries: 1 })),
      environment.clock() + 30_000,
    );
const consume = consumeWith(sendMails);
const later = (ms: number) => withDeps(deps, { clock: () => Date.now() + ms });
const stateOf = async (customerId: CustomerId) =>
  deps.db.rows<{ state: string; attempts: number; lastError: string | null }>(
    'SELECT state, attempts, last_error AS lastError FROM mails WHERE customer_id = ?',
    [toBytes(customerId)],
  );

describe('a notice', () => {
  test('is mailed once, in its reader’s language, however often its event comes', async () => {
    const [english, korean] = [await verified(), await verified({ locale: 'ko-KR', timeZone: 'Asia/Seoul' })];
    const events = [captured(english.customerId), captured(korean.customerId), reminded(korean.customerId)];
    await Promise.all([consume(deps, ...events), consume(deps, ...events)]);
    await consume(deps, ...events);
    const [mail, ...more] = mailing.to(english.email);
    expect(more).toEqual([]);
    expect([mail?.subject, mail?.text.trim()]).toEqual([
      'Your purchase',
      'Your payment of €12.50 was taken. Thank you.',
    ]);
    expect(mail?.headers['auto-submitted']).toBe('Auto-Submitted: auto-generated'.split(': ')[1]);
    const texts = mailing.to(korean.email).map(({ text }) => text);
    expect(texts).toHaveLength(2);
    expect(texts.join()).toContain('결제가 완료되었습니다');
    // At noon in UTC it is nine in the evening in Seoul.
    expect(texts.join()).toContain('오후 9시 0분 0초 GMT+9');
  });

  test('goes to nobody who has not shown that the address is theirs, nor to who is gone', async () => {
    const stranger = await api.customer();
    const gone = await verified();
    await consume(deps, captured(stranger.customerId));
    await consume(later(0), captured(newId()));
    mailing.server.answers(() => ({ code: 451, message: 'later' }));
    await consume(deps, captured(gone.customerId));
    await deps.db.change('DELETE FROM customers WHERE id = ?', [toBytes(gone.customerId)]);
    mailing.server.answers(() => undefined);
    await consume(later(attemptDiesAfterMs));
    expect([mailing.to(stranger.email), mailing.to(gone.email)]).toEqual([[], []]);
    expect(await stateOf(gone.customerId)).toMatchObject([{ state: 'dropped' }]);
  });
});

describe('reminders', () => {
  test('are ended by the link of a mail without signing in, and everything else still comes', async () => {
    const { email, customerId, token } = await verified();
    await consume(deps, reminded(customerId), captured(customerId));
    const [reminder, purchase] = mailing
      .to(email)
      .sort((one, other) => Number(other.text.includes('http')) - Number(one.text.includes('http')));
    const link = /<https:\/\/api\.example\.com(\/unsubscribe\?token=[\w.-]+)>/.exec(
      reminder?.headers['list-unsubscribe'] ?? '',
    )?.[1];
    expect(reminder?.headers['list-unsubscribe-post']).toBe('List-Unsubscribe=One-Click');
    expect(purchase?.headers['list-unsubscribe']).toBeUndefined();
    expect(reminder?.text).toContain(link ?? 'no link');
    // Looking changes nothing.
    expect((await api.call(`GET ${link}`)).text).toContain('<form');
    expect((await api.call('GET /me', { token })).body.reminders).toBe(true);
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    expect((await api.call(`POST ${link}`, { text: 'List-Unsubscribe=One-Click', headers })).status).toBe(200);
    expect((await api.call(`GET ${link}`)).text).not.toContain('<form');
    expect((await api.call(`GET ${link}`)).text).toContain('<html lang="en">');
    await api.call('PATCH /me', { token, json: { locale: 'ko-KR' } });
    const inKorean = (await api.call(`GET ${link}`)).text;
    expect(inKorean).toContain('<html lang="ko">');
    expect(/<main>[\s\S]*<\/main>/.exec(inKorean)?.[0].replaceAll(/<[^>]*>/g, '')).not.toMatch(/[A-Za-z]/);
    expect((await api.call('GET /me', { token })).body.reminders).toBe(false);
    await consume(deps, reminded(customerId), captured(customerId));
    expect(mailing.to(email)).toHaveLength(3);
    expect((await api.call('PATCH /me', { token, json: { reminders: true } })).body.reminders).toBe(true);
    await consume(deps, reminded(customerId));
    expect(mailing.to(email)).toHaveLength(4);
  });

  test('are ended by no link that is not ours', async () => {
    for (const call of ['GET', 'POST']) {
      expect((await api.call(`${call} /unsubscribe`)).body.code).toBe('invalid_input');
      expect((await api.call(`${call} /unsubscribe?token=`)).body.code).toBe('invalid_input');
      expect((await api.call(`${call} /unsubscribe?token=abc.def`)).body.code).toBe('not_found');
      expect((await api.call(`${call} /unsubscribe?token=abc.def&more=1`)).body.code).toBe('invalid_input');
    }
    const { token } = await api.customer();
    expect((await api.call('PATCH /me', { token, json: { reminders: 'no' } })).body.code).toBe('invalid_input');
  });
});

describe('a mail server', () => {
  test('that refuses for now gets the mail again, and one that refuses for good does not', async () => {
    const [now, never] = [await verified(), await verified()];
    mailing.server.answers((to) =>
      to === now.email ? { code: 451, message: 'later' } : { code: 550, message: 'nobody' },
    );
    await consume(deps, captured(now.customerId), captured(never.customerId));
    expect(await stateOf(now.customerId)).toMatchObject([{ state: 'due', attempts: 1, lastError: 'EENVELOPE' }]);
    expect(await stateOf(never.customerId)).toMatchObject([{ state: 'given_up', attempts: 1 }]);
    mailing.server.answers(() => undefined);
    await consume(deps);
    expect(mailing.to(now.email)).toEqual([]);
    await consume(later(attemptDiesAfterMs));
    expect([mailing.to(now.email).length, mailing.to(never.email).length]).toEqual([1, 0]);
    expect(await stateOf(now.customerId)).toMatchObject([{ state: 'sent', attempts: 2 }]);
  });

  test.each([451, 550])('that answers %i and names whom it does not take leaves no name in the log', async (code) => {
    mailing.server.answers((to) => ({ code, message: `<${to}> is not taken` }));
    const run = openMailer(bed.registry['secret/mail-url'] ?? '').open();
    const sent = { to: 'ada@example.com', subject: 'News', text: 'News' };
    const error: Error = await run.send(sent, 'one').then(
      () => new Error('it was taken'),
      (thrown) => thrown,
    );
    run.close();
    expect(error.cause).toMatchObject({ code: 'EENVELOPE', responseCode: code });
    expect(`${error.message} ${error.stack}`).not.toContain('ada@');
  });

  test('that is gone fails no event, and is left alone for a while', async () => {
    const nowhere = await startMailServer();
    await nowhere.stop();
    const apart = openDeps({ ...bed.registry, 'secret/mail-url': `${nowhere.smtpUrl}?from=shop@example.com` });
    await redisReady(apart.redis);
    const { customerId, email } = await verified();
    const events = Array.from({ length: 12 }, () => captured(customerId));
    expect(await consume(apart, ...events)).toEqual([]);
    const states = await stateOf(customerId);
    expect(states).toHaveLength(12);
    expect(states.every(({ state }) => state === 'due')).toBe(true);
    expect(states.some(({ lastError }) => lastError === 'breaker_open')).toBe(true);
    // Once it is there again, all of it arrives.
    await apart.redis.flushdb();
    await consume(later(2 * attemptDiesAfterMs));
    expect(mailing.to(email)).toHaveLength(12);
    await apart.close();
  });

  test('that never answers costs some seconds, and the mail is sent later', async () => {
    const { customerId, email } = await verified();
    mailing.server.answers(() => 'hang');
    const startedAt = performance.now();
    await consume(deps, captured(customerId));
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    mailing.server.answers(() => undefined);
    await deps.redis.flushdb();
    await consume(later(attemptDiesAfterMs));
    expect(mailing.to(email)).toHaveLength(1);
  });

  test('that refuses for a day ends the mail', async () => {
    const { customerId } = await verified();
    mailing.server.answers(() => ({ code: 451, message: 'later' }));
    await consume(later(givenUpAfterMs), captured(customerId));
    expect(await stateOf(customerId)).toMatchObject([{ state: 'given_up' }]);
  });
});

describe('a further channel', () => {
  /** One that reaches every customer and tells kinds of notices, as far as its provider takes them. */
  function texting(provider: (to: string) => Promise<unknown> = async () => undefined) {
    const sent: { to: string; kind: string; id: string }[] = [];
    const channel: NoticeChannel<{ to: string; kind: string }> = {
      ...{ name: 'sms', atOnce: 2 },
      readersOf: ({ db }, customerIds) => findRecipients(db, customerIds, { verified: false }),
      compose: async (_deps, { customerId, kind }) => ({ to: customerId ?? '', kind }),
      open: () => ({
        async send(message, id) {
          await provider(message.to);
          sent.push({ ...message, id });
        },
        close: () => undefined,
      }),
    };
    const to = (customerId: string) => sent.filter((message) => message.to === customerId);
    return { to, consume: consumeWith(sendBy([byMail, channel])) };
  }

  test('tells each notice once, whatever mail does, and whom mail does not reach too', async () => {
    const [reader, stranger] = [await verified(), await api.customer()];
    const { to, consume: consumeBoth } = texting();
    const events = [captured(reader.customerId), captured(stranger.customerId), reminded(reader.customerId)];
    await Promise.all([consumeBoth(deps, ...events), consumeBoth(deps, ...events)]);
    await consumeBoth(deps, ...events);
    expect(
      to(reader.customerId)
        .map(({ kind }) => kind)
        .sort(),
    ).toEqual(['purchase.captured', 'reminder.closing-soon']);
    expect([to(stranger.customerId).length, mailing.to(stranger.email).length]).toEqual([1, 0]);
    expect([mailing.to(reader.email).length, (await stateOf(reader.customerId)).length]).toEqual([2, 4]);
  });

  test('is told no reminders either by who wants none', async () => {
    const reader = await verified({ reminders: false });
    const { to, consume: consumeBoth } = texting();
    await consumeBoth(deps, reminded(reader.customerId), captured(reader.customerId));
    expect(to(reader.customerId).map(({ kind }) => kind)).toEqual(['purchase.captured']);
  });

  test('that does not know whom it reaches has its events repeated; the mails have gone', async () => {
    const reader = await verified();
    const lost: NoticeChannel = {
      ...{ name: 'lost', atOnce: 1, compose: async () => undefined },
      readersOf: () => Promise.reject(new Error('no numbers today')),
      open: () => ({ send: async () => undefined, close: () => undefined }),
    };
    await expect(consumeWith(sendBy([lost, byMail]))(deps, captured(reader.customerId))).rejects.toThrow('no numbers');
    expect(mailing.to(reader.email)).toHaveLength(1);
  });

  test('that never settles holds up no mail, and gets its messages later; mail that fails holds up none of it', async () => {
    const reader = await verified();
    let hangs = true;
    const { to, consume: consumeBoth } = texting(() => (hangs ? new Promise(() => undefined) : Promise.resolve()));
    const consuming = consumeBoth(deps, captured(reader.customerId));
    await waitFor('the mail', async () => mailing.to(reader.email).length === 1, { timeoutMs: 4_000 });
    expect(await consuming).toEqual([]);
    expect((await stateOf(reader.customerId)).map(({ state, lastError }) => [state, lastError]).sort()).toEqual([
      ['due', 'no_answer_in_time'],
      ['sent', null],
    ]);
    hangs = false;
    mailing.server.answers(() => ({ code: 451, message: 'later' }));
    await deps.redis.flushdb();
    await consumeBoth(later(attemptDiesAfterMs), captured(reader.customerId));
    expect([to(reader.customerId).length, mailing.to(reader.email).length]).toEqual([2, 1]);
  });
});

test('what one channel has claimed keeps back nothing of another', async () => {
  const reader = await verified();
  const channel = { ...byMail, name: 'sms' };
  const events = Array.from({ length: 5 }, () => captured(reader.customerId));
  for (const one of [byMail, channel]) await recordMails(deps, one, events);
  const nowMs = Date.now() + 1;
  const page = { nowMs, diesAtMs: nowMs + attemptDiesAfterMs, limit: mailsPerPage };
  const claimed = await deps.db.transaction(async (tx) => {
    const first = await claimDueMails(tx, byMail.name, page);
    const second = await deps.db.transaction((other) => claimDueMails(other, channel.name, page));
    return [first.length, second.length];
  });
  expect(claimed).toEqual([events.length, events.length]);
  await deps.db.change('DELETE FROM mails WHERE customer_id = ?', [toBytes(reader.customerId)]);
});

test('a code that somebody waits for is sent before the notices that wait, however many', async () => {
  const reader = await verified();
  const asking = await api.customer();
  const notices = Array.from({ length: 2 * mailsPerPage }, () => captured(reader.customerId));
  await recordMails(deps, byMail, notices);
  expect((await api.call('POST /me/contact/code', { token: asking.token })).status).toBe(202);
  const before = mailing.server.mails().length;
  await mailing.work(deps);
  const sent = mailing.server
    .mails()
    .slice(before)
    .flatMap(({ to }) => to);
  expect(sent.filter((address) => address === reader.email)).toHaveLength(notices.length);
  // What is claimed together is sent in no order of its own, and before anything else is claimed.
  expect(sent.slice(0, mailsPerPage)).toContain(asking.email);
});

test('a worker that dies after sending sends again, under the same Message-ID', async () => {
  const { customerId, email } = await verified();
  const died = async () => {
    throw new Error('died');
  };
  // What is written outside of a transaction is the outcome alone.
  await recordMails(deps, byMail, [captured(customerId)]);
  await expect(consume(withDeps(deps, { db: { ...deps.db, change: died } }))).rejects.toThrow('died');
  await consume(later(attemptDiesAfterMs));
  const mails = mailing.to(email);
  expect(mails).toHaveLength(2);
  expect(new Set(mails.map(({ messageId }) => messageId)).size).toBe(1);
});
