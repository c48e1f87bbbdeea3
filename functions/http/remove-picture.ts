/** DELETE /products/{productId}/pictures/{pictureId}: removes a picture. */
import { removePicture } from '#catalog/picture.ts';
import { completedHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { removePictureRoute } from './catalog.routes.ts';

export const handler = completedHandler(
  byKey(removePictureRoute),
  ({ deps, params }, keep) => removePicture(deps, params.productId, params.pictureId, keep),
  () => undefined,
);
