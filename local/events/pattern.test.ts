import { describe, expect, test } from '@jest/globals';
import { compilePattern, PatternError } from './pattern.ts';

const event = {
  source: 'shop',
  'detail-type': 'order',
  resources: ['one', 'two'],
  detail: {
    count: 5,
    released: true,
    ended: null,
    nested: { deeper: { name: 'inner' } },
    lines: [
      { sku: 'a', count: 1 },
      { sku: 'b', count: 9 },
    ],
  },
};

const selects = (pattern: unknown): boolean => compilePattern(JSON.stringify(pattern))(event);

describe('an event is selected by', () => {
  test.each<[string, unknown]>([
    ['an exact value', { source: ['shop'] }],
    ['any of several values', { 'detail-type': ['refund', 'order'] }],
    ['a value of an array', { resources: ['two'] }],
    ['every field', { source: ['shop'], detail: { count: [5] } }],
    ['true', { detail: { released: [true] } }],
    ['null', { detail: { ended: [null] } }],
    ['deep nesting', { detail: { nested: { deeper: { name: ['inner'] } } } }],
    ['fields of one element of an array', { detail: { lines: { sku: ['b'], count: [9] } } }],
  ])('%s', (_, pattern) => {
    expect(selects(pattern)).toBe(true);
  });
});

describe('an event is not selected by', () => {
  test.each<[string, unknown]>([
    ['another value', { source: ['bank'] }],
    ['one field of two', { source: ['shop'], detail: { count: [6] } }],
    ['a number written as a string', { detail: { count: ['5'] } }],
    ['a missing field', { missing: ['x'] }],
    ['a missing field, for null', { missing: [null] }],
    ['an object where a value is wanted', { detail: ['order'] }],
    ['fields of different elements', { detail: { lines: { sku: ['a'], count: [9] } } }],
  ])('%s', (_, pattern) => {
    expect(selects(pattern)).toBe(false);
  });
});

describe('a pattern is refused when it is', () => {
  test.each([
    ['text that is not JSON', '{', 'JSON'],
    ['a list', '[]', 'must be an object'],
    ['an empty object', '{}', 'the pattern must be'],
    ['an empty nested object', '{"detail":{}}', 'detail must be'],
    ['an empty list of values', '{"source":[]}', 'at least one value'],
    ['a bare value', '{"source":"shop"}', 'a list of values'],
    ['an operator', '{"source":[{"prefix":"sh"}]}', 'exact values only'],
    ['an alternative', '{"$or":[{"source":["shop"]},{"source":["bank"]}]}', '$or'],
  ])('%s', (_, text, reason) => {
    expect(() => compilePattern(text)).toThrow(PatternError);
    expect(() => compilePattern(text)).toThrow(reason);
  });
});
