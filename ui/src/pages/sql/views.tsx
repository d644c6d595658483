// The views that a statement can name, with their columns, and what a statement may take.

import { useState } from 'react';

import type { SqlLimits, SqlView, SqlViews } from '../../api/types';

interface Props {
  data: SqlViews;
  /** Writes a name where the cursor is. */
  onInsert: (name: string) => void;
}

export function Views({ data: { views, limits }, onInsert }: Props) {
  const [filter, setFilter] = useState('');
  const wanted = filter.trim().toLowerCase();
  const shown = views.map((view) => ({ view, columns: view.columns.filter((column) => view.name.includes(wanted) || column.name.includes(wanted)) })).filter(({ columns }) => columns.length > 0);
  return (
    <>
      <input value={filter} onChange={(event) => setFilter(event.target.value)} placeholder="Filter columns" aria-label="Filter columns" />
      <div className="sql-views">
        {shown.map(({ view, columns }, index) => (
          <details key={view.name} open={wanted !== '' || index === 0}>
            <summary title={view.about}>
              <code>{view.name}</code>
            </summary>
            <ViewColumns view={view} columns={columns} onInsert={onInsert} />
          </details>
        ))}
        {shown.length === 0 && <p className="muted">No column has “{filter}” in its name.</p>}
      </div>
      <p className="muted sql-limits">{limitsInWords(limits)}</p>
    </>
  );
}

function ViewColumns({ view, columns, onInsert }: { view: SqlView; columns: SqlView['columns']; onInsert: (name: string) => void }) {
  return (
    <>
      <p className="muted">
        {view.about}{' '}
        <button type="button" className="sql-name" onClick={() => onInsert(view.name)}>
          Insert {view.name}
        </button>
      </p>
      <ul>
        {columns.map((column) => (
          <li key={column.name}>
            <button type="button" className="sql-name" title={`${column.about}${column.optional ? ' May be NULL.' : ''}\nClick to insert it`} onClick={() => onInsert(column.name)}>
              <code>{column.name}</code>
              <span className="muted">{column.type}</span>
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}

const mib = (bytes: number): string => `${Math.round(bytes / 1024 ** 2)} MiB`;

const limitsInWords = (limits: SqlLimits): string =>
  `Statements only read. At most ${limits.rows.toLocaleString('en')} rows, ${mib(limits.answer_bytes)} of values, ${mib(limits.memory_bytes)} of memory and ${limits.time_ms / 1000} s; ${limits.at_a_time} at a time.`;
