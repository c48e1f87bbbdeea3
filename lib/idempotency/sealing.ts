/** The seal of a call with our own key, apart from what keeps answers: only who keeps secrets may read that key. */
import type { Needs } from '#platform/environment/deps.ts';
import { guardKeys } from '#platform/security/key-ring.ts';
import { type Seal, sealOf } from '#platform/security/seal.ts';

/** Makes the seal of a call, which says who calls what under which key. */
export type SealUnder = (deps: Needs<'registry'>, call: string) => Seal;

export const sealUnder: SealUnder = ({ registry }, call) => sealOf(guardKeys(registry), call);
