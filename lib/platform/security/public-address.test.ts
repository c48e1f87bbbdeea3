import fc from 'fast-check';
import { isLoopbackAddress, isPublicAddress } from './public-address.ts';

const publicOnes = [
  '1.1.1.1',
  '8.8.8.8',
  '100.63.255.255',
  '172.32.0.1',
  '223.255.255.255',
  '2606:4700:4700::1111',
  '2a00:1450::1',
];

const otherOnes = [
  ...[
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
  ],
  ...['192.168.1.1', '192.0.0.8', '198.19.255.255', '224.0.0.1', '240.0.0.1', '255.255.255.255'],
  ...[
    '::',
    '::1',
    'fe80::1',
    'fe80::1%eth0',
    'fc00::1',
    'fd00:ec2::254',
    'ff02::1',
    '2001:db8::1',
    '100::1',
    '4000::1',
  ],
];

/** IPv4 addresses as IPv6 carries them. */
const carried = [
  (v4: string) => `::ffff:${v4}`,
  (v4: string) => `::${v4}`,
  (v4: string) => `64:ff9b::${v4}`,
  (v4: string) => `64:ff9b:1::${v4}`,
  (v4: string) => `2002:${hexOf(v4)}::1`,
  (v4: string) => `2001:0:4136:e378:8000:63bf:${hexOf(v4)}`,
];

function hexOf(v4: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = v4.split('.').map(Number);
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

describe('public addresses', () => {
  it.each(publicOnes)('%s is one', (address) => expect(isPublicAddress(address)).toBe(true));

  it.each(otherOnes)('%s is none', (address) => expect(isPublicAddress(address)).toBe(false));

  it.each(['', 'localhost', '127.1', '0x7f.0.0.1', '2130706433', '1.1.1.1:443', '[::1]', '1.1.1.1/8', ' 1.1.1.1'])(
    'the text "%s" is none',
    (text) => expect(isPublicAddress(text)).toBe(false),
  );

  it('no IPv4 address becomes public by being carried in IPv6', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.constantFrom(...carried), (v4, carry) => {
        expect(isPublicAddress(carry(v4))).toBe(false);
      }),
    );
  });
});

describe('loopback', () => {
  it.each(['127.0.0.1', '127.8.9.10', '::1'])('%s is this machine', (address) =>
    expect(isLoopbackAddress(address)).toBe(true),
  );
  it.each(['1.1.1.1', '10.0.0.1', '::ffff:127.0.0.1', 'localhost', ''])('"%s" is not', (address) =>
    expect(isLoopbackAddress(address)).toBe(false),
  );
});
