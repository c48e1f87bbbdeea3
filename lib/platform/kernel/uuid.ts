/** Whether a text is a UUID, asked of the messages of a batch, a thousand at once. */

/** For each character of ASCII 0 if it is a hex digit, else 1. */
const notHex = new Uint8Array(128).fill(1);
for (const digit of '0123456789abcdefABCDEF') notHex[digit.charCodeAt(0)] = 0;
const dash = 0x2d;

/** Whether a text is as long as a UUID and has dashes where a UUID has them, whatever lies between. */
export function isDashedLikeUuid(text: string): boolean {
  if (text.length !== 36) return false;
  const wrong =
    (text.charCodeAt(8) ^ dash) |
    (text.charCodeAt(13) ^ dash) |
    (text.charCodeAt(18) ^ dash) |
    (text.charCodeAt(23) ^ dash);
  return wrong === 0;
}

/** True for the canonical text of a UUID, of any version and in either case, and for nothing else. */
export function isUuid(text: unknown): text is string {
  if (typeof text !== 'string' || !isDashedLikeUuid(text)) return false;
  const wrong =
    wrongDigits(text, 0, 8) |
    wrongDigits(text, 9, 13) |
    wrongDigits(text, 14, 18) |
    wrongDigits(text, 19, 23) |
    wrongDigits(text, 24, 36);
  return wrong === 0;
}

/**
 * Zero if a part of a text has nothing but hex digits. Goes on to the end whatever it finds: digits of an id are random,
 * and a processor that has to guess at each whether to go on takes twice as long, as it does with a regular expression.
 */
function wrongDigits(text: string, from: number, to: number): number {
  let wrong = 0;
  for (let index = from; index < to; index++) {
    const code = text.charCodeAt(index);
    wrong |= code > 0x7f ? 1 : (notHex[code] ?? 1);
  }
  return wrong;
}
