/**
 * Event patterns, from the examples AWS documents for EventBridge and Event Ruler, and the refusals of PutRule.
 */
import { describe, expect, test } from '@jest/globals';
import { compilePattern, PatternError } from './pattern.ts';

const EVENT = {
  version: '0',
  id: 'ddddd4-aaaa-7777-4444-345dd43cc333',
  'detail-type': 'EC2 Instance State-change Notification',
  source: 'aws.ec2',
  account: '012345679012',
  time: '2017-10-02T16:24:49Z',
  region: 'us-east-1',
  resources: ['arn:aws:ec2:us-east-1:123456789012:instance/i-000000aaaaaa00000'],
  detail: {
    'c-count': 5,
    'd-count': 3,
    'x-limit': 301.8,
    'source-ip': '10.0.0.33',
    'instance-id': 'i-000000aaaaaa00000',
    state: 'running',
    released: true,
    ended: null,
    empty: '',
    nothing: [],
    tags: ['blue', 'green'],
    nested: { deeper: { name: 'inner' } },
    lines: [
      { sku: 'a', count: 1 },
      { sku: 'b', count: 9, gift: true },
    ],
  },
};

const detail = (pattern: unknown) => ({ detail: pattern });

const matching: [string, unknown][] = [
  ['exact value', { 'detail-type': ['EC2 Instance State-change Notification'] }],
  ['any of several values', detail({ state: ['initializing', 'running'] })],
  ['an array of the event that holds the value', { resources: [EVENT.resources[0]] }],
  ['every field named', { source: ['aws.ec2'], detail: { state: ['running'], 'c-count': [5] } }],
  ['numbers by value', detail({ 'x-limit': [3.018e2] })],
  ['true', detail({ released: [true] })],
  ['null', detail({ ended: [null] })],
  ['the empty string', detail({ empty: [''] })],
  ['deep nesting', detail({ nested: { deeper: { name: ['inner'] } } })],
  ['prefix', { time: [{ prefix: '2017-10-02' }] }],
  ['prefix, ignoring case', { source: [{ prefix: { 'equals-ignore-case': 'AWS.' } }] }],
  ['suffix', { source: [{ suffix: 'ec2' }] }],
  ['suffix, ignoring case', { source: [{ suffix: { 'equals-ignore-case': '.EC2' } }] }],
  ['equals-ignore-case', { source: [{ 'equals-ignore-case': 'AWS.EC2' }] }],
  ['wildcard', { source: [{ wildcard: 'a*.*2' }] }],
  ['anything-but a string', detail({ state: [{ 'anything-but': 'initializing' }] })],
  ['anything-but a number', detail({ 'x-limit': [{ 'anything-but': 123 }] })],
  ['anything-but strings', detail({ state: [{ 'anything-but': ['stopped', 'overloaded'] }] })],
  ['anything-but numbers', detail({ 'x-limit': [{ 'anything-but': [100, 200, 300] }] })],
  ['anything-but a prefix', detail({ state: [{ 'anything-but': { prefix: 'init' } }] })],
  ['anything-but prefixes', detail({ state: [{ 'anything-but': { prefix: ['init', 'stop'] } }] })],
  ['anything-but a suffix', detail({ state: [{ 'anything-but': { suffix: 'ed' } }] })],
  ['anything-but suffixes', detail({ state: [{ 'anything-but': { suffix: ['ed', 'er'] } }] })],
  ['anything-but, ignoring case', detail({ state: [{ 'anything-but': { 'equals-ignore-case': 'STOPPED' } }] })],
  ['anything-but a wildcard', detail({ state: [{ 'anything-but': { wildcard: 's*d' } }] })],
  ['anything-but one element of an array', detail({ tags: [{ 'anything-but': 'blue' }] })],
  ['numeric range', detail({ 'c-count': [{ numeric: ['>', 0, '<=', 5] }] })],
  ['numeric bound', detail({ 'd-count': [{ numeric: ['<', 10] }] })],
  ['numeric equality', detail({ 'x-limit': [{ numeric: ['=', 3.018e2] }] })],
  ['exists', detail({ 'c-count': [{ exists: true }] })],
  ['exists for null', detail({ ended: [{ exists: true }] })],
  ['does not exist', detail({ missing: [{ exists: false }] })],
  ['does not exist below a missing parent', detail({ missing: { deeper: [{ exists: false }] } })],
  ['does not exist, for an object, which is no leaf', detail({ nested: [{ exists: false }] })],
  ['does not exist, for an empty array', detail({ nothing: [{ exists: false }] })],
  ['absent or a value, when absent', detail({ missing: [{ exists: false }, 'x'] })],
  ['absent or a value, when present', detail({ state: [{ exists: false }, 'running'] })],
  ['CIDR', detail({ 'source-ip': [{ cidr: '10.0.0.0/24' }] })],
  ['one element of an array of objects', detail({ lines: { sku: ['b'], count: [9] } })],
  ['$or, first', { source: ['aws.ec2'], $or: [{ region: ['us-east-1'] }, { account: ['1'] }] }],
  ['$or, second', detail({ $or: [{ state: ['stopped'] }, { 'c-count': [{ numeric: ['>', 4] }] }] })],
  ['$or with an and inside', detail({ $or: [{ state: ['stopped'] }, { state: ['running'], 'd-count': [3] }] })],
  ['$or within $or', detail({ $or: [{ state: ['x'] }, { $or: [{ 'd-count': [1] }, { 'd-count': [3] }] }] })],
  [
    '$or twice',
    { $or: [{ source: ['aws.ec2'] }, { source: ['x'] }], ...detail({ $or: [{ state: ['running'] }, { x: [1] }] }) },
  ],
];

