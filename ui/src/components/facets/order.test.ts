import { expect, test } from 'vitest';

import type { Facet } from '../../lib/query/types';
import { steady } from './order';

const facet = (key: string, ...values: string[]): Facet => ({
  key,
  type: 'string',
  share: 1,
  distinct: values.length,
  exact: false,
  unique: false,
  top: values.map((value, index) => ({ value, term: `${key}:${value}`, count: 100 - index })),
});

test('what was there stays where it was, what is new comes behind, what is gone goes', () => {
  const shown = steady([facet('a', 'x', 'y'), facet('b'), facet('c')], [facet('new'), facet('c'), facet('a', 'z', 'y', 'x')]);
  expect(shown.map((each) => each.key)).toEqual(['a', 'c', 'new']);
  expect(shown[0]?.top.map((value) => value.value)).toEqual(['x', 'y', 'z']);
  expect(shown[0]?.top[0]?.count).toBe(98);
});
