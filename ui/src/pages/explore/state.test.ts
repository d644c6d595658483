import { expect, test } from 'vitest';

import type { AggregateSeries } from '../../api/types';
import { colorIndex } from '../../lib/theme';
import { colorsOf, keyOf, number, queryOf, requestOf, sorted, titleOf, viewOf } from './state';

const series = (labels: Record<string, string | null>, total: number | null = 0, n = 0): AggregateSeries => ({ labels, v: [], total, n, exemplars: [] });
const RANGE = { from: 'now-1h', to: 'now' };

test('an empty URL shows the response time', () => {
  const view = viewOf({});
  expect(titleOf(view)).toBe('Response time, p95');
  expect(requestOf(view, RANGE)).toEqual({ query: '', metric: 'response_time', agg: 'p95', split: [], step: 'auto', top: 10, exemplars: 3, ...RANGE });
});

test('what is counted is asked for without an aggregation', () => {
  const view = viewOf({ metric: 'failure_rate', agg: 'p99', split: 'service,@odd key', top: '5', step: '1m' });
  expect(requestOf(view, RANGE)).toEqual({ query: '', metric: 'failure_rate', split: ['service', '@odd key'], step: '1m', top: 5, exemplars: 3, ...RANGE });
  expect(titleOf(view)).toBe('Failure rate by service, @odd key');
});

test('attributes that are numbers go by their names', () => expect(titleOf(viewOf({ metric: '@amount', agg: 'slowest:10%' }))).toBe('amount, slowest 10 %'));

test('a series leads to its spans', () => {
  const group = series({ service: 'shop', 'user role': 'head of', plan: null });
  expect(queryOf('status:error', group, ['service', 'user role', 'plan'])).toBe('status:error service:shop "user role":"head of" -plan:*');
  expect(queryOf('a OR b', group, ['service'])).toBe('(a OR b) service:shop');
  expect(queryOf('"a OR b"', group, ['service'])).toBe('"a OR b" service:shop');
  expect(queryOf('a OR b', group, [])).toBe('a OR b');
  expect(keyOf(group, ['service', 'plan'])).toBe('shop · (none)');
});

test('services have their own colours, others by the order of their names', () => {
  expect(colorsOf(['shop', 'blog'], ['service'])).toEqual([colorIndex('shop'), colorIndex('blog')]);
  expect(colorsOf(['POST', 'GET', 'PUT'], ['method'])).toEqual([1, 0, 2]);
  expect(colorsOf(['all'], [])).toEqual(['--accent']);
});

test('the legend is sorted by a figure or a field, with nothing last', () => {
  const rows = [series({ a: 'x' }, 5, 1), series({ a: null }, null, 0), series({ a: 'b' }, 7, 9)].map((each) => ({ series: each }));
  const order = (sort: string) => sorted(rows, sort).map((row) => row.series.labels['a']);
  expect(order('-total')).toEqual(['b', 'x', null]);
  expect(order('n')).toEqual([null, 'x', 'b']);
  expect(order('a')).toEqual([null, 'b', 'x']);
});

test.each([
  [null, '–'],
  [0, '0'],
  [12, '12'],
  [12.3456, '12.3'],
  [0.001234, '0.00123'],
  [-3.5, '-3.5'],
  [123_456, '123 k'],
  [-12_345.6, '-12.3 k'],
])('%s is written %s', (value, text) => expect(number(value)).toBe(text));
