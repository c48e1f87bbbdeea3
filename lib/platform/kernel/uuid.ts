/** Whether a text is a UUID. */

const canonical = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i;

/** True for the canonical text of a UUID, of any version and in either case, and for nothing else. */
export function isUuid(text: unknown): text is string {
  return typeof text === 'string' && canonical.test(text);
}
