// Home: every service, the one that matters most first.

import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, linkOptions, useNavigate, useSearch } from '@tanstack/react-router';
import { useEffect, useState } from 'react';

import { api, onFirstSpan } from '../../api/client';
import type { Service } from '../../api/types';
import { Loaded } from '../loaded';
import { FailedCell } from '../../components/failed-cell';
import { SortHeader } from '../../components/sort-header';
import { Sparkline } from '../../components/sparkline';
import { CopyLine, Empty, NoMatch } from '../../components/states';
import { count, duration, percent, rate } from '../../lib/format';
import { useListKeys } from '../../lib/list-keys';
import { followsItsLink } from '../../lib/row-link';
import { type SortedRows, useSortedRows } from '../../lib/sorted-rows';
import { useTitle } from '../../lib/title';
import { rangeOf } from '../../router';

const SORTS = {
  impact: (service: Service) => (service.rps.v ?? 0) * (service.p95.v ?? 0),
  name: (service: Service) => service.name,
  rate: (service: Service) => service.rps.v ?? 0,
  failures: (service: Service) => service.err.v ?? 0,
  p50: (service: Service) => service.p50.v ?? 0,
  p95: (service: Service) => service.p95.v ?? 0,
} as const;

export function ServicesPage() {
  const range = rangeOf(useSearch({ strict: false }));
  useTitle('Services');
  const answer = useQuery({
    queryKey: ['live', 'services', range],
    queryFn: ({ signal }) => api.services(range, signal),
    placeholderData: keepPreviousData,
  });
  const table = useSortedRows(answer.data?.data ?? [], { sorts: SORTS, initial: 'impact' });
  return (
    <Loaded answer={answer} heights={[58, 300]} page>
      {(all) => (all.length > 0 ? <Services all={all} table={table} /> : <NothingYet />)}
    </Loaded>
  );
}

function Services({ all, table }: { all: Service[]; table: SortedRows<Service, keyof typeof SORTS> }) {
  const { rows, filter, setFilter, head } = table;
  const navigate = useNavigate();
  const selected = useListKeys(rows.length, (index) => rows[index] && void navigate(pageOf(rows[index])));
  const failing = all.filter((service) => service.errors > 0).length;
  const hits = all.reduce((sum, service) => sum + service.hits, 0);
  const errors = all.reduce((sum, service) => sum + service.errors, 0);

  return (
    <div className="page" data-testid="services-page">
      <div className="head">
        <h1>Services</h1>
        <span className="spacer" />
        <input data-find value={filter} onChange={(event) => setFilter(event.target.value)} placeholder="Filter  /" aria-label="Filter services" />
      </div>
      <div className="strip">
        <div>
          <b>{all.length}</b>
          <span className="muted">services</span>
        </div>
        <div>
          <b>{rate(all.reduce((sum, service) => sum + (service.rps.v ?? 0), 0))}</b>
          <span className="muted">requests</span>
        </div>
        <div>
          <b className={errors > 0 ? 'bad' : undefined}>{percent(hits > 0 ? errors / hits : 0)}</b>
          <span className="muted">failed ({count(errors)})</span>
        </div>
        <div>
          <b>{failing}</b>
          <span className="muted">services with failures</span>
        </div>
      </div>
      <table aria-label="Services">
        <thead>
          <tr>
            <SortHeader column="name" {...head} numeric={false}>
              Service
            </SortHeader>
            <th>Runs on</th>
            <th className="extra">Environment</th>
            <th className="num">Instances</th>
            <SortHeader column="rate" {...head}>
              Requests
            </SortHeader>
            <th className="extra">
              <span className="visually-hidden">Requests over time</span>
            </th>
            <SortHeader column="failures" {...head}>
              Failed
            </SortHeader>
            <th className="extra">
              <span className="visually-hidden">Failures over time</span>
            </th>
            <SortHeader column="p50" {...head}>
              Median
            </SortHeader>
            <SortHeader column="p95" {...head}>
              p95
            </SortHeader>
            <th className="extra">
              <span className="visually-hidden">p95 over time</span>
            </th>
            <SortHeader column="impact" {...head} numeric={false}>
              Impact
            </SortHeader>
          </tr>
        </thead>
        <tbody>
          {rows.map((service, index) => (
            <tr key={service.name} aria-selected={index === selected} {...followsItsLink}>
              <td className="wide" title={service.name}>
                <span className="named">
                  <Link {...pageOf(service)}>{service.name}</Link>
                  <span className="tag">{service.kind}</span>
                </span>
              </td>
              <td className="muted">{[service.framework, service.lang].filter(Boolean).join(' · ') || '–'}</td>
              <td className="muted extra">{[...service.env, ...service.version].join(' · ') || '–'}</td>
              <td className="num">{service.instances}</td>
              <td className="num">{rate(service.rps.v)}</td>
              <td className="extra">
                <Sparkline values={service.rps.s} />
              </td>
              <FailedCell errors={service.errors} share={service.err.v} />
              <td className="extra">
                <Sparkline values={service.err.s} color="--bad" />
              </td>
              <td className="num">{duration(service.p50.v)}</td>
              <td className="num">{duration(service.p95.v)}</td>
              <td className="extra">
                <Sparkline values={service.p95.s} />
              </td>
              <td>
                <Impact share={SORTS.impact(service) / Math.max(...all.map(SORTS.impact), Number.MIN_VALUE)} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length === 0 && (
        <NoMatch what="service" filter={filter} total={all.length} clear={() => setFilter('')} />
      )}
    </div>
  );
}

const pageOf = (service: Service) => linkOptions({ to: '/services/$service', params: { service: service.name } });

function Impact({ share }: { share: number }) {
  return <div className="length" style={{ width: Math.max(1, 56 * share) }} title="Requests × p95, relative to the first" />;
}

/** Nothing to show: either nothing ever arrived, or nothing in this time. */
function NothingYet() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [first, setFirst] = useState<string | null>(null);
  const meta = useQuery({ queryKey: ['meta'], queryFn: ({ signal }) => api.meta(signal) });
  const never = meta.data?.data.first_span === false;

  useEffect(() => {
    if (!never) return;
    return onFirstSpan((traceId) => {
      setFirst(traceId);
      void client.invalidateQueries();
    });
  }, [never, client]);

  if (meta.data && !never && first === null) {
    return (
      <div className="page" data-testid="services-page">
        <Empty title="No spans in this time">
          <span className="muted">The store holds {count(meta.data.data.spans_stored)} spans of other times.</span>
          <button type="button" onClick={() => void navigate({ to: '/', search: { from: 'now-30d', to: 'now' } })}>
            Show the last 30 days
          </button>
        </Empty>
      </div>
    );
  }
  const endpoint = meta.data?.data.endpoints.otlp_http ?? '127.0.0.1:4318';
  const url = endpoint.startsWith('http') ? endpoint : `http://${endpoint}`;
  return (
    <div className="page" data-testid="first-run">
      <h1>Trace your first application</h1>
      <Empty title="Two lines, no change to the application">
        <CopyLine label="the install command" text="pip install pitviper" />
        <CopyLine label="the run command" text={`PITVIPER_ENDPOINT=${url} PITVIPER_SERVICE=my-app pitviper run gunicorn app:app`} />
        <span className="muted">
          Anything that speaks OpenTelemetry can report here as well: OTLP/HTTP at <code>{url}</code>, OTLP/gRPC at{' '}
          <code>{meta.data?.data.endpoints.otlp_grpc}</code>.
        </span>
        <div className="waiting" role="status">
          <span className="dot" /> Waiting for the first span …
        </div>
      </Empty>
    </div>
  );
}
