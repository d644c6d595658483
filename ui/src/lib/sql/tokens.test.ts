import { expect, test } from 'vitest';

import { lineAt, sqlTokens, wordAt } from './tokens';

const pieces = (text: string, names?: Set<string>) => sqlTokens(text, names).map(({ kind, from, to }) => `${kind} ${text.slice(from, to)}`);

test('a statement is coloured by what its pieces are', () => {
  expect(pieces("SELECT count(*), 'it''s' FROM spans -- all\nWHERE x >= 1.5e3", new Set(['spans']))).toEqual([
    'operator SELECT',
    'function count',
    'bracket (',
    'bracket )',
    'bracket ,',
    "regex 'it''s'",
    'operator FROM',
    'field spans',
    'bracket -- all',
    'operator WHERE',
    'word x',
    'number 1.5e3',
  ]);
});

test.each([["'open"], ["'"], ['"open'], ['/* open'], ['/*/']])('%s is not closed', (text) => expect(pieces(text)).toEqual([`error ${text}`]));

test('what no rule knows is passed over', () => expect(pieces('a § 😀 b')).toEqual(['word a', 'word b']));

test('a mistake is shown on its whole word', () => {
  expect(wordAt('SELECT * FRM spans', { from: 9, to: 10 })).toEqual({ from: 9, to: 12 });
  expect(wordAt('SELECT )', { from: 7, to: 8 })).toEqual({ from: 7, to: 8 });
});

test('places are told by line and column', () => {
  expect(lineAt('SELECT\n  x', 9)).toEqual({ line: 2, column: 3 });
  expect(lineAt('SELECT', 0)).toEqual({ line: 1, column: 1 });
});
