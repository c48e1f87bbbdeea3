import fc from 'fast-check';
import { Email } from './identity.shapes.ts';
import { canonicalMailbox } from './mailbox.ts';

const long = (length: number) => 'a'.repeat(length);

test.each([
  ['ada@example.com', 'ada@example.com'],
  ['Ada.Lovelace+sale@Example.COM', 'ada.lovelace+sale@example.com'],
  ["!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com"],
  ['"ada"@example.com', 'ada@example.com'],
  ['"a.\\d\\a"@example.com', 'a.da@example.com'],
  ['"ada lovelace"@example.com', '"ada lovelace"@example.com'],
  ['"ada..lovelace"@example.com', '"ada..lovelace"@example.com'],
  ['"a@b"@example.com', '"a@b"@example.com'],
  ['"a\\"b\\\\c"@example.com', '"a\\"b\\\\c"@example.com'],
  ['""@example.com', '""@example.com'],
  ['ada@[192.0.2.1]', 'ada@[192.0.2.1]'],
  ['ada@[IPv6:2001:db8::1]', 'ada@[ipv6:2001:db8::1]'],
  ['ada@localhost', 'ada@localhost'],
  ['ada@127.1', 'ada@127.1'],
  ['김철수@예시.한국', '김철수@예시.한국'],
  ['김철수@xn--9n2bp8q.xn--3e0b707e', '김철수@실례.한국'],
  ['jörg@bücher.example', 'jörg@bücher.example'],
  ['jörg@BÜCHER.example'.normalize('NFD'), 'jörg@bücher.example'],
  ['δοκιμή@παράδειγμα.δοκιμή', 'δοκιμή@παράδειγμα.δοκιμή'],
  ['😀@example.com', '😀@example.com'],
  [`${long(64)}@example.com`, `${long(64)}@example.com`],
  [`a@${long(63)}.${long(63)}.${long(63)}.com`, `a@${long(63)}.${long(63)}.${long(63)}.com`],
])('%s is the mailbox %s', (typed, canonical) => {
  expect(canonicalMailbox(typed)).toBe(canonical);
  expect(canonicalMailbox(canonical)).toBe(canonical);
  expect(Email.parse(typed)).toBe(canonical);
});

test.each([
  '',
  '@',
  'ada',
  'ada@',
  '@example.com',
  'ada@@example.com',
  'a b@example.com',
  '.ada@example.com',
  'ada.@example.com',
  'a..da@example.com',
  'ada@example..com',
  'ada@.example.com',
  'ada@example.com.',
  'ada@-example.com',
  'ada@example-.com',
  'ada@exa_mple.com',
  'ada@exa mple.com',
  'ada@[192.0.2.256]',
  'ada@[2001:db8::1]',
  'ada@[IPv6:192.0.2.1]',
  'ada@[IPv6:fe80::1%eth0]',
  'ada@[tag:x]',
  '"ada@example.com',
  '"a"b"@example.com',
  '"a\\"@example.com',
  '"a\nb"@example.com',
  'a\u0000b@example.com',
  'a\u00a0b@example.com',
  'a\u200bb@example.com',
  'a\ud800@example.com',
  'ada@exa\u3000mple.com',
  'Ada <ada@example.com>',
  'ada(comment)@example.com',
  'a,b@example.com',
  `${long(65)}@example.com`,
  `${'é'.repeat(33)}@example.com`,
  `a@${long(64)}.com`,
  `${long(64)}@${long(63)}.${long(63)}.${long(63)}.com`,
])('%j is no mailbox', (typed) => {
  expect(canonicalMailbox(typed)).toBeUndefined();
  expect(Email.safeParse(typed).success).toBe(false);
});

test('every address that is taken is written in one way, and fits the column', () => {
  const part = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(part, part, fc.boolean(), (local, host, isQuoted) => {
      const canonical = canonicalMailbox(`${isQuoted ? JSON.stringify(local) : local}@${host}`);
      if (canonical === undefined) return;
      expect(canonicalMailbox(canonical)).toBe(canonical);
      expect([...canonical].length).toBeLessThanOrEqual(254);
    }),
    { numRuns: 2_000 },
  );
});
