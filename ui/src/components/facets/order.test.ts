import { expect, test } from 'vitest';

import type { Facet } from '../../lib/query/types';
import { steady } from './order';

const facet = (key: string, ...values: string[]): Facet => ({
  key,
  type: 'string',
  share: 1,
  distinct: values.length,
  unique: false,
  values: values.map((value, index) => ({ value, count: 100 - index })),
});

test('what was there stays where it was, what is new comes behind, what is gone goes', () => {
  const shown = steady([facet('a', 'x', 'y'), facet('b'), facet('c')], [facet('new'), facet('c'), facet('a', 'z', 'y', 'x')]);
  expect(shown.map((each) => each.key)).toEqual(['a', 'c', 'new']);
  expect(shown[0]?.values.map((value) => value.value)).toEqual(['x', 'y', 'z']);
  expect(shown[0]?.values[0]?.count).toBe(98);
});
