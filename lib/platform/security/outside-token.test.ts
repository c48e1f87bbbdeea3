/** Tokens of other issuers: what the common ones send is taken, and what anybody could make of it is not. */
import { createHmac } from 'node:crypto';
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';
import type { Issuer } from './issuers.ts';
import { issuerOf, openOutsideTokens, readSigningKeys, signingKeysIn } from './outside-token.ts';

const nowMs = 1_800_000_000_000;
const now = nowMs / 1_000;
const issuer: Issuer = {
  ...{ issuer: 'https://id.example.com', kind: 'standard', audience: ['shop'], algorithms: ['RS256', 'ES256'] },
  prefix: 'https://id.example.com|',
};

const pairs = {
  rsa: await generateKeyPair('RS256', { extractable: true }),
  ec: await generateKeyPair('ES256', { extractable: true }),
  other: await generateKeyPair('RS256', { extractable: true }),
};
const publicJwk = async (pair: keyof typeof pairs, more: JWK = {}): Promise<JWK> => ({
  ...(await exportJWK(pairs[pair].publicKey)),
  kid: pair,
  ...more,
});
const published = JSON.stringify({ keys: [await publicJwk('rsa', { alg: 'RS256' }), await publicJwk('ec')] });
const keys = readSigningKeys(signingKeysIn(published, issuer.algorithms) ?? '');

const claims: JWTPayload = {
  ...{ iss: issuer.issuer, aud: 'shop', sub: 'ada', client_id: 'web', iat: now - 10, exp: now + 3_600 },
};
interface Made {
  readonly payload?: JWTPayload;
  readonly header?: Record<string, unknown>;
  readonly by?: keyof typeof pairs;
}
async function make({ payload = {}, header = {}, by = 'rsa' }: Made = {}): Promise<string> {
  const alg = by === 'ec' ? 'ES256' : 'RS256';
  return new SignJWT({ ...claims, ...payload })
    .setProtectedHeader({ alg, typ: 'at+jwt', kid: by, ...header })
    .sign(pairs[by].privateKey, { crit: { x: true } });
}

/** What comes of a token: whose it is, or why it is not accepted. */
async function outcome(token: string, of: Issuer = issuer, atMs = nowMs): Promise<string> {
  const read = await openOutsideTokens(() => atMs).read(token, of, keys);
  return 'unfit' in read ? read.unfit : read.subject;
}

const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');

test('a token of the issuer tells whose it is and when it ends, by whichever of its keys', async () => {
  const tokens = openOutsideTokens(() => nowMs);
  for (const by of ['rsa', 'ec'] as const) {
    const read = await tokens.read(await make({ by }), issuer, keys);
    expect(read).toEqual({ subject: 'ada', email: undefined, expiresAtMs: (now + 3_600) * 1_000 });
  }
});

test.each<[why: string, Made]>([
  ['key', { header: { kid: 'unknown' } }],
  ['key', { header: { kid: undefined } }],
  ['signature', { by: 'other', header: { kid: 'rsa' } }],
  ['algorithm', { by: 'ec', header: { kid: 'rsa' } }],
  ['audience', { payload: { aud: 'another shop' } }],
  ['audience', { payload: { aud: undefined } }],
  ['claims', { payload: { iss: 'https://id.example.com/' } }],
  ['claims', { payload: { exp: undefined } }],
  ['claims', { payload: { iat: undefined } }],
  ['claims', { payload: { sub: undefined } }],
  ['claims', { payload: { sub: '' } }],
  // As text each of these reads like somebody's subject.
  ...[['ada'], null, 7, true, {}].map((sub): [string, Made] => [
    'claims',
    { payload: { sub: sub as unknown as string } },
  ]),
  ['claims', { payload: { exp: 'tomorrow' as unknown as number } }],
  ['expired', { payload: { exp: now - 31 } }],
  ['not_valid_yet', { payload: { nbf: now + 31 } }],
  ['not_valid_yet', { payload: { iat: now + 31 } }],
  ['too_old', { payload: { iat: now - 86_431 } }],
  ['type', { header: { typ: 'JWT' } }],
  ['type', { header: { typ: undefined } }],
  ['program', { payload: { sub: 'web' } }],
])('one that must not count is refused: %s, %j', async (why, made) => {
  expect(await outcome(await make(made))).toBe(why);
});

