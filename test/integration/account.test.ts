/** The life of an account: showing whose address it is, passwords, sessions, one's own data, and the end, with mail by SMTP. */
import { codeLifeMs, codeQuietMs, issueCode } from '#identity/codes.ts';
import { contactOf } from '#identity/contact.ts';
import type { Deps } from '#platform/environment/deps.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { toBytes } from '#platform/kernel/ids.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi, password } from '../support/api.ts';
import { withDeps } from '../support/deps.ts';
import { codesIn, type Mailing, startMailing } from '../support/mailing.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;
let mailing: Mailing;

beforeAll(async () => {
  mailing = await startMailing();
  bed = await testBed({
    rules: false,
    registry: { ...mailing.registry, 'limit/password-change': '1000/60000', 'limit/codes-caller': '1000/60000' },
  });
  api = openApi();
  deps = await api.deps();
  await redisReady(deps.redis);
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
  await mailing?.server.stop();
});

const another = 'another horse battery';
const later = (ms: number) => withDeps(deps, { clock: () => Date.now() + ms });
const register = async (email: string, secret = password) =>
  (await api.call('POST /auth/register', { json: { email, password: secret, name: 'Ada' } })).body;
const signIn = (email: string, secret: string) => api.call('POST /auth/login', { json: { email, password: secret } });
const refresh = (refreshToken: string) => api.call('POST /auth/refresh', { json: { refreshToken } });
const codeOf = ({ body }: { body: { code?: string } }) => body.code;

/** Has a code mailed, and returns it. */
async function contactCode(email: string, token: string): Promise<string> {
  expect((await api.call('POST /me/contact/code', { token })).status).toBe(202);
  await mailing.work(deps);
  return mailing.codeFor(email);
}

async function passwordCode(email: string): Promise<string> {
  expect((await api.call('POST /auth/password/code', { json: { email } })).status).toBe(202);
  await mailing.work(deps);
  return mailing.codeFor(email);
}

/** A customer whose address is verified. */
async function verified() {
  const customer = await api.customer();
  const code = await contactCode(customer.email, customer.token);
  expect((await api.call('POST /me/contact', { token: customer.token, json: { code } })).status).toBe(200);
  return { ...customer, code };
}

