/** The store of labels: the only code that writes `labels`. */
import { holdAccounts } from '#erasure/hold-accounts.ts';
import { type CustomerId, fromBytes, type Id, toBytes } from '#platform/kernel/ids.ts';
import type { Sql, Tx } from '#platform/mysql/mysql.ts';
import type { Label } from './label.shapes.ts';
import type { LabelKind } from './label.table.ts';
import { digestOf, noLabel, withoutMetadata } from './label.ts';

/** The id of what is labelled: of any of the four kinds. */
export type SubjectId = Id<string>;

/** A label with what it is on. */
export interface Labelled {
  readonly kind: LabelKind;
  readonly subjectId: SubjectId;
  readonly label: Label;
}

/** A label of what a customer has reserved or bought. */
export interface OwnedLabel extends Labelled {
  readonly kind: 'reservation' | 'purchase';
  readonly customerId: CustomerId;
}

/** A label of what is the shop's alone. */
export interface ShopLabel extends Labelled {
  readonly kind: 'product' | 'sale';
}

/** A row as the driver gives it. */
interface Row {
  readonly subjectId: Buffer;
  readonly kind: LabelKind;
  readonly reference: string | null;
  readonly metadata: string | null;
  readonly updatedAtMs: number;
}

const columns = 'subject_id AS subjectId, kind, reference, metadata, updated_at_ms AS updatedAtMs';

/** The name of the key that keeps references of products and of sales apart. */
export const soleReferenceKey = 'labels_sole';

const isSole = (kind: LabelKind) => kind === 'product' || kind === 'sale';
const hasMetadata = ({ metadata }: Label) => Object.keys(metadata).length > 0;
const isEmpty = (label: Label) => label.reference === null && !hasMetadata(label);
const jsonOf = (label: Label) => (hasMetadata(label) ? JSON.stringify(label.metadata) : null);
const toLabel = ({ reference, metadata }: Pick<Row, 'reference' | 'metadata'>): Label => ({
  reference,
  metadata: readMetadata(metadata),
});

/** Metadata from its column. */
export function readMetadata(json: string | null): Record<string, string> {
  return json === null ? {} : JSON.parse(json);
}

function valuesOf({ kind, subjectId, label }: Labelled, nowMs: number): unknown[] {
  const { reference } = label;
  const digest = Buffer.from(digestOf(label), 'hex');
  return [toBytes(subjectId), kind, reference, isSole(kind) ? reference : null, jsonOf(label), digest, nowMs];
}
const inserted = 'subject_id, kind, reference, sole_reference, metadata, given_digest, updated_at_ms';

/** Writes the label of a product or a sale that is being made. Throws if another has its reference. */
export async function insertLabel(tx: Tx, labelled: ShopLabel, nowMs: number): Promise<void> {
  await tx.change(`INSERT INTO labels (${inserted}) VALUES (?)`, [valuesOf(labelled, nowMs)]);
}

/**
 * Writes labels of reservations and purchases, each once: one that is there stays, as its request may be delivered again. In the order
 * of the key, so that two workers wait for each other instead of deadlocking. Of a customer whose account is deleted no metadata is
 * written, however late the request comes; a reference is.
 */
export async function insertLabelsOnce(tx: Tx, labelled: readonly OwnedLabel[], nowMs: number): Promise<void> {
  if (labelled.length === 0) return;
  const kept = await withoutMetadataOfGone(tx, labelled);
  const inOrder = kept
    .filter(({ label }) => !isEmpty(label))
    .sort((one, other) => (one.subjectId < other.subjectId ? -1 : 1));
  if (inOrder.length === 0) return;
  await tx.change(`INSERT INTO labels (${inserted}) VALUES ? ON DUPLICATE KEY UPDATE kind = labels.kind`, [
    inOrder.map((one) => valuesOf(one, nowMs)),
  ]);
}

/** Labels without the metadata of customers who have no account any more. */
export async function withoutMetadataOfGone<One extends Pick<OwnedLabel, 'customerId' | 'label'>>(
  tx: Tx,
  labelled: readonly One[],
): Promise<One[]> {
  const told = labelled.filter(({ label }) => hasMetadata(label)).map(({ customerId }) => customerId);
  const held = await holdAccounts(tx, told);
  return labelled.map((one) => (held.has(one.customerId) ? one : { ...one, label: withoutMetadata(one.label) }));
}

/** The label of something, its row made if there is none, and locked until the transaction ends. */
export async function lockLabel(tx: Tx, kind: LabelKind, subjectId: SubjectId, nowMs: number): Promise<Label> {
  await tx.change(
    'INSERT INTO labels (subject_id, kind, updated_at_ms) VALUES (?) ON DUPLICATE KEY UPDATE kind = labels.kind',
    [[toBytes(subjectId), kind, nowMs]],
  );
  const [row] = await tx.rows<Row>(`SELECT ${columns} FROM labels WHERE subject_id = ? FOR UPDATE`, [
    toBytes(subjectId),
  ]);
  return row ? toLabel(row) : noLabel;
}

