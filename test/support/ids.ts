/** Ids in tests. */
import type { Id } from '#platform/kernel/ids.ts';

/** The id that came as text, from an answer, a column or a log: of whatever kind it is given to, as one from `newId()` is. */
export const asId = (text: string): Id<never> => text as Id<never>;
