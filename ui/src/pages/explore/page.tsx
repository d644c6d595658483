// Explore: any metric of matching spans, split by any fields, over time.

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useEffect, useState } from 'react';

import { ApiError, type Range, api } from '../../api/client';
import type { Answer, AggregateAnswer } from '../../api/types';
import { SearchBar } from '../../components/search-bar/search-bar';
import { Empty, Skeleton } from '../../components/states';
import { count } from '../../lib/format';
import { freshness } from '../../lib/query/freshness';
import { recent, remember } from '../../lib/query/history';
import { useTitle } from '../../lib/title';
import { type ExploreState, rangeOf } from '../../router';
import { refusalOf } from '../latency';
import { Problem } from '../loaded';
import { SampleNote, useIsSampled } from '../sample';
import { useAnalysis, useCompletion } from '../use-query-help';
import { Builder } from './builder';
import { Course } from './course';
import { type View, requestOf, titleOf, viewOf } from './state';
import './explore.css';

export function ExplorePage() {
  const search = useSearch({ from: '/explore' });
  const range = rangeOf(useSearch({ strict: false }));
  const navigate = useNavigate();
  const view = viewOf(search);
  const [typed, setTyped] = useState(view.query);
  const [cursor, setCursor] = useState<number | null>(null);
  const [history, setHistory] = useState(recent);
  useEffect(() => setTyped((now) => (now.trim() === view.query ? now : view.query)), [view.query]);
  useTitle(titleOf(view), 'Explore');

  const analysis = useAnalysis(typed);
  const completed = useCompletion(typed, cursor, range);
  const fields = useQuery({ queryKey: ['facets', view.query, range], queryFn: ({ signal }) => api.facets(view.query, range, signal), placeholderData: keepPreviousData, staleTime: 60_000 });

  const change = (next: Partial<ExploreState>) => void navigate({ to: '/explore', search: (before) => ({ ...before, ...next }) });
  const ask = (text: string) => change({ query: text.trim() || undefined });

  return (
    <div className="page" data-testid="explore-page">
      <h1 className="visually-hidden">Explore</h1>
      <SearchBar
        text={typed}
        onText={setTyped}
        onRun={(text) => {
          remember(text);
          setHistory(recent());
          ask(text);
        }}
        onEdit={(text) => {
          setTyped(text);
          ask(text);
        }}
        ran={view.query}
        analysis={analysis}
        completed={completed}
        onCursor={setCursor}
        history={history}
        label="Which spans"
        placeholder="all spans; service:flaskr status:error narrows them"
      >
        <button type="submit">Show</button>
      </SearchBar>
      <Builder view={view} facets={fields.data ?? null} onChange={change} />
      <SampleNote range={range} also="Figures that only spans can tell are of the sample there; the remark below the chart says when." />
      <Figures view={view} range={range} onChange={change} />
    </div>
  );
}

interface FiguresProps {
  view: View;
  range: Range;
  onChange: (next: Partial<ExploreState>) => void;
}

function Figures({ view, range, onChange }: FiguresProps) {
  const request = requestOf(view, range);
  const answer = useQuery({ queryKey: [freshness(view.query), 'aggregate', request], queryFn: ({ signal }) => api.aggregate(request, signal), placeholderData: keepPreviousData });
  const isSampled = useIsSampled(range);
  const navigate = useNavigate();
  const problem = answer.error instanceof ApiError ? answer.error.problem : null;

  if (problem?.errors) return <Empty title="The query has a mistake">Nothing was counted. The mistake is underlined above.</Empty>;
  if (problem?.status === 400) return <Empty title="This cannot be worked out">{refusalOf(problem.detail)}</Empty>;
  if (answer.isError) return <Problem error={answer.error} title="The figures could not be had" retry={() => void answer.refetch()} />;
  if (answer.isPending) return <Skeleton height={420} />;

  const { data, meta } = answer.data;
  if (data.series.every((series) => series.n === 0)) {
    return (
      <Empty title="No span has a value in this time">
        {view.query && (
          <button type="button" onClick={() => onChange({ query: undefined })}>
            Without the query
          </button>
        )}
        {view.split.length > 0 && (
          <button type="button" onClick={() => onChange({ split: undefined })}>
            Without the split
          </button>
        )}
        <button type="button" onClick={() => void navigate({ to: '/explore', search: (before) => ({ ...before, from: 'now-7d', to: 'now' }) })}>
          In the last 7 days
        </button>
      </Empty>
    );
  }
  return (
    <div className="figures" aria-busy={answer.isPlaceholderData} style={answer.isPlaceholderData ? { opacity: 0.6 } : undefined}>
      <Course view={view} data={data} onChange={onChange} />
      <p className="muted figures-note" role="note">
        {remarks({ data, meta }, isSampled).join(' ')}
      </p>
    </div>
  );
}

/** How the figures came about. */
function remarks({ data, meta }: Answer<AggregateAnswer>, isSampled: boolean): string[] {
  const source = meta.source === 'metrics' ? 'From the metrics, which count every span.' : `From ${count(meta.scanned ?? 0)} spans that were read.`;
  return [
    source,
    ...(meta.source === 'spans' && isSampled ? ['What lies before the time named above is of the kept sample.'] : []),
    ...(meta.relative_error ? [`Percentiles are off by at most ${(100 * meta.relative_error).toFixed(1)} %.`] : []),
    ...(data.other ? [`The ${data.series.length} greatest of ${data.groups_left_out ? 'more than ' : ''}${count(data.groups)} groups are shown, the others together.`] : []),
    ...meta.warnings.map((warning) => `${warning.charAt(0).toUpperCase()}${warning.slice(1)}.`),
    `It took ${meta.elapsed_ms} ms.`,
  ];
}
