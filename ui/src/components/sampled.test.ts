import { expect, test } from 'vitest';

import { reachesSample } from './sampled';

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
