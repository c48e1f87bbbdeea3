import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, exportSPKI, type JWK, SignJWT } from 'jose';
import { asId } from '#test/support/ids.ts';
import { type Caller, openTokens, type Tokens } from './access-token.ts';
import { isAtLeast, roles } from './roles.ts';

const ed25519 = generateKeyPairSync('ed25519');
const another = generateKeyPairSync('ed25519');
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwkText = (key: KeyObject) => JSON.stringify(key.export({ format: 'jwk' }));

const customer: Caller = { customerId: asId('0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b'), role: 'customer' };
const startMs = Date.UTC(2026, 0, 1);
let nowMs = startMs;
let tokens: Tokens;
let keyId: string;

beforeEach(async () => {
  nowMs = startMs;
  tokens = await openTokens(jwkText(ed25519.privateKey), () => nowMs);
  keyId = await calculateJwkThumbprint(ed25519.publicKey.export({ format: 'jwk' }) as JWK);
});

const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
const seconds = (ms: number) => Math.floor(ms / 1000);

interface Forgery {
  header?: Record<string, unknown>;
  claims?: Record<string, unknown>;
  key?: KeyObject;
}

/** A token that is good in every respect but those that are changed; undefined takes a claim away. */
function forge({ header = {}, claims = {}, key = ed25519.privateKey }: Forgery = {}): Promise<string> {
  const good = { sub: customer.customerId, role: 'customer', iss: 'holdfast', aud: 'holdfast-api' };
  const times = { iat: seconds(startMs), exp: seconds(startMs) + 600 };
  const payload = JSON.parse(JSON.stringify({ ...good, ...times, ...claims }));
  return new SignJWT(payload).setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: keyId, ...header }).sign(key);
}

