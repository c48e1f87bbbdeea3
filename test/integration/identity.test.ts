/** Registration, sessions and their limits, on a real MySQL and Redis. */

import { register, seedOperator } from '#identity/register.ts';
import { forgetExpiredSessions, login, logout, refresh, refreshLeewayMs } from '#identity/session.ts';
import { type Deps, openDeps } from '#platform/environment/deps.ts';
import { takeTokens } from '#platform/handlers/limits.ts';
import { isRefusal } from '#platform/kernel/errors.ts';
import { redisReady } from '#platform/redis/redis.ts';
import { openTokens } from '#platform/security/access-token.ts';
import type { Challenge } from '#platform/security/proof-of-work.ts';
import { newId } from '#test/support/ids.ts';
import { type Api, openApi, password } from '../support/api.ts';
import { solve } from '../support/proof-of-work.ts';
import { type TestBed, testBed } from '../support/stack.ts';

let bed: TestBed;
let api: Api;
let deps: Deps;

beforeAll(async () => {
  bed = await testBed({ queues: false });
  api = openApi();
  deps = await api.deps();
  await redisReady(deps.redis);
});

afterAll(async () => {
  await api?.close();
  await bed?.close();
});

const anEmail = () => `${newId()}@example.com`;
const registration = (email: string) => ({ email, password, name: 'Ada Lovelace' });

