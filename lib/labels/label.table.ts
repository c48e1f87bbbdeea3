/**
 * `labels`: what a shop notes on its products, sales, reservations and purchases. What has no label has no row, so most of them
 * cost nothing. Written by `label.store.ts`.
 */
import { binary, index, mysqlEnum, mysqlTable, text, unique, varchar } from 'drizzle-orm/mysql-core';
import { id, timeMs } from '#platform/mysql/columns.ts';

export const labelKinds = ['product', 'sale', 'reservation', 'purchase'] as const;
export type LabelKind = (typeof labelKinds)[number];

export const labels = mysqlTable(
  'labels',
  {
    subjectId: id('subject_id').primaryKey(),
    kind: mysqlEnum('kind', labelKinds).notNull(),
    reference: varchar('reference', { length: 64 }),
    /** The same for products and sales, of which no two may have it; otherwise null. */
    soleReference: varchar('sole_reference', { length: 64 }),
    /** A flat object as JSON; null if there is none. */
    metadata: text('metadata'),
    /** A digest of the label with which its subject was requested; null if it was without one. It stays as long as its customer. */
    givenDigest: binary('given_digest', { length: 16 }),
    updatedAtMs: timeMs('updated_at_ms').notNull(),
  },
  (table) => [
    index('labels_reference').on(table.reference, table.subjectId),
    unique('labels_sole').on(table.kind, table.soleReference),
  ],
);