describe('showing that an address is one’s own', () => {
  test('takes the code of a mail, once, however it is typed', async () => {
    const { email, token, refreshToken } = await api.customer();
    const code = await contactCode(email, token);
    expect(mailing.to(email)).toHaveLength(1);
    const typed = ` ${code.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l')} `;
    const shown = await api.call('POST /me/contact', { token, json: { code: typed } });
    expect([shown.status, shown.body.isVerified]).toEqual([200, true]);
    expect(codeOf(await api.call('POST /me/contact', { token, json: { code } }))).toBe('invalid_code');
    expect(codeOf(await api.call('POST /me/contact/code', { token }))).toBe('illegal_state');
    // A token of before does not know; the next one does.
    const tokens = await import('#platform/security/access-token.ts');
    const { verify } = await tokens.openTokens(bed.registry['secret/token-signing-key'] ?? '', deps.clock);
    expect((await verify(token))?.contactSinceMs).toBeUndefined();
    const next = (await refresh(refreshToken)).body.accessToken;
    expect((await verify(next))?.contactSinceMs).toBe(0);
    expect((await verify((await signIn(email, password)).body.accessToken))?.contactSinceMs).toBe(0);
  });

  test('a mail that is sent once more has the same code, and makes none good that was used', async () => {
    const { customerId, code } = await verified();
    const [row] = await deps.db.rows<{ issuedAtMs: number }>(
      'SELECT issued_at_ms AS issuedAtMs FROM customer_codes WHERE customer_id = ?',
      [toBytes(customerId)],
    );
    expect(await issueCode(deps, customerId, 'contact', row?.issuedAtMs ?? 0)).toBeUndefined();
    const askedAtMs = Date.now() + codeQuietMs;
    const first = await issueCode(deps, customerId, 'contact', askedAtMs);
    expect(await issueCode(deps, customerId, 'contact', askedAtMs)).toBe(first);
    expect(first).not.toBe(code.replaceAll('-', ''));
  });

  test('who asks again within five minutes keeps the code that is in the mailbox', async () => {
    const { email, token } = await api.customer();
    const code = await contactCode(email, token);
    expect(await contactCode(email, token)).toBe(code);
    expect(mailing.to(email)).toHaveLength(1);
    expect((await api.call('POST /me/contact', { token, json: { code } })).status).toBe(200);
  });

  test('takes nobody else’s code, none that is an hour old, and nothing that is no code', async () => {
    const [one, other] = [await api.customer(), await api.customer()];
    const code = await contactCode(one.email, one.token);
    expect(codeOf(await api.call('POST /me/contact', { token: other.token, json: { code } }))).toBe('invalid_code');
    for (const json of [
      {},
      { code: '' },
      { code: 1 },
      { code: `${code}A` },
      { code, more: 1 },
      { code: 'x'.repeat(65) },
    ]) {
      expect(codeOf(await api.call('POST /me/contact', { token: one.token, json }))).toBe('invalid_input');
    }
    const { verifyContact } = await import('#identity/contact.ts');
    const late = await verifyContact(later(codeLifeMs), one.customerId, code.replaceAll('-', ''));
    expect(late).toMatchObject({ refused: 'invalid_code' });
    expect((await api.call('POST /me/contact', { token: one.token, json: { code } })).status).toBe(200);
  });

  test('an address is one account’s, also with a tag, and free again when that is deleted', async () => {
    const tag = newId();
    const [plain, tagged] = [`${tag}@example.com`, `${tag}+more@example.com`];
    const [one, other] = [await register(plain), await register(tagged)];
    const [first, second] = [await contactCode(plain, one.accessToken), await contactCode(tagged, other.accessToken)];
    const show = (token: string, code: string) => api.call('POST /me/contact', { token, json: { code } });
    const both = await Promise.all([show(one.accessToken, first), show(other.accessToken, second)]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 409]);
    const [winner, loser] = both[0]?.status === 200 ? [one, other] : [other, one];
    const lost = winner === one ? tagged : plain;
    expect(codeOf(both[winner === one ? 1 : 0] as (typeof both)[0])).toBe('contact_taken');
    const gone = await api.call('POST /me/deletion', { token: winner.accessToken, json: { password } });
    expect(gone.status).toBe(204);
    const again = await contactCode(lost, loser.accessToken);
    expect((await show(loser.accessToken, again)).status).toBe(200);
    // It is known that somebody has had it before.
    const [row] = await deps.db.rows<{ since: number }>(
      'SELECT contact_since_ms AS since FROM customers WHERE id = ?',
      [toBytes(loser.customerId)],
    );
    expect(row?.since).toBeGreaterThan(0);
  });

  test.each([
    ['ada+sale@example.com', 'ada@example.com'],
    ['ada.l@example.com', 'ada.l@example.com'],
    ['+ada@example.com', '+ada@example.com'],
    ['"a+b c"@example.com', '"a+b c"@example.com'],
  ])('%s is the contact %s', (mailbox, contact) => expect(contactOf(mailbox)).toBe(contact));
});

