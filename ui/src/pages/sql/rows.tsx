// The rows of an answer, in a table that holds only those in sight.

import { Link } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useMemo, useRef } from 'react';

import type { SqlAnswer } from '../../api/types';
import { cellText, isNumeric, traceOf, widthsOf } from './cells';

const ROW_HEIGHT = 26;

export function Rows({ answer }: { answer: SqlAnswer }) {
  const scroller = useRef<HTMLDivElement>(null);
  const { columns, rows } = answer;
  const widths = useMemo(() => widthsOf(answer), [answer]);
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => scroller.current, estimateSize: () => ROW_HEIGHT, overscan: 20 });
  const items = virtual.getVirtualItems();
  const above = items[0]?.start ?? 0;
  const below = virtual.getTotalSize() - (items[items.length - 1]?.end ?? 0);
  return (
    // The arrow keys scroll it.
    <div ref={scroller} className="sql-rows" tabIndex={0} role="region" aria-label="Rows">
      <table aria-label="Result" aria-rowcount={rows.length + 1} style={{ width: `calc(${widths.reduce((sum, width) => sum + width, 0)}ch + ${columns.length * 20}px)` }}>
        <colgroup>
          {columns.map((column, index) => (
            <col key={`${index} ${column.name}`} style={{ width: `calc(${widths[index]}ch + 20px)` }} />
          ))}
        </colgroup>
        <thead>
          <tr>
            {columns.map((column, index) => (
              <th key={`${index} ${column.name}`} className={isNumeric(column) ? 'num' : undefined} title={column.type}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {above > 0 && <tr aria-hidden="true" style={{ height: above }} />}
          {items.map(({ index }) => (
            <tr key={index} aria-rowindex={index + 2}>
              {columns.map((column, at) => {
                const value = rows[index]?.[at];
                const text = cellText(value);
                const trace = traceOf(column, value);
                return (
                  <td key={`${at} ${column.name}`} className={isNumeric(column) ? 'num' : undefined} title={text ?? undefined}>
                    {trace ? (
                      <Link to="/traces/$traceId" params={{ traceId: trace }} search={{ span: undefined, filter: undefined }}>
                        {trace}
                      </Link>
                    ) : (
                      (text ?? <span className="muted">NULL</span>)
                    )}
                  </td>
                );
              })}
            </tr>
          ))}
          {below > 0 && <tr aria-hidden="true" style={{ height: below }} />}
        </tbody>
      </table>
    </div>
  );
}
