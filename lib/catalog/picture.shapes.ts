/** The shapes of pictures in the API. */
import * as z from 'zod';
import type { ProductId } from '#platform/kernel/ids.ts';
import { idOf, line } from '#platform/kernel/shapes.ts';
import type { PictureId } from './picture.store.ts';
import { type PictureType, pictureTypes } from './picture-type.ts';

/** The largest file that is taken. */
export const pictureBytesAtMost = 5 * 1_048_576;
/** How many pictures a product has at most. */
export const picturesAtMost = 8;

const Alt = line(1, 300).describe('What the picture shows, for those who do not see it');

export const PicturePath = z.strictObject({ productId: idOf<ProductId>(), pictureId: idOf<PictureId>() });

export const NewPicture = z
  .strictObject({
    type: z.enum(Object.keys(pictureTypes) as [PictureType, ...PictureType[]]).describe('What the file is'),
    bytes: z.int().min(1).max(pictureBytesAtMost).describe('How many bytes it has'),
    alt: z.strictObject({ en: Alt, ko: Alt }),
  })
  .meta({ id: 'NewPicture' });
export type NewPicture = z.output<typeof NewPicture>;

export const PictureUpload = z
  .object({
    pictureId: idOf<PictureId>(),
    upload: z
      .object({
        url: z.string(),
        fields: z.record(z.string(), z.string()),
        expiresAt: z.string(),
      })
      .describe('Post the fields and then the file, as `file`, to the address as multipart/form-data'),
  })
  .meta({ id: 'PictureUpload' });
export type PictureUpload = z.infer<typeof PictureUpload>;

export const Picture = z
  .object({
    pictureId: idOf<PictureId>(),
    path: z.string().describe('Where it is, behind the origin of the pages'),
    type: z.string(),
    alt: z.object({ en: z.string(), ko: z.string() }),
  })
  .meta({ id: 'Picture' });
export type Picture = z.infer<typeof Picture>;
