/**
 * EventBridge event patterns: text in, a yes-or-no function out.
 *
 * Follows the rules AWS documents for event buses (and its open implementation, Event Ruler): every field named must
 * match; a field matches if any of its alternatives does; an array in the event matches if any element does, and the
 * fields of one nested pattern must be found in the same element of an array of objects; `exists` looks at leaves
 * only. Known difference: numbers compare by value, so 300 and 3.0e2 are equal here.
 *
 * Invariant: a pattern that is not understood is refused when the rule is put, never ignored when an event arrives.
 * Called by api.ts, for PutRule, PutEvents and TestEventPattern.
 */
import { BlockList, isIP } from 'node:net';

/** Answers whether an event (the whole envelope, parsed) is selected. */
export type EventMatcher = (event: unknown) => boolean;

/** The pattern is not valid; the message says where and why. */
export class PatternError extends Error {
  constructor(reason: string) {
    super(`Event pattern is not valid. Reason: ${reason}`);
    this.name = 'PatternError';
  }
}

type Leaf = string | number | boolean | null;
type LeafTest = (leaf: Leaf) => boolean;
/** `value` is what the event has where the pattern stands; `event` is the root, for questions about absence. */
type Matcher = (value: unknown, event: unknown) => boolean;

/** Field names that, inside `$or`, show that the writer meant an ordinary field called "$or". */
const RESERVED_WORDS = new Set([
  'exactly',
  'prefix',
  'suffix',
  'anything-but',
  'numeric',
  'cidr',
  'exists',
  'equals-ignore-case',
  'wildcard',
]);

const NUMERIC_LIMIT = 5e9;

/** Compiles the text of a pattern. Throws PatternError with the reason when AWS would refuse it. */
export function compilePattern(text: string): EventMatcher {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new PatternError(error instanceof Error ? error.message : String(error));
  }
  if (!isObject(parsed)) throw new PatternError('Filter is not an object');
  const matches = compileObject(parsed, []);
  return (event) => matches(event, event);
}

function compileObject(pattern: Record<string, unknown>, path: string[]): Matcher {
  const fields = Object.entries(pattern);
  if (fields.length === 0) throw new PatternError(`Empty objects are not allowed${at(path)}`);
  const checks = fields.map(([name, wanted]): Matcher => {
    if (name === '$or' && isAlternatives(wanted)) {
      const alternatives = wanted.map((alternative) => compileObject(alternative, path));
      return (value, event) => alternatives.some((matches) => matches(value, event));
    }
    const fieldPath = [...path, name];
    const matches = compileField(wanted, fieldPath);
    return (value, event) => matches(isObject(value) ? value[name] : undefined, event);
  });
  return (value, event) => {
    // An array of objects stands for its elements; all the fields must be found in one of them.
    const candidates = Array.isArray(value) ? objectsIn(value) : [value];
    if (candidates.length === 0) candidates.push(undefined);
    return candidates.some((candidate) => checks.every((matches) => matches(candidate, event)));
  };
}

function compileField(wanted: unknown, path: string[]): Matcher {
  if (isObject(wanted)) return compileObject(wanted, path);
  if (!Array.isArray(wanted)) throw new PatternError(`"${path.at(-1)}" must be an object or an array`);
  if (wanted.length === 0) throw new PatternError(`Empty arrays are not allowed${at(path)}`);
  const tests: LeafTest[] = [];
  let mayBeAbsent = false;
  for (const alternative of wanted) {
    if (isObject(alternative) && alternative.exists === false && Object.keys(alternative).length === 1) {
      mayBeAbsent = true;
    } else {
      tests.push(compileAlternative(alternative, path));
    }
  }
  return (value, event) => {
    if (leavesIn(value).some((leaf) => tests.some((test) => test(leaf)))) return true;
    return mayBeAbsent && !hasLeaf(event, path);
  };
}

