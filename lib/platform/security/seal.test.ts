import { createHash, randomBytes } from 'node:crypto';
import { sealOf } from './seal.ts';

const secret = randomBytes(32).toString('base64url');
const call = '\0POST /auth/login\0{}\0order-1';

describe('a seal', () => {
  test('opens what it has closed, which is another text each time and shows nothing', async () => {
    const { close, open } = sealOf(secret, call);
    const text = '{"refreshToken":"abc"}';
    const sealed = [await close(text), await close(text)];
    expect(new Set(sealed).size).toBe(2);
    for (const one of sealed) {
      expect(one).not.toContain('abc');
      expect(await open(one)).toBe(text);
    }
  });

  test.each([
    ['another Idempotency-Key', secret, call.replace('order-1', 'order-2')],
    ['another caller', secret, `ada${call}`],
    ['another key of ours', `${secret}x`, call],
  ])('with %s has another name, knows no request again, and opens nothing', async (_what, otherSecret, otherCall) => {
    const [seal, other] = [sealOf(secret, call), sealOf(otherSecret, otherCall)];
    expect(other.name.equals(seal.name)).toBe(false);
    expect(other.digest('asked').equals(seal.digest('asked'))).toBe(false);
    await expect(other.open(await seal.close('text'))).rejects.toThrow();
  });

  test('opens nothing that was changed, and knows a request by no plain hash', async () => {
    const { close, open, digest, name } = sealOf(secret, call);
    const [header = '', ...rest] = (await close('text')).split('.');
    const tag = Buffer.from(rest.pop() ?? '', 'base64url');
    tag[0] = (tag[0] ?? 0) ^ 1;
    await expect(open([header, ...rest, tag.toString('base64url')].join('.'))).rejects.toThrow();
    const plain = (text: string) => createHash('sha256').update(text).digest();
    expect([digest('asked').equals(plain('asked')), name.equals(plain(call))]).toEqual([false, false]);
  });
});
