import { passwordHasherOf } from './password.ts';

const hasher = passwordHasherOf();

describe('passwords', () => {
  test('hashed by other Argon2 tools have the same hash here', async () => {
    // Made with the reference library: the password "hällo" in composed form.
    const foreign = '$argon2id$v=19$m=19456,t=2,p=1$sj/ieYHnaAgXHv4vzJEM8g$JA3CzyEUkQCx7xynNsS2xnrhzS2Oee26FrL9mTjM0kE';
    expect(await hasher.hash('hällo', { like: foreign })).toBe(foreign);
    expect(await hasher.hash('hallo', { like: foreign })).not.toBe(foreign);
  });

  test('have the hash that they are stored with, and no other password has it', async () => {
    const stored = await hasher.hash('correct horse battery');
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(await hasher.hash('correct horse battery', { like: stored })).toBe(stored);
    expect(await hasher.hash('Correct horse battery', { like: stored })).not.toBe(stored);
    expect(await hasher.hash('', { like: stored })).not.toBe(stored);
  });

  test('have another hash each time, unless the salt is given', async () => {
    expect(await hasher.hash('correct horse')).not.toBe(await hasher.hash('correct horse'));
    const salt = Buffer.alloc(16, 7);
    expect(await hasher.hash('correct horse', { salt })).toBe(await hasher.hash('correct horse', { salt }));
  });

  test('are the same on a keyboard that composes letters and on one that does not', async () => {
    const stored = await hasher.hash('pässwörter!'.normalize('NFC'));
    expect(await hasher.hash('pässwörter!'.normalize('NFD'), { like: stored })).toBe(stored);
  });

  test('keep the cost that they were stored with', async () => {
    const cheap = '$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA';
    expect(await hasher.hash('x', { like: cheap })).toMatch(/^\$argon2id\$v=19\$m=8,t=1,p=1\$c29tZXNhbHQ\$[\w+/]{22}$/);
    await expect(hasher.hash('x', { like: 'plain' })).rejects.toThrow('not an Argon2id hash');
  });

  test('are refused with a fault when too many wait, and every request that waits is served', async () => {
    const results = await Promise.allSettled(Array.from({ length: 150 }, () => hasher.hash('x')));
    const refused = results.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    expect(results.length - refused.length).toBeGreaterThanOrEqual(100);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]?.reason).toMatchObject({ code: 'too_many_requests' });
    expect(await hasher.hash('x')).toMatch(/^\$argon2id/);
  });

  test('wait for those of their own environment only', async () => {
    const flooded = passwordHasherOf();
    const waiting = Array.from({ length: 103 }, () => flooded.hash('x').catch(() => 'refused'));
    await expect(hasher.hash('x')).resolves.toMatch(/^\$argon2id/);
    expect(await Promise.all(waiting)).toContain('refused');
  });
});
