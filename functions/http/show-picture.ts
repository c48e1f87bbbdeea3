/** POST /products/{productId}/pictures/{pictureId}/shown: looks at a file that has come, and shows it. */
import { showPicture } from '#catalog/picture.ts';
import { operatorHandler } from '#idempotency/kept-answer.ts';
import { byKey } from '#keys/identify.ts';
import { showPictureRoute } from './catalog.routes.ts';

export const handler = operatorHandler(byKey(showPictureRoute), ({ deps, params }, keep) =>
  showPicture(deps, params.productId, params.pictureId, keep),
);
