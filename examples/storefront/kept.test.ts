import { keptInMemory, openKept } from './kept.ts';

describe('what is kept for a while', () => {
  test('is there until it ends, and then is not', () => {
    let nowMs = 0;
    const kept = openKept<number>(() => nowMs);
    kept.set('one', 1, 1_000);
    nowMs = 999;
    expect(kept.get('one')).toBe(1);
    nowMs = 1_000;
    expect(kept.get('one')).toBeUndefined();
    kept.set('one', 2, 1_000);
    kept.delete('one');
    expect(kept.get('one')).toBeUndefined();
  });

  test('does not grow for ever, however much was begun and left', () => {
    let nowMs = 0;
    const kept = openKept<number>(() => nowMs);
    let most = 0;
    for (let each = 0; each < 10_000; each++) {
      kept.set(`${each}`, each, 100);
      nowMs += 1;
      most = Math.max(most, kept.size());
    }
    // A hundred live at any time.
    expect(most).toBeLessThanOrEqual(202);
    expect(kept.get('9999')).toBe(9_999);
  });
});

describe('what an OpenID provider keeps', () => {
  test('is found by its id and by its names, and hangs on its grant', async () => {
    const open = keptInMemory();
    const [sessions, codes] = [open('Session'), open('AuthorizationCode')];
    await sessions.upsert('s', { uid: 'u', accountId: 'ada' }, 60);
    await codes.upsert('c', { grantId: 'g', accountId: 'ada' }, 60);
    expect(await sessions.find('c')).toBeUndefined();
    expect(await sessions.findByUid('u')).toMatchObject({ accountId: 'ada' });
    await codes.consume('c');
    expect(await codes.find('c')).toMatchObject({ consumed: expect.any(Number) });
    await codes.revokeByGrantId('g');
    expect(await codes.find('c')).toBeUndefined();
    await sessions.destroy('s');
    expect(await sessions.findByUid('u')).toBeUndefined();
  });
});
