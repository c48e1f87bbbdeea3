/** What the operator says of customers: what is not said, or does not go together, permits nothing. */
import { loopbackName } from '#platform/kernel/registry.ts';
import { customersSettingOf } from './issuers.ts';

const read = (setting: unknown, more: Record<string, string> = {}) =>
  customersSettingOf({ registry: { 'auth/customers': JSON.stringify(setting), ...more } });
const issuer = { issuer: 'https://id.example.com', audience: 'shop' };

test('without it there are accounts of our own and no issuers', () => {
  expect(customersSettingOf({ registry: {} })).toEqual({ ownAccounts: true, issuers: [] });
  expect(read({})).toEqual({ ownAccounts: true, issuers: [] });
});

test('an issuer is standard, signs by RS256, and has the subjects of its own', () => {
  expect(read({ ownAccounts: false, issuers: [issuer] })).toEqual({
    ownAccounts: false,
    issuers: [
      {
        ...{ issuer: 'https://id.example.com', audience: ['shop'], kind: 'standard' },
        ...{ algorithms: ['RS256'], prefix: 'https://id.example.com|' },
      },
    ],
  });
});

test.each([
  ['a misspelled field', { issuer: [issuer] }],
  ['an issuer without an audience', { issuers: [{ issuer: issuer.issuer }] }],
  ['no audience in a list', { issuers: [{ ...issuer, audience: [] }] }],
  ['an empty audience', { issuers: [{ ...issuer, audience: '' }] }],
  ['signatures by a shared secret', { issuers: [{ ...issuer, algorithms: ['HS256'] }] }],
  ['no signature', { issuers: [{ ...issuer, algorithms: ['none'] }] }],
  ['no algorithm', { issuers: [{ ...issuer, algorithms: [] }] }],
  ['an unknown kind', { issuers: [{ ...issuer, kind: 'okta' }] }],
  ['a prefix with a comma', { issuers: [{ ...issuer, prefix: 'a,' }] }],
  ['an issuer over HTTP', { issuers: [{ ...issuer, issuer: 'http://id.example.com' }] }],
  ['an issuer on this machine', { issuers: [{ ...issuer, issuer: 'http://127.0.0.1:4000' }] }],
  ['an issuer with a user', { issuers: [{ ...issuer, issuer: 'https://a:b@id.example.com' }] }],
  ['an issuer with a query', { issuers: [{ ...issuer, issuer: 'https://id.example.com?a=b' }] }],
  ['an issuer that is no address', { issuers: [{ ...issuer, issuer: 'holdfast' }] }],
  ['an issuer twice', { issuers: [issuer, { ...issuer, prefix: 'other|' }] }],
  [
    'prefixes of which one begins with the other',
    { issuers: [issuer, { ...issuer, issuer: 'https://b', prefix: '' }] },
  ],
])('%s is refused', (_what, setting) => {
  expect(() => read(setting)).toThrow();
});

test('an issuer on this machine is taken where the local stack allows it, and no other over HTTP', () => {
  const here = (address: string) => read({ issuers: [{ ...issuer, issuer: address }] }, { [loopbackName]: 'allowed' });
  for (const address of ['http://127.0.0.1:4000', 'http://localhost:4000', 'http://[::1]:4000/realms/shop']) {
    expect(here(address).issuers).toHaveLength(1);
  }
  expect(() => here('http://10.0.0.1:4000')).toThrow();
  expect(() => here('http://id.example.com')).toThrow();
});
