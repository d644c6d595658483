// Search: traces that contain a matching span.

import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { Link, linkOptions, useNavigate, useSearch } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useRef, useState } from 'react';

import { ApiError, api } from '../../api/client';
import type { Problem as Rejected, TraceRow } from '../../api/types';
import { Dialog } from '../../components/dialog';
import { Problem } from '../loaded';
import { Empty, Skeleton } from '../../components/states';
import { duration, moment } from '../../lib/format';
import { useListKeys } from '../../lib/list-keys';
import { followsItsLink } from '../../lib/row-link';
import { colorIndex, serviceColor } from '../../lib/theme';
import { rangeOf } from '../../router';

const ORDERS: [string, string][] = [
  ['-start', 'newest first'],
  ['-duration', 'slowest first'],
  ['start', 'oldest first'],
];
const PAGE = 100;
const ROW_HEIGHT = 28;
/** Width of the longest duration's bar. */
const LENGTH = 96;

const HELP: [string, string][] = [
  ['service:flaskr', 'spans of a service'],
  ['name:"POST /create"', 'spans by name; * stands for anything: name:*create*'],
  ['duration:>100ms', 'longer than; <, >=, <= and duration:[100ms TO 1s] as well'],
  ['status:error', 'failed spans; also ok, unset'],
  ['kind:client', 'internal, server, client, producer, consumer'],
  ['http.response.status_code:500', 'any attribute, by its name; http.route:* when it is there'],
  ['is:root  is:entry', 'first spans of a trace; where work enters a service'],
  ['a b   a OR b   -a', 'both; either; not. Parentheses group.'],
  ['timeout', 'a bare word: in names, messages and attribute values'],
];

export function SearchPage() {
  const search = useSearch({ from: '/search' });
  const range = rangeOf(useSearch({ strict: false }));
  const navigate = useNavigate();
  const [typed, setTyped] = useState(search.query ?? '');
  const [help, setHelp] = useState(false);
  useEffect(() => setTyped(search.query ?? ''), [search.query]);

  const query = search.query ?? '';
  const order = search.order ?? '-start';
  const answer = useInfiniteQuery({
    queryKey: ['live', 'traces', query, order, range],
    queryFn: ({ signal, pageParam }) => api.traces({ query, order, limit: PAGE, ...range, ...(pageParam ? { cursor: pageParam } : {}) }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.meta.next ?? undefined,
    placeholderData: keepPreviousData,
  });
  const rows = answer.data?.pages.flatMap((page) => page.data) ?? [];

  const submit = () => {
    const id = /^(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:-|$)/i.exec(typed.trim())?.[1];
    if (id) void navigate(traceAt(id.toLowerCase()));
    else void navigate({ to: '/search', search: (before) => ({ ...before, query: typed.trim() || undefined }) });
  };
  const problem = answer.error instanceof ApiError ? answer.error.problem : null;

  return (
    <div className="page fill" data-testid="search-page">
      <form
        className="querybar"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <input
          data-find
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
          placeholder="service:flaskr duration:>100ms status:error   or a trace id"
          aria-label="Search traces"
          aria-invalid={problem?.errors !== undefined}
          spellCheck={false}
          autoComplete="off"
        />
        <select value={order} onChange={(event) => void navigate({ to: '/search', search: (before) => ({ ...before, order: event.target.value }) })} aria-label="Order">
          {ORDERS.map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
        <button type="submit">Search</button>
        <button type="button" onClick={() => setHelp(true)}>
          Help
        </button>
      </form>
      {help && (
        <Dialog label="Search language" onClose={() => setHelp(false)}>
          <h1>What can be asked</h1>
          <div className="keys">
            {HELP.map(([example, what]) => [<code key={example}>{example}</code>, <span key={what}>{what}</span>])}
          </div>
        </Dialog>
      )}
      {problem?.errors ? (
        <Mistakes query={query} problem={problem} />
      ) : answer.isError ? (
        <Problem error={answer.error} retry={() => void answer.refetch()} />
      ) : answer.isPending ? (
        <Skeleton height={320} />
      ) : rows.length === 0 ? (
        <Empty title="No trace matches in this time">
          {query && (
            <button type="button" onClick={() => void navigate({ to: '/search', search: (before) => ({ ...before, query: undefined }) })}>
              Without the query
            </button>
          )}
          <button type="button" onClick={() => void navigate({ to: '/search', search: (before) => ({ ...before, from: 'now-7d', to: 'now' }) })}>
            In the last 7 days
          </button>
        </Empty>
      ) : (
        <Results rows={rows} pageOf={(row) => traceAt(row.trace_id, query ? row.matched[0] : undefined)} more={answer.hasNextPage ? () => void answer.fetchNextPage() : null} />
      )}
    </div>
  );
}

/** A trace, opened at a span. */
const traceAt = (traceId: string, span?: string) => linkOptions({ to: '/traces/$traceId', params: { traceId }, search: { span, filter: undefined } });

/** The query with each mistake underlined. */
function Mistakes({ query, problem }: { query: string; problem: Rejected }) {
  return (
    <div className="mistake" role="alert">
      {problem.errors?.map((mistake) => (
        <div key={`${mistake.from} ${mistake.message}`}>
          {query}
          {'\n'}
          <span className="bad">
            {' '.repeat(mistake.from)}
            {'~'.repeat(Math.max(1, mistake.to - mistake.from))} {mistake.message}
            {mistake.fix ? `; did you mean ${mistake.fix.replace}?` : ''}
          </span>
        </div>
      ))}
    </div>
  );
}

const shares = (row: TraceRow): string[] => row.services.map(([name, share]) => `${name} ${Math.round(share * 100)} %`);

function Results({ rows, pageOf, more }: { rows: TraceRow[]; pageOf: (row: TraceRow) => ReturnType<typeof traceAt>; more: (() => void) | null }) {
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
  const longest = Math.max(...rows.map((row) => row.dur_ns), 1);
  const above = items[0]?.start ?? 0;
  const below = virtual.getTotalSize() - (items[items.length - 1]?.end ?? 0);

  return (
    <div ref={scroller} style={{ overflow: 'auto', flex: 1, minHeight: 0 }}>
      <table aria-label="Traces" aria-rowcount={rows.length}>
        <thead>
          <tr>
            <th>Started</th>
            <th>Request</th>
            <th className="num">Duration</th>
            <th className="extra" aria-label="Duration, relative" />
            <th className="num">Spans</th>
            <th className="num">Failed</th>
            <th>Where the time went</th>
          </tr>
        </thead>
        <tbody>
          {above > 0 && <tr aria-hidden="true" style={{ height: above }} />}
          {items.map(({ index }) => {
            const row = rows[index];
            if (!row) return null;
            return (
              <tr key={row.trace_id} aria-selected={index === selected} {...followsItsLink}>
                <td className="muted">{moment(row.t0_us)}</td>
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
    </div>
  );
}
