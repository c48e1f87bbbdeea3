/**
 * Labels as operators and programs look them up and change them: the reference and the metadata of products, sales, reservations
 * and purchases.
 *
 * A change of a label changes nothing else: no version, no clock, no stock. So it is no event, and what has ended can be labelled
 * too. The next event of its subject tells the label as it is then.
 */
import * as z from 'zod';
import { holdAccounts } from '#erasure/hold-accounts.ts';
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import { type LabelChange, LabelKind, Reference, shownLabel } from '#labels/label.shapes.ts';
import { findLabels, type Labelled, lockLabel, soleReferenceKey, updateLabel } from '#labels/label.store.ts';
import { changed, refuseReference } from '#labels/label.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Page, PageQuery, pageOf, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { type CustomerId, fromBytes, type Id as IdOf, toBytes } from '#platform/kernel/ids.ts';
import { Id, idOf, Time } from '#platform/kernel/shapes.ts';
import { isDuplicateKey, type Tx } from '#platform/mysql/mysql.ts';

export const LabelPath = z.strictObject({ kind: LabelKind, subjectId: idOf<IdOf<string>>() });

export const LabelQuery = PageQuery.extend({
  reference: Reference.optional().describe('Exactly this one'),
  subjectId: Id.optional().describe('The id of a product, a sale, a reservation or a purchase'),
  kind: LabelKind.optional(),
}).refine(({ reference, subjectId }) => reference !== undefined || subjectId !== undefined, {
  message: 'name a reference or a subjectId',
});

export const LabelView = z
  .object({ kind: LabelKind, subjectId: Id.describe('What it is on'), ...shownLabel, updatedAt: Time })
  .meta({ id: 'Label' });
export type LabelView = z.infer<typeof LabelView>;
export const LabelPage = pageOf(LabelView);

const listName = 'labels';

/** A page of labels by their reference or their subject. Refuses a cursor that is not its own. */
export async function readLabelPage(
  { db }: Needs<'db'>,
  { kind, reference, subjectId, cursor, limit }: z.output<typeof LabelQuery>,
): Promise<Page<LabelView> | Refusal> {
  const after = readCursor(listName, cursor, z.tuple([Id]));
  if (isRefusal(after)) return after;
  const found = await findLabels(db, { kind, reference, subjectId }, after?.[0], limit + 1);
  return toPage(
    listName,
    found,
    limit,
    (one) => [one.subjectId],
    ({ updatedAtMs, ...labelled }) => viewOf(labelled, updatedAtMs),
  );
}

/** The table of each kind, to see whether a subject is there. */
const tables = { product: 'products', sale: 'sales', reservation: 'reservations', purchase: 'purchases' } as const;

/** Whether a change notes something, and does not only take away. */
function notesMetadata({ metadata }: LabelChange): boolean {
  return Object.values(metadata ?? {}).some((value) => !!value);
}

/** Of what a customer has, whose it is. Undefined if there is no such thing. */
async function findSubject(
  tx: Tx,
  { kind, subjectId }: z.output<typeof LabelPath>,
): Promise<{ customerId: CustomerId | null } | undefined> {
  const owner = kind === 'reservation' || kind === 'purchase' ? 'customer_id' : 'NULL';
  const sql = `SELECT ${owner} AS customerId FROM ${tables[kind]} WHERE id = ?`;
  const [row] = await tx.rows<{ customerId: Buffer | null }>(sql, [toBytes(subjectId)]);
  return row && { customerId: row.customerId && fromBytes<'customer'>(row.customerId) };
}

/**
 * Changes the label of something. Refused if it does not exist, or is a reservation that is not decided yet, if the metadata would
 * become too large, if it would note something of a customer whose account is deleted, and if another product or sale has the reference.
 */
export async function changeLabel(
  { db, clock }: Needs<'db' | 'clock'>,
  { kind, subjectId }: z.output<typeof LabelPath>,
  change: LabelChange,
  keep: Keep = keepNothing,
): Promise<LabelView | Refusal> {
  try {
    return await db.transaction(async (tx) => {
      const subject = await findSubject(tx, { kind, subjectId });
      if (!subject) return refuse('not_found', `There is no such ${kind}, or it is not decided yet.`);
      const { customerId } = subject;
      if (customerId !== null && notesMetadata(change) && !(await holdAccounts(tx, [customerId])).has(customerId)) {
        return refuse(
          'illegal_state',
          'The account of its customer is deleted, so no metadata is noted on it any more.',
        );
      }
      const nowMs = clock();
      const before = await lockLabel(tx, kind, subjectId, nowMs);
      const label = changed(before, change);
      // Thrown, so that the row that was locked is not made either.
      if (isRefusal(label)) throw new Refused(label);
      await updateLabel(tx, { kind, subjectId, label }, nowMs);
      return keep(tx, viewOf({ kind, subjectId, label }, nowMs), changeOf(subjectId, before, label));
    });
  } catch (error) {
    if (error instanceof Refused) return error.refusal;
    if (isDuplicateKey(error, soleReferenceKey)) return refuseReference(kind);
    throw error;
  }
}

/** Rolls a transaction back that is refused after all. */
class Refused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.detail);
    this.name = 'Refused';
    this.refusal = refusal;
  }
}

function viewOf({ kind, subjectId, label }: Labelled, updatedAtMs: number): LabelView {
  return {
    kind,
    subjectId,
    reference: label.reference,
    metadata: { ...label.metadata },
    updatedAt: toIso(updatedAtMs),
  };
}
