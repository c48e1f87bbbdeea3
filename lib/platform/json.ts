/**
 * Reading JSON from strangers: what JSON.parse lets pass and nobody means is refused. Two fields of one name, names that
 * reach into prototypes, and nesting without end each have been used to make two readers of one text disagree.
 */

/** How deep arrays and objects may nest. */
export const maxJsonDepth = 16;

const forbiddenNames = new Set(['__proto__', 'constructor', 'prototype']);

/** Thrown for a text that is not acceptable JSON; the message says what is wrong and is fit for the caller. */
export class InvalidJson extends Error {}

/** Parses JSON. Throws `InvalidJson` for broken, too deep or ambiguous text. */
export function parseJson(text: string): unknown {
  let value: unknown;
  try {
    checkStructure(text);
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof InvalidJson) throw error;
    throw new InvalidJson('the text is not valid JSON');
  }
  return value;
}

/**
 * Walks the text once, string by string and bracket by bracket, without building anything. Whether it is valid JSON at
 * all is left to JSON.parse; this looks only for depth and for names that are repeated or forbidden.
 */
function checkStructure(text: string): void {
  const names: (Set<string> | undefined)[] = [];
  let position = 0;
  while (position < text.length) {
    const character = text[position];
    if (character === '{' || character === '[') {
      names.push(character === '{' ? new Set() : undefined);
      if (names.length > maxJsonDepth) throw new InvalidJson(`nesting is deeper than ${maxJsonDepth}`);
      position++;
    } else if (character === '}' || character === ']') {
      names.pop();
      position++;
    } else if (character === '"') {
      const end = endOfString(text, position);
      const object = names.at(-1);
      if (object && /^\s*:/.test(text.slice(end, end + 16))) {
        const name = JSON.parse(text.slice(position, end)) as string;
        if (forbiddenNames.has(name)) throw new InvalidJson(`the name "${name}" is not allowed`);
        if (object.has(name)) throw new InvalidJson(`the name "${name}" is given twice`);
        object.add(name);
      }
      position = end;
    } else {
      position++;
    }
  }
}

/** The position after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  for (let position = start + 1; position < text.length; position++) {
    if (text[position] === '\\') position++;
    else if (text[position] === '"') return position + 1;
  }
  throw new InvalidJson('a string does not end');
}