test('clocks may differ by half a minute, and no token counts for longer than a day', async () => {
  expect(await outcome(await make({ payload: { exp: now - 29 } }))).toBe('ada');
  expect(await outcome(await make({ payload: { iat: now + 29, nbf: now + 29 } }))).toBe('ada');
  const tokens = openOutsideTokens(() => nowMs);
  expect(await tokens.read(await make({ payload: { exp: now + 10 ** 8 } }), issuer, keys)).toMatchObject({
    expiresAtMs: (now - 10 + 86_400) * 1_000,
  });
});

test('no algorithm counts but those that are set: neither none nor a secret made of the public key', async () => {
  const payload = encode(claims);
  const forged = (alg: string, sign: (text: string) => string) => {
    const text = `${encode({ alg, typ: 'at+jwt', kid: 'rsa' })}.${payload}`;
    return `${text}.${sign(text)}`;
  };
  expect(await outcome(forged('none', () => ''))).toBe('algorithm');
  expect(await outcome(forged('None', () => ''))).toBe('algorithm');
  const publicKey = JSON.stringify(await publicJwk('rsa'));
  const byPublicKey = (text: string) => createHmac('sha256', publicKey).update(text).digest('base64url');
  expect(await outcome(forged('HS256', byPublicKey))).toBe('algorithm');
  expect(await outcome(forged('RS256', byPublicKey))).toBe('signature');
  const token = await make();
  expect(await outcome(token, { ...issuer, algorithms: ['ES256'] })).toBe('algorithm');
});

test('a token that brings its own key, or was changed, is not accepted', async () => {
  const jwk = await publicJwk('other');
  expect(await outcome(await make({ by: 'other', header: { kid: 'rsa', jwk } }))).toBe('signature');
  expect(await outcome(await make({ header: { crit: ['x'], x: 1 } }))).toBe('malformed');
  const [head, , signature] = (await make()).split('.');
  expect(await outcome(`${head}.${encode({ ...claims, sub: 'grace' })}.${signature}`)).toBe('signature');
});

test.each<[kind: Issuer['kind'], payload: JWTPayload, outcome: string]>([
  ['auth0', { aud: ['shop', 'https://id.example.com/userinfo'], azp: 'web', client_id: undefined }, 'ada'],
  ['auth0', { sub: 'web@clients', gty: 'client-credentials' }, 'program'],
  ['auth0', { aud: 'web' }, 'audience'],
  ['auth0', { nonce: 'n' }, 'type'],
  ['keycloak', { typ: 'Bearer', azp: 'web', aud: ['shop', 'account'] }, 'ada'],
  ['keycloak', { typ: 'ID' }, 'type'],
  ['keycloak', { typ: 'Refresh' }, 'type'],
  ['keycloak', {}, 'type'],
  ['keycloak', { typ: 'Bearer', preferred_username: 'service-account-web' }, 'program'],
  ['keycloak', { typ: 'Bearer', aud: 'account' }, 'audience'],
  ['cognito', { token_use: 'access', aud: undefined, client_id: 'shop' }, 'ada'],
  ['cognito', { token_use: 'id', aud: 'shop', client_id: 'shop' }, 'type'],
  ['cognito', { aud: 'shop', client_id: 'shop' }, 'type'],
  ['cognito', { token_use: 'access', aud: 'shop', client_id: 'another' }, 'audience'],
  ['cognito', { token_use: 'access', aud: 'shop', client_id: undefined }, 'audience'],
  ['cognito', { token_use: 'access', client_id: 'shop', sub: 'shop' }, 'program'],
])('%s marks its access tokens in its own way: %j', async (kind, payload, expected) => {
  // None of them says so in the header.
  const token = await make({ payload, header: { typ: kind === 'cognito' ? undefined : 'JWT' } });
  expect(await outcome(token, { ...issuer, kind })).toBe(expected);
});

