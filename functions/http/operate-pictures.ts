/** Pictures of products: one function, since it alone may touch their bucket. */
import { severalRoutes } from '#platform/handlers/several-routes.ts';
import { handler as addPicture } from './add-picture.ts';
import * as catalog from './catalog.routes.ts';
import { handler as removePicture } from './remove-picture.ts';
import { handler as showPicture } from './show-picture.ts';

export const handler = severalRoutes([
  [catalog.addPictureRoute, addPicture],
  [catalog.showPictureRoute, showPicture],
  [catalog.removePictureRoute, removePicture],
]);
