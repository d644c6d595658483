import { expect, test } from 'vitest';

import type { Selection } from '../../api/profiles';
import { formatOf } from '../../components/profile/types';
import { baselineOf, compareName, defaultType, selectionOf } from './state';
import { layersOf } from './timeline';

const NOW = 1_800_000_000_000;
const RANGE = { from: 'now-1h', to: 'now' };
const SELECTION: Selection = { ...RANGE, type: 'cpu', service: 'shop', version: '2' };

test('a URL means samples', () => {
  const search = { service: 'shop', env: 'prod', trace: 'ab', span: 'cd', view: 'table', cmp: 'version:1' };
  expect(selectionOf(search, RANGE, 'wall')).toEqual({ ...RANGE, type: 'wall', service: 'shop', environment: 'prod', trace_id: 'ab', span_ids: ['cd'] });
});

test('of wall time waits for work are left out, unless they are asked for', () => {
  const excluded = (search: Parameters<typeof selectionOf>[0], type = 'wall') => selectionOf(search, RANGE, type).exclude_states;
  expect(excluded({ service: 'shop' })).toEqual(['idle']);
  expect([excluded({ idle: true }), excluded({ state: 'idle' }), excluded({ trace: 'ab' }), excluded({}, 'cpu')]).toEqual([undefined, undefined, undefined, undefined]);
});

test.each([
  ['earlier:period', { from: String((NOW - 7_200_000) * 1000), to: String((NOW - 3_600_000) * 1000) }],
  ['earlier:1d', { from: String((NOW - 90_000_000) * 1000), to: String((NOW - 86_400_000) * 1000) }],
  ['time:1000-2000', { from: '1000', to: '2000' }],
  ['version:1', { version: '1' }],
  ['endpoint:GET /a:b', { endpoint: 'GET /a:b' }],
  ['env:prod', { environment: 'prod' }],
])('%s is a baseline', (compare, change) => expect(baselineOf(compare, SELECTION, NOW)).toEqual({ ...SELECTION, ...change }));

test.each([undefined, '', 'earlier', 'earlier:2w', 'time:2000-1000', 'time:x-y', 'weather:fine'])('%s is none', (compare) => expect(baselineOf(compare, SELECTION, NOW)).toBeNull());

test('a baseline has a name', () => expect(['earlier:1d', 'earlier:period', 'version:1'].map(compareName)).toEqual(['1d earlier', 'the time before', 'version 1']));

test('processor time is shown first, then what there is', () => {
  const type = (name: string, samples: number) => ({ type: name, samples });
  expect(defaultType([type('alloc_space', 9), type('cpu', 1)])).toBe('cpu');
  expect(defaultType([type('alloc_space', 9), type('wall', 1)])).toBe('wall');
  expect(defaultType([type('gc_pause', 1), type('exceptions', 2)])).toBe('exceptions');
});

test('values have their unit', () => expect([formatOf('nanoseconds')(2e9), formatOf('bytes')(2048), formatOf('count')(7)]).toEqual(['2.00 s', '2.00 KiB', '7']));

const series = (...rows: [string, number[]][]) => ({ step_us: 1, from_us: 0, unit: 'nanoseconds', other: null, series: rows.map(([key, values]) => ({ key, values })) });

test('states are stacked in their order', () => {
  expect(layersOf(series(['idle', [1, 1]], ['cpu', [1, 2]], ['lock', [0, 0]]), 'state').map(({ key, label, total }) => [key, label, total])).toEqual([
    ['cpu', 'on the CPU', 3],
    ['idle', 'idle', 2],
  ]);
});

test('of many threads the least are one layer, with what the server left out', () => {
  const many = series(...Array.from({ length: 13 }, (_, index): [string, number[]] => [`t${index}`, [index + 1, 0]]));
  const layers = layersOf({ ...many, other: [4, 5] }, 'thread');
  expect(layers).toHaveLength(11);
  expect(layers[0]).toMatchObject({ key: 't12', total: 13 });
  expect(layers[10]).toMatchObject({ values: [1 + 2 + 3 + 4, 5] });
});
