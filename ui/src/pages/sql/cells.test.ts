import { expect, test } from 'vitest';

import type { SqlAnswer } from '../../api/types';
import { cellText, fileName, traceOf, widthsOf } from './cells';

test('values have a text, NULL has none', () => {
  expect([null, undefined, 0, false, '', 1.5, { a: 1 }, [1, null]].map(cellText)).toEqual([null, null, '0', 'false', '', '1.5', '{"a":1}', '[1,null]']);
});

test('columns are as wide as what they hold, within bounds', () => {
  const answer: SqlAnswer = {
    columns: [
      { name: 'n', type: 'integer' },
      { name: 'a rather long name', type: 'text' },
      { name: 'text', type: 'text' },
    ],
    rows: [
      [1, 'x', 'y'.repeat(400)],
      [12_345_678, null, ''],
    ],
    truncated: null,
  };
  expect(widthsOf(answer)).toEqual([8, 18, 48]);
});

test('ids of traces lead to them, where the column says that they are', () => {
  const id = 'ab'.repeat(16);
  expect(traceOf({ name: 'trace_id', type: 'text' }, id)).toBe(id);
  expect(traceOf({ name: 'trace_id', type: 'text' }, 'short')).toBeNull();
  expect(traceOf({ name: 'stack', type: 'text' }, id)).toBeNull();
});

test('a file is named by the time', () => expect(fileName(new Date('2026-11-21T12:30:05Z'))).toBe('pitviper-2026-11-21T123005.csv'));
