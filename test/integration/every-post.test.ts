/**
 * Customers' POSTs, each under an Idempotency-Key: carried out once, answered again to the byte and marked, the key the same in
 * quotes, another request refused, and no secret kept in the plain. A new POST must bring a call of it here; those of operators
 * bring theirs to `audit.test.ts`.
 */
import { routes } from '#functions/http/routes.ts';
import { handler as allocate } from '#functions/queue/allocate.ts';
import { answersKeptMs, forgetOldAnswers } from '#idempotency/kept-answer.ts';
import type { Once } from '#idempotency/once.ts';
import { issueCode } from '#identity/codes.ts';
import { changePassword, deleteAccount, resetPassword } from '#identity/passwords.ts';
import { register } from '#identity/register.ts';
import { login } from '#identity/session.ts';
import { refreshMirror } from '#mirror/mirror.ts';
import { type Deps, openDeps } from '#platform/environment/deps.ts';
import { type CustomerId, type SaleId, toBytes } from '#platform/kernel/ids.ts';
import { keys } from '#platform/redis/keys.ts';
import { accessTokenLifeSeconds, openTokens } from '#platform/security/access-token.ts';
import { readStock } from '#sale/sale.store.ts';
import { saleTag } from '#sale/sale-id.ts';
import { newId } from '#test/support/ids.ts';
import { type Answer, type Api, openApi, password, type Sent } from '../support/api.ts';
import { deliver } from '../support/deliver.ts';
import { withDeps } from '../support/deps.ts';
import { delivered, givenSale } from '../support/sales.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;

const many = '1000/60000';
const limits = [
  'register-address',
  'login-address',
  'login-account',
  'session-address',
  'codes-caller',
  'password-change',
];

