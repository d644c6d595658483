// A heatmap small enough to check by hand, for tests.

import type { HeatScene } from './scene';

export const T0 = Date.parse('2026-11-21T10:00:00Z') * 1000;
export const MINUTE = 60e6;

/** Two columns of a minute, three rows from 1 ms to 8 ms. */
export const SCENE: HeatScene = {
  stepUs: MINUTE,
  map: {
    t: [T0, T0 + MINUTE],
    y_edges: [1e6, 2e6, 4e6, 8e6],
    counts: [5, 0, 1, 0, 40, 2],
    errors: [0, 0, 1, 0, 4, 0],
    column_errors: [1, 4],
    zeros: [2, 0],
    total: 50,
    failed: 5,
  },
};
