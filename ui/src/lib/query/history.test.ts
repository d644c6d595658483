import { beforeEach, expect, test, vi } from 'vitest';

import { recent, remember } from './history';

beforeEach(() => localStorage.clear());

test('queries are remembered once, the latest first, and not without bound', () => {
  for (const query of ['a', 'b', ' a ', '']) remember(query);
  expect(recent()).toEqual(['a', 'b']);
  for (let index = 0; index < 50; index += 1) remember(`query ${index}`);
  expect(recent()).toHaveLength(20);
  expect(recent()[0]).toBe('query 49');
  remember('x'.repeat(2_000));
  expect(recent()[0]).toBe('query 49');
});

test('what others left there is no trouble', () => {
  localStorage.setItem('pitviper.queries', '{"a":1}');
  expect(recent()).toEqual([]);
  localStorage.setItem('pitviper.queries', '[1,"a"');
  expect(recent()).toEqual([]);
  vi.spyOn(Storage.prototype, 'setItem').mockImplementation(() => {
    throw new Error('full');
  });
  expect(() => remember('a')).not.toThrow();
  vi.restoreAllMocks();
});
