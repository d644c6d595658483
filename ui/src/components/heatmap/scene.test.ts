import { expect, test } from 'vitest';

import { MINUTE, SCENE, T0 } from './example';
import { cellAt, cellWords, columnCount, columnWords, durationTicks, fullest, heightOf, narrowing, niceTop, regionOf, shade, timeTicks } from './scene';

test('cells are found by place, and places outside belong to the nearest one', () => {
  expect(cellAt(SCENE, 0.6, 0.4)).toEqual({ column: 1, row: 1 });
  expect(cellAt(SCENE, -1, 2)).toEqual({ column: 0, row: 2 });
  expect(cellAt(SCENE, 1, 0)).toEqual({ column: 1, row: 0 });
});

test('a box asks for its time and its durations', () => {
  const box = regionOf(SCENE, { column: 1, row: 1 }, { column: 1, row: 1 });
  const { time, duration } = narrowing(SCENE, box);
  expect(time).toEqual({ fromUs: T0 + MINUTE, toUs: T0 + 2 * MINUTE });
  expect(duration?.fromNs).toBeCloseTo(2e6, 3);
  expect(duration?.toNs).toBeCloseTo(4e6, 3);
});

test('an edge that a box reaches leaves that end open', () => {
  expect(narrowing(SCENE, { left: 0, right: 1, low: 0.5, high: 1 })).toEqual({ time: null, duration: { fromNs: expect.closeTo(2e6 * Math.SQRT2, 3), toNs: null } });
  expect(narrowing(SCENE, { left: 0, right: 1, low: 0, high: 1 / 3 }).duration).toEqual({ fromNs: null, toNs: expect.closeTo(2e6, 3) });
  expect(narrowing(SCENE, { left: 0, right: 0.5, low: 0, high: 1 })).toEqual({ time: { fromUs: T0, toUs: T0 + MINUTE }, duration: null });
});

test('figures are told in words', () => {
  expect(cellWords(SCENE, { column: 1, row: 1 }).slice(1)).toEqual(['2.00 ms – 4.00 ms', '40 spans', '4 failed']);
  expect(cellWords(SCENE, { column: 0, row: 0 }).slice(1)).toEqual(['1.00 ms – 2.00 ms', '5 spans']);
  expect(columnWords(SCENE, 0).slice(1)).toEqual(['8 spans', '1 failed']);
  const unasked = { ...SCENE, map: { ...SCENE.map, errors: null } };
  expect(cellWords(unasked, { column: 0, row: 0 }).at(-1)).toBe('1 of all 8 spans at that time failed');
});

test('a column counts the spans that took no time too', () => expect([0, 1].map((column) => columnCount(SCENE, column))).toEqual([8, 42]));

test('a walk begins where most is', () => expect(fullest(SCENE)).toEqual({ column: 1, row: 1 }));

test('shades go by the logarithm, from the first for one to the last for the most', () => {
  expect(shade(1, 1000, 12)).toBe(0);
  expect(shade(1000, 1000, 12)).toBe(11);
  expect(shade(32, 1000, 12)).toBe(6);
  expect(shade(1, 1, 12)).toBe(11);
});

test('durations are marked by powers of ten, or closer where there are few', () => {
  expect(durationTicks(SCENE)).toEqual([1e6, 2e6, 5e6]);
  const wide = { ...SCENE, map: { ...SCENE.map, y_edges: [1e3, 1e5, 1e7, 1e9] } };
  expect(durationTicks(wide)).toEqual([1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]);
  expect(heightOf(wide, 1e6)).toBeCloseTo(0.5);
  expect(durationTicks({ ...SCENE, map: { ...SCENE.map, y_edges: [], counts: [] } })).toEqual([]);
});

test('times are marked at whole steps of the clock', () => {
  const day = new Date(2026, 10, 21).getTime() * 1000;
  const hour = 3_600e6;
  expect(timeTicks([day + 0.3 * hour, day + 5.1 * hour], 6).map((us) => (us - day) / hour)).toEqual([1, 2, 3, 4, 5]);
  expect(timeTicks([day + hour, day + 72 * hour], 4).map((us) => (us - day) / hour)).toEqual([24, 48, 72]);
});

test.each([
  [0, 1],
  [1, 1],
  [3, 5],
  [42, 50],
  [100, 100],
  [101, 200],
])('an axis for %d ends with %d', (most, top) => expect(niceTop(most)).toBe(top));
