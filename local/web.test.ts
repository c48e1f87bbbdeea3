import { request } from 'node:http';
import { startWeb } from './web.ts';

const config = { api: 'http://127.0.0.1:3000', websocket: 'ws://127.0.0.1:3001' };
let web: Awaited<ReturnType<typeof startWeb>>;

beforeAll(async () => {
  web = await startWeb({ port: 0, config });
});

afterAll(() => web.stop());

/** The status of a path, sent as it stands: fetch would tidy it up first. */
function statusOf(path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request({ port: web.port, host: '127.0.0.1', path }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
}

describe('the host of the pages', () => {
  it.each([
    ['/', 'text/html; charset=utf-8'],
    ['/console.html', 'text/html; charset=utf-8'],
    ['/shop.js', 'text/javascript; charset=utf-8'],
    ['/console.js?v=1', 'text/javascript; charset=utf-8'],
    ['/style.css', 'text/css; charset=utf-8'],
    ['/favicon.svg', 'image/svg+xml'],
  ])('%s is there, as %s', async (path, type) => {
    const response = await fetch(web.url + path);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, type]);
  });

  it('every file that a page names is there', async () => {
    for (const page of ['/', '/console.html']) {
      const html = await (await fetch(web.url + page)).text();
      for (const [, path] of html.matchAll(/(?:src|href)="(\/[^"]*)"/g)) {
        expect([path, (await fetch(web.url + path)).status]).toEqual([path, 200]);
      }
    }
  });

  it('tells the pages where the APIs are, and its Content-Security-Policy allows no other origin', async () => {
    expect(await (await fetch(`${web.url}/config.json`)).json()).toEqual(config);
    const policy = (await fetch(web.url)).headers.get('content-security-policy');
    expect(policy).toContain("connect-src 'self' http://127.0.0.1:3000 ws://127.0.0.1:3001;");
  });

  it.each(['/../package.json', '/%2e%2e/package.json', '/shown.test.ts', '/shown.d.ts', '//etc/passwd', '/nothing'])(
    '%s is not there',
    async (path) => {
      expect(await statusOf(path)).toBe(404);
    },
  );

  it('only reads', async () => {
    expect((await fetch(web.url, { method: 'POST' })).status).toBe(405);
  });
});
