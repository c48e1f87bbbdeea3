/**
 * For whom a sale is there (invariant I8). Before it is public it is there for nobody but operators; one that asks for a code is
 * there for those who show it. For everybody else each answer is that of an id that no sale has.
 *
 * Publication is decided by the wall clock at each request, as are the windows; no job has to be on time for it. A pause does
 * not put it off: a sale that is paused can be seen.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { SaleId } from '#platform/kernel/ids.ts';
import type { SaleRow } from './sale.store.ts';
import { createdAtMs } from './sale-id.ts';

/** What says for whom a sale is there. */
export interface Visibility {
  /** Since when it is public, or when it will be; null for a draft without a time. */
  readonly publicFromMs: number | null;
  /** What a shown code is compared with (`accessOf`); empty if the sale asks for none. */
  readonly access: string;
}

/** For whom a sale is there, from its row. */
export function visibilityOf({ saleId, publicFromMs, accessCode }: VisibleRow): Visibility {
  return { publicFromMs, access: accessOf(saleId, accessCode) };
}
type VisibleRow = Pick<SaleRow, 'saleId' | 'publicFromMs' | 'accessCode'>;

/** What a code proves in a sale: a digest, so that neither Redis nor a queue holds the code. Empty without a code. */
export function accessOf(saleId: SaleId, code: string | null | undefined): string {
  return code ? createHash('sha256').update(`${saleId}\0${code}`).digest('base64url').slice(0, 32) : '';
}

/** Whether a sale is public at a time, whether or not it asks for a code. */
export function isPublicAt({ publicFromMs }: Pick<Visibility, 'publicFromMs'>, atMs: number): boolean {
  return publicFromMs !== null && atMs >= publicFromMs;
}

/** Since when a sale is public, or will be; one that was public from the start, since it was made. Null for a draft. */
export function publicSinceMs({ saleId, publicFromMs }: Pick<SaleRow, 'saleId' | 'publicFromMs'>): number | null {
  return publicFromMs === null ? null : Math.max(publicFromMs, createdAtMs(saleId));
}

/** Whether a sale is there for a customer who shows this (`accessOf`) at a time. */
export function isThereFor(visibility: Visibility, shown: string, atMs: number): boolean {
  return isPublicAt(visibility, atMs) && (visibility.access === '' || visibility.access === shown);
}

/** A code that nobody can guess. */
export function newAccessCode(): string {
  return randomBytes(16).toString('base64url');
}
