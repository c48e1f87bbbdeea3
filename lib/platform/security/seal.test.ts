import { createHash, randomBytes } from 'node:crypto';
import { readKeyRing, writeKeyRing } from './key-ring.ts';
import { sealOf } from './seal.ts';

const [first, second] = [randomBytes(32).toString('base64url'), randomBytes(32).toString('base64url')];
const ring = readKeyRing(first);
const call = '\0POST /auth/login\0{}\0order-1';

describe('a seal', () => {
  test('opens what it has closed, which is another text each time and shows nothing', async () => {
    const { close, open } = sealOf(ring, call);
    const text = '{"refreshToken":"abc"}';
    const sealed = [await close(text), await close(text)];
    expect(new Set(sealed).size).toBe(2);
    for (const one of sealed) {
      expect(one).not.toContain('abc');
      expect(await open(one)).toBe(text);
    }
  });

  test.each([
    ['another Idempotency-Key', ring, call.replace('order-1', 'order-2')],
    ['another caller', ring, `ada${call}`],
    ['another key of ours', readKeyRing(second), call],
  ])('with %s has another name, knows no request again, and opens nothing', async (_what, otherRing, otherCall) => {
    const [seal, other] = [sealOf(ring, call), sealOf(otherRing, otherCall)];
    expect(other.name.equals(seal.name)).toBe(false);
    expect(other.digest('asked').equals(seal.digest('asked'))).toBe(false);
    expect(await other.open(await seal.close('text'))).toBeUndefined();
  });

  test('is the same call while one key replaces another, and opens until the old one is retired', async () => {
    const rings = [[first], [first, second], [second, first], [second]].map((accepted) =>
      readKeyRing(writeKeyRing({ accepted, lasting: first })),
    );
    const seals = rings.map((one) => sealOf(one, call));
    expect(new Set(seals.map(({ name }) => name.toString('hex'))).size).toBe(1);
    expect(new Set(seals.map(({ digest }) => digest('asked').toString('hex'))).size).toBe(1);
    const opens = async (sealed: string) => Promise.all(seals.map(async ({ open }) => (await open(sealed)) === 'text'));
    expect(await opens((await seals[0]?.close('text')) ?? '')).toEqual([true, true, true, false]);
    expect(await opens((await seals[2]?.close('text')) ?? '')).toEqual([false, true, true, true]);
  });

  test('opens nothing that was changed, and knows a request by no plain hash', async () => {
    const { close, open, digest, name } = sealOf(ring, call);
    const [header = '', ...rest] = (await close('text')).split('.');
    const tag = Buffer.from(rest.pop() ?? '', 'base64url');
    tag[0] = (tag[0] ?? 0) ^ 1;
    expect(await open([header, ...rest, tag.toString('base64url')].join('.'))).toBeUndefined();
    const plain = (text: string) => createHash('sha256').update(text).digest();
    expect([digest('asked').equals(plain('asked')), name.equals(plain(call))]).toEqual([false, false]);
  });
});
