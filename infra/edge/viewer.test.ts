import { runInNewContext } from 'node:vm';
import { edgeCode } from '../hosting.ts';

interface Message {
  uri?: string;
  statusCode?: number;
  headers: Record<string, { value: string }>;
}

const handle = runInNewContext(`${edgeCode()}; handler`) as (event: object) => Message;
const ask = (uri: string, headers: Message['headers'] = {}) =>
  handle({
    request: { uri, headers: { host: { value: 'shop.example.com' }, ...headers } },
    viewer: { ip: '203.0.113.7' },
  });
const id = '01a0b1c2-0000-7000-8000-000000000000';

describe('a call that goes on', () => {
  test.each([
    ['/', '/index.html'],
    ['/settings', '/index.html'],
    ['/console.html', '/console.html'],
    ['/config.json', '/config.json'],
    ['/api/health', '/health'],
    [`/api/sales/${id}/reservations`, `/sales/${id}/reservations`],
    ['/api/', '/'],
    [`/sales/${id}`, `/pages/sales/${id}`],
    [`/sales/${id}.png`, `/pages/sales/${id}/cover`],
  ])('for %s asks for %s', (uri, asked) => expect(ask(uri).uri).toBe(asked));

  test.each(['/nothing', '/sales/x', '/pages/sales', '/index.html/', '/shop.tsx', '/constructor', '/__proto__', '//'])(
    '%s is not there',
    (uri) => expect(ask(uri)).toMatchObject({ statusCode: 404 }),
  );

  test.each(['/', '/api/auth/login', `/sales/${id}`])('to %s says who called, whatever the caller says', (uri) => {
    const forged = { 'holdfast-viewer': { value: '198.51.100.1' }, 'x-forwarded-for': { value: '198.51.100.1' } };
    expect(ask(uri, forged).headers['holdfast-viewer']).toEqual({ value: '203.0.113.7' });
  });

  test.each([
    ['ko-KR,ko;q=0.9,en;q=0.8', 'ko'],
    ['KO', 'ko'],
    ['kok,en', 'en'],
    ['fr', 'en'],
    [undefined, 'en'],
  ])('for the page of a sale in %s asks in %s', (spoken, language) => {
    const headers: Message['headers'] = spoken === undefined ? {} : { 'accept-language': { value: spoken } };
    expect(ask(`/sales/${id}`, headers).headers['accept-language']).toEqual({ value: language });
  });

  test('for the page of a sale says where it was asked for', () => {
    const asked = ask(`/sales/${id}`, { 'holdfast-host': { value: 'elsewhere.example' } });
    expect(asked.headers['holdfast-host']).toEqual({ value: 'shop.example.com' });
  });

  test('to the API keeps the languages as they are', () => {
    expect(ask('/api/me', { 'accept-language': { value: 'ko-KR' } }).headers['accept-language']?.value).toBe('ko-KR');
  });
});

describe('an answer of the API', () => {
  const answered = (headers: Message['headers']) =>
    handle({ request: { uri: '/api/purchases', headers: {} }, response: { statusCode: 202, headers } }).headers;

  test('names what is behind the same prefix', () => {
    expect(answered({ location: { value: `/purchases/${id}` } })).toEqual({
      location: { value: `/api/purchases/${id}` },
    });
  });

  test('is otherwise as it was', () => {
    expect(answered({ location: { value: 'https://bank.example.com/' } })).toEqual({
      location: { value: 'https://bank.example.com/' },
    });
    expect(answered({})).toEqual({});
  });
});
