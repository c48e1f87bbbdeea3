import { rateOf } from '#platform/redis/rate-limit.ts';
import { networkOf } from './limits.ts';

describe('limits', () => {
  test.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002::1', '2001:db8:1:2::/64'],
    ['2001:DB8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ])('%s is limited as %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });

  test('a stack sets its own rates, and a malformed rate is an error', () => {
    const strict = { burst: 1, perMinute: 2 };
    expect(rateOf({}, 'x', strict)).toBe(strict);
    expect(rateOf({ 'limit/x': '10/600' }, 'x', strict)).toEqual({ burst: 10, perMinute: 600 });
    for (const set of ['', '10', '0/5', '10/0', '-1/5', '1e3/5', 'none', '10/5/1']) {
      expect(() => rateOf({ 'limit/x': set }, 'x', strict)).toThrow('limit/x');
    }
  });
});