describe('access tokens', () => {
  test('name the caller and the role, for ten minutes', async () => {
    for (const role of roles) {
      const token = await tokens.issue({ ...customer, role });
      expect(await tokens.verify(token)).toEqual({ ...customer, role, expiresAtMs: startMs + 600_000 });
    }
    const token = await tokens.issue(customer);
    nowMs = startMs + 599_000;
    expect(await tokens.verify(token)).toMatchObject(customer);
    nowMs = startMs + 606_000;
    expect(await tokens.verify(token)).toBeUndefined();
  });

  test('what a forgery is measured by is accepted', async () => {
    expect(await tokens.verify(await forge())).toMatchObject(customer);
  });

  test('an ES256 key works as well', async () => {
    const other = await openTokens(jwkText(p256.privateKey), () => nowMs);
    expect(await other.verify(await other.issue(customer))).toMatchObject(customer);
    expect(await tokens.verify(await other.issue(customer))).toBeUndefined();
    expect(await other.verify(await tokens.issue(customer))).toBeUndefined();
  });

  test.each<[string, Forgery]>([
    ['another issuer', { claims: { iss: 'elsewhere' } }],
    ['no issuer', { claims: { iss: undefined } }],
    ['another audience', { claims: { aud: 'another-api' } }],
    ['no audience', { claims: { aud: undefined } }],
    ['another type', { header: { typ: 'JWT' } }],
    ['no type', { header: { typ: undefined } }],
    ['a refresh type', { header: { typ: 'rt+jwt' } }],
    ['an unknown key id', { header: { kid: 'another' } }],
    ['a key id that is a path', { header: { kid: '../../dev/null' } }],
    ['no key id', { header: { kid: undefined } }],
    ['no subject', { claims: { sub: undefined } }],
    ['no role', { claims: { role: undefined } }],
    ['a role that does not exist', { claims: { role: 'root' } }],
    ['no expiry', { claims: { exp: undefined } }],
    ['no time of issue', { claims: { iat: undefined } }],
    ['an expiry in the past', { claims: { iat: seconds(startMs) - 660, exp: seconds(startMs) - 60 } }],
    ['a time of issue in the future', { claims: { iat: seconds(startMs) + 60, exp: seconds(startMs) + 660 } }],
    ['a start in the future', { claims: { nbf: seconds(startMs) + 60 } }],
    ['a life of a year', { claims: { iat: seconds(startMs) - 86_400, exp: seconds(startMs) + 31_536_000 } }],
    ['times that are text', { claims: { exp: '9999999999' } }],
    ['the signature of another key', { key: another.privateKey }],
    ['an unknown critical header', { header: { crit: ['b64', 'x'], x: 1 } }],
  ])('with %s are refused', async (_what, forgery) => {
    const token = await forge(forgery).catch(() => '');
    expect(await tokens.verify(token)).toBeUndefined();
  });

  test('a key that the token itself brings is not used', async () => {
    const jwk = another.publicKey.export({ format: 'jwk' }) as JWK;
    for (const header of [
      { jku: 'https://attacker.example/keys' },
      { x5u: 'https://attacker.example/cert' },
      { jwk },
      { jwk, kid: await calculateJwkThumbprint(jwk) },
    ]) {
      expect(await tokens.verify(await forge({ header, key: another.privateKey }))).toBeUndefined();
    }
    // A harmless extra header on a good token is not a reason to refuse it.
    expect(await tokens.verify(await forge({ header: { jku: 'https://attacker.example/keys' } }))).toMatchObject(
      customer,
    );
  });

  test('without a signature are refused, for every name of "none"', async () => {
    const [, payload] = (await tokens.issue(customer)).split('.');
    for (const alg of ['none', 'None', 'NONE', '']) {
      const header = encode({ alg, typ: 'at+jwt', kid: keyId });
      for (const token of [`${header}.${payload}.`, `${header}.${payload}`]) {
        expect(await tokens.verify(token)).toBeUndefined();
      }
    }
  });

  test('signed with the public key as a shared secret are refused', async () => {
    const [, payload] = (await tokens.issue(customer)).split('.');
    const publicJwk = ed25519.publicKey.export({ format: 'jwk' });
    for (const secret of [await exportSPKI(ed25519.publicKey), JSON.stringify(publicJwk), publicJwk.x ?? '']) {
      const signed = `${encode({ alg: 'HS256', typ: 'at+jwt', kid: keyId })}.${payload}`;
      const signature = createHmac('sha256', secret).update(signed).digest('base64url');
      expect(await tokens.verify(`${signed}.${signature}`)).toBeUndefined();
    }
  });

  test('tampered with in any part are refused, also after the true one was seen', async () => {
    const token = await tokens.issue(customer);
    expect(await tokens.verify(token)).toMatchObject(customer);
    const [header = '', payload = '', signature = ''] = token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    for (const tampered of [
      `${header}.${encode({ ...claims, role: 'operator' })}.${signature}`,
      `${encode({ alg: 'EdDSA', typ: 'at+jwt' })}.${payload}.${signature}`,
      `${header}.${payload}.${signature.slice(0, -4)}AAAA`,
      `${header}.${payload}.${signature}=`,
      `${header}.${payload}.${signature}.x`,
      `${header}..${signature}`,
      `${token} `,
      token.slice(1),
    ]) {
      expect(await tokens.verify(tampered)).toBeUndefined();
    }
  });

  test.each(['', '.', '..', 'abc', 'null', '0'.repeat(43), '💥.💥.💥'])('%p is no token', async (token) => {
    expect(await tokens.verify(token)).toBeUndefined();
  });

  test('the clock may go back a little between two machines, not by minutes', async () => {
    const token = await tokens.issue(customer);
    nowMs = startMs - 3_000;
    expect(await tokens.verify(token)).toMatchObject(customer);
    nowMs = startMs - 60_000;
    expect(await tokens.verify(token)).toBeUndefined();
  });
});

test('each role may what those before it may, and no more', () => {
  const allowed = roles.map((role) => roles.filter((wanted) => isAtLeast(role, wanted)));
  expect(allowed).toEqual(roles.map((_, index) => roles.slice(0, index + 1)));
});
