// What the URL of the page holds, and what it asks.

import type { AggregateRequest, AggregateSeries, AggregateUnit } from '../../api/types';
import { count, duration, percent, rate } from '../../lib/format';
import { hasAtTop, termOf, without } from '../../lib/query/edit';
import { tokenize } from '../../lib/query/tokens';
import { colorIndex } from '../../lib/theme';
import type { ExploreState } from '../../router';

export const METRICS: [string, string][] = [
  ['response_time', 'response time'],
  ['duration', 'duration'],
  ['rate', 'rate'],
  ['count', 'count'],
  ['failure_rate', 'failure rate'],
  ['errors', 'failures'],
  ['calls', 'calls in a trace'],
];

export const AGGREGATIONS: [string, string][] = [
  ['avg', 'average'],
  ['median', 'median'],
  ['p75', 'p75'],
  ['p90', 'p90'],
  ['p95', 'p95'],
  ['p99', 'p99'],
  ['p99.9', 'p99.9'],
  ['slowest:10%', 'slowest 10 %'],
  ['min', 'least'],
  ['max', 'greatest'],
  ['sum', 'sum'],
  ['count', 'number of values'],
];

export const STEPS = ['auto', '10s', '30s', '1m', '5m', '15m', '1h', '6h', '1d'];
export const TOPS = ['5', '10', '20', '50'];
export const SPLIT_MOST = 4;
const EXEMPLARS = 3;

/** Fields that every span may have; attributes come from what is found. */
export const FIELDS = ['service', 'name', 'kind', 'status', 'env', 'version', 'host', 'http.status'];

/** What is counted has no aggregation. */
export const isCounted = (metric: string): boolean => ['count', 'rate', 'errors', 'failure_rate'].includes(metric);

/** The whole state of the view. */
export interface View {
  query: string;
  metric: string;
  agg: string;
  split: string[];
  step: string;
  top: string;
  sort: string;
  hide: string[];
}

export function viewOf(search: ExploreState): View {
  return {
    query: search.query ?? '',
    metric: search.metric ?? 'response_time',
    agg: search.agg ?? 'p95',
    split: search.split?.split(',').filter(Boolean).slice(0, SPLIT_MOST) ?? [],
    step: search.step ?? 'auto',
    top: search.top ?? '10',
    sort: search.sort ?? '-total',
    hide: search.hide ?? [],
  };
}

export function requestOf({ query, metric, agg, split, step, top }: View, range: { from: string; to: string }): AggregateRequest {
  return { query, metric, ...(isCounted(metric) ? {} : { agg }), split, step, top: Number(top) || 10, exemplars: EXEMPLARS, ...range };
}

/** How values of a unit are written. */
export function formatOf(unit: AggregateUnit): (value: number | null) => string {
  return { ns: duration, ratio: percent, rps: rate, count: number, attribute: number }[unit];
}

/** A number of any size: three digits, and no more than it has. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  return Number.isInteger(value) || Math.abs(value) >= 10_000 ? (value < 0 ? `-${count(-value)}` : count(value)) : String(Number(value.toPrecision(3)));
}

/** What the view shows, in words. */
export function titleOf({ metric, agg, split }: View): string {
  const known = METRICS.find(([id]) => id === metric)?.[1];
  // An attribute is called what it is called.
  const named = known ? known.charAt(0).toUpperCase() + known.slice(1) : metric.replace(/^@/, '');
  const by = isCounted(metric) ? '' : `, ${AGGREGATIONS.find(([id]) => id === agg)?.[1] ?? agg}`;
  return `${named}${by}${split.length > 0 ? ` by ${split.join(', ')}` : ''}`;
}

/** What tells a series from the others. */
export const keyOf = (series: AggregateSeries, split: string[]): string => (split.length === 0 ? 'all' : split.map((field) => series.labels[field] ?? '(none)').join(' · '));

/** The query for the spans of a series. */
export function queryOf(query: string, series: AggregateSeries, split: string[]): string {
  const terms = split.map((field) => {
    const value = series.labels[field];
    return value === null || value === undefined ? without(field) : termOf(field, value);
  });
  const before = terms.length > 0 && hasAtTop(query, tokenize(query), /^OR$/) ? `(${query})` : query;
  return [before, ...terms].filter(Boolean).join(' ');
}

/** Colours of the series: services have their own, others the first ones in the order of their names. */
export function colorsOf(keys: string[], split: string[]): (number | string)[] {
  if (split.length === 0) return keys.map(() => '--accent');
  if (split.join() === 'service') return keys.map(colorIndex);
  const inOrder = keys.toSorted();
  return keys.map((key) => inOrder.indexOf(key));
}

/** The series in the order of the legend; `total`, `n` or a field, with `-` for the greatest first. */
export function sorted<T extends { series: AggregateSeries }>(rows: T[], sort: string): T[] {
  const column = sort.replace(/^-/, '');
  const value = ({ series }: T): number | string =>
    column === 'total' ? (series.total ?? Number.NEGATIVE_INFINITY) : column === 'n' ? series.n : (series.labels[column] ?? '');
  const direction = sort.startsWith('-') ? -1 : 1;
  return rows.toSorted((a, b) => {
    const [left, right] = [value(a), value(b)];
    return direction * (left < right ? -1 : left > right ? 1 : 0);
  });
}
