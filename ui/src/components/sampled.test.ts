import { expect, test } from 'vitest';

import { reachesSample, thinned } from './sampled';

const NOW = Date.parse('2026-11-21T12:00:00Z');
const THROUGH = Date.parse('2026-11-18T00:00:00Z') * 1000;

test.each([
  ['now-1h', THROUGH, false],
  ['now-3d', THROUGH, false],
  ['now-4d', THROUGH, true],
  [String(THROUGH - 1), THROUGH, true],
  [String(THROUGH), THROUGH, false],
  ['now-30d', null, false],
  ['now-30d', undefined, false],
] as const)('from %s, with a sample through %s: %s', (from, through, reaches) => expect(reachesSample(through, from, NOW)).toBe(reaches));

test('what was kept is told by reason', () => {
  const kept = [
    { reason: 'error', traces: 12, spans: 80 },
    { reason: 'slow', traces: 0, spans: 0 },
    { reason: 'share', traces: 340, spans: 2_000 },
  ];
  expect(thinned({ spans_let_go: 3_400_000, kept })).toBe('Of the traces kept since the server started 12 failed, 340 are of the share of all others. 3.40 M spans were let go.');
  expect(thinned({ spans_let_go: 0, kept: [] })).toBe('');
  expect(thinned(undefined)).toBe('');
});
