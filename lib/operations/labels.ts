/**
 * Labels as operators and programs look them up and change them: the reference and the metadata of products, sales, reservations
 * and purchases.
 *
 * A change of a label changes nothing else: no version, no clock, no stock. So it is no event, and what has ended can be labelled
 * too. The next event of its subject tells the label as it is then.
 */
import * as z from 'zod';
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import { type LabelChange, LabelKind, Reference, shownLabel } from '#labels/label.shapes.ts';
import { findLabels, type Labelled, lockLabel, soleReferenceKey, updateLabel } from '#labels/label.store.ts';
import { changed, refuseReference } from '#labels/label.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Page, PageQuery, pageOf, readCursor, toPage } from '#platform/handlers/pagination.ts';
import { toIso } from '#platform/kernel/clock.ts';
import { isRefusal, type Refusal, refuse } from '#platform/kernel/errors.ts';
import { type Id as IdOf, toBytes } from '#platform/kernel/ids.ts';
import { Id, idOf, Time } from '#platform/kernel/shapes.ts';
import { isDuplicateKey } from '#platform/mysql/mysql.ts';

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

/**
 * Changes the label of something. Refused if it does not exist, or is a reservation that is not decided yet, if the metadata would
 * become too large, and if another product or sale has the reference.
 */
export async function changeLabel(
  { db, clock }: Needs<'db' | 'clock'>,
  { kind, subjectId }: z.output<typeof LabelPath>,
  change: LabelChange,
  keep: Keep = keepNothing,
): Promise<LabelView | Refusal> {
  try {
    return await db.transaction(async (tx) => {
      const [known] = await tx.rows(`SELECT 1 FROM ${tables[kind]} WHERE id = ?`, [toBytes(subjectId)]);
      if (!known) return refuse('not_found', `There is no such ${kind}, or it is not decided yet.`);
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
