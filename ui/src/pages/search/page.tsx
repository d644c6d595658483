// Search: traces that contain a matching span.

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useEffect, useState } from 'react';

import { ApiError, type Range, api } from '../../api/client';
import type { Running } from '../../api/search';
import { FacetList } from '../../components/facets/facets';
import type { Narrowing } from '../../components/heatmap/scene';
import { SearchBar } from '../../components/search-bar/search-bar';
import { Empty, Skeleton } from '../../components/states';
import { useEndsWith, wasLeft } from '../../lib/ends-with';
import { durationTerm, withDuration } from '../../lib/query/duration';
import { toggle } from '../../lib/query/edit';
import { freshness } from '../../lib/query/freshness';
import { recent, remember } from '../../lib/query/history';
import { useTitle } from '../../lib/title';
import { rangeOf } from '../../router';
import { Latency } from '../latency';
import { Problem } from '../loaded';
import { SampleNote } from '../sample';
import { Further } from './further';
import { Help } from './help';
import { traceAt, traceIdIn } from './links';
import { Results } from './results';
import { SearchState } from './state';
import { type FoundTraces, useTraces } from './use-traces';
import { useAnalysis, useCompletion } from '../use-query-help';

const ORDERS: [string, string][] = [
  ['-start', 'newest first'],
  ['-duration', 'slowest first'],
  ['start', 'oldest first'],
];

export function SearchPage() {
  const search = useSearch({ from: '/search' });
  const range = rangeOf(useSearch({ strict: false }));
  const navigate = useNavigate();
  const query = search.query ?? '';
  const order = search.order ?? '-start';
  const [typed, setTyped] = useState(query);
  const [cursor, setCursor] = useState<number | null>(null);
  const [history, setHistory] = useState(recent);
  const [help, setHelp] = useState(false);
  // What is written stays as it is while it says the same: the space for the next term, and undo.
  useEffect(() => setTyped((now) => (now.trim() === query ? now : query)), [query]);
  useTitle(query, 'Traces');

  const analysis = useAnalysis(typed);
  const completed = useCompletion(typed, cursor, range);
  const { found, running, stop, isStopped } = useTraces(freshness(query), query, order, range);
  const facets = useFacets(query, range, isStopped);

  const find = (text: string) => void navigate({ to: '/search', search: (before) => ({ ...before, query: text.trim() || undefined }) });
  const run = (text: string) => {
    const id = traceIdIn(text);
    if (id) return void navigate(traceAt(id));
    remember(text);
    setHistory(recent());
    if (text.trim() === query) void found.refetch();
    find(text);
  };
  /** Chips and fields change the query step by step; the steps are for Back, not for the list of queries. */
  const edit = (text: string) => {
    setTyped(text);
    find(text);
  };

  const narrow = ({ time, duration }: Narrowing) => {
    const next = duration ? withDuration(query, durationTerm(duration.fromNs, duration.toNs)) : query;
    setTyped(next);
    const times = time ? { from: String(time.fromUs), to: String(time.toUs) } : {};
    void navigate({ to: '/search', search: (before) => ({ ...before, ...times, query: next || undefined }) });
  };

  return (
    <div className="page fill" data-testid="search-page">
      <h1 className="visually-hidden">Traces</h1>
      <SearchBar
        text={typed}
        onText={setTyped}
        onRun={run}
        onEdit={edit}
        ran={query}
        analysis={analysis}
        completed={completed}
        onCursor={setCursor}
        history={history}
        placeholder="service:flaskr duration:>100ms status:error   or a trace id"
      >
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
      </SearchBar>
      <SearchState order={order} running={running} last={lastOf(found)} onStop={stop} />
      {help && <Help onClose={() => setHelp(false)} />}
      <div className="found">
        {facets.isShown && <FacetList facets={facets.data} failed={facets.failed} onAsk={facets.onAsk} scope={facets.scope} query={typed} onToggle={(term, wanted) => edit(toggle(typed, term, wanted))} />}
        <div className="found-rows">
          <Latency
            query={query}
            range={range}
            height={136}
            freshness={freshness(query)}
            isStopped={isStopped}
            onNarrow={narrow}
            explore={{ query: query || undefined, metric: 'duration', agg: 'p95' }}
          />
          <SampleNote range={range} also="Searches find what is kept; rates and percentiles of services count all." />
          <Found found={found} running={running} query={query} order={order} />
        </div>
      </div>
    </div>
  );
}

function useFacets(query: string, range: Range, isStopped: boolean) {
  const scope = JSON.stringify([query, range]);
  const queryKey = [freshness(query), 'facets', query, range];
  useEndsWith(isStopped, queryKey);
  const answer = useQuery({
    queryKey,
    enabled: !isStopped,
    queryFn: async ({ signal }) => ({ scope, facets: await api.facets(query, range, signal) }),
    placeholderData: keepPreviousData,
  });
  // A server that has none leaves no room for them.
  const isShown = !answer.isSuccess || answer.data.facets !== null;
  const onAsk = wasLeft(isStopped, answer) ? () => void answer.refetch() : null;
  return { data: answer.data?.facets ?? null, scope: answer.data?.scope ?? scope, failed: answer.isError, isShown, onAsk };
}

/** What is said of the rows that are shown. */
function lastOf(found: FoundTraces) {
  const page = found.isPlaceholderData || !found.data ? undefined : found.data.pages.at(-1);
  if (!page) return null;
  const rows = found.data?.pages.reduce((sum, { data }) => sum + data.length, 0) ?? 0;
  return { rows, more: found.hasNextPage, elapsedMs: page.meta.elapsed_ms };
}

function Found({ found, running, query, order }: { found: FoundTraces; running: Running | null; query: string; order: string }) {
  const navigate = useNavigate();
  const problem = found.error instanceof ApiError ? found.error.problem : null;
  if (problem?.errors) return <Empty title="The query has a mistake">Nothing was searched. The mistake is underlined above.</Empty>;
  if (found.isError && !running) return <Problem error={found.error} retry={() => void found.refetch()} />;

  // Rows of before, dimmed when they are of another query, stay until there is one in their place.
  const isReplaced = running && running.rows.length > 0 && !found.isFetchingNextPage;
  const known = isReplaced ? [] : (found.data?.pages ?? []).flatMap((page) => page.data);
  const rows = running ? [...known, ...running.rows] : known;
  const isOld = found.isPlaceholderData && known.length > 0;
  const end = running ? undefined : found.data?.pages.at(-1);
  const hasStopped = end !== undefined && (end.ended !== undefined || (end.meta.complete === false && found.hasNextPage));
  const further = () => void (found.hasNextPage ? found.fetchNextPage() : found.refetch());
  const note = hasStopped && <Further order={order} ended={end.ended} untilUs={end.meta.scanned_until_us} onFurther={further} />;
  if (rows.length > 0) {
    return (
      <Results rows={rows} isOld={isOld} pageOf={(row) => traceAt(row.trace_id, query ? row.matched[0] : undefined)} more={found.hasNextPage && !running && !hasStopped ? further : null}>
        {note}
      </Results>
    );
  }
  if (running || !found.data) return <Skeleton height={320} />;
  if (hasStopped) return <Empty title="No trace matches so far">{note}</Empty>;
  return (
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
  );
}
