/** The picture of a sale as a PNG of 1200 by 630, for previews: networks do not show SVG. */
import { crc32, deflateSync } from 'node:zlib';
import { coverOf } from './cover.ts';

const width = 1_200;
const height = 630;

/** Draws the picture. */
export function coverPng(saleId: string): Buffer {
  const { ground, discs } = coverOf(saleId);
  const colours = [ground, ...discs.map(({ colour }) => colour)];
  // One byte for each point, an index into the colours; each row begins with its filter, none.
  const rows = Buffer.alloc((width + 1) * height);
  for (const [index, { x, y, r }] of discs.entries()) {
    const [cx, cy, radius] = [x * width, y * width, r * width];
    for (let row = Math.max(0, Math.ceil(cy - radius)); row < Math.min(height, cy + radius); row++) {
      const half = Math.sqrt(radius ** 2 - (row - cy) ** 2);
      const from = Math.max(0, Math.round(cx - half));
      const to = Math.min(width, Math.round(cx + half));
      if (to > from) rows.fill(index + 1, row * (width + 1) + 1 + from, row * (width + 1) + 1 + to);
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // Eight bits a point, colours from a palette.
  header.set([8, 3, 0, 0, 0], 8);
  const palette = Buffer.from(colours.map((colour) => colour.slice(1)).join(''), 'hex');
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    chunk('PLTE', palette),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(named));
  return Buffer.concat([length, named, sum]);
}
