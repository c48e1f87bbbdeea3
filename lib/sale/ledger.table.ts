/**
 * `ledger`: append-only record of every stock movement. Never updated, never deleted.
 *
 * The key is (what moved, kind of movement), so one reservation can be allocated once, released once and sold once
 * (invariant I3). Subjects of one sale share their first six bytes, so a sale's movements are one range of the key.
 *
 * ALLOCATE available → allocated; RELEASE allocated or sold → available; SELL allocated → sold; ADJUST changes the
 * allotment and available together, its units signed.
 */
import { int, mysqlEnum, mysqlTable, primaryKey } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const movementKinds = ['ALLOCATE', 'RELEASE', 'SELL', 'ADJUST'] as const;
export type MovementKind = (typeof movementKinds)[number];

export const ledger = mysqlTable(
  'ledger',
  {
    /** The reservation's id, or for ADJUST an id of its own that begins with the sale's tag. */
    subjectId: id('subject_id').notNull(),
    kind: mysqlEnum('kind', movementKinds).notNull(),
    saleId: id('sale_id').notNull(),
    units: int('units').notNull(),
    atMs: timeMs('at_ms').notNull(),
  },
  (table) => [primaryKey({ columns: [table.subjectId, table.kind] })],
);