beforeAll(async () => {
  bed = await testBed({ registry: Object.fromEntries(limits.map((name) => [`limit/${name}`, many])) });
  api = openApi();
  deps = await api.deps();
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

const another = 'another horse battery';
const anEmail = () => `${newId()}@example.com`;
const mailedCode = async (customerId: CustomerId, purpose: 'contact' | 'password') =>
  (await issueCode(deps, customerId, purpose, Date.now())) ?? '';

interface Posted {
  line: string;
  sent: Sent;
  /** Another body; none where none is taken. */
  other?: object;
}

/** How each is made to do something. */
const made: Record<string, () => Promise<Posted>> = {
  register: async () => {
    const json = { email: anEmail(), password, name: 'Ada' };
    return { line: 'POST /auth/register', sent: { json }, other: { ...json, password: another } };
  },
  login: async () => {
    const { email } = await api.customer();
    return {
      line: 'POST /auth/login',
      sent: { json: { email, password } },
      other: { email, password: 'not the password' },
    };
  },
  refresh: async () => {
    const { refreshToken } = await api.customer();
    return { line: 'POST /auth/refresh', sent: { json: { refreshToken } }, other: { refreshToken: 'unheard of' } };
  },
  logout: async () => {
    const { refreshToken } = await api.customer();
    return { line: 'POST /auth/logout', sent: { json: { refreshToken } }, other: { refreshToken: 'unheard of' } };
  },
  'ask-for-password-code': async () => {
    const { email } = await api.customer();
    return { line: 'POST /auth/password/code', sent: { json: { email } }, other: { email: anEmail() } };
  },
  'reset-password': async () => {
    const { customerId } = await api.customer();
    const code = await mailedCode(customerId, 'password');
    return {
      line: 'POST /auth/password/reset',
      sent: { json: { code, password: another } },
      other: { code, password: `${another} too` },
    };
  },
  'ask-for-contact-code': async () => {
    const { token } = await api.customer();
    return { line: 'POST /me/contact/code', sent: { token } };
  },
  'verify-contact': async () => {
    const { customerId, token } = await api.customer();
    const json = { code: await mailedCode(customerId, 'contact') };
    return { line: 'POST /me/contact', sent: { token, json }, other: { code: 'K7QM-2XRD-9FWP-J3TA' } };
  },
  'change-password': async () => {
    const { token } = await api.customer();
    const json = { password, newPassword: another };
    return { line: 'POST /me/password', sent: { token, json }, other: { ...json, newPassword: `${another} too` } };
  },
  'delete-account': async () => {
    const { token } = await api.customer();
    return { line: 'POST /me/deletion', sent: { token, json: { password } }, other: { password: another } };
  },
  'read-notifications': async () => {
    const { token } = await api.customer();
    const json = { notificationIds: 'all' };
    return { line: 'POST /notifications/read', sent: { token, json }, other: { notificationIds: [newId()] } };
  },
  'create-reservation': async () => {
    const { token } = await api.customer();
    const saleId = await givenSale(deps);
    return {
      line: `POST /sales/${saleId}/reservations`,
      sent: { token, json: { quantity: 1 } },
      other: { quantity: 2 },
    };
  },
  'create-purchase': async () => {
    const { customerId, token } = await api.customer();
    const { message, messageId } = delivered(await givenSale(deps), { customerId });
    await deliver(allocate, [{ messageId, body: JSON.stringify(message) }]);
    const json = { reservationIds: [message.reservationId], paymentToken: 'tok_approve' };
    return { line: 'POST /purchases', sent: { token, json }, other: { ...json, paymentToken: 'tok_decline' } };
  },
};

/** Those that others call, in their own form: a mail program, and the payment provider. */
const calledByOthers = ['unsubscribe', 'payment-webhook'];
const customersPosts = Object.entries(routes)
  .filter(
    ([name, { method, auth }]) =>
      method === 'POST' && ['none', 'customer'].includes(auth) && !calledByOthers.includes(name),
  )
  .map(([name]) => name);

/** All that is kept, as text and as bytes in every form in which something could be found there. */
async function keptText(): Promise<string> {
  const rows = await deps.db.rows<Record<string, unknown>>('SELECT * FROM kept_answers');
  const forms = (value: unknown) =>
    (Buffer.isBuffer(value) ? (['hex', 'latin1'] as const) : []).map((form) => (value as Buffer).toString(form));
  return rows.flatMap((row) => Object.values(row).flatMap((value) => [String(value), ...forms(value)])).join('\n');
}

/** Each text in a request or an answer. */
const textsOf = (value: unknown): string[] =>
  typeof value === 'object' && value !== null
    ? Object.values(value).flatMap(textsOf)
    : typeof value === 'string'
      ? [value]
      : [];

const shown = ({ status, text, headers }: Answer) => [status, text, headers['idempotent-replayed']];

describe('a customer’s POST', () => {
  test('is known here', () => {
    expect(Object.keys(made).sort()).toEqual([...customersPosts].sort());
  });

  test.each(customersPosts)('%s: carried out once under a key, and answered the same', async (name) => {
    const { line, sent, other } = (await made[name]?.()) ?? { line: '', sent: {} };
    const key = newId();
    const first = await api.call(line, { ...sent, key });
    expect([first.status < 300, first.headers['idempotent-replayed']]).toEqual([true, undefined]);
    for (const form of [key, `"${key}"`]) {
      expect(shown(await api.call(line, { ...sent, key: form }))).toEqual([first.status, first.text, 'true']);
    }
    if (other) {
      const reused = await api.call(line, { ...sent, json: other, key });
      expect([reused.status, reused.body.code]).toEqual([422, 'idempotency_key_reused']);
      expect(shown(await api.call(line, { ...sent, key }))).toEqual([first.status, first.text, 'true']);
    }
    expect(other === undefined).toBe(routes[name]?.body === undefined);
    const kept = await keptText();
    expect(kept.includes(key)).toBe(false);
    if (!routes[name]?.sealed) return;
    // A short text may be found in a sealed one by chance.
    const secrets = [...textsOf(sent.json), ...textsOf(first.body)].filter(({ length }) => length > 8);
    expect(secrets.length).toBeGreaterThan(0);
    expect(secrets.filter((secret) => kept.includes(secret))).toEqual([]);
  });

  test('that begins a session is one session, also if it comes eight times at once', async () => {
    for (const name of ['register', 'login']) {
      const { line, sent } = (await made[name]?.()) ?? { line: '', sent: {} };
      const before = await sessions();
      const key = newId();
      const answers = await Promise.all(Array.from({ length: 8 }, () => api.call(line, { ...sent, key })));
      expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
      expect(await sessions()).toBe(before + 1);
    }
  });

  test('is another call for another caller, and for whoever has the key alone', async () => {
    const [one, other] = [await api.customer(), await api.customer()];
    const key = newId();
    const read = (token: string) =>
      api.call('POST /notifications/read', { token, key, json: { notificationIds: 'all' } });
    expect(shown(await read(one.token))[2]).toBeUndefined();
    expect(shown(await read(other.token))[2]).toBeUndefined();
    // Nobody is signed in here, so a key is everybody's: what opens the answer is the request.
    const signIn = (secret: string) =>
      api.call('POST /auth/login', { key, json: { email: one.email, password: secret } });
    expect((await signIn(password)).status).toBe(200);
    expect((await signIn('a guess at it')).body).toMatchObject({ code: 'idempotency_key_reused' });
  });

  test('that has no key keeps nothing', async () => {
    const count = async () => (await deps.db.rows('SELECT call_hash FROM kept_answers')).length;
    const before = await count();
    for (const name of customersPosts) {
      const { line, sent } = (await made[name]?.()) ?? { line: '', sent: {} };
      if (routes[name]?.idempotent === 'optional') expect((await api.call(line, sent)).status).toBeLessThan(300);
    }
    expect(await count()).toBe(before);
  });
});

const sessions = async () =>
  Number((await deps.db.rows<{ n: number }>('SELECT COUNT(DISTINCT family_id) AS n FROM refresh_tokens'))[0]?.n);

describe('an answer with tokens', () => {
  const refresh = (refreshToken: string, key?: string) =>
    api.call('POST /auth/refresh', { json: { refreshToken }, ...(key === undefined ? {} : { key }) });

  test('makes nothing good again that has ended since', async () => {
    const { email } = await api.customer();
    const sent = { json: { email, password }, key: newId() };
    const first = await api.call('POST /auth/login', sent);
    expect((await api.call('POST /auth/logout', { json: { refreshToken: first.body.refreshToken } })).status).toBe(204);
    const before = await sessions();
    expect(shown(await api.call('POST /auth/login', sent))).toEqual([200, first.text, 'true']);
    expect((await refresh(first.body.refreshToken)).status).toBe(401);
    expect(await sessions()).toBe(before);
  });

  test('of a refresh is given again while its token is unused, and otherwise the old one ends the session as ever', async () => {
    const { refreshToken } = await api.customer();
    const key = newId();
    const first = await refresh(refreshToken, key);
    expect(shown(await refresh(refreshToken, key))).toEqual([200, first.text, 'true']);
    const next = await refresh(first.body.refreshToken);
    expect(next.status).toBe(200);
    expect((await refresh(refreshToken, key)).status).toBe(401);
    expect((await refresh(next.body.refreshToken)).status).toBe(401);
  });

  test('of a refresh is given no more once its session has ended', async () => {
    const { refreshToken } = await api.customer();
    const key = newId();
    const first = await refresh(refreshToken, key);
    await api.call('POST /auth/logout', { json: { refreshToken: first.body.refreshToken } });
    expect((await refresh(refreshToken, key)).status).toBe(401);
  });

  test('is kept as long as its access token is good, and then its key is a new one', async () => {
    await forgetOldAnswers(withDeps(deps, { clock: () => Date.now() + answersKeptMs + 1_000 }));
    const { email } = await api.customer();
    const sent = { json: { email, password }, key: newId() };
    const first = await api.call('POST /auth/login', sent);
    const later = (ms: number) => withDeps(deps, { clock: () => Date.now() + ms });
    const lifeMs = accessTokenLifeSeconds * 1_000;
    expect(await forgetOldAnswers(later(lifeMs - 60_000))).toBe(0);
    // Over, and not forgotten yet.
    await deps.db.change('UPDATE kept_answers SET expires_at_ms = ?', [Date.now() - 1]);
    const anew = await api.call('POST /auth/login', sent);
    expect([anew.status, anew.headers['idempotent-replayed'], anew.text === first.text]).toEqual([
      200,
      undefined,
      false,
    ]);
    expect(shown(await api.call('POST /auth/login', sent))).toEqual([200, anew.text, 'true']);
    expect(await forgetOldAnswers(later(lifeMs + 1_000))).toBe(1);
  });
});

describe('limits come first', () => {
  test('who is too often asks for no kept answer', async () => {
    const registry = { ...bed.registry, ...Object.fromEntries(limits.map((name) => [`limit/${name}`, '1/1'])) };
    const strict = openDeps(registry, { db: deps.db, redis: deps.redis });
    const tokens = await openTokens(bed.registry['secret/token-signing-key'] ?? '', strict.clock);
    let asked = 0;
    const once = (async () => {
      asked += 1;
      return { refused: 'not_found', detail: '' };
    }) as unknown as Once;
    const caller = { customerId: '' as CustomerId, role: 'customer' } as const;
    const ended = async () => undefined;
    const attempts: ((address: string, id: CustomerId) => Promise<unknown>)[] = [
      (address) => register(strict, tokens, { email: anEmail(), password, name: 'Ada' }, { address }, once),
      (address) => login(strict, tokens, { email: anEmail(), password }, { address }, once),
      (address) => resetPassword(strict, caller, { code: 'K7QM2XRD9FWPJ3TA', password }, { address }, ended, once),
      (address, customerId) =>
        changePassword(strict, { ...caller, customerId }, { password, newPassword: another }, { address }, ended, once),
      (address, customerId) => deleteAccount(strict, { ...caller, customerId }, { password }, { address }, ended, once),
    ];
    for (const [n, attempt] of attempts.entries()) {
      const [address, customerId] = [`198.51.100.${n}`, newId()];
      expect(await attempt(address, customerId)).toMatchObject({ refused: 'not_found' });
      expect(await attempt(address, customerId)).toMatchObject({
        refused: expect.stringMatching(/^(work_required|too_many_requests)$/),
      });
    }
    expect(asked).toBe(attempts.length);
  });
});

describe('a refusal that is final', () => {
  test('is given again under its key, though its cause is gone, and a new key is a new call', async () => {
    const admin = await api.operator('admin');
    const token = await api.operator();
    const { customerId } = (await api.call('GET /me', { token })).body;
    const deletion = (key: string) => api.call('POST /me/deletion', { token, key, json: { password } });
    const key = newId();
    const first = await deletion(key);
    expect([first.status, first.body.code]).toEqual([409, 'illegal_state']);
    await api.call('POST /ops/operators', { token: admin, json: { customerId, role: 'customer' } });
    expect(shown(await deletion(key))).toEqual([409, first.text, 'true']);
    expect((await deletion(newId())).status).toBe(204);
  });

  const later = () => {
    const opens = Date.now() + 3_600_000;
    return {
      reserveOpensAtMs: opens,
      reserveClosesAtMs: opens + 1,
      purchaseOpensAtMs: opens + 1,
      purchaseClosesAtMs: opens + 2,
    };
  };
  const reserve = (saleId: SaleId, token: string, key: string, quantity = 1) =>
    api.call(`POST /sales/${saleId}/reservations`, { token, key, json: { quantity } });

  /** Frees what is sold out: a sale with more to give. */
  async function addStock(saleId: SaleId): Promise<void> {
    await deps.db.change('UPDATE sales SET allotment = 10, available = 10, version = version + 1 WHERE id = ?', [
      toBytes(saleId),
    ]);
    await refreshMirror(deps, [...(await readStock(deps.db, [saleId])).values()], []);
  }

  test('is kept by the gate for an hour: what is free by then is for a new key', async () => {
    const saleId = await givenSale(deps, { allotment: 1 });
    const { customerId, token } = await api.customer();
    const [taken, key] = [await api.customer(), newId()];
    expect((await reserve(saleId, taken.token, newId())).status).toBe(202);
    const first = await reserve(saleId, token, key);
    expect([first.status, first.body.code]).toEqual([409, 'sold_out']);
    await addStock(saleId);
    expect(shown(await reserve(saleId, token, key))).toEqual([409, first.text, 'true']);
    expect(shown(await reserve(saleId, token, `"${key}"`))).toEqual([409, first.text, 'true']);
    const other = await reserve(saleId, token, key, 2);
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused']);
    expect(shown(await reserve(saleId, taken.token, key))[0]).toBe(202);
    expect((await reserve(saleId, token, newId())).status).toBe(202);
    const kept = await deps.redis.keys(`${keys.refusalsOf(saleTag(saleId))}*`);
    const lives = await Promise.all(kept.map((one) => deps.redis.pttl(one)));
    expect([kept.length, lives.every((ms) => ms > 3_500_000 && ms <= 3_600_000)]).toEqual([1, true]);
    // Redis has lost it: it is judged anew.
    expect(customerId).toBeDefined();
    await deps.redis.del(...kept);
    expect((await reserve(saleId, token, key)).status).toBe(202);
  });

  test('is not what a pause or a sale that is not there says', async () => {
    const [paused, draft, early] = [
      await givenSale(deps),
      await givenSale(deps, { publicFromMs: null }),
      await givenSale(deps, later()),
    ];
    const { token } = await api.customer();
    const operator = await api.operator();
    await api.call(`POST /sales/${paused}/pause`, { token: operator });
    const key = newId();
    const twice = async (saleId: SaleId) =>
      [await reserve(saleId, token, key), await reserve(saleId, token, key)].map(shown);
    const marks = async (saleId: SaleId) => (await twice(saleId)).map(([status, , mark]) => [status, mark]);
    expect(await marks(paused)).toEqual([
      [409, undefined],
      [409, undefined],
    ]);
    expect(await marks(draft)).toEqual([
      [404, undefined],
      [404, undefined],
    ]);
    expect(await marks(early)).toEqual([
      [409, undefined],
      [409, 'true'],
    ]);
  });
});
