// The rows of a table that can be filtered by name and sorted by a column.

import { useState } from 'react';

interface Options<T, Column extends string> {
  /** What each column sorts by. */
  sorts: Readonly<Record<Column, (row: T) => string | number>>;
  initial: NoInfer<Column>;
  /** Rows of the lower group come first, whatever the column. */
  group?: (row: T) => number;
}

export interface SortedRows<T, Column extends string> {
  rows: T[];
  filter: string;
  setFilter: (filter: string) => void;
  /** What the column heads need to know. */
  head: { sorted: Column; descending: boolean; onSort: (column: Column) => void };
}

const compare = (a: string | number, b: string | number): number => (a < b ? -1 : a > b ? 1 : 0);

export function useSortedRows<T extends { name: string }, Column extends string>(
  all: T[],
  { sorts, initial, group = () => 0 }: Options<T, Column>,
): SortedRows<T, Column> {
  const [filter, setFilter] = useState('');
  const [sorted, setSorted] = useState<Column>(initial);
  const [descending, setDescending] = useState(true);

  const key = sorts[sorted];
  const direction = descending ? -1 : 1;
  const rows = all
    .filter((row) => row.name.toLowerCase().includes(filter.toLowerCase()))
    .sort((a, b) => group(a) - group(b) || direction * compare(key(a), key(b)) || a.name.localeCompare(b.name));
  const onSort = (column: Column) => {
    // Of a figure one wants the greatest first, of names the first letter.
    setDescending(column === sorted ? !descending : column !== 'name');
    setSorted(column);
  };
  return { rows, filter, setFilter, head: { sorted, descending, onSort } };
}
