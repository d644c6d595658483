import { describe, expect, test } from 'vitest';

import { axisLabel, bytes, count, duration, percent, rate } from './format';

describe('durations', () => {
  test.each([
    [0, '0 ns'],
    [842, '842 ns'],
    [1_500, '1.50 µs'],
    [81_234_000, '81.2 ms'],
    [999_600_000, '1.00 s'],
    [5_120_331_000, '5.12 s'],
    [125e9, '2 min 5 s'],
    [7_260e9, '2 h 1 min'],
    [null, '–'],
  ])('%s is %s', (ns, text) => expect(duration(ns)).toBe(text));
});

test('shares never hide a failure', () => {
  expect([0, 0.0001, 0.0217, 0.9999, 1].map(percent)).toEqual(['0 %', '<0.1 %', '2.17 %', '>99.9 %', '100 %']);
});

test('counts and rates', () => {
  expect([7, 12_345, 3_400_000].map(count)).toEqual(['7', '12.3 k', '3.40 M']);
  expect([0, 0.001, 12.14, null].map(rate)).toEqual(['0/s', '<0.01/s', '12.1/s', '–']);
});

test('marks of an axis differ from their neighbours', () => {
  expect([0, 5e9, 10e9].map((ns) => axisLabel(ns, 5e9))).toEqual(['0', '5 s', '10 s']);
  expect([8.1232e9, 8.12325e9].map((ns) => axisLabel(ns, 50e3))).toEqual(['8.12320 s', '8.12325 s']);
  expect([500e3, 1e6, 1.5e6].map((ns) => axisLabel(ns, 500e3))).toEqual(['500 µs', '1.0 ms', '1.5 ms']);
  expect(axisLabel(100e9, 50e9)).toBe('1 min 40 s');
  expect(axisLabel(20, 10)).toBe('20 ns');
});

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1024, '1.00 KiB'],
  [1_048_576, '1.00 MiB'],
  [-3 * 1024 ** 3, '-3.00 GiB'],
  [null, '–'],
])('%s bytes are %s', (value, text) => expect(bytes(value)).toBe(text));
