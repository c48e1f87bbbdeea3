/** The scripts by which reconcile repairs the mirror, each a conditional write against the values that it read. */
import { defineScript, luaSource } from '#platform/redis/redis.ts';

/** Sets a sale's stock, if the mirror still has the version that was read. */
export const repairScript = defineScript('holdfastRepair', luaSource('lib/mirror/repair.lua'));

/** Sets a counter of the gate or a customer's claim, if it still has the value that was read. */
export const recountScript = defineScript('holdfastRecount', luaSource('lib/mirror/recount.lua'));
