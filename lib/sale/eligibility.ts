/**
 * Who may reserve in a sale: what it asks of a customer, and what a customer can show.
 *
 * A sale may ask for a verified contact, and it may count its cap by person. Then a person has one account that may reserve: a
 * contact or an external id belongs to one account at a time, and one that came to another account after the sale was made does
 * not count in it. So the cap for each account is the cap for each person, and nothing else about the cap changes.
 */
import type { Code } from '#platform/kernel/errors.ts';
import type { SaleId } from '#platform/kernel/ids.ts';
import { accessTokenLifeSeconds, type Caller } from '#platform/security/access-token.ts';
import type { SaleRow } from './sale.store.ts';
import { createdAtMs } from './sale-id.ts';

/** What a sale asks, in one letter; the empty text if it asks for nothing. Written to the mirror. */
export type Asks = '' | keyof typeof meanings;

interface Meaning {
  readonly verified: boolean;
  readonly person: 'contact' | 'external' | undefined;
}

const meanings = {
  v: { verified: true, person: undefined },
  c: { verified: true, person: 'contact' },
  x: { verified: false, person: 'external' },
  y: { verified: true, person: 'external' },
} as const satisfies Record<string, Meaning>;

/** What a sale asks of who reserves in it. */
export function asksOf({ capPer, requiresContact }: Pick<SaleRow, 'capPer' | 'requiresContact'>): Asks {
  if (capPer === 'contact') return 'c';
  if (capPer === 'externalId') return requiresContact ? 'y' : 'x';
  return requiresContact ? 'v' : '';
}

/** What a customer can show, by their token. */
export type Shown = Pick<Caller, 'contactSinceMs' | 'externalSinceMs'>;

/** What a sale may ask of this customer: the letters of all that they can show. */
export function standingOf(shown: Shown, saleId: SaleId): string {
  return Object.keys(meanings)
    .filter((asks) => lackedBy(shown, saleId, asks as Asks) === undefined)
    .join('');
}

/** Why a customer may not reserve in a sale that asks this, if they may not. */
export function lackedBy({ contactSinceMs, externalSinceMs }: Shown, saleId: SaleId, asks: Asks): Code | undefined {
  if (asks === '') return undefined;
  const { verified, person } = meanings[asks];
  if (verified && contactSinceMs === undefined) return 'contact_not_verified';
  if (person === undefined) return undefined;
  const sinceMs = person === 'contact' ? contactSinceMs : externalSinceMs;
  if (sinceMs === undefined) return 'external_id_missing';
  return isOwnSince(sinceMs, saleId) ? undefined : 'person_known_elsewhere';
}

/**
 * Whether what tells a person from others was one account's for all of the sale: no account's before, or this one's since
 * before the sale was made, and before the last token of the account that had it.
 */
function isOwnSince(sinceMs: number, saleId: SaleId): boolean {
  return sinceMs === 0 || sinceMs + accessTokenLifeSeconds * 1_000 <= createdAtMs(saleId);
}

/** Whether a customer who could show this when they asked may have what they asked for (invariant I4). */
export function isEntitled(standing: string | undefined, sale: Pick<SaleRow, 'capPer' | 'requiresContact'>): boolean {
  const asks = asksOf(sale);
  return asks === '' || (standing ?? '').includes(asks);
}
