/**
 * Gives functions of a Lua script other bodies. A function is found by its name where the script declares it at its top,
 * as `local function name(…) … end`, regardless of the rest of the script.
 */
import { type Token, tokenize } from '../model/world/lua.ts';

const opening = new Set(['function', 'if', 'do', 'repeat']);
const closing = new Set(['end', 'until']);

/** The script with these bodies. Throws if one of the functions is not declared at its top. */
export function replaceFunctions(source: string, script: string, bodies: Readonly<Record<string, string>>): string {
  let replaced = source;
  for (const [name, body] of Object.entries(bodies)) {
    const found = bodyOf(tokenize(replaced), name);
    if (!found) throw new Error(`${script} declares no function ${name} at its top`);
    replaced = `${replaced.slice(0, found.from)} ${body} ${replaced.slice(found.to)}`;
  }
  return replaced;
}

/** Where the body of a function begins and ends: after its parameters, and before its `end`. */
function bodyOf(tokens: readonly Token[], name: string): { from: number; to: number } | undefined {
  let depth = 0;
  let from: number | undefined;
  for (const [index, { kind, text, at }] of tokens.entries()) {
    if (kind === 'string') continue;
    if (opening.has(text)) {
      if (
        depth === 0 &&
        text === 'function' &&
        tokens[index - 1]?.text === 'local' &&
        tokens[index + 1]?.text === name
      ) {
        const close = tokens.slice(index).find((token) => token.kind === 'symbol' && token.text === ')');
        from = close && close.at + 1;
      }
      depth++;
    } else if (closing.has(text)) {
      depth--;
      if (depth === 0 && from !== undefined) return { from, to: at };
    }
  }
  return undefined;
}
