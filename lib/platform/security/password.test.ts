import { hashPassword, verifyPassword } from './password.ts';

describe('passwords', () => {
  test('made by other Argon2 tools are read', async () => {
    // Made with the reference library: the password "hällo" in composed form.
    const foreign = '$argon2id$v=19$m=19456,t=2,p=1$sj/ieYHnaAgXHv4vzJEM8g$JA3CzyEUkQCx7xynNsS2xnrhzS2Oee26FrL9mTjM0kE';
    expect(await verifyPassword(foreign, 'hällo')).toBe(true);
    expect(await verifyPassword(foreign, 'hallo')).toBe(false);
  });

  test('are recognised by their hash and by nothing else', async () => {
    const hash = await hashPassword('correct horse battery');
    expect(hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(await verifyPassword(hash, 'correct horse battery')).toBe(true);
    expect(await verifyPassword(hash, 'Correct horse battery')).toBe(false);
    expect(await verifyPassword(hash, '')).toBe(false);
  });

  test('have another hash each time', async () => {
    expect(await hashPassword('correct horse')).not.toBe(await hashPassword('correct horse'));
  });

  test('are the same on a keyboard that composes letters and on one that does not', async () => {
    const hash = await hashPassword('pässwörter!'.normalize('NFC'));
    expect(await verifyPassword(hash, 'pässwörter!'.normalize('NFD'))).toBe(true);
  });

  test('match no missing account, not even by the password of the stand-in', async () => {
    expect(await verifyPassword(undefined, 'nobody has this password')).toBe(false);
  });

  test('are refused with a fault when too many wait, and every request that waits is served', async () => {
    const results = await Promise.allSettled(Array.from({ length: 150 }, () => verifyPassword(undefined, 'x')));
    const refused = results.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    expect(results.length - refused.length).toBeGreaterThanOrEqual(100);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]?.reason).toMatchObject({ code: 'too_many_requests' });
    expect(await verifyPassword(undefined, 'x')).toBe(false);
  });
});
