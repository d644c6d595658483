import { expect, test } from 'vitest';

import { tokenize } from '../../lib/query/tokens';
import { segments } from './segments';

const show = (text: string, ...mistakes: [number, number][]) =>
  segments(text, tokenize(text), mistakes.map(([from, to]) => ({ from, to, message: '' }))).map((segment) => `${segment.wrong ? '~' : ''}${segment.look} ${segment.text}`);

test('what looks alike is one run, and white space looks like what is before it', () => {
  expect(show('a b  service:x y')).toEqual(['plain a b  ', 'field service:', 'plain x y']);
  expect(show(' a:1 ')).toEqual(['plain  ', 'field a:', 'number 1 ']);
  expect(show('')).toEqual([]);
});

test('mistakes cut tokens, and one about nothing is shown before its place', () => {
  expect(show('is:rot b', [3, 6])).toEqual(['field is:', '~plain rot', 'plain  b']);
  expect(show('a:', [2, 2])).toEqual(['field a', '~field :']);
  expect(show('ab', [0, 0])).toEqual(['~plain a', 'plain b']);
  expect(show('ab', [0, 99])).toEqual(['~plain ab']);
});

test('the runs are the text, whatever the ranges', () => {
  const text = '{a b:"c d"} >> {e:/f/} | count() > 5';
  for (let from = 0; from <= text.length; from += 1) {
    for (let to = from; to <= text.length + 1; to += 1) {
      const all = segments(text, tokenize(text), [{ from, to, message: '' }]);
      expect(all.map((segment) => segment.text).join('')).toBe(text);
    }
  }
});