test('an address is read if that is set, and if the issuer has verified it', async () => {
  const emailOf = async (payload: JWTPayload, of: Issuer) => {
    const read = await openOutsideTokens(() => nowMs).read(await make({ payload }), of, keys);
    return 'unfit' in read ? read.unfit : read.email;
  };
  const email = 'ada@example.com';
  const reading = { ...issuer, emailClaim: 'email' };
  expect(await emailOf({ email, email_verified: true }, reading)).toBe(email);
  expect(await emailOf({ email, email_verified: true }, issuer)).toBeUndefined();
  for (const verified of [false, 'true', 1, undefined]) {
    expect(await emailOf({ email, email_verified: verified }, reading)).toBeUndefined();
  }
  const ofShop = { ...issuer, emailClaim: 'https://shop.example/email' };
  const own = { 'https://shop.example/email': email, 'https://shop.example/email_verified': true };
  expect(await emailOf(own, ofShop)).toBe(email);
});

test('a token that was good is good until it ends, and no longer than its key is', async () => {
  let atMs = nowMs;
  const tokens = openOutsideTokens(() => atMs);
  const token = await make();
  const read = await tokens.read(token, issuer, keys);
  expect(await tokens.read(token, issuer, keys)).toBe(read);
  expect(await tokens.read(token, issuer, new Map())).toEqual({ unfit: 'key' });
  const replaced = readSigningKeys(JSON.stringify({ keys: [await publicJwk('other', { kid: 'rsa' })] }));
  expect(await tokens.read(token, issuer, replaced)).toEqual({ unfit: 'signature' });
  atMs = (now + 3_631) * 1_000;
  expect(await tokens.read(token, issuer, keys)).toEqual({ unfit: 'expired' });
});

test('only public keys for signatures are kept of what an issuer publishes, at most twenty', async () => {
  const secret = { ...(await exportJWK(pairs.rsa.privateKey)), kid: 'leaked' };
  const set = [
    ...[
      await publicJwk('rsa', { use: 'enc' }),
      await publicJwk('rsa', { alg: 'RSA-OAEP' }),
      { kty: 'oct', k: 'c2VjcmV0', kid: 'h' },
    ],
    ...[await publicJwk('rsa', { kid: undefined as unknown as string }), secret, 'no key', null],
  ];
  const kept = signingKeysIn(JSON.stringify({ keys: set }), issuer.algorithms) ?? '';
  expect([...readSigningKeys(kept).keys()]).toEqual(['leaked']);
  expect(kept).not.toContain('"d"');
  for (const text of ['', '[]', 'null', '{"keys":{}}', '{"keys":[]}', '{"keys":[{"kty":"oct","kid":"a","k":"YQ"}]}']) {
    expect(signingKeysIn(text, issuer.algorithms)).toBeUndefined();
  }
  const many = Array.from({ length: 30 }, (_, n) => ({ kty: 'EC', kid: `${n}` }));
  expect(readSigningKeys(signingKeysIn(JSON.stringify({ keys: many }), ['ES256']) ?? '').size).toBe(20);
});

test('a token is of an issuer that it names, if that one is set', async () => {
  const token = await make();
  expect(issuerOf([issuer], token)).toBe(issuer);
  expect(issuerOf([], token)).toBeUndefined();
  expect(issuerOf([{ ...issuer, issuer: 'https://other.example.com' }], token)).toBeUndefined();
  for (const text of [
    '',
    'a.b',
    'a.b.c',
    'a.b.c.d',
    `${token}=`,
    `${token}${'a'.repeat(8_192)}`,
    `x.${encode([1])}.y`,
  ]) {
    expect(issuerOf([issuer], text)).toBeUndefined();
  }
});
