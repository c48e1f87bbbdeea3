/**
 * The external id of a customer: how a system of the shop's own knows the person. An operator says it, and it belongs to one
 * account at a time (`person-key.ts`).
 */
import * as z from 'zod';
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { CustomerId } from '#platform/kernel/ids.ts';
import { idOf, line } from '#platform/kernel/shapes.ts';
import { changeExternalId, lockExternalId } from './customer.store.ts';
import { claimKey, freeKey } from './person-key.ts';

/** As long as the column. Compared exactly, capitals and all. */
const externalId = line(1, 255).nullable().describe('As the other system has it; null takes it away');

export const ExternalIdChange = z.strictObject({ externalId }).meta({ id: 'ExternalIdChange' });
export type ExternalIdChange = z.output<typeof ExternalIdChange>;

export const ExternalIdView = z
  .object({ customerId: idOf<CustomerId>(), externalId: z.string().nullable() })
  .meta({ id: 'ExternalId' });
export type ExternalIdView = z.infer<typeof ExternalIdView>;

/**
 * Gives a customer an external id, in the place of the one they have. Refused if another account has it. Access tokens say so from
 * the next refresh on.
 */
export async function setExternalId(
  deps: Needs<'db' | 'registry' | 'clock'>,
  customerId: CustomerId,
  { externalId }: ExternalIdChange,
  keep: Keep = keepNothing,
): Promise<ExternalIdView | Refusal> {
  return deps.db.transaction(async (tx) => {
    const account = await lockExternalId(tx, customerId);
    if (!account) return refuse('not_found', 'There is no account with this id.');
    const view: ExternalIdView = { customerId, externalId };
    if (account.externalId !== externalId) {
      const claimed = externalId === null ? null : await claimKey(deps, tx, 'external', externalId, customerId);
      if (claimed && claimed.holder !== customerId) {
        return refuse('external_id_taken', 'Take it from the other account first.');
      }
      if (account.externalId !== null) await freeKey(deps, tx, 'external', account.externalId, customerId);
      await changeExternalId(tx, customerId, claimed && { id: externalId ?? '', sinceMs: claimed.sinceMs });
    }
    return keep(tx, view, changeOf(customerId, { externalId: account.externalId }, { externalId }));
  });
}