describe('registering', () => {
  test('opens an account that is signed in, can sign in again, and sees itself', async () => {
    const email = anEmail();
    const { status, body } = await api.call('POST /auth/register', { json: registration(email) });
    expect(status).toBe(201);
    const { body: session } = await api.call('POST /auth/login', { json: { email, password } });
    for (const { accessToken } of [body, session]) {
      const me = await api.call('GET /me', { token: accessToken });
      expect(me.body).toEqual({
        ...{ customerId: body.customerId, email, name: 'Ada Lovelace', role: 'customer' },
        ...{ locale: null, timeZone: null, isVerified: false, reminders: true },
      });
    }
    const refreshed = await api.call('POST /auth/refresh', { json: { refreshToken: body.refreshToken } });
    expect(refreshed.status).toBe(200);
    expect(refreshed.body.refreshToken).not.toBe(body.refreshToken);
  });

  test('T9: language and time zone can be set when registering and later, each by itself', async () => {
    const email = anEmail();
    await api.call('POST /auth/register', { json: { ...registration(email), timeZone: 'Asia/Seoul' } });
    const token = (await api.call('POST /auth/login', { json: { email, password } })).body.accessToken;
    expect((await api.call('GET /me', { token })).body).toMatchObject({ locale: null, timeZone: 'Asia/Seoul' });
    const changed = await api.call('PATCH /me', { token, json: { locale: 'ko-KR' } });
    expect([changed.status, changed.body]).toMatchObject([200, { email, locale: 'ko-KR', timeZone: 'Asia/Seoul' }]);
    await api.call('PATCH /me', { token, json: { timeZone: 'Europe/Berlin' } });
    expect((await api.call('GET /me', { token })).body).toMatchObject({ locale: 'ko-KR', timeZone: 'Europe/Berlin' });
  });

  test('T9: an unsupported language and an unknown time zone are refused', async () => {
    const { token } = await api.customer();
    const before = (await api.call('GET /me', { token })).body;
    for (const json of [
      {},
      { locale: 'fr' },
      { locale: 'ko_KR' },
      { timeZone: 'Mars/Base' },
      { timeZone: '' },
      { locale: null },
    ]) {
      const code = json.timeZone ? 'unprocessable' : 'invalid_input';
      expect((await api.call('PATCH /me', { token, json })).body.code).toBe(code);
      if (Object.keys(json).length === 0) continue;
      const asked = { json: { ...registration(anEmail()), ...json } };
      expect((await api.call('POST /auth/register', asked)).body.code).toBe(code);
    }
    expect((await api.call('GET /me', { token })).body).toEqual(before);
  });

  test('twice with one password, however the address is spelled and however many at once, is one account', async () => {
    const email = anEmail();
    const spellings = [email, email.toUpperCase(), email, email.toUpperCase()];
    const answers = await Promise.all(
      spellings.map((spelling) => api.call('POST /auth/register', { json: registration(spelling) })),
    );
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
    expect(new Set(answers.map(({ body }) => body.customerId)).size).toBe(1);
    const [row] = await deps.db.rows<{ n: number }>('SELECT COUNT(*) AS n FROM customers WHERE email = ?', [email]);
    expect(row?.n).toBe(1);
  });

  test('does not tell whether an address is known: who comes second has an account of their own, like the first', async () => {
    const owner = await api.customer();
    const stranger = 'an entirely other password';
    const register = (email: string) =>
      api.call('POST /auth/register', { json: { ...registration(email), password: stranger } });
    const [known, fresh] = [await register(owner.email), await register(anEmail())];
    const shown = ({ status, headers: { 'x-correlation-id': _id, ...headers }, body }: typeof known) => ({
      ...{ status, headers, fields: Object.keys(body) },
      lengths: Object.values(body).map((value) => String(value).length),
    });
    expect(shown(known)).toEqual(shown(fresh));
    // Nor does anything that can be done with the account.
    const signIn = (email: string, secret: string) =>
      api.call('POST /auth/login', { json: { email, password: secret } });
    const again = await signIn(owner.email, stranger);
    expect([again.status, again.body.accessToken !== undefined]).toEqual([200, true]);
    const idOf = async (token: string) => (await api.call('GET /me', { token })).body.customerId;
    expect(await idOf(again.body.accessToken)).toBe(known.body.customerId);
    // The owner's account is as it was.
    expect(known.body.customerId).not.toBe(owner.customerId);
    expect(await idOf((await signIn(owner.email, password)).body.accessToken)).toBe(owner.customerId);
    expect((await signIn(owner.email, 'neither of the two')).status).toBe(401);
  });

  test('and costs the same work for a known address', async () => {
    const { email } = await api.customer();
    const work = { known: [] as number[], fresh: [] as number[] };
    let round = 0;
    const workOf = async (address: string) => {
      const before = process.cpuUsage();
      await api.call('POST /auth/register', {
        json: { ...registration(address), password: `another password ${round++}` },
      });
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000;
    };
    for (let n = 0; n < 7; n++) {
      work.known.push(await workOf(email));
      work.fresh.push(await workOf(anEmail()));
    }
    const median = (values: number[]) => values.sort((one, other) => one - other)[3] ?? 0;
    const ratio = median(work.known) / median(work.fresh);
    expect(ratio).toBeGreaterThan(1 / 2);
    expect(ratio).toBeLessThan(2);
  });

  test.each(['password123', 'qwertyuiop', 'adalovelace1', 'Ada Lovelace'])(
    'refuses the password %s',
    async (guessable) => {
      const answer = await api.call('POST /auth/register', {
        json: { ...registration(anEmail()), password: guessable },
      });
      expect([answer.status, answer.body.code, answer.body.fields[0].field]).toEqual([
        422,
        'unprocessable',
        'password',
      ]);
    },
  );

  test('registering with the role of an operator is refused', async () => {
    const { status, body } = await api.call('POST /auth/register', {
      json: { ...registration(anEmail()), role: 'operator' },
    });
    expect([status, body.code]).toEqual([400, 'invalid_input']);
  });

  test('stores an Argon2id hash with the parameters that were decided, and nothing like the password', async () => {
    const { customerId } = await api.customer();
    const [row] = await deps.db.rows<{ hash: string }>(
      'SELECT password_hash AS hash FROM customers WHERE id = UNHEX(?)',
      [customerId.replaceAll('-', '')],
    );
    expect(row?.hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  });

  test('an operator can be seeded twice, the second time with a new password', async () => {
    const email = anEmail();
    const first = await seedOperator(deps, { email, password: 'the first password' });
    const second = await seedOperator(deps, { email, password });
    expect(second).toBe(first);
    const { body } = await api.call('POST /auth/login', { json: { email, password } });
    expect((await api.call('GET /me', { token: body.accessToken })).body.role).toBe('operator');
  });
});

describe('signing in', () => {
  test('a wrong password and an unknown address have the same answer', async () => {
    const { email } = await api.customer();
    const wrong = await api.call('POST /auth/login', { json: { email, password: 'not the password' } });
    const unknown = await api.call('POST /auth/login', { json: { email: anEmail(), password: 'not the password' } });
    expect(wrong.status).toBe(401);
    expect(unknown.status).toBe(401);
    expect(wrong.body).toEqual(unknown.body);
    const own = ({ 'x-correlation-id': _id, ...headers }: Record<string, string>) => headers;
    expect(own(wrong.headers)).toEqual(own(unknown.headers));
  });

  test('and cost the same work, since both pay for one hash', async () => {
    const { email } = await api.customer();
    const workOf = async (address: string) => {
      const before = process.cpuUsage();
      await api.call('POST /auth/login', { json: { email: address, password: 'not the password' }, ip: newIp() });
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000;
    };
    const work: { known: number[]; unknown: number[] } = { known: [], unknown: [] };
    // Processor time, which another process on this machine does not lengthen as it does the clock's.
    for (let round = 0; round < 9; round++) {
      work.known.push(await workOf(email));
      work.unknown.push(await workOf(anEmail()));
    }
    const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
    const ratio = median(work.known) / median(work.unknown);
    // Without the stand-in's hash an unknown address would cost a tenth.
    expect(ratio).toBeGreaterThan(1 / 3);
    expect(ratio).toBeLessThan(3);
  });
});

describe('refreshing', () => {
  test('hands out a new session, time after time', async () => {
    let { refreshToken } = await api.customer();
    const seen = new Set([refreshToken]);
    for (let n = 0; n < 3; n++) {
      const { status, body } = await api.call('POST /auth/refresh', { json: { refreshToken } });
      expect(status).toBe(200);
      expect((await api.call('GET /me', { token: body.accessToken })).status).toBe(200);
      refreshToken = body.refreshToken;
      expect(seen.has(refreshToken)).toBe(false);
      seen.add(refreshToken);
    }
  });

  /** The verbs at a time of the test's own. */
  async function atTime() {
    const time = { nowMs: Date.now() };
    const timed = openDeps(bed.registry, { clock: () => time.nowMs, db: deps.db, redis: deps.redis });
    const tokens = await openTokens(bed.registry['secret/token-signing-key'] ?? '', timed.clock);
    const renew = (refreshToken: string, onEnd?: Parameters<typeof refresh>[3]) =>
      refresh(timed, tokens, refreshToken, onEnd);
    const renewed = async (refreshToken: string) => {
      const session = await renew(refreshToken);
      if (isRefusal(session)) throw new Error(session.detail);
      return session;
    };
    return { time, renew, renewed };
  }

  test('S1: a token whose answer was lost gets the same successor again, with an access token that works', async () => {
    const { refreshToken } = await api.customer();
    const [first, second] = [
      await api.call('POST /auth/refresh', { json: { refreshToken } }),
      await api.call('POST /auth/refresh', { json: { refreshToken } }),
    ];
    expect([first.status, second.status]).toEqual([200, 200]);
    expect(second.body.refreshToken).toBe(first.body.refreshToken);
    expect((await api.call('GET /me', { token: second.body.accessToken })).status).toBe(200);
    const next = await api.call('POST /auth/refresh', { json: { refreshToken: second.body.refreshToken } });
    expect(next.status).toBe(200);
  });

  test('S1: of many refreshes at once all succeed, with one successor', async () => {
    for (let round = 0; round < 5; round++) {
      const { refreshToken } = await api.customer();
      const answers = await Promise.all(
        Array.from({ length: 4 }, () => api.call('POST /auth/refresh', { json: { refreshToken } })),
      );
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
      const successors = new Set(answers.map(({ body }) => body.refreshToken));
      expect(successors.size).toBe(1);
      const [successor] = successors;
      expect((await api.call('POST /auth/refresh', { json: { refreshToken: successor } })).status).toBe(200);
    }
  });

  test('S1: a token that comes after its successor was used ends its whole family, and only that (RFC 9700)', async () => {
    const { email, refreshToken: stolen } = await api.customer();
    const other = (await api.call('POST /auth/login', { json: { email, password } })).body.refreshToken;
    const { body: next } = await api.call('POST /auth/refresh', { json: { refreshToken: stolen } });
    const { body: last } = await api.call('POST /auth/refresh', { json: { refreshToken: next.refreshToken } });
    expect((await api.call('POST /auth/refresh', { json: { refreshToken: stolen } })).status).toBe(401);
    for (const refreshToken of [next.refreshToken, last.refreshToken]) {
      const answer = await api.call('POST /auth/refresh', { json: { refreshToken } });
      expect([answer.status, answer.body.code]).toEqual([401, 'unauthenticated']);
    }
    expect((await api.call('POST /auth/refresh', { json: { refreshToken: other } })).status).toBe(200);
  });

  test('S1: the leeway ends: a token that comes later ends its family though its successor was never used', async () => {
    const { time, renew, renewed } = await atTime();
    const { refreshToken } = await api.customer();
    const first = await renewed(refreshToken);
    time.nowMs += refreshLeewayMs;
    expect((await renewed(refreshToken)).refreshToken).toBe(first.refreshToken);
    time.nowMs += 1;
    expect(await renew(refreshToken)).toMatchObject({ refused: 'unauthenticated' });
    expect(await renew(first.refreshToken)).toMatchObject({ refused: 'unauthenticated' });
  });

  test('S1: within the leeway a session that was signed out stays so', async () => {
    const { refreshToken } = await api.customer();
    const { body } = await api.call('POST /auth/refresh', { json: { refreshToken } });
    await api.call('POST /auth/logout', { json: { refreshToken: body.refreshToken } });
    expect((await api.call('POST /auth/refresh', { json: { refreshToken } })).status).toBe(401);
  });

  test('S1: a token that an older build has used has no successor to issue again, and ends its family', async () => {
    const { refreshToken } = await api.customer();
    const { body } = await api.call('POST /auth/refresh', { json: { refreshToken } });
    await deps.db.change('UPDATE refresh_tokens SET successor_salt = NULL', []);
    expect((await api.call('POST /auth/refresh', { json: { refreshToken } })).status).toBe(401);
    expect((await api.call('POST /auth/refresh', { json: { refreshToken: body.refreshToken } })).status).toBe(401);
  });

  test('signing out ends the session, as often as one likes', async () => {
    const { refreshToken } = await api.customer();
    const { body: next } = await api.call('POST /auth/refresh', { json: { refreshToken } });
    for (const token of [next.refreshToken, next.refreshToken, 'unheard of']) {
      expect((await api.call('POST /auth/logout', { json: { refreshToken: token } })).status).toBe(204);
    }
    expect((await api.call('POST /auth/refresh', { json: { refreshToken: next.refreshToken } })).status).toBe(401);
  });

  test('signing out, and a token that comes a second time, name the session that they end; its access tokens name it too', async () => {
    const { time, renew, renewed } = await atTime();
    const tokens = await openTokens(bed.registry['secret/token-signing-key'] ?? '', () => time.nowMs);
    const { customerId, refreshToken, token } = await api.customer();
    const sessionId = (await tokens.verify(token))?.sessionId;
    const next = await renewed(refreshToken);
    expect((await tokens.verify(next.accessToken))?.sessionId).toBe(sessionId);
    expect(await logout(deps, next.refreshToken)).toEqual({ customerId, sessionId });
    expect(await logout(deps, 'unheard of')).toBeUndefined();

    const stolen = await api.customer();
    const ended: unknown[] = [];
    await renewed(stolen.refreshToken);
    time.nowMs += refreshLeewayMs + 1;
    await renew(stolen.refreshToken, async (session) => void ended.push(session));
    const { sessionId: copied } = (await tokens.verify(stolen.token)) ?? {};
    expect(ended).toEqual([{ customerId: stolen.customerId, sessionId: copied }]);
  });

  test('what stays valid after signing out is the access token, for ten minutes', async () => {
    const { token, refreshToken } = await api.customer();
    await api.call('POST /auth/logout', { json: { refreshToken } });
    expect((await api.call('GET /me', { token })).status).toBe(200);
    expect(api.document.paths?.['/auth/logout']?.post?.summary).toContain('ten minutes');
  });

  test('ends thirty days after signing in, however often it was refreshed, and leaves no rows', async () => {
    const { email } = await api.customer();
    let nowMs = Date.now();
    const later = openDeps(bed.registry, { clock: () => nowMs, db: deps.db, redis: deps.redis });
    const tokens = await openTokens(bed.registry['secret/token-signing-key'] ?? '', later.clock);
    const first = await login(later, tokens, { email, password }, { address: newIp() });
    if (isRefusal(first)) throw new Error(first.detail);
    nowMs += 29 * 86_400_000;
    const second = await refresh(later, tokens, first.refreshToken);
    if (isRefusal(second)) throw new Error(second.detail);
    nowMs += 2 * 86_400_000;
    expect(await refresh(later, tokens, second.refreshToken)).toMatchObject({ refused: 'unauthenticated' });
    expect(await forgetExpiredSessions(later)).toBeGreaterThanOrEqual(2);
    expect(await refresh(later, tokens, second.refreshToken)).toMatchObject({ refused: 'unauthenticated' });
  });

  test('a token in the table cannot be used: only its hash is there', async () => {
    const { refreshToken } = await api.customer();
    const rows = await deps.db.rows<{ hash: Buffer }>('SELECT token_hash AS hash FROM refresh_tokens');
    for (const form of ['hex', 'base64url', 'latin1'] as const) {
      expect(rows.some(({ hash }) => hash.toString(form) === refreshToken)).toBe(false);
    }
  });
});

describe('limits', () => {
  const wrong = 'not the password';
  const signIn = (
    email: string,
    sent: { secret?: string; ip?: string; deviceToken?: string; headers?: Record<string, string> } = {},
  ) => {
    const { secret = password, ip = newIp(), deviceToken, headers } = sent;
    return api.call('POST /auth/login', {
      json: { email, password: secret, deviceToken },
      ip,
      ...(headers ? { headers } : {}),
    });
  };
  /** Guesses from many addresses until the account is under attack; returns the answer that says so. */
  async function attack(email: string) {
    for (let n = 0; n < 30; n++) {
      const answer = await signIn(email, { secret: wrong });
      if (answer.status === 429) return answer;
      expect(answer.body.code).toBe('invalid_credentials');
    }
    throw new Error('guesses were not limited');
  }

  test('guesses at one account from many addresses are limited, with Retry-After, whether or not it exists', async () => {
    for (const email of [(await api.customer()).email, anEmail()]) {
      const refused = await attack(email);
      expect(refused.body.code).toBe('work_required');
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
      // The right password makes no difference.
      expect((await signIn(email)).body.code).toBe('work_required');
    }
  });

  test('guesses do not lock the owner out: a device that is known signs in, and has a limit of its own', async () => {
    const { email, deviceToken } = await api.customer();
    await attack(email);
    expect((await signIn(email, { deviceToken })).status).toBe(200);
    // It does not help to guess: mistakes on it are limited like those from elsewhere.
    expect((await signIn(email, { deviceToken, secret: wrong })).body.code).toBe('work_required');
    const answers = [];
    for (let n = 0; n < 12; n++) answers.push((await signIn(email, { deviceToken })).status);
    expect(answers).toContain(429);
  });

  test('what makes a device known to one account says nothing of another with the same address', async () => {
    const owner = await api.customer();
    const json = { email: owner.email, password: 'the password of a stranger', name: 'Eve' };
    const { body: stranger } = await api.call('POST /auth/register', { json });
    await attack(owner.email);
    const { deviceToken } = stranger;
    expect((await signIn(owner.email, { secret: json.password, deviceToken })).status).toBe(200);
    expect((await signIn(owner.email, { deviceToken })).body.code).toBe('work_required');
    expect((await signIn(owner.email, { deviceToken: `${deviceToken}x` })).body.code).toBe('work_required');
    const other = await api.customer();
    expect((await signIn(owner.email, { deviceToken: other.deviceToken })).body.code).toBe('work_required');
  });

  test('and a proof of work lets the owner in from anywhere, once each', async () => {
    const { email } = await api.customer();
    const { body } = await attack(email);
    const headers = { 'x-proof-of-work': await solve(body.challenge) };
    expect((await signIn(email, { headers, secret: wrong })).status).toBe(401);
    expect((await signIn(email, { headers })).body.code).toBe('work_required');
    const again = { 'x-proof-of-work': await solve((await attack(email)).body.challenge) };
    expect((await signIn(email, { headers: again })).status).toBe(200);
    // It was made for signing in and is worth nothing elsewhere.
    const other = { 'x-proof-of-work': await solve((await attack(email)).body.challenge) };
    const registered = await api.call('POST /auth/register', {
      json: registration(email),
      headers: other,
      ip: newIp(),
    });
    expect(registered.body.code).toBe('work_required');
  });

  test('attempts that are refused for their address do not use up the account', async () => {
    const { email } = await api.customer();
    const strict = openDeps({ ...bed.registry, 'limit/login-address': '2/1' }, { db: deps.db, redis: deps.redis });
    const tokens = await openTokens(bed.registry['secret/token-signing-key'] ?? '', strict.clock);
    const tryFrom = (address: string) => login(strict, tokens, { email, password }, { address });
    const ip = newIp();
    for (let n = 0; n < 40; n++) await tryFrom(ip);
    expect(await tryFrom(ip)).toMatchObject({ refused: 'work_required' });
    expect(await tryFrom(newIp())).toHaveProperty('accessToken');
  });

  test('registering is no way around: it takes from the same account, and from its address', async () => {
    const { email } = await api.customer();
    await attack(email);
    const registered = await api.call('POST /auth/register', {
      json: { ...registration(email), password: 'yet another guess' },
      ip: newIp(),
    });
    expect(registered.body.code).toBe('work_required');
    const strict = openDeps({ ...bed.registry, 'limit/register-address': '3/1' }, { db: deps.db, redis: deps.redis });
    const tokens = await openTokens(bed.registry['secret/token-signing-key'] ?? '', strict.clock);
    const ip = newIp();
    const join = (proof?: string) => register(strict, tokens, registration(anEmail()), { address: ip, proof });
    for (let n = 0; n < 3; n++) expect(await join()).toHaveProperty('customerId');
    const refused = await join();
    if (!isRefusal(refused)) throw new Error('a fourth account was free');
    const proof = await solve(refused.facts?.challenge as Challenge);
    expect(await join(proof)).toHaveProperty('customerId');
    expect(await join(proof)).toMatchObject({ refused: 'work_required' });
  });

  test('a bucket holds its burst, refuses without taking, and refills at its rate', async () => {
    const rate = { burst: 3, perMinute: 600 };
    const take = (who: string) => takeTokens(deps, [{ what: 'test', who, rate }]);
    expect(await Promise.all(Array.from({ length: 3 }, () => take('a')))).toEqual([[], [], []]);
    const empty = [{ what: 'test', retryAfterSeconds: 1 }];
    expect(await take('a')).toEqual(empty);
    expect(await take('b')).toEqual([]);
    let taken: unknown[] = empty;
    const startedAt = Date.now();
    while (taken.length > 0 && Date.now() - startedAt < 5_000) taken = await take('a');
    expect(taken).toEqual([]);
    expect(Date.now() - startedAt).toBeLessThan(1_000);
  });

  test('of several buckets, one that is empty keeps the others as they are', async () => {
    const bucket = (what: string, burst: number) => ({ what, who: newIp(), rate: { burst, perMinute: 1 } });
    const [small, large] = [bucket('small', 1), bucket('large', 2)];
    expect(await takeTokens(deps, [small, large])).toEqual([]);
    for (let n = 0; n < 5; n++) expect(await takeTokens(deps, [large, small])).toMatchObject([{ what: 'small' }]);
    expect(await takeTokens(deps, [large])).toEqual([]);
    expect(await takeTokens(deps, [large])).toMatchObject([{ what: 'large' }]);
  });

  test('attempts that come at the same time are limited one by one', async () => {
    const [crowd, other] = [newIp(), newIp()];
    const attempts = Array.from({ length: 250 }, (_, n) =>
      takeTokens(deps, [
        { what: 'each', who: `${other} ${n}`, rate: { burst: 1, perMinute: 1 } },
        { what: 'all', who: crowd, rate: { burst: 7, perMinute: 1 } },
      ]),
    );
    const empty = await Promise.all(attempts);
    expect(empty.filter((one) => one.length === 0)).toHaveLength(7);
    expect(empty.flat().filter(({ what }) => what === 'all')).toHaveLength(243);
    // Those that were refused have kept their own token.
    const again = (n: number) =>
      takeTokens(deps, [{ what: 'each', who: `${other} ${n}`, rate: { burst: 1, perMinute: 1 } }]);
    expect(await Promise.all(Array.from({ length: 250 }, (_, n) => again(n)))).toEqual(
      empty.map((one) => (one.length === 0 ? [{ what: 'each', retryAfterSeconds: 60 }] : [])),
    );
  });

  test('without Redis there is no limit, and little delay', async () => {
    const withoutRedis = openDeps({ ...bed.registry, 'redis/main': 'redis://127.0.0.1:1' });
    const startedAt = Date.now();
    const rate = { burst: 1, perMinute: 1 };
    for (let n = 0; n < 3; n++) {
      expect(await takeTokens(withoutRedis, [{ what: 'test', who: 'c', rate }])).toEqual([]);
    }
    expect(Date.now() - startedAt).toBeLessThan(3_000);
    await withoutRedis.close();
  });
});

let lastIp = 0;
function newIp(): string {
  lastIp++;
  return `198.51.${lastIp >> 8}.${lastIp & 255}`;
}
