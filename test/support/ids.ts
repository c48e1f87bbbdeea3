/** Ids in tests. */
import type { Id } from '#platform/kernel/ids.ts';

/** An id that was read as text from an answer, a column or a log. Its type is inferred, as that of `newId()` is. */
export const asId = (text: string): Id<never> => text as Id<never>;
