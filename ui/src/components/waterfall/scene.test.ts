import { expect, test } from 'vitest';

import { indentOf, pathByRow } from './scene';

test('the critical path is sorted by row, in its order', () => {
  const path = pathByRow([[0, 0, 5], [1, 5, 7], [0, 7, 9]]);
  expect([...path]).toEqual([[0, [[0, 5], [7, 9]]], [1, [[5, 7]]]]);
});

test('a row with fifty thousand stretches takes no quadratic time', () => {
  const path = pathByRow(Array.from({ length: 50_000 }, (_, at): [number, number, number] => [0, 2 * at, 2 * at + 1]));
  expect(path.get(0)).toHaveLength(50_000);
});

test('names of deep rows stay in their column', () => expect(indentOf(1_000)).toBe(indentOf(16)));
