import { bytesToTell, pictureTypeOf } from './picture-type.ts';

const bytes = (text: string) => Buffer.from(text, 'latin1');

test.each([
  ['image/jpeg', '\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00'],
  ['image/png', '\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR'],
  ['image/webp', 'RIFF\x24\x00\x00\x00WEBPVP8 '],
  ['image/webp', 'RIFF\r\n\r\nWEBPVP8L'],
])('%s is known by its first bytes', (type, start) => {
  expect(pictureTypeOf(bytes(`${start}and all that follows`))).toBe(type);
  expect(start.length).toBeLessThanOrEqual(bytesToTell);
});

test.each([
  ['an SVG', '<svg xmlns="http://www.w3.org/2000/svg"><script>'],
  ['an SVG after its declaration', '<?xml version="1.0"?><svg'],
  ['a page', '<!doctype html><html>'],
  ['a GIF', 'GIF89a\x01\x00\x01\x00'],
  ['a BMP', 'BM\x00\x00\x00\x00'],
  ['a sound', 'RIFF\x24\x00\x00\x00WAVEfmt '],
  ['a document', '%PDF-1.7'],
  ['a program', '\x7fELF'],
  ['a picture that begins later', ' \xff\xd8\xff\xe0'],
  ['the beginning of a beginning', '\x89PNG'],
  ['nothing', ''],
])('%s is none', (_, start) => expect(pictureTypeOf(bytes(start))).toBeUndefined());
