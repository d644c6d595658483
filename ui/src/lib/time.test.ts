import { expect, test } from 'vitest';

import { describe as text, parseRange, resolve, zoomOut } from './time';

const NOW = Date.parse('2026-11-21T12:00:00Z');

test('relative expressions stay relative', () => {
  expect(parseRange('15m', NOW)).toEqual({ from: 'now-15m', to: 'now' });
  expect(parseRange('now-2h to now-1h', NOW)).toEqual({ from: 'now-2h', to: 'now-1h' });
  expect(resolve('now-1d', NOW)).toBe(NOW - 86_400_000);
});

test('absolute expressions, and a bare end time on the same day', () => {
  const range = parseRange('2026-11-21T10:00:00Z to 2026-11-21T11:00:00Z', NOW);
  expect(range).toEqual({ from: '2026-11-21T10:00:00.000Z', to: '2026-11-21T11:00:00.000Z' });
  expect(parseRange('2026-11-20 10:00 to 10:30', NOW)).not.toBeNull();
  expect(resolve('1795224367000123', 0)).toBeCloseTo(1795224367000.123, 3);
});

test('what is unclear is refused', () => {
  for (const typed of ['', 'soon', 'now to now-1h', '1h 2h', 'a to b to c']) expect(parseRange(typed, NOW)).toBeNull();
});

test('zooming out doubles and never reaches past now', () => {
  const out = zoomOut({ from: 'now-1h', to: 'now' }, NOW);
  expect(out).toEqual({ from: '2026-11-21T10:30:00.000Z', to: '2026-11-21T12:00:00.000Z' });
  expect(text({ from: 'now-15m', to: 'now' })).toBe('last 15m');
});
