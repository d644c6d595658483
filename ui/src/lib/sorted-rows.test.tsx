import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';
import { expect, test } from 'vitest';

import { type SortedRows, useSortedRows } from './sorted-rows';

const ROWS = [
  { name: 'b', hits: 2, late: 1 },
  { name: 'c', hits: 2, late: 0 },
  { name: 'a', hits: 9, late: 1 },
];
const SORTS = { name: (row: (typeof ROWS)[number]) => row.name, hits: (row: (typeof ROWS)[number]) => row.hits };

test('rows are grouped, sorted both ways and filtered', () => {
  let table!: SortedRows<(typeof ROWS)[number], keyof typeof SORTS>;
  const Probe = () => {
    table = useSortedRows(ROWS, { sorts: SORTS, initial: 'hits', group: (row) => row.late });
    return null;
  };
  const names = () => table.rows.map((row) => row.name).join('');
  flushSync(() => createRoot(document.createElement('div')).render(<Probe />));
  expect(names()).toBe('cab');
  flushSync(() => table.head.onSort('hits'));
  expect(names()).toBe('cba');
  flushSync(() => table.head.onSort('name'));
  expect(table.head.descending).toBe(false);
  expect(names()).toBe('cab');
  flushSync(() => table.setFilter('B'));
  expect(names()).toBe('b');
});
