import { expect, test } from 'vitest';

import { words } from './state';

const PROGRESS = { what: 'spans', looked_at: 3_100_000, of: 20_000_000, reached_us: null, found: 12, rows: 10, next: null, elapsed_ms: 850 } as const;

test.each([
  [PROGRESS, '3.10 M of 20.0 M spans · 12 found · 850 ms'],
  [{ ...PROGRESS, what: 'candidates', looked_at: 640, of: null } as const, '640 candidates · 12 found · 850 ms'],
  [{ ...PROGRESS, what: 'conditions', looked_at: 1, of: 2, found: 0 } as const, '1 of 2 conditions · 850 ms'],
])('it says how far it came', (progress, expected) => expect(words(progress, '-start', 0)).toBe(expected));

test('it says how far back, to the second', () => {
  const at = new Date(2026, 10, 21, 14, 5, 3, 250).getTime();
  expect(words({ ...PROGRESS, reached_us: at * 1_000 }, '-start', at)).toMatch(/^Looked back to 14:05:03 · /);
  expect(words({ ...PROGRESS, reached_us: at * 1_000 }, 'start', at)).toMatch(/^Looked on to 14:05:03 · /);
});
