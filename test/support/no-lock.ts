import type { SaleLock } from '#platform/redis/sale-lock.ts';

/** No lock, for tests that show that stock does not depend on it. */
export const noLock: SaleLock = {
  acquire: async () => ({ fencingTokens: new Map(), release: async () => undefined }),
};