const notMatching: [string, unknown][] = [
  ['another value', detail({ state: ['stopped'] })],
  ['one field of two', { source: ['aws.ec2'], detail: { state: ['stopped'] } }],
  ['a number written as a string', detail({ 'c-count': ['5'] })],
  ['a missing field', detail({ missing: ['x'] })],
  ['another prefix', { time: [{ prefix: '2018' }] }],
  ['a prefix of a number', detail({ 'c-count': [{ prefix: '5' }] })],
  ['another suffix', { source: [{ suffix: 's3' }] }],
  ['a wildcard whose ends overlap', { region: [{ wildcard: 'us-east-1*-east-1' }] }],
  ['anything-but the value itself', detail({ state: [{ 'anything-but': 'running' }] })],
  ['anything-but a list with it', detail({ state: [{ 'anything-but': ['running', 'x'] }] })],
  ['anything-but its prefix', detail({ state: [{ 'anything-but': { prefix: 'run' } }] })],
  ['anything-but one of its suffixes', detail({ state: [{ 'anything-but': { suffix: ['x', 'ing'] } }] })],
  ['anything-but in another case', detail({ state: [{ 'anything-but': { 'equals-ignore-case': 'RUNNING' } }] })],
  ['anything-but a missing field', detail({ missing: [{ 'anything-but': 'x' }] })],
  ['numeric below the range', detail({ 'd-count': [{ numeric: ['>', 3, '<', 10] }] })],
  ['numeric of a string', detail({ state: [{ numeric: ['>', 0] }] })],
  ['exists for a missing field', detail({ missing: [{ exists: true }] })],
  ['exists for an object', detail({ nested: [{ exists: true }] })],
  ['does not exist for a present one', detail({ state: [{ exists: false }] })],
  ['does not exist when one element has it', detail({ lines: { gift: [{ exists: false }] } })],
  ['fields found in different elements', detail({ lines: { sku: ['a'], count: [9] } })],
  ['CIDR of another network', detail({ 'source-ip': [{ cidr: '10.0.1.0/24' }] })],
  ['$or with no alternative true', detail({ $or: [{ state: ['x'] }, { 'c-count': [1] }] })],
  ['$or as an ordinary field', { $or: { source: ['aws.ec2'] } }],
];

const refused: [string, string][] = [
  ['text that is not JSON', '{'],
  ['a list', '[]'],
  ['an empty object', '{}'],
  ['an empty nested object', '{"detail":{}}'],
  ['an empty list of values', '{"source":[]}'],
  ['a bare value', '{"source":"aws.ec2"}'],
  ['a list of lists', '{"source":[["aws.ec2"]]}'],
  ['an unknown operator', '{"source":[{"contains":"ec2"}]}'],
  ['two operators in one expression', '{"source":[{"prefix":"a","suffix":"b"}]}'],
  ['a prefix that is a number', '{"source":[{"prefix":1}]}'],
  ['exists that is not a boolean', '{"source":[{"exists":"yes"}]}'],
  ['numeric without operator', '{"a":[{"numeric":[1]}]}'],
  ['numeric with an unknown operator', '{"a":[{"numeric":["!=",1]}]}'],
  ['numeric of strings', '{"a":[{"numeric":["=","1"]}]}'],
  ['numeric beyond the limit', '{"a":[{"numeric":["=",5000000001]}]}'],
  ['a numeric range upside down', '{"a":[{"numeric":[">",5,"<",1]}]}'],
  ['a numeric range with its bounds reversed', '{"a":[{"numeric":["<",5,">",1]}]}'],
  ['anything-but of mixed types', '{"a":[{"anything-but":[1,"a"]}]}'],
  ['anything-but of nothing', '{"a":[{"anything-but":[]}]}'],
  ['anything-but with an unknown operator', '{"a":[{"anything-but":{"numeric":["=",1]}}]}'],
  ['anything-but an empty prefix', '{"a":[{"anything-but":{"prefix":""}}]}'],
  ['a wildcard with two stars together', '{"a":[{"wildcard":"a**"}]}'],
  ['a wildcard with a stray escape', '{"a":[{"wildcard":"a\\\\b"}]}'],
  ['a CIDR that is none', '{"a":[{"cidr":"10.0.0.0/64"}]}'],
];

describe('an event is selected by', () => {
  test.each(matching)('%s', (_, pattern) => {
    expect(compilePattern(JSON.stringify(pattern))(EVENT)).toBe(true);
  });
});

describe('an event is not selected by', () => {
  test.each(notMatching)('%s', (_, pattern) => {
    expect(compilePattern(JSON.stringify(pattern))(EVENT)).toBe(false);
  });
});

describe('a pattern is refused when it is', () => {
  test.each(refused)('%s', (_, text) => {
    expect(() => compilePattern(text)).toThrow(PatternError);
  });
});

test('an escaped star in a wildcard is a star', () => {
  const matches = compilePattern(JSON.stringify({ a: [{ wildcard: '\\**\\\\' }] }));
  expect([matches({ a: '*x\\' }), matches({ a: 'yx\\' })]).toEqual([true, false]);
});
