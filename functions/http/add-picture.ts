/** POST /products/{productId}/pictures: announces a picture. */
import { addPicture } from '#catalog/picture.ts';
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { addPictureRoute } from './catalog.routes.ts';

export const handler = operatorHandler(byKey(addPictureRoute), ({ deps, params, body }, keep) =>
  addPicture(deps, params.productId, body, keep),
);
