// One service: response time, failures and throughput over time, and its requests.

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link, linkOptions, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useMemo } from 'react';

import { type Range, api } from '../../api/client';
import type { Operation, SeriesAnswer, SeriesQuery } from '../../api/types';
import { Chart, type Line } from '../../components/chart';
import type { Narrowing } from '../../components/heatmap/scene';
import { FailedCell } from '../../components/failed-cell';
import { SortHeader } from '../../components/sort-header';
import { Sparkline } from '../../components/sparkline';
import { Empty, NoMatch } from '../../components/states';
import { count, duration, percent, rate } from '../../lib/format';
import { durationTerm, withDuration } from '../../lib/query/duration';
import { useListKeys } from '../../lib/list-keys';
import { followsItsLink } from '../../lib/row-link';
import { termOf } from '../../lib/query/edit';
import { type SortedRows, useSortedRows } from '../../lib/sorted-rows';
import { useTitle } from '../../lib/title';
import { rangeOf } from '../../router';
import { Latency } from '../latency';
import { Loaded } from '../loaded';
import { SampleNote } from '../sample';
import { Processes } from './processes';

const QUERIES: SeriesQuery[] = [
  { metric: 'response_time', agg: 'p50' },
  { metric: 'response_time', agg: 'p95' },
  { metric: 'response_time', agg: 'p99' },
  { metric: 'failure_rate' },
  { metric: 'throughput' },
];

const SORTS = {
  name: (row: Operation) => row.name,
  hits: (row: Operation) => row.hits,
  total: (row: Operation) => row.total_ns,
  failed: (row: Operation) => row.err ?? 0,
  p50: (row: Operation) => row.p50 ?? 0,
  p95: (row: Operation) => row.p95 ?? 0,
  p99: (row: Operation) => row.p99 ?? 0,
  max: (row: Operation) => row.max ?? 0,
} as const;

export function ServicePage() {
  const { service } = useParams({ from: '/services/$service' });
  const range = rangeOf(useSearch({ strict: false }));
  useTitle(service);
  const series = useQuery({
    queryKey: ['live', 'series', service, range],
    queryFn: ({ signal }) => api.series(service, QUERIES, range, signal),
    placeholderData: keepPreviousData,
  });

  return (
    <div className="page" data-testid="service-page">
      <div className="head">
        <h1>{service}</h1>
        <span className="spacer" />
        <Link to="/search" search={{ query: termOf('service', service), order: undefined }}>
          Traces
        </Link>
        <Link to="/search" search={{ query: `${termOf('service', service)} status:error`, order: undefined }}>
          Failed traces
        </Link>
        <Link to="/search" search={{ query: `${termOf('service', service)} is:entry`, order: '-duration' }}>
          Slowest traces
        </Link>
        <Link to="/profiles" search={{ service }}>
          Profile
        </Link>
      </div>
      <Loaded answer={series} heights={[226]}>
        {(data) => <Charts answer={data} />}
      </Loaded>
      <SampleNote range={range} />
      <ServiceLatency service={service} range={range} />
      <Operations service={service} range={range} />
      <Processes service={service} range={range} />
    </div>
  );
}

/** Requests of the service by start and duration; a box with durations leads to their traces. */
function ServiceLatency({ service, range }: { service: string; range: Range }) {
  const navigate = useNavigate();
  const query = `${termOf('service', service)} is:entry`;
  const narrow = ({ time, duration: lengths }: Narrowing) => {
    const times = time ? { from: String(time.fromUs), to: String(time.toUs) } : {};
    if (lengths) void navigate({ to: '/search', search: { ...range, ...times, query: withDuration(query, durationTerm(lengths.fromNs, lengths.toNs)), order: undefined } });
    else void navigate({ to: '.', search: (before) => ({ ...before, ...times }) });
  };
  return <Latency query={query} of="requests" range={range} height={180} freshness="live" onNarrow={narrow} explore={{ query, metric: 'duration', agg: 'p95', split: 'name' }} />;
}

const tracesOf = (service: string, row: Operation) =>
  linkOptions({ to: '/search', search: { query: `${termOf('service', service)} ${termOf('name', row.name)}`, order: undefined } });

