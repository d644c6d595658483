import { expect, test } from 'vitest';

import { negate, presence, quote, remove, termOf, toggle } from './edit';

/** A part of the text, by how it is written. */
const at = (text: string, part: string) => ({ from: text.indexOf(part), to: text.indexOf(part) + part.length });

test.each([
  ['a b c', 'b', 'a c'],
  ['a', 'a', ''],
  ['a AND b AND c', 'a', 'b AND c'],
  ['a AND b AND c', 'b', 'a AND c'],
  ['a AND NOT b', 'NOT b', 'a'],
  ['(a) -(b OR c)', '-(b OR c)', '(a)'],
  ['{service:a x} >> {b}', 'service:a', '{x} >> {b}'],
  ['{a} >> {b}', 'b', '{a} >> {}'],
  ['a | count() > 5', 'a', '{} | count() > 5'],
  ['a | count() > 5 | max(duration) < 2s', '| count() > 5', 'a | max(duration) < 2s'],
])('%s without %s', (text, part, expected) => {
  expect(remove(text, at(text, part))).toBe(expected);
});

test.each([
  ['a b', 'b', 'a -b'],
  ['a -b', '-b', 'a b'],
  ['a NOT b', 'NOT b', 'a b'],
  ['a OR b', 'a OR b', '-(a OR b)'],
  ['NOT a OR b', 'NOT a OR b', '-(NOT a OR b)'],
  ['-(a OR b) c', '-(a OR b)', '(a OR b) c'],
  ['k:(a OR b)', 'k:(a OR b)', '-k:(a OR b)'],
  ['{a k:b} >> {c}', 'k:b', '{a -k:b} >> {c}'],
  ['-is:root', '-is:root', 'is:root'],
])('the opposite of %s at %s', (text, part, expected) => {
  expect(negate(text, at(text, part))).toBe(expected);
});

test.each([
  ['', 'k:v'],
  ['a', 'a k:v'],
  ['a OR b', '(a OR b) k:v'],
  ['(a OR b)', '(a OR b) k:v'],
  ['k:(a OR b)', 'k:(a OR b) k:v'],
  ['{a} >> {b}', '{a} >> {b k:v}'],
  ['{a} >> {}', '{a} >> {k:v}'],
  ['{a OR b} | count() > 5', '{(a OR b) k:v} | count() > 5'],
  ['a | count() > 5', 'a k:v | count() > 5'],
  ['| count() > 5', 'k:v | count() > 5'],
  ['k:vv', 'k:vv k:v'],
])('%s with a term', (text, expected) => {
  expect(toggle(text, 'k:v', 'included')).toBe(expected);
  expect(toggle(text, 'k:v', 'excluded')).toBe(expected.replace(/k:v(?!v)/, '-k:v'));
});

test('a term is asked for once, turned around, and taken back', () => {
  expect(presence('a k:v', 'k:v')).toBe('included');
  expect(presence('a NOT k:v', 'k:v')).toBe('excluded');
  expect(presence('a (k:v)', 'k:v')).toBeNull();
  expect(presence('a OR k:v', 'k:v')).toBeNull();
  expect(toggle('a k:v b', 'k:v', 'included')).toBe('a b');
  expect(toggle('a k:v b', 'k:v', 'excluded')).toBe('a -k:v b');
  expect(toggle('a -k:v', 'k:v', 'included')).toBe('a k:v');
  expect(toggle('-k:v', 'k:v', 'excluded')).toBe('');
});

test('texts that would be read as something else are quoted', () => {
  expect(['flaskr', '/users/7', 'é', '5.5', '/users/', 'OR', '-5', '5xx', 'a b', 'a"\\', 'a*', '{x}', ''].map(quote)).toEqual([
    'flaskr', '/users/7', 'é', '5.5', '"/users/"', '"OR"', '"-5"', '"5xx"', '"a b"', '"a\\"\\\\"', '"a*"', '"{x}"', '""',
  ]);
  expect(termOf('name', 'POST /create')).toBe('name:"POST /create"');
  expect(termOf('odd key', '1')).toBe('"odd key":1');
  expect(termOf('@service', 'a')).toBe('@service:a');
});