/** Writes a label whose row is locked. Throws if another product or sale has its reference. */
export async function updateLabel(tx: Tx, { kind, subjectId, label }: Labelled, nowMs: number): Promise<void> {
  await tx.change(
    'UPDATE labels SET reference = ?, sole_reference = ?, metadata = ?, updated_at_ms = ? WHERE subject_id = ?',
    [...[label.reference, isSole(kind) ? label.reference : null, jsonOf(label), nowMs], toBytes(subjectId)],
  );
}

/** The labels of those of these subjects that have one. */
export async function readLabels(sql: Sql, subjectIds: readonly SubjectId[]): Promise<Map<SubjectId, Label>> {
  if (subjectIds.length === 0) return new Map();
  const rows = await sql.rows<Row>(
    `SELECT ${columns} FROM labels FORCE INDEX (PRIMARY)
     WHERE subject_id IN (?) AND (reference IS NOT NULL OR metadata IS NOT NULL)`,
    [subjectIds.map(toBytes)],
  );
  return new Map(rows.map((row) => [fromBytes(row.subjectId), toLabel(row)]));
}

/** The digest of the label with which something was requested; empty if it was without one, or is not made yet. */
export async function readGivenDigest(sql: Sql, subjectId: SubjectId): Promise<string> {
  const [row] = await sql.rows<{ digest: Buffer | null }>(
    'SELECT given_digest AS digest FROM labels WHERE subject_id = ?',
    [toBytes(subjectId)],
  );
  return row?.digest?.toString('hex') ?? '';
}

/** A label that was found, with when it was changed last. */
export interface FoundLabel extends Labelled {
  readonly updatedAtMs: number;
}

/** What is looked for among labels. */
export interface LabelSought {
  readonly kind: LabelKind | undefined;
  readonly reference: string | undefined;
  readonly subjectId: string | undefined;
}

/** Labels with this reference or of this subject, by the ids of their subjects. */
export async function findLabels(
  sql: Pick<Sql, 'rows'>,
  { kind, reference, subjectId }: LabelSought,
  afterId: string | undefined,
  limit: number,
): Promise<FoundLabel[]> {
  const conditions: [string, unknown][] = [];
  if (subjectId !== undefined) conditions.push(['subject_id = ?', toBytes(subjectId)]);
  if (reference !== undefined) conditions.push(['reference = ?', reference]);
  if (kind !== undefined) conditions.push(['kind = ?', kind]);
  if (afterId !== undefined) conditions.push(['subject_id > ?', toBytes(afterId)]);
  const rows = await sql.rows<Row>(
    `SELECT ${columns} FROM labels FORCE INDEX (${subjectId === undefined ? 'labels_reference' : 'PRIMARY'})
     WHERE (reference IS NOT NULL OR metadata IS NOT NULL) AND ${conditions.map(([one]) => one).join(' AND ')}
     ORDER BY subject_id LIMIT ?`,
    [...conditions.map(([, value]) => value), limit],
  );
  return rows.map((row) => ({
    kind: row.kind,
    subjectId: fromBytes(row.subjectId),
    label: toLabel(row),
    updatedAtMs: row.updatedAtMs,
  }));
}

/** How many labels are erased in one statement. */
const rowsErased = 500;

/**
 * Erases the metadata of all that a customer has reserved and bought, and the digests by which it could be guessed: a shop may have
 * noted there who they are. References stay: they name orders, not people. To be called with the account's row locked
 * (`holdAccounts`).
 */
export async function eraseMetadataOf(tx: Tx, customerId: CustomerId): Promise<void> {
  const owner = toBytes(customerId);
  const rows = await tx.rows<{ id: Buffer }>(
    `SELECT l.subject_id AS id FROM reservations r JOIN labels l ON l.subject_id = r.id
     WHERE r.customer_id = ? AND (l.metadata IS NOT NULL OR l.given_digest IS NOT NULL)
     UNION ALL SELECT l.subject_id AS id FROM purchases p JOIN labels l ON l.subject_id = p.id
     WHERE p.customer_id = ? AND (l.metadata IS NOT NULL OR l.given_digest IS NOT NULL)`,
    [owner, owner],
  );
  for (let start = 0; start < rows.length; start += rowsErased) {
    const ids = rows.slice(start, start + rowsErased).map(({ id }) => id);
    await tx.change('UPDATE labels SET metadata = NULL, given_digest = NULL WHERE subject_id IN (?)', [ids]);
  }
}