function Charts({ answer }: { answer: SeriesAnswer }) {
  const navigate = useNavigate();
  const zoom = (from: number, to: number) => void navigate({ to: '.', search: (before) => ({ ...before, from: String(from), to: String(to) }) });
  const lines = useMemo(() => {
    const values = (index: number) => answer.series[index]?.v ?? [];
    const times: Line[] = [
      { label: 'p50', color: '--accent', values: values(0) },
      { label: 'p95', color: '--warn', values: values(1) },
      { label: 'p99', color: '--bad', values: values(2) },
    ];
    return { times, failures: [{ label: '', color: '--bad', values: values(3), fill: true }], requests: [{ label: '', color: '--accent', values: values(4), fill: true }] };
  }, [answer]);
  return (
    <div className="charts">
      <Chart label="Response time" times={answer.t} lines={lines.times} format={duration} onZoom={zoom} />
      <Chart label="Failure rate" times={answer.t} lines={lines.failures} format={percent} onZoom={zoom} />
      <Chart label="Throughput" times={answer.t} lines={lines.requests} format={rate} onZoom={zoom} />
    </div>
  );
}

function Operations({ service, range }: { service: string; range: Range }) {
  const answer = useQuery({
    queryKey: ['live', 'operations', service, range],
    queryFn: ({ signal }) => api.operations(service, range, signal),
    placeholderData: keepPreviousData,
  });
  const table = useSortedRows(answer.data?.data ?? [], { sorts: SORTS, initial: 'total', group: (row) => (row.entry ? 0 : 1) });
  return (
    <Loaded answer={answer} heights={[260]}>
      {(all) => (all.length > 0 ? <OperationsTable service={service} total={all.length} table={table} /> : <Idle service={service} />)}
    </Loaded>
  );
}

function Idle({ service }: { service: string }) {
  const navigate = useNavigate();
  return (
    <Empty title={`${service} did nothing in this time`}>
      <button type="button" onClick={() => void navigate({ to: '.', search: (before) => ({ ...before, from: 'now-7d', to: 'now' }) })}>
        Show the last 7 days
      </button>
    </Empty>
  );
}

function OperationsTable({ service, total, table }: { service: string; total: number; table: SortedRows<Operation, keyof typeof SORTS> }) {
  const { rows, filter, setFilter, head } = table;
  const navigate = useNavigate();
  const selected = useListKeys(rows.length, (index) => rows[index] && void navigate(tracesOf(service, rows[index])));
  return (
    <section>
      <div className="head">
        <h2>Requests and operations</h2>
        <span className="muted">{total}</span>
        <span className="spacer" />
        <input data-find value={filter} onChange={(event) => setFilter(event.target.value)} placeholder="Filter  /" aria-label="Filter operations" />
      </div>
      <table aria-label="Operations">
        <thead>
          <tr>
            <SortHeader column="name" {...head} numeric={false}>
              Name
            </SortHeader>
            <SortHeader column="hits" {...head}>
              Count
            </SortHeader>
            <th className="extra">
              <span className="visually-hidden">Count over time</span>
            </th>
            <SortHeader column="total" {...head}>
              Total time
            </SortHeader>
            <SortHeader column="failed" {...head}>
              Failed
            </SortHeader>
            <SortHeader column="p50" {...head}>
              Median
            </SortHeader>
            <SortHeader column="p95" {...head}>
              p95
            </SortHeader>
            <SortHeader column="p99" {...head}>
              p99
            </SortHeader>
            <SortHeader column="max" {...head}>
              Slowest
            </SortHeader>
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={`${row.kind} ${row.name}`} aria-selected={index === selected} {...followsItsLink}>
              <td className="wide" title={row.name}>
                <span className="named">
                  <Link {...tracesOf(service, row)}>{row.name}</Link>
                  <span className="tag">{row.kind}</span>
                  {row.entry && (
                    <Link to="/profiles" search={{ service, endpoint: row.name }} aria-label={`Profile of ${row.name}`} className="aside">
                      profile
                    </Link>
                  )}
                </span>
              </td>
              <td className="num">{count(row.hits)}</td>
              <td className="extra">
                <Sparkline values={row.s} width={70} />
              </td>
              <td className="num">{duration(row.total_ns)}</td>
              <FailedCell errors={row.errors} share={row.err} />
              <td className={`num ${row.hits < 20 ? 'muted' : ''}`}>{duration(row.p50)}</td>
              <td className={`num ${row.hits < 20 ? 'muted' : ''}`}>{duration(row.p95)}</td>
              <td className={`num ${row.hits < 20 ? 'muted' : ''}`}>{duration(row.p99)}</td>
              <td className="num">{duration(row.max)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length === 0 && (
        <NoMatch what="operation" filter={filter} total={total} clear={() => setFilter('')} />
      )}
    </section>
  );
}
