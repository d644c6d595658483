import { expect, test } from 'vitest';

import { nextRow, subtreeEnds, ticks, visibleRows, withAncestors } from './tree';

//  0
//  ├ 1
//  │ └ 2
//  └ 3
//  4
const rows = { n: 5, parent: [-1, 0, 1, 0, -1], depth: [0, 1, 2, 1, 0] };
const ends = subtreeEnds(rows);

test('subtrees end before the next sibling', () => expect([...ends]).toEqual([4, 3, 3, 4, 5]));

test('collapsed rows hide what is below them', () => {
  expect([...visibleRows(rows, ends, new Set(), null)]).toEqual([0, 1, 2, 3, 4]);
  expect([...visibleRows(rows, ends, new Set([1]), null)]).toEqual([0, 1, 3, 4]);
  expect([...visibleRows(rows, ends, new Set([0, 1]), null)]).toEqual([0, 4]);
});

test('a filter keeps the way to its matches', () => {
  const shown = withAncestors(rows, (row) => row === 2);
  expect([...visibleRows(rows, ends, new Set(), shown)]).toEqual([0, 1, 2]);
});

test('the next row goes round', () => {
  const visible = visibleRows(rows, ends, new Set(), null);
  expect(nextRow(visible, 3, (row) => row % 2 === 1)).toBe(1);
  expect(nextRow(visible, -1, () => true)).toBe(0);
  expect(nextRow(visible, 0, () => false)).toBe(-1);
});

test('ticks are round', () => {
  expect(ticks(0, 10, 5)).toEqual([0, 2, 4, 6, 8, 10]);
  expect(ticks(3, 27, 4)).toEqual([10, 20]);
  expect(ticks(5, 5, 4)).toEqual([5]);
});

test('fifty thousand rows in a chain take no recursion', () => {
  const n = 50_000;
  const chain = { n, parent: Int32Array.from({ length: n }, (_, row) => row - 1), depth: Int32Array.from({ length: n }, (_, row) => row) };
  expect(subtreeEnds(chain)[0]).toBe(n);
  expect(withAncestors(chain, (row) => row === n - 1).every((shown) => shown === 1)).toBe(true);
});
