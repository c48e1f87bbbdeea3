import type { Challenge } from '#platform/security/proof-of-work.ts';

export function prove(challenge: Challenge): Promise<string>;
