/** Column types that every table shares. */
import { bigint, customType } from 'drizzle-orm/mysql-core';
import { fromBytes, toBytes } from '#platform/kernel/ids.ts';

/** A UUID: text in code, 16 bytes in MySQL. */
export const id = customType<{ data: string; driverData: Buffer }>({
  dataType: () => 'binary(16)',
  toDriver: toBytes,
  fromDriver: fromBytes,
});

/** A point in time, milliseconds since the Unix epoch, so that no time zone is involved. */
export const timeMs = (name: string) => bigint(name, { mode: 'number' });