function compileAlternative(alternative: unknown, path: string[]): LeafTest {
  if (isLeaf(alternative)) return (leaf) => leaf === alternative;
  if (!isObject(alternative)) throw new PatternError(`Match value must be a string, number, true, false or null`);
  const [operator, ...others] = Object.keys(alternative);
  if (operator === undefined || others.length > 0) {
    throw new PatternError(`Only one key allowed in match expression${at(path)}`);
  }
  const operand = alternative[operator];
  switch (operator) {
    case 'prefix':
    case 'suffix':
      return compileAffix(operator, operand);
    case 'equals-ignore-case': {
      const lower = textOperand(operator, operand).toLowerCase();
      return (leaf) => typeof leaf === 'string' && leaf.toLowerCase() === lower;
    }
    case 'wildcard':
      return compileWildcard(textOperand(operator, operand));
    case 'anything-but':
      return compileAnythingBut(operand);
    case 'numeric':
      return compileNumeric(operand);
    case 'cidr':
      return compileCidr(textOperand(operator, operand));
    case 'exists':
      if (operand !== true) throw new PatternError('exists match pattern must be either true or false');
      return () => true;
    default:
      throw new PatternError(`Unrecognized match type ${operator}`);
  }
}

function compileAffix(operator: 'prefix' | 'suffix', operand: unknown): LeafTest {
  const ignoreCase = isObject(operand) && 'equals-ignore-case' in operand && Object.keys(operand).length === 1;
  const affix = textOperand(operator, ignoreCase ? operand['equals-ignore-case'] : operand);
  const wanted = ignoreCase ? affix.toLowerCase() : affix;
  return (leaf) => {
    if (typeof leaf !== 'string') return false;
    const text = ignoreCase ? leaf.toLowerCase() : leaf;
    return operator === 'prefix' ? text.startsWith(wanted) : text.endsWith(wanted);
  };
}

/** The operand is a string, a number, a list of one of them, or one text operator over a string or list of strings. */
function compileAnythingBut(operand: unknown): LeafTest {
  if (isObject(operand)) {
    const [operator, ...others] = Object.keys(operand);
    const known = ['prefix', 'suffix', 'equals-ignore-case', 'wildcard'];
    if (operator === undefined || others.length > 0 || !known.includes(operator)) {
      throw new PatternError(`Unsupported anything-but pattern: ${operator ?? 'empty object'}`);
    }
    const inner = operand[operator];
    const values = Array.isArray(inner) ? inner : [inner];
    if (values.length === 0) throw new PatternError('Empty arrays are not allowed in anything-but');
    const refused = values.map((value) => {
      if (value === '') throw new PatternError(`Null ${operator} not allowed in anything-but`);
      return compileAlternative({ [operator]: value }, []);
    });
    return (leaf) => !refused.some((test) => test(leaf));
  }
  const values: unknown[] = Array.isArray(operand) ? operand : [operand];
  const sameType = values.every((value) => typeof value === typeof values[0]);
  if (values.length === 0 || !sameType || !['string', 'number'].includes(typeof values[0])) {
    throw new PatternError('Value of anything-but must be strings only or numbers only');
  }
  const refused = new Set(values);
  return (leaf) => !refused.has(leaf);
}

/** `["=", n]`, one bound, or a lower bound followed by an upper one. */
function compileNumeric(operand: unknown): LeafTest {
  if (!Array.isArray(operand) || ![2, 4].includes(operand.length)) {
    throw new PatternError('Value of numeric must be an array of one or two operators, each with its number');
  }
  const bounds: [string, number][] = [];
  for (let index = 0; index < operand.length; index += 2) {
    const operator: unknown = operand[index];
    const limit: unknown = operand[index + 1];
    if (typeof operator !== 'string' || !['=', '<', '<=', '>', '>='].includes(operator)) {
      throw new PatternError(`Unrecognized numeric range operator: ${String(operator)}`);
    }
    if (typeof limit !== 'number' || Math.abs(limit) > NUMERIC_LIMIT) {
      throw new PatternError(`Value of ${operator} must be numeric and between -5.0E9 and 5.0E9`);
    }
    bounds.push([operator, limit]);
  }
  const [first, second] = bounds;
  if (first && second) {
    if (!first[0].startsWith('>') || !second[0].startsWith('<')) {
      throw new PatternError('A numeric range is a lower bound followed by an upper bound');
    }
    if (first[1] >= second[1]) throw new PatternError('Bottom must be less than top');
  }
  return (leaf) => typeof leaf === 'number' && bounds.every(([operator, limit]) => compare(leaf, operator, limit));
}

