import { addressAtEdge, edgeHostHeader, edgeKeyHeader, edgeViewerHeader, originAtEdge } from './edge.ts';

const key = 'the-key-of-the-distribution';
const told = (viewer: string, shown = key) =>
  addressAtEdge(key, { [edgeKeyHeader]: shown, [edgeViewerHeader]: viewer });

test.each(['203.0.113.7', '2001:db8::7'])('what our distribution says of the caller counts: %s', (viewer) => {
  expect(told(viewer)).toBe(viewer);
});

test.each([
  ['another key', told('203.0.113.7', 'the-key-of-the-distributioN')],
  ['the beginning of the key', told('203.0.113.7', key.slice(0, -1))],
  ['an empty key', told('203.0.113.7', '')],
  ['no key', addressAtEdge(key, { [edgeViewerHeader]: '203.0.113.7' })],
  ['what proxies write', addressAtEdge(key, { 'x-forwarded-for': '203.0.113.7', [edgeKeyHeader]: key })],
  ['no address', told('somebody')],
  ['several addresses', told('203.0.113.7, 203.0.113.8')],
  [
    'a stack without a distribution',
    addressAtEdge(undefined, { [edgeKeyHeader]: '', [edgeViewerHeader]: '203.0.113.7' }),
  ],
])('nothing is believed with %s', (_, address) => expect(address).toBeUndefined());

test('the pages are where the distribution was called, and nowhere else that somebody writes', () => {
  expect(originAtEdge({ [edgeHostHeader]: 'shop.example.com' })).toBe('https://shop.example.com');
  for (const host of [undefined, '', 'a/b', 'a"b', 'a b', 'user@host', 'x'.repeat(300)]) {
    expect(originAtEdge({ [edgeHostHeader]: host })).toBe('');
  }
});
