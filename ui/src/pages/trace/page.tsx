// One trace: its waterfall, and the span that is looked at.

import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { Suspense, lazy, useMemo, useState } from 'react';

import { ApiError, api } from '../../api/client';
import type { TraceColumns } from '../../api/types';
import { Loaded } from '../loaded';
import { Empty, Skeleton } from '../../components/states';
import { PROFILED } from '../../components/waterfall/scene';
import { Waterfall } from '../../components/waterfall/waterfall';
import { count, duration, moment, percent } from '../../lib/format';
import { useKeys } from '../../lib/keys';
import { serviceColor } from '../../lib/theme';
import { useTitle } from '../../lib/title';
import type { TraceState } from '../../router';
import { Details } from './details';
import { belowOf, sampledTime } from './samples';

const TraceProfile = lazy(async () => ({ default: (await import('./profile')).TraceProfile }));

export function TracePage() {
  const { traceId } = useParams({ from: '/traces/$traceId' });
  const answer = useQuery({
    queryKey: ['trace', traceId],
    queryFn: ({ signal }) => api.trace(traceId, signal),
    // A trace that is still being written grows.
    staleTime: 2_000,
  });
  const trace = answer.data?.data;
  useTitle(trace && trace.strings[trace.name[0] ?? 0], 'trace');
  const retry = () => void answer.refetch();
  return (
    <Loaded answer={answer} heights={[48, 420]} page failed={(error) => (isMissing(error) ? <Missing retry={retry} /> : null)}>
      {(trace) => <Trace trace={trace} />}
    </Loaded>
  );
}

const isMissing = (error: Error) => error instanceof ApiError && error.problem.status === 404;

function Missing({ retry }: { retry: () => void }) {
  return (
    <Empty title="There is no such trace">
      <span className="muted">Its spans may not have arrived yet, or were never sampled.</span>
      <button type="button" onClick={retry}>
        Look again
      </button>
      <Link to="/search">Search traces</Link>
    </Empty>
  );
}

function Trace({ trace }: { trace: TraceColumns }) {
  const search = useSearch({ from: '/traces/$traceId' });
  const navigate = useNavigate();
  const [critical, setCritical] = useState(true);
  const filter = search.filter ?? '';
  const selected = useMemo(() => (search.span ? trace.id.indexOf(search.span) : -1), [trace, search.span]);
  const errors = useMemo(() => trace.status.reduce((sum, status) => sum + (status === 2 ? 1 : 0), 0), [trace]);
  const set = (change: Partial<TraceState>) => void navigate({ to: '.', search: (before) => ({ ...before, ...change }), replace: true });
  const isProfile = search.mode === 'profile';
  const below = useMemo(() => (selected >= 0 ? belowOf(trace, selected) : null), [trace, selected]);
  const sampled = useMemo(() => trace.flags.reduce((sum, flags) => sum + (flags & PROFILED ? 1 : 0), 0), [trace]);
  useKeys({
    1: () => set({ mode: undefined }),
    5: () => set({ mode: 'profile' }),
    o: () => search.span && set({ tab: search.tab ? undefined : 'hotspots' }),
  });
  const self = trace.services.reduce((sum, service) => sum + service.self_ns, 0);

  return (
    <div className="page fill" data-testid="trace-page">
      <div className="head">
        <h1>{trace.strings[trace.name[0] ?? 0]}</h1>
        <span>{duration(trace.dur_ns)}</span>
        <span className="muted">{moment(trace.t0_us)}</span>
        <span className="muted">{count(trace.n)} spans</span>
        {errors > 0 && <span className="bad">▲ {errors} failed</span>}
        {trace.truncated && <span className="bad">the first {count(trace.n)} of {count(trace.truncated.total)} spans</span>}
        <code className="muted">{trace.trace_id}</code>
      </div>
      <div className="legend">
        {trace.services.map((service) => (
          <span key={service.name}>
            <i style={{ background: serviceColor(service.color) }} />
            {trace.strings[service.name]} <span className="muted">{percent(self > 0 ? service.self_ns / self : 0)}</span>
          </span>
        ))}
        <span className="tools">
          <button type="button" aria-pressed={!isProfile} onClick={() => set({ mode: undefined })} title="Spans over time (1)">
            Waterfall
          </button>
          <button type="button" aria-pressed={isProfile} onClick={() => set({ mode: 'profile' })} title={`What its threads ran, from samples (5)${sampled > 0 ? `: ${count(sampled)} of its spans have some` : ': none was taken in it yet'}`}>
            Profile {sampled > 0 && <span className="muted">· {count(sampled)}</span>}
          </button>
          {!isProfile && (
            <>
              <button type="button" aria-pressed={critical} onClick={() => setCritical(!critical)} title="Critical path (c)">
                Critical path
              </button>
              <input data-find value={filter} onChange={(event) => set({ filter: event.target.value || undefined })} placeholder="Find spans  f" aria-label="Find spans" />
            </>
          )}
        </span>
      </div>
      {isProfile ? (
        <Suspense fallback={<Skeleton height={420} />}>
          <TraceProfile traceId={trace.trace_id} time={sampledTime(trace)} />
        </Suspense>
      ) : (
        <div className="trace">
          <Waterfall
            trace={trace}
            selected={selected}
            filter={filter}
            critical={critical}
            onSelect={(row) => set({ span: row >= 0 ? trace.id[row] : undefined })}
            onToggleCritical={() => setCritical(!critical)}
          />
          {selected >= 0 && (
            <Details
              traceId={trace.trace_id}
              spanId={trace.id[selected] ?? ''}
              below={below}
              time={sampledTime(trace)}
              tab={search.tab}
              onTab={(tab) => set({ tab })}
              onClose={() => set({ span: undefined })}
            />
          )}
        </div>
      )}
    </div>
  );
}