function compare(value: number, operator: string, limit: number): boolean {
  switch (operator) {
    case '<':
      return value < limit;
    case '<=':
      return value <= limit;
    case '>':
      return value > limit;
    case '>=':
      return value >= limit;
    default:
      return value === limit;
  }
}

/** `*` stands for any characters; `\*` and `\\` are the characters themselves. Runs in linear time per literal. */
function compileWildcard(text: string): LeafTest {
  const literals = [''];
  for (let index = 0; index < text.length; index += 1) {
    const character = text.charAt(index);
    if (character === '*') {
      if (text.charAt(index + 1) === '*') throw new PatternError('Consecutive wildcard characters');
      literals.push('');
    } else if (character === '\\') {
      const escaped = text.charAt(index + 1);
      if (escaped !== '*' && escaped !== '\\') throw new PatternError('Invalid escape character in wildcard');
      literals[literals.length - 1] += escaped;
      index += 1;
    } else {
      literals[literals.length - 1] += character;
    }
  }
  const head = literals[0] ?? '';
  if (literals.length === 1) return (leaf) => leaf === head;
  const tail = literals[literals.length - 1] ?? '';
  const middle = literals.slice(1, -1);
  return (leaf) => {
    if (typeof leaf !== 'string' || leaf.length < head.length + tail.length) return false;
    if (!leaf.startsWith(head) || !leaf.endsWith(tail)) return false;
    const end = leaf.length - tail.length;
    let from = head.length;
    for (const literal of middle) {
      const found = leaf.indexOf(literal, from);
      if (found < 0 || found + literal.length > end) return false;
      from = found + literal.length;
    }
    return true;
  };
}

function compileCidr(text: string): LeafTest {
  const [address = '', bits = ''] = text.split('/');
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  const width = Number(bits);
  if (isIP(address) === 0 || !/^\d+$/.test(bits) || width > (family === 'ipv6' ? 128 : 32)) {
    throw new PatternError(`Malformed CIDR: ${text}`);
  }
  const block = new BlockList();
  block.addSubnet(address, width, family);
  return (leaf) => {
    if (typeof leaf !== 'string') return false;
    const version = isIP(leaf);
    return version !== 0 && block.check(leaf, version === 6 ? 'ipv6' : 'ipv4');
  };
}

function textOperand(operator: string, operand: unknown): string {
  if (typeof operand !== 'string') throw new PatternError(`${operator} match pattern must be a string`);
  return operand;
}

function isAlternatives(wanted: unknown): wanted is Record<string, unknown>[] {
  if (!Array.isArray(wanted) || wanted.length < 2) return false;
  return wanted.every(
    (alternative) =>
      isObject(alternative) &&
      Object.keys(alternative).length > 0 &&
      !Object.keys(alternative).some((name) => RESERVED_WORDS.has(name)),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isLeaf(value: unknown): value is Leaf {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}

/** The leaves a field holds: itself, or those of its array. Objects are not leaves, and an empty array has none. */
function leavesIn(value: unknown): Leaf[] {
  if (isLeaf(value)) return [value];
  return Array.isArray(value) ? value.flatMap(leavesIn) : [];
}

function objectsIn(values: unknown[]): unknown[] {
  return values.flatMap((value) => (Array.isArray(value) ? objectsIn(value) : isObject(value) ? [value] : []));
}

/** Absence is asked of the whole event: one element with the field makes it present. */
function hasLeaf(value: unknown, path: string[]): boolean {
  const [name, ...rest] = path;
  if (name === undefined) return leavesIn(value).length > 0;
  if (Array.isArray(value)) return value.some((element) => hasLeaf(element, path));
  return isObject(value) && Object.hasOwn(value, name) && hasLeaf(value[name], rest);
}

function at(path: string[]): string {
  return path.length === 0 ? '' : ` (at ${path.join('.')})`;
}
