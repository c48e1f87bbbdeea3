import fc from 'fast-check';
import { isUuid } from './uuid.ts';

const form = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i;

test('a UUID of any version and in either case is one', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.boolean(), (id, upper) => {
      expect(isUuid(upper ? id.toUpperCase() : id)).toBe(true);
    }),
  );
});

test('with any character changed, put in or left out, it is one only if it still looks like one', () => {
  const edit = fc.record({ at: fc.nat(36), cut: fc.nat(2), put: fc.string({ maxLength: 2, unit: 'binary' }) });
  fc.assert(
    fc.property(fc.uuid(), edit, (id, { at, cut, put }) => {
      const text = id.slice(0, at) + put + id.slice(at + cut);
      // The end of the text, not of a line of it.
      expect(isUuid(text)).toBe(form.test(text) && !text.endsWith('\n'));
    }),
    { numRuns: 2_000 },
  );
});

test.each([undefined, null, 36, {}, ['a'], ''])('%j is none', (value) => {
  expect(isUuid(value)).toBe(false);
});
