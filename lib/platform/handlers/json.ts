/**
 * Parsing untrusted JSON: refuses valid but dangerous input that JSON.parse accepts: duplicate keys, keys that reach
 * into prototypes, and deep nesting, which can make two parsers of the same text disagree or exhaust one.
 */

/** How deep arrays and objects may nest. */
export const maxJsonDepth = 16;

/** Names that no object may have. */
export const forbiddenNames: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** Thrown for text that is not acceptable JSON; the message says what is wrong and is safe to show to the caller. */
export class InvalidJson extends Error {}

/** Parses JSON. Throws `InvalidJson` for malformed, too deeply nested or ambiguous text. */
export function parseJson(text: string): unknown {
  checkStructure(text);
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidJson('the text is not valid JSON');
  }
}

const quote = 0x22;
const backslash = 0x5c;
const colon = 0x3a;

/**
 * Scans the text once, strings and brackets only, and keeps nothing but the keys of the open objects. Whether it is valid
 * JSON is left to JSON.parse.
 */
function checkStructure(text: string): void {
  /** The keys seen so far in each open object; undefined for an open array. */
  const open: (Set<string> | undefined)[] = [];
  for (let position = 0; position < text.length; position++) {
    switch (text.charCodeAt(position)) {
      case 0x7b: // {
        open.push(new Set());
        break;
      case 0x5b: // [
        open.push(undefined);
        break;
      case 0x7d: // }
      case 0x5d: // ]
        open.pop();
        break;
      case quote: {
        const end = endOfString(text, position);
        const names = open.at(-1);
        if (names && text.charCodeAt(skipBlanks(text, end)) === colon) addName(names, text.slice(position, end));
        position = end - 1;
        break;
      }
    }
    if (open.length > maxJsonDepth) throw new InvalidJson(`nesting is deeper than ${maxJsonDepth}`);
  }
}

function addName(names: Set<string>, quoted: string): void {
  let name: string;
  try {
    name = quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
  } catch {
    throw new InvalidJson('the text is not valid JSON');
  }
  if (forbiddenNames.has(name)) throw new InvalidJson(`the name "${name}" is not allowed`);
  if (names.has(name)) throw new InvalidJson('a name is given twice');
  names.add(name);
}

/** The position after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  for (let position = start + 1; position < text.length; position++) {
    const character = text.charCodeAt(position);
    if (character === backslash) position++;
    else if (character === quote) return position + 1;
  }
  throw new InvalidJson('a string does not end');
}

/** The position of the first character at or after `start` that is not JSON whitespace. */
function skipBlanks(text: string, start: number): number {
  let position = start;
  while (position < text.length && ' \n\r\t'.includes(text.charAt(position))) position++;
  return position;
}
