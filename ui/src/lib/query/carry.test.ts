import { expect, test } from 'vitest';

import { carry } from './carry';

const BEFORE = 'is:rot status:eror';
const RANGES = [{ from: 3, to: 6 }, { from: 14, to: 18 }];

test.each([
  ['is:root status:eror', ['eror']],
  ['is:rots status:eror', ['eror']],
  ['is:rot  status:eror', ['rot', 'eror']],
  ['is:rot a status:eror', ['rot', 'eror']],
  ['is:rot status:error', ['rot']],
  ['is:rot status:eror x', ['rot']],
  ['not is:rot status:eror', ['rot', 'eror']],
  [BEFORE, ['rot', 'eror']],
  ['', []],
])('of what a change to %s leaves alone, the places are known', (after, expected) => {
  expect(carry(RANGES, BEFORE, after).map(({ from, to }) => after.slice(from, to))).toEqual(expected);
});
