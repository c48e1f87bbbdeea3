/** The scripts by which reconcile repairs the mirror, each a compare-and-set against what was seen. */
import { defineScript, luaSource } from '#platform/redis/redis.ts';

/** Sets a sale's stock, if the mirror still shows the version that was seen. */
export const repairScript = defineScript('holdfastRepair', luaSource('./repair.lua', import.meta.url));

/** Sets a counter of the gate or a customer's claim, if it still has the value that was seen. */
export const recountScript = defineScript('holdfastRecount', luaSource('./recount.lua', import.meta.url));
