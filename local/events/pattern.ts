/**
 * EventBridge event patterns of exact values, the only kind that infra/bus.yml uses.
 *
 * By the rules of EventBridge: every field of the pattern must match; a field matches if any of its values does; an
 * array in the event matches if any element does, and the fields of a nested pattern must match in the same element.
 * Invariant: a pattern that uses anything else is refused when the rule is put. Called by registry.ts.
 */

/** Answers whether a rule selects an event (the whole envelope, parsed). */
export type EventMatcher = (event: unknown) => boolean;

/** The pattern is not valid or not emulated; the message says where and why. */
export class PatternError extends Error {
  override name = 'PatternError';
  constructor(reason: string) {
    super(`Event pattern is not valid. Reason: ${reason}`);
  }
}

/** Compiles the text of a pattern. Throws PatternError. */
export function compilePattern(text: string): EventMatcher {
  try {
    return compileFields(JSON.parse(text), 'the pattern');
  } catch (error) {
    throw error instanceof PatternError ? error : new PatternError(String(error));
  }
}

function compileFields(pattern: unknown, place: string): EventMatcher {
  if (!isObject(pattern) || Object.keys(pattern).length === 0) {
    throw new PatternError(`${place} must be an object with fields, or a list of values`);
  }
  if ('$or' in pattern) throw new PatternError('$or is not emulated locally');
  const fields = Object.entries(pattern).map(([name, wanted]) => ({
    name,
    matches: Array.isArray(wanted) ? compileValues(wanted, name) : compileFields(wanted, name),
  }));
  const matches: EventMatcher = (event) =>
    Array.isArray(event)
      ? event.some(matches)
      : isObject(event) && fields.every((field) => field.matches(event[field.name]));
  return matches;
}

function compileValues(wanted: unknown[], field: string): EventMatcher {
  if (wanted.length === 0) throw new PatternError(`${field} must list at least one value`);
  for (const value of wanted) {
    if (typeof value === 'object' && value !== null) {
      throw new PatternError(
        `${JSON.stringify(value)} of ${field} is not emulated locally; a pattern may list exact values only`,
      );
    }
  }
  return (found) => [found].flat(Infinity).some((value) => wanted.includes(value));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
