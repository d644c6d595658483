// Everything that is known of one span.

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Suspense, lazy } from 'react';

import { api } from '../../api/client';
import type { SpanDetails } from '../../api/types';
import { Problem } from '../loaded';
import { Skeleton } from '../../components/states';
import { Values } from '../../components/values';
import { duration, moment } from '../../lib/format';
import type { SampledTime } from './samples';

const Hotspots = lazy(async () => ({ default: (await import('./hotspots')).Hotspots }));

/** Attributes shown apart from the rest. */
const STATEMENT = 'db.query.text';

interface Props {
  traceId: string;
  spanId: string;
  /** The span and all below it; null for the whole trace. */
  below: string[] | null;
  time: SampledTime;
  tab: 'hotspots' | undefined;
  onTab: (tab: 'hotspots' | undefined) => void;
  onClose: () => void;
}

export function Details({ traceId, spanId, below, time, tab, onTab, onClose }: Props) {
  const answer = useQuery({
    queryKey: ['span', traceId, spanId],
    queryFn: ({ signal }) => api.span(traceId, spanId, signal),
    placeholderData: keepPreviousData,
    staleTime: Infinity,
  });
  const span = answer.data?.data[0];
  return (
    <aside className="details" aria-label="Span details" data-testid="span-details">
      {answer.isError ? (
        <Problem error={answer.error} title="The span could not be loaded" retry={() => void answer.refetch()} />
      ) : span ? (
        <>
          <Heading span={span} onClose={onClose} />
          <div className="segments" role="group" aria-label="What is told of the span">
            <button type="button" aria-pressed={!tab} onClick={() => onTab(undefined)}>
              Details
            </button>
            <button type="button" aria-pressed={tab === 'hotspots'} onClick={() => onTab('hotspots')} title="Which code ran in it, from samples (o)">
              Hotspots
            </button>
          </div>
          {tab === 'hotspots' ? (
            <Suspense fallback={<Skeleton height={300} />}>
              <Hotspots key={span.span_id} span={span} below={below} time={time} />
            </Suspense>
          ) : (
            <Span span={span} />
          )}
        </>
      ) : (
        <Skeleton height={300} />
      )}
    </aside>
  );
}

function Heading({ span, onClose }: { span: SpanDetails; onClose: () => void }) {
  const copy = () => void navigator.clipboard.writeText(JSON.stringify(span, null, 2));
  return (
    <>
      <div className="head">
        <h2>{span.name}</h2>
        <span className="spacer" />
        <button type="button" onClick={copy}>
          Copy JSON
        </button>
        <button type="button" onClick={onClose} aria-label="Close details">
          ×
        </button>
      </div>
      <div className="head">
        <b>{duration(span.dur_ns)}</b>
        <span className="tag">{span.kind}</span>
        <span>{span.service}</span>
        {span.status !== 'unset' && <span className={span.status === 'error' ? 'bad' : ''}>{span.status === 'error' ? '▲ failed' : 'ok'}</span>}
      </div>
    </>
  );
}

function Span({ span }: { span: SpanDetails }) {
  const statement = span.attributes[STATEMENT];
  const attributes = Object.entries(span.attributes).filter(([key]) => key !== STATEMENT);
  return (
    <>
      {span.status_message && <div className="bad">{span.status_message}</div>}
      {typeof statement === 'string' && <pre>{statement}</pre>}
      {span.events.map((event) => (
        <section key={`${event.time_us} ${event.name}`}>
          <h2>
            {event.name} <span className="muted">at {duration(event.offset_ns)}</span>
          </h2>
          {event.name === 'exception' ? (
            <>
              <div className="bad">
                {String(event.attributes['exception.type'] ?? 'exception')}: {String(event.attributes['exception.message'] ?? '')}
              </div>
              {typeof event.attributes['exception.stacktrace'] === 'string' && <pre>{event.attributes['exception.stacktrace']}</pre>}
            </>
          ) : (
            <Values values={event.attributes} />
          )}
        </section>
      ))}
      <section>
        <h2>Attributes</h2>
        {attributes.length > 0 ? <Values values={Object.fromEntries(attributes)} /> : <span className="muted">none</span>}
      </section>
      {span.links.length > 0 && (
        <section>
          <h2>Links</h2>
          {span.links.map((link) => (
            <div key={link.span_id}>
              <Link to="/traces/$traceId" params={{ traceId: link.trace_id }} search={{ span: link.span_id, filter: undefined }}>
                span {link.span_id}
              </Link>
            </div>
          ))}
        </section>
      )}
      <section>
        <h2>Process</h2>
        <Values values={span.resource} />
      </section>
      <section>
        <h2>Span</h2>
        <Values
          values={{ started: moment(span.start_us), 'span id': span.span_id, 'parent id': span.parent_span_id ?? 'none', scope: [span.scope.name, span.scope.version].join(' ').trim() }}
        />
      </section>
    </>
  );
}
