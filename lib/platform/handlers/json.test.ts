import { InvalidJson, maxJsonDepth, parseJson } from './json.ts';

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

describe('parsing untrusted JSON', () => {
  test.each([
    '{"a":1,"b":[{"a":2},{"a":3}],"c":{"a":{"a":null}}}',
    '{"a":"\\"b\\":1, {[","b":"}]"}',
    ' [ true , "x" , -1.5e2 ] ',
    '"\\u005f_proto__"',
    '["__proto__","constructor"]',
    '{"é":1,"\\u0065":2}',
    nested(maxJsonDepth),
  ])('reads %s as JSON.parse does', (text) => {
    expect(parseJson(text)).toEqual(JSON.parse(text));
  });

  test.each([
    ['nothing', ''],
    ['a broken object', '{"a":'],
    ['a string without end', '{"a":"b'],
    ['a trailing comma', '{"a":1,}'],
    ['a comment', '{"a":1} // note'],
    ['two documents', '{}{}'],
    ['single quotes', "{'a':1}"],
    ['NaN', '{"a":NaN}'],
    ['a byte order mark', '\ufeff{}'],
    ['a bad escape in a name', '{"\\x":1}'],
    ['a control character in a string', '{"a":"\n"}'],
    ['unbalanced brackets', ']]]]'],
  ])('refuses %s', (_what, text) => {
    expect(() => parseJson(text)).toThrow(InvalidJson);
  });

  test.each([
    ['plainly', '{"a":1,"a":2}'],
    ['by an escape', '{"a":1,"\\u0061":2}'],
    ['behind many blanks', `{"a":1,"a"${' '.repeat(500)}:2}`],
    ['deep inside', '{"x":[{"y":{"a":1,"b":{},"a":2}}]}'],
  ])('refuses a name given twice, %s', (_how, text) => {
    expect(() => parseJson(text)).toThrow('a name is given twice');
  });

  test.each(['__proto__', 'constructor', 'prototype', '\\u005f_proto__'])('refuses the name %s', (name) => {
    expect(() => parseJson(`{"${name}":{"isAdmin":true}}`)).toThrow('is not allowed');
  });

  test.each([maxJsonDepth + 1, 1_000, 1_000_000])('refuses nesting of %i', (depth) => {
    expect(() => parseJson(nested(depth))).toThrow('nesting is deeper');
    expect(() => parseJson('{"a":'.repeat(depth))).toThrow('nesting is deeper');
  });
});
