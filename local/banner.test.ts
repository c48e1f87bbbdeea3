import { banner } from './banner.ts';
import { commands } from './commands.mjs';

const account = (name: string) => ({ email: `${name}@example.com`, password: `secret of ${name}` });
const started = {
  addresses: {
    ...{ api: 'http://a', websocket: 'ws://w', docs: 'http://a/docs', sqs: 'http://q', events: 'http://e' },
    ...{ mysql: 'mysql://root:hidden@127.0.0.1:1/x', redis: 'redis://:hidden@127.0.0.1:2', provider: ['http://p'] },
    ...{ mail: 'http://m', registry: '/r' },
  },
  ...{ web: 'http://s', dir: '/somewhere/.local', operator: account('operator'), customers: [account('ada')] },
};

describe('what npm start says', () => {
  test('is what it keeps, where, and how to begin afresh', () => {
    const text = banner({ ...started, wentOn: true });
    for (const part of ['/somewhere/.local', 'npm start -- --fresh']) expect(text).toContain(part);
    expect(commands.start.options.fresh.type).toBe('boolean');
    expect(banner({ ...started, wentOn: false })).not.toBe(text);
  });

  test('is who can sign in and how an admin is made, and no password of a store', () => {
    const text = banner({ ...started, wentOn: false });
    expect(text).toContain('operator@example.com  secret of operator');
    expect(text).toContain('npm run admin -- --customer');
    expect(text).not.toContain('hidden');
  });
});
