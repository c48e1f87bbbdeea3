import { mayConnectFrom, originsOf } from './origins.ts';

test.each([
  ['*', ['*']],
  ['https://shop.example.com', ['https://shop.example.com']],
  [' https://a.example , http://localhost:8080,', ['https://a.example', 'http://localhost:8080']],
  ['', []],
])('the list "%s"', (list, origins) => expect(originsOf(list)).toEqual(origins));

test.each([
  'shop.example.com',
  'https://shop.example.com/',
  'https://shop.example.com/path',
  'https://*.example.com:443',
  'null',
])('"%s" is no origin', (list) => expect(() => originsOf(list)).toThrow('is not an origin'));

const list = 'https://shop.example.com,http://127.0.0.1:8080';
test.each([
  ['https://shop.example.com', list, true],
  ['http://127.0.0.1:8080', list, true],
  ['http://shop.example.com', list, false],
  ['https://shop.example.com.evil.example', list, false],
  ['https://evil.example', list, false],
  ['null', list, false],
  ['', list, false],
  [undefined, list, true],
  ['https://evil.example', '*', true],
  ['https://evil.example', '', false],
])('from %s with the list "%s": %s', (origin, allowed, may) => expect(mayConnectFrom(origin, allowed)).toBe(may));
