/**
 * Pictures of products. An operator announces a file and gets a form, by which it goes to the bucket without passing through here;
 * then it is looked at, and shown only if it is what was announced.
 *
 * Invariant: what is shown was looked at and does not change afterwards. A file is brought under one key and shown under another,
 * to which no form leads.
 */
import { changeOf, type Keep, keepNothing } from '#idempotency/kept-answer.ts';
import { type Bucket, openBucket } from '#platform/aws/bucket.ts';
import type { Needs } from '#platform/environment/deps.ts';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import { newId, type ProductId } from '#platform/kernel/ids.ts';
import { locate } from '#platform/kernel/registry.ts';
import { type NewPicture, type Picture, type PictureUpload, picturesAtMost } from './picture.shapes.ts';
import {
  deletePictures,
  findPicture,
  insertPicture,
  listPictures,
  lockPicture,
  markShown,
  type PictureId,
  type StoredPicture,
} from './picture.store.ts';
import { bytesToTell, pictureTypeOf } from './picture-type.ts';
import { pictureOf, shownKey } from './picture-view.ts';
import { lockProduct } from './product.store.ts';

/** How long a file may take to come. */
const formGoodForSeconds = 600;
/** How long a picture whose file did not come keeps its place among those of the product. */
const awaitedMs = 3_600_000;
/** How long a browser and the distribution may keep a picture, which is also how long one that was removed may be seen. */
const kept = 'public, max-age=3600';

export type PictureNeeds = Needs<'db' | 'clock' | 'registry' | 'once'>;

const bucketOf = ({ registry }: Needs<'registry'>): Bucket => openBucket(locate(registry, 'bucket/pictures'));
const broughtKey = (pictureId: PictureId) => `incoming/${pictureId}`;

const noSuchPicture = refuse('not_found', 'There is no such picture of this product.');

/** Announces a picture; the answer says where its file goes. Refused beyond `picturesAtMost` of one product. */
export async function addPicture(
  deps: PictureNeeds,
  productId: ProductId,
  { type, bytes, alt }: NewPicture,
  keep: Keep = keepNothing,
): Promise<PictureUpload | Refusal> {
  const nowMs = deps.clock();
  const pictureId = newId<'picture'>(nowMs);
  const upload = await deps
    .once(bucketOf)
    .formFor(broughtKey(pictureId), { type, bytesAtMost: bytes, goodForSeconds: formGoodForSeconds });
  return deps.db.transaction(async (tx) => {
    if (!(await lockProduct(tx, productId))) return refuse('not_found', 'There is no such product.');
    const pictures = await listPictures(tx, [productId]);
    const givenUp = pictures.filter((one) => one.state === 'awaited' && one.createdAtMs + awaitedMs < nowMs);
    if (pictures.length - givenUp.length >= picturesAtMost) {
      return refuse('too_many_pictures', `A product has at most ${picturesAtMost} pictures; remove one first.`);
    }
    await deletePictures(
      tx,
      givenUp.map((one) => one.pictureId),
    );
    const picture: StoredPicture = {
      ...{ pictureId, productId, type, bytes, alt },
      ...{ state: 'awaited', createdAtMs: nowMs },
    };
    await insertPicture(tx, picture);
    return keep(tx, { pictureId, upload }, changeOf(productId, null, { pictureId, type, alt }));
  });
}

/** Looks at the file of a picture and shows it from now on. Refused if none came, or if it is not what was announced. */
export async function showPicture(
  deps: PictureNeeds,
  productId: ProductId,
  pictureId: PictureId,
  keep: Keep = keepNothing,
): Promise<Picture | Refusal> {
  const bucket = deps.once(bucketOf);
  const known = await findPicture(deps.db, productId, pictureId);
  if (!known) return noSuchPicture;
  if (known.state === 'awaited') {
    const refusal = await look(bucket, known);
    if (refusal) return refusal;
  }
  const shown = await deps.db.transaction(async (tx) => {
    const picture = await lockPicture(tx, productId, pictureId);
    if (!picture) return noSuchPicture;
    if (picture.state === 'awaited') await markShown(tx, pictureId);
    const view = pictureOf(picture);
    return keep(tx, view, picture.state === 'awaited' ? changeOf(productId, null, view) : null);
  });
  // It was removed while it was looked at.
  if (shown === noSuchPicture) await bucket.remove(shownKey(known));
  await bucket.remove(broughtKey(pictureId));
  return shown;
}

/** Copies a file to where it is shown, if it is what was announced; otherwise removes it, so that another may be brought. */
async function look(bucket: Bucket, picture: StoredPicture): Promise<Refusal | undefined> {
  const from = broughtKey(picture.pictureId);
  const start = await bucket.start(from, bytesToTell);
  if (!start) return refuse('picture_missing', 'Bring the file first, by the form that was given for it.');
  if (pictureTypeOf(start.bytes) !== picture.type || start.size > picture.bytes) {
    await bucket.remove(from);
    return refuse('not_a_picture', `This file is not ${picture.type} of at most ${picture.bytes} bytes.`);
  }
  const isCopied = await bucket.copy(from, shownKey(picture), { tag: start.tag, type: picture.type, kept });
  return isCopied ? undefined : refuse('picture_missing', 'The file has changed meanwhile; look at it again.');
}

/** Removes a picture: it is not part of its product any more. Whoever has seen it may see it for an hour. */
export async function removePicture(
  deps: PictureNeeds,
  productId: ProductId,
  pictureId: PictureId,
  keep: Keep = keepNothing,
): Promise<Refusal | null> {
  const known = await findPicture(deps.db, productId, pictureId);
  if (known) {
    // Files first: a picture without its file is removed by the next call, a file without its picture by nobody.
    const bucket = deps.once(bucketOf);
    await bucket.remove(broughtKey(pictureId));
    await bucket.remove(shownKey(known));
  }
  return deps.db.transaction(async (tx) => {
    const picture = await lockPicture(tx, productId, pictureId);
    if (!picture) return noSuchPicture;
    await deletePictures(tx, [pictureId]);
    const { type, alt } = picture;
    return keep(tx, null, changeOf(productId, { pictureId, type, alt }, null));
  });
}
