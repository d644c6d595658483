// A column head that sorts.

interface Props<K extends string> {
  column: K;
  sorted: K;
  descending: boolean;
  onSort: (column: K) => void;
  children: string;
  numeric?: boolean;
}

export function SortHeader<K extends string>({ column, sorted, descending, onSort, children, numeric = true }: Props<K>) {
  const active = column === sorted;
  return (
    <th className={numeric ? 'num' : undefined} {...(active ? { 'aria-sort': descending ? 'descending' : 'ascending' } : {})}>
      <button type="button" onClick={() => onSort(column)}>
        {children}
        {active ? (descending ? ' ↓' : ' ↑') : ''}
      </button>
    </th>
  );
}
