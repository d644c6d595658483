// The traces that were found, in a table that holds only the rows in sight.

import { Link, useNavigate } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useEffect, useRef } from 'react';

import type { TraceRow } from '../../api/types';
import { duration, moment, momentOf } from '../../lib/format';
import { useListKeys } from '../../lib/list-keys';
import { followsItsLink } from '../../lib/row-link';
import { colorIndex, serviceColor } from '../../lib/theme';
import type { traceAt } from './links';

const ROW_HEIGHT = 28;
/** Width of the longest duration's bar. */
const LENGTH = 96;

const shares = (row: TraceRow): string[] => row.services.map(([name, share]) => `${name} ${Math.round(share * 100)} %`);

interface Props {
  rows: TraceRow[];
  /** Whether these are of another query, shown until there are some of this one. */
  isOld: boolean;
  pageOf: (row: TraceRow) => ReturnType<typeof traceAt>;
  /** Fetches the next page; `null` when there is none, or when it is not to be fetched unasked. */
  more: (() => void) | null;
  /** What stands below the last row. */
  children: ReactNode;
}

export function Results({ rows, isOld, pageOf, more, children }: Props) {
  const navigate = useNavigate();
  const scroller = useRef<HTMLDivElement>(null);
  const selected = useListKeys(rows.length, (index) => rows[index] && void navigate(pageOf(rows[index])));
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => scroller.current, estimateSize: () => ROW_HEIGHT, overscan: 12 });
  useEffect(() => {
    if (selected >= 0) virtual.scrollToIndex(selected);
  }, [selected, virtual]);
  const items = virtual.getVirtualItems();
  const last = items[items.length - 1]?.index ?? 0;
  useEffect(() => {
    if (more && last >= rows.length - 20) more();
  }, [last, rows.length, more]);
  const now = Date.now();
  const longest = Math.max(...rows.map((row) => row.dur_ns), 1);
  const above = items[0]?.start ?? 0;
  const below = virtual.getTotalSize() - (items[items.length - 1]?.end ?? 0);

  return (
    <div ref={scroller} className={isOld ? 'found-table old' : 'found-table'} aria-busy={isOld}>
      <table aria-label="Traces" aria-rowcount={rows.length}>
        <thead>
          <tr>
            <th>Started</th>
            <th>Request</th>
            <th className="num">Duration</th>
            <th className="extra">
              <span className="visually-hidden">Duration, relative</span>
            </th>
            <th className="num">Spans</th>
            <th className="num">Failed</th>
            <th className="less">Where the time went</th>
          </tr>
        </thead>
        <tbody>
          {above > 0 && <tr aria-hidden="true" style={{ height: above }} />}
          {items.map(({ index }) => {
            const row = rows[index];
            if (!row) return null;
            return (
              <tr key={row.trace_id} aria-selected={index === selected} {...followsItsLink}>
                <td className="muted" title={moment(row.t0_us)}>
                  {momentOf(row.t0_us, now)}
                </td>
                <td className="wide" title={row.root ? `${row.root.name}\n${row.root.service}` : row.trace_id}>
                  <span className="named">
                    <Link {...pageOf(row)}>{row.root ? row.root.name : `trace ${row.trace_id.slice(0, 8)}…`}</Link>
                    <span className="muted">{row.root?.service}</span>
                  </span>
                </td>
                <td className="num">{duration(row.dur_ns)}</td>
                <td className="extra">
                  <div style={{ width: LENGTH }}>
                    <div className="length" style={{ width: `${(100 * row.dur_ns) / longest}%` }} />
                  </div>
                </td>
                <td className="num">{row.spans}</td>
                <td className={`num ${row.errors > 0 ? 'bad' : 'muted'}`}>{row.errors > 0 ? `▲ ${row.errors}` : 0}</td>
                <td className="wide less" title={shares(row).join('\n')}>
                  <span className="named">
                    <span className="bar" aria-hidden="true">
                      {row.services.map(([name, share]) => (
                        <span key={name} style={{ width: `${100 * share}%`, background: serviceColor(colorIndex(name)) }} />
                      ))}
                    </span>
                    <span className="muted">{shares(row).join(', ')}</span>
                  </span>
                </td>
              </tr>
            );
          })}
          {below > 0 && <tr aria-hidden="true" style={{ height: below }} />}
        </tbody>
      </table>
      {children}
    </div>
  );
}
