import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { buildPages } from '#web/build.ts';
import { projectRoot } from './state-folder.ts';
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
    ['/settings', 'text/html; charset=utf-8'],
    ['/sales/01a0b1c2-0000-7000-8000-000000000000', 'text/html; charset=utf-8'],
    ['/sales/01a0b1c2-0000-7000-8000-000000000000.png', 'image/png'],
    ['/console.html?v=1', 'text/html; charset=utf-8'],
    ['/config.json', 'application/json'],
  ])('%s is there, as %s', async (path, type) => {
    const response = await fetch(web.url + path);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, type]);
  });

  it('every file that a page names is there, under a name that changes with it', async () => {
    for (const page of ['/', '/console.html']) {
      const html = await (await fetch(web.url + page)).text();
      const named = [...html.matchAll(/(?:src|href)="(\/assets\/[^"]*)"/g)].map(([, path = '']) => path);
      expect(named.length).toBeGreaterThan(2);
      for (const path of named) {
        const response = await fetch(web.url + path);
        expect([path, response.status, response.headers.get('cache-control')]).toEqual([
          path,
          200,
          'public, max-age=31536000, immutable',
        ]);
      }
    }
  });

  it('a buyer loads less than 50 KiB of script', async () => {
    const files = await buildPages();
    const sizeOf = (name: RegExp) => [...files].find(([path]) => name.test(path))?.[1].gzip.length ?? Number.NaN;
    const shared = [...files]
      .filter(([path]) => /chunk-/.test(path))
      .reduce((sum, [, file]) => sum + file.gzip.length, 0);
    const words = Math.max(sizeOf(/\/en-/), sizeOf(/\/ko-/));
    expect(sizeOf(/\/shop-/) + shared + words).toBeLessThan(50 * 1024);
  });

  it('in the dark there are other colours, and nothing else is different', async () => {
    const styles = [...(await buildPages())].filter(([path]) => path.endsWith('.css')).map(([, { body }]) => `${body}`);
    const [dark = '', ...others] = styles.flatMap((style) => style.split('prefers-color-scheme').slice(1));
    const [, set = ''] = /^:\s*dark\)\s*\{\s*:root\s*\{([^{}]*)\}\s*\}/.exec(dark) ?? [];
    expect([
      others,
      set.split(';').filter((one) => one.trim() && !/^\s*--[\w-]+:.*(#[0-9a-f]{6}|rgb\()/.test(one)),
    ]).toEqual([[], []]);
    expect(set).toContain('--paper');
  });

  it('pages of others may load <holdfast-sale>, which is as small as its README says', async () => {
    const response = await fetch(`${web.url}/embed/holdfast-sale.js`);
    const { headers } = response;
    expect([response.status, headers.get('access-control-allow-origin')]).toEqual([200, '*']);
    expect(headers.get('cache-control')).toBe('no-cache');
    const files = await buildPages();
    const script = files.get('/embed/holdfast-sale.js');
    /** What it loads at once; the work for a challenge is loaded where one is asked for. */
    const atOnce = [...`${script?.body}`.matchAll(/(?:from|import)"\.\/([^"]+)"/g)].map(([, name]) => `/embed/${name}`);
    const size = [script, ...atOnce.map((path) => files.get(path))].reduce(
      (sum, file) => sum + Number(file?.gzip.length),
      0,
    );
    const readme = readFileSync(join(projectRoot, 'web', 'embed', 'README.md'), 'utf8');
    const [, stated] = /less than (\d+) kB/.exec(readme) ?? [];
    expect(size).toBeLessThan(1_000 * Number(stated));
    expect(size).toBeGreaterThan(1_000 * (Number(stated) - 2));
  });

  it('sends scripts compressed to whoever takes them so', async () => {
    const html = await (await fetch(web.url)).text();
    const [, script = ''] = /src="([^"]+)"/.exec(html) ?? [];
    const response = await fetch(web.url + script);
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(await response.text()).toMatch(/^import|^var/);
  });

  it('tells the pages where the APIs are, and its Content-Security-Policy allows no other origin', async () => {
    expect(await (await fetch(`${web.url}/config.json`)).json()).toEqual(config);
    const policy = (await fetch(web.url)).headers.get('content-security-policy');
    expect(policy).toContain("connect-src 'self' http://127.0.0.1:3000 ws://127.0.0.1:3001;");
  });

  it.each([
    '/../package.json',
    '/%2e%2e/package.json',
    '/shop.tsx',
    '/build.ts',
    '/sales/x',
    '//etc/passwd',
    '/nothing',
  ])('%s is not there', async (path) => {
    expect(await statusOf(path)).toBe(404);
  });

  it('only reads', async () => {
    expect((await fetch(web.url, { method: 'POST' })).status).toBe(405);
  });
});