describe('a forgotten password', () => {
  test('is set anew with a code, which ends all sessions and shows whose address it is', async () => {
    const { email, refreshToken, token } = await api.customer();
    const code = await passwordCode(email);
    const reset = (json: object) => api.call('POST /auth/password/reset', { json });
    expect(codeOf(await reset({ code, password: 'password123' }))).toBe('unprocessable');
    expect((await reset({ code, password: another })).status).toBe(204);
    expect((await refresh(refreshToken)).status).toBe(401);
    expect([(await signIn(email, password)).status, (await signIn(email, another)).status]).toEqual([401, 200]);
    expect((await api.call('GET /me', { token })).body.isVerified).toBe(true);
    expect(codeOf(await reset({ code, password: 'yet another horse' }))).toBe('invalid_code');
    expect(codeOf(await reset({ code: code.slice(0, -1), password: another }))).toBe('invalid_input');
    expect((await signIn(email, another)).status).toBe(200);
  });

  test('asking tells nobody whether an address is known, and writes to nobody who has no account', async () => {
    const { email } = await api.customer();
    const unknown = `${newId()}@example.com`;
    const ask = (address: string) => api.call('POST /auth/password/code', { json: { email: address } });
    const [one, other] = [await ask(email), await ask(unknown)];
    const shown = ({ status, text, headers: { 'x-correlation-id': _id, ...headers } }: typeof one) => ({
      ...{ status, text, headers },
    });
    expect(shown(one)).toEqual(shown(other));
    await mailing.work(deps);
    expect([mailing.to(email).length, mailing.to(unknown).length]).toEqual([1, 0]);
    for (const json of [{}, { email: 'nobody' }, { email, more: 1 }]) {
      expect(codeOf(await api.call('POST /auth/password/code', { json }))).toBe('invalid_input');
    }
  });

  test('of an address with several accounts: a code for each, or for the verified one alone', async () => {
    const email = `${newId()}@example.com`;
    const mine = await register(email);
    const theirs = await register(email, 'an entirely other password');
    await passwordCode(email);
    const codes = codesIn(mailing.to(email).at(-1)?.text ?? '');
    expect(codes).toHaveLength(2);
    const json = { code: await contactCode(email, mine.accessToken) };
    expect((await api.call('POST /me/contact', { token: mine.accessToken, json })).status).toBe(200);
    // What is asked for now is asked for within the quiet time of the codes before.
    await deps.db.change('DELETE FROM customer_codes WHERE purpose = ?', ['password']);
    await passwordCode(email);
    const [only, ...others] = codesIn(mailing.to(email).at(-1)?.text ?? '');
    expect(others).toEqual([]);
    expect((await api.call('POST /auth/password/reset', { json: { code: only, password: another } })).status).toBe(204);
    expect((await refresh(mine.refreshToken)).status).toBe(401);
    expect((await refresh(theirs.refreshToken)).status).toBe(200);
  });

  test('one of two who use a code at once sets the password', async () => {
    const { email } = await api.customer();
    const code = await passwordCode(email);
    const secrets = ['the first new password', 'the second new password'];
    const answers = await Promise.all(
      secrets.map((secret) => api.call('POST /auth/password/reset', { json: { code, password: secret } })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([204, 403]);
  });
});

describe('one’s own password', () => {
  test('is changed by who knows it, and ends the other sessions', async () => {
    const { email, token, refreshToken } = await api.customer();
    const elsewhere = (await signIn(email, password)).body;
    const change = (json: object) => api.call('POST /me/password', { token, json });
    expect(codeOf(await change({ password: 'not the password', newPassword: another }))).toBe('invalid_credentials');
    expect(codeOf(await change({ password, newPassword: 'short' }))).toBe('invalid_input');
    const guessable = await change({ password, newPassword: 'qwertyuiop' });
    expect([codeOf(guessable), guessable.body.fields[0].field]).toEqual(['unprocessable', 'newPassword']);
    expect((await refresh(elsewhere.refreshToken)).status).toBe(200);
    const third = (await signIn(email, password)).body;
    expect((await change({ password, newPassword: another })).status).toBe(204);
    expect((await refresh(third.refreshToken)).status).toBe(401);
    expect((await refresh(refreshToken)).status).toBe(200);
    expect([(await signIn(email, password)).status, (await signIn(email, another)).status]).toEqual([401, 200]);
  });

  test('cannot become that of another account of the address', async () => {
    const email = `${newId()}@example.com`;
    await register(email, another);
    const { accessToken: token } = await register(email);
    const answer = await api.call('POST /me/password', { token, json: { password, newPassword: another } });
    expect(codeOf(answer)).toBe('illegal_state');
    expect((await signIn(email, password)).status).toBe(200);
  });
});

describe('sessions', () => {
  test('are listed, and ended one by one or all others at once', async () => {
    const { email, token, refreshToken } = await api.customer();
    const others = [(await signIn(email, password)).body, (await signIn(email, password)).body];
    await refresh(others[0].refreshToken);
    const { items, nextCursor } = (await api.call('GET /me/sessions?limit=2', { token })).body;
    const rest = (await api.call(`GET /me/sessions?limit=2&cursor=${nextCursor}`, { token })).body;
    expect([items.length, rest.items.length, rest.nextCursor]).toEqual([2, 1, null]);
    const all = [...items, ...rest.items];
    expect(all.map(({ isCurrent }) => isCurrent)).toEqual([false, false, true]);
    expect(all.map(({ usedAt }) => usedAt !== null)).toEqual([false, true, false]);
    expect((await api.call(`DELETE /me/sessions?sessionId=${all[0].sessionId}`, { token })).status).toBe(204);
    expect((await api.call(`DELETE /me/sessions?sessionId=${all[0].sessionId}`, { token })).status).toBe(404);
    expect((await refresh(others[1].refreshToken)).status).toBe(401);
    expect((await api.call('DELETE /me/sessions', { token })).status).toBe(204);
    const left = (await api.call('GET /me/sessions', { token })).body;
    expect(left.items.map(({ isCurrent }: { isCurrent: boolean }) => isCurrent)).toEqual([true]);
    expect((await refresh(refreshToken)).status).toBe(200);
  });

  test('of somebody else are nobody’s to see or end', async () => {
    const [one, other] = [await api.customer(), await api.customer()];
    const [session] = (await api.call('GET /me/sessions', { token: one.token })).body.items;
    expect((await api.call(`DELETE /me/sessions?sessionId=${session.sessionId}`, { token: other.token })).status).toBe(
      404,
    );
    const wrong = await api.call('DELETE /me/sessions?sessionId=nothing', { token: other.token });
    expect(codeOf(wrong)).toBe('invalid_input');
    expect(codeOf(await api.call('GET /me/sessions?limit=0', { token: one.token }))).toBe('invalid_input');
    expect(codeOf(await api.call('GET /me/sessions?cursor=x', { token: one.token }))).toBe('unprocessable');
    for (const call of ['GET /me/sessions', 'DELETE /me/sessions', 'GET /me/export', 'POST /me/contact/code']) {
      expect((await api.call(call)).status).toBe(401);
    }
    expect((await refresh(one.refreshToken)).status).toBe(200);
  });
});

type List = 'reservations' | 'purchases' | 'notices' | 'sessions';

/** All parts of what is kept about somebody. */
async function exported(token: string) {
  const all = { reservations: [], purchases: [], notices: [], sessions: [] } as Record<List, unknown[]>;
  let cursor = '';
  for (let parts = 0; parts < 20; parts++) {
    const { status, body } = await api.call(`GET /me/export${cursor && `?cursor=${cursor}`}`, { token });
    expect(status).toBe(200);
    for (const list of Object.keys(all) as List[]) all[list].push(...body[list]);
    if (body.nextCursor === null) return { ...body, ...all };
    cursor = body.nextCursor;
  }
  throw new Error('the export does not end');
}

describe('one’s own data', () => {
  test('is all of the lists, in parts, and nobody else’s', async () => {
    const { token, customerId, email } = await api.customer();
    const other = await api.customer();
    await withNotices(customerId, 230);
    await withNotices(other.customerId, 3);
    const data = await exported(token);
    expect(data.profile).toMatchObject({ customerId, email });
    expect([data.externalId, Date.now() - Date.parse(data.registeredAt) < 60_000]).toEqual([null, true]);
    expect(data.sessions).toEqual((await api.call('GET /me/sessions', { token })).body.items);
    expect(data.sessions).toHaveLength(1);
    expect([data.reservations.length, data.purchases.length, data.notices.length]).toEqual([0, 0, 230]);
    expect(codeOf(await api.call('GET /me/export?cursor=x', { token }))).toBe('unprocessable');
    expect(codeOf(await api.call('GET /me/export?limit=1', { token }))).toBe('invalid_input');
  });
});

/** Writes notices of a customer. */
async function withNotices(customerId: CustomerId, count: number): Promise<void> {
  const { storeNotices } = await import('#notification/notification.store.ts');
  const notices = Array.from({ length: count }, () => ({
    ...{ id: newId(), customerId, subjectId: newId(), version: 1, kind: 'purchase.captured' as const },
    ...{ round: 0, facts: {}, createdAtMs: Date.now() },
  }));
  await storeNotices(deps.db, notices);
}

describe('deleting an account', () => {
  test('ends its sessions and forgets who it was; what it was told stays, and the address is free', async () => {
    const { email, token, customerId, refreshToken } = await verified();
    await withNotices(customerId, 2);
    const remove = (json: object) => api.call('POST /me/deletion', { token, json });
    expect(codeOf(await remove({}))).toBe('invalid_credentials');
    expect(codeOf(await remove({ password: 'not the password' }))).toBe('invalid_credentials');
    expect((await api.call('GET /me', { token })).status).toBe(200);
    expect((await remove({ password })).status).toBe(204);
    expect((await refresh(refreshToken)).status).toBe(401);
    expect((await signIn(email, password)).status).toBe(401);
    // A token of before is good for ten minutes, and finds nobody.
    for (const call of ['GET /me', 'GET /me/export', 'POST /me/contact/code']) {
      expect((await api.call(call, { token })).status).toBe(401);
    }
    const rows = async (table: string, column: string) =>
      (
        await deps.db.rows<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table} WHERE ${column} = ?`, [
          toBytes(customerId),
        ])
      )[0]?.n;
    for (const table of ['customer_codes', 'person_keys', 'mails', 'notifications']) {
      expect([table, await rows(table, 'customer_id')]).toEqual([table, table === 'notifications' ? 2 : 0]);
    }
    expect((await register(email)).customerId).not.toBe(customerId);
  });

  /** Where the database has this text, by table and column. */
  async function placesOf(text: string): Promise<string[]> {
    const columns = await deps.db.rows<{ place: string }>(
      `SELECT CONCAT(TABLE_NAME, '.', COLUMN_NAME) AS place FROM information_schema.COLUMNS
       WHERE TABLE_SCHEMA = DATABASE() AND DATA_TYPE IN ('char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext', 'json')
       ORDER BY place`,
    );
    const places: string[] = [];
    for (const { place } of columns) {
      const [table, column] = place.split('.');
      const found = await deps.db.rows(`SELECT 1 FROM ${table} WHERE ${column} LIKE ? LIMIT 1`, [`%${text}%`]);
      if (found.length > 0) places.push(place);
    }
    return places;
  }

  test('leaves who it was in no table, but what operators did to it in the trail', async () => {
    const { email, token, customerId } = await verified();
    await passwordCode(email);
    await register(email, another);
    const externalId = `member-${newId()}`;
    const named = `POST /ops/customers/${customerId}/external-id`;
    expect((await api.call(named, { token: await api.operator(), json: { externalId } })).status).toBe(200);
    expect(await placesOf(email)).toEqual(['customers.email']);
    expect(await placesOf(externalId)).toContain('customers.external_id');
    const remove = (secret: string, by: string) =>
      api.call('POST /me/deletion', { token: by, json: { password: secret } });
    expect((await remove(password, token)).status).toBe(204);
    expect((await remove(another, (await signIn(email, another)).body.accessToken)).status).toBe(204);
    expect(await placesOf(email)).toEqual([]);
    expect(await placesOf(externalId)).toEqual(['operator_acts.after_json', 'operator_acts.asked']);
  });

  test('is not for who runs sales', async () => {
    const token = await api.operator('admin');
    expect(codeOf(await api.call('POST /me/deletion', { token, json: { password } }))).toBe('illegal_state');
    expect((await api.call('GET /me', { token })).status).toBe(200);
  });
});
