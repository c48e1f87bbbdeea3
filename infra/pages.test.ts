import { CreateBucketCommand, GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { type QueueServer, startQueueServer } from '#local/queue-server.ts';
import { uploadPages } from './pages.ts';

const bucket = 'pages';
let server: QueueServer;
let s3: S3Client;

beforeAll(async () => {
  // The queue server is one of S3 too.
  server = await startQueueServer({});
  s3 = new S3Client({
    endpoint: server.url,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    forcePathStyle: true,
  });
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
});

afterAll(async () => {
  s3?.destroy();
  await server?.stop();
});

const bring = (part: 'assets' | 'all') =>
  uploadPages({ s3, bucket, stage: 'prod', api: 'https://api.example.com' }, part);

async function read(path: string) {
  const { Body, ContentType, CacheControl } = await s3.send(
    new GetObjectCommand({ Bucket: bucket, Key: path.slice(1) }),
  );
  return { text: (await Body?.transformToString()) ?? '', type: ContentType, kept: CacheControl };
}

test('before new code comes what it names, and no page', async () => {
  const brought = await bring('assets');
  expect(brought.length).toBeGreaterThan(4);
  expect(brought.filter((path) => !path.startsWith('/assets/'))).toEqual([]);
});

test('everything that a page names is there before the page, and may be kept for ever', async () => {
  const brought = await bring('all');
  for (const page of ['/index.html', '/console.html']) {
    const { text, type, kept } = await read(page);
    expect([type, kept]).toEqual(['text/html; charset=utf-8', 'no-cache']);
    const named = [...text.matchAll(/(?:src|href)="(\/[^"]*)"/g)].map(([, path = '']) => path);
    expect(named.length).toBeGreaterThan(2);
    for (const path of named) {
      expect(brought.indexOf(path)).toBeLessThan(brought.indexOf(page));
      expect((await read(path)).kept).toBe('public, max-age=31536000, immutable');
    }
  }
});

test('pages read where the APIs are: behind their own origin', async () => {
  const { text, type, kept } = await read('/config.json');
  expect([type, kept]).toEqual(['application/json', 'no-cache']);
  expect(JSON.parse(text)).toMatchObject({
    api: '/api',
    websocket: '/prod',
    docs: 'https://api.example.com/docs',
    minorDigits: expect.objectContaining({ KRW: 0 }),
  });
  expect(JSON.parse(text).payments).toBeUndefined();
});
