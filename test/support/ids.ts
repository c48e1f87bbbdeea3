/** Ids in tests. */
import { type Id, newId as newIdOfKind } from '#platform/kernel/ids.ts';

/** A new id that is assignable to an id of any kind: tests invent customers and sales alike. */
export const newId = (nowMs?: number): Id<never> => newIdOfKind<never>(nowMs);

/** An id that was read as text from an answer, a column or a log, assignable to an id of any kind. */
export const asId = (text: string): Id<never> => text as Id<never>;
