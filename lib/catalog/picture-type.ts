/**
 * What kind of picture a file is, by its first bytes: what a file is called, and what its sender says, proves nothing. Pictures of
 * points alone: an SVG is a document that may hold scripts.
 */

/** The kinds that are taken, and the ends of their names. */
export const pictureTypes = { 'image/jpeg': 'jpg', 'image/png': 'png', 'image/webp': 'webp' } as const;
export type PictureType = keyof typeof pictureTypes;

/** How many bytes are needed to tell. */
export const bytesToTell = 16;

/** How files begin, in hexadecimal digits. */
const beginnings: readonly (readonly [PictureType, RegExp])[] = [
  ['image/jpeg', /^ffd8ff/],
  ['image/png', /^89504e470d0a1a0a/],
  // RIFF, a length, WEBP, and one of its three kinds.
  ['image/webp', /^52494646.{8}57454250565038(20|4c|58)/],
];

/** The kind of a picture that begins with these bytes; undefined for everything else. */
export function pictureTypeOf(start: Uint8Array): PictureType | undefined {
  const digits = Buffer.from(start.subarray(0, bytesToTell)).toString('hex');
  return beginnings.find(([, beginning]) => beginning.test(digits))?.[0];
}
