/**
 * The picture of a sale as long as its product has none: bands and discs whose colours and places follow from the sale's
 * id, the same on its page, on its card and in the preview that is shared.
 */

export interface Disc {
  /** Centre and radius as parts of the width. */
  readonly x: number;
  readonly y: number;
  readonly r: number;
  readonly colour: string;
}

export interface Cover {
  readonly ground: string;
  readonly discs: readonly Disc[];
}

/** Height as a part of the width, as social networks show previews. */
export const coverRatio = 630 / 1200;

const palettes = [
  ['#0f5c5c', '#e09a3e', '#f5f2ea', '#2b9488'],
  ['#3b2e5a', '#f0b067', '#8fb8de', '#d96c75'],
  ['#7a2e3a', '#f3d9b1', '#e09a3e', '#c0596b'],
  ['#1f3a5f', '#f5f2ea', '#5cc4b8', '#e0a458'],
  ['#2e4a32', '#f0e2b6', '#8fdca5', '#c97b4a'],
  ['#4a3728', '#f5d6a8', '#b4621a', '#7fa99b'],
] as const;

/** The picture of a sale. */
export function coverOf(saleId: string): Cover {
  const next = chance(saleId);
  const [ground, ...colours] = palettes[Math.floor(next() * palettes.length)] ?? palettes[0];
  const discs = Array.from({ length: 5 }, (_, index) => ({
    x: next(),
    y: next() * coverRatio,
    r: 0.08 + next() * 0.24,
    colour: colours[index % colours.length] ?? ground,
  }));
  return { ground, discs };
}

/** The same numbers from 0 to 1 for the same text, one after the other (mulberry32 over FNV-1a). */
function chance(text: string): () => number {
  let state = 2_166_136_261;
  for (const letter of text) state = Math.imul(state ^ letter.charCodeAt(0), 16_777_619);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
