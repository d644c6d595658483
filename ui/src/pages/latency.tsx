// The heatmap of a query in a panel, with all that it may be instead: awaited, empty, impossible, failed.

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import { ApiError, type Range, api } from '../api/client';
import type { Answer, Heatmap as HeatmapData } from '../api/types';
import { Heatmap } from '../components/heatmap/heatmap';
import type { HeatScene, Narrowing } from '../components/heatmap/scene';
import { Skeleton } from '../components/states';
import { useEndsWith, wasLeft } from '../lib/ends-with';
import { count, percent } from '../lib/format';
import { useStored } from '../lib/stored';
import { Problem } from './loaded';
import { useIsSampled } from './sample';

/** Columns and rows that can still be told apart on a usual screen. */
const [COLUMNS, ROWS] = [120, 32];
/** Up to so many spans are asked again for which of them failed; that is read from the spans themselves. */
const CELLS_MOST = 500_000;

interface Props {
  query: string;
  range: Range;
  height: number;
  /** The first part of the keys of its questions: `live` when they are to be asked again and again. */
  freshness: string;
  /** Whether the reader has stopped the search that it goes with. */
  isStopped?: boolean;
  /** What a page looks at by this query, where the reader has not written it. */
  of?: string;
  onNarrow: (wanted: Narrowing) => void;
  /** Where the figures of this query can be looked at otherwise. */
  explore: { query: string | undefined; metric: string; agg: string; split?: string };
}

export function Latency({ query, range, height, freshness, isStopped = false, of, onNarrow, explore }: Props) {
  const [hidden, setHidden] = useStored('pitviper.latency.hidden', false);
  const isSampled = useIsSampled(range);
  const { answer, shown } = useHeatmap(query, range, freshness, !hidden, isStopped, isSampled);
  const problem = answer.error instanceof ApiError ? answer.error.problem : null;
  return (
    <section className="panel" aria-label="Latency" style={{ flex: 'none' }}>
      <header>
        <h2>Latency</h2>
        {shown && !hidden && <Figures data={shown.data} of={of} />}
        <span className="spacer" />
        {shown && !hidden && shown.data.total > 0 && <Scale data={shown.data} />}
        <Link to="/explore" search={explore}>
          Explore this
        </Link>
        <button type="button" aria-expanded={!hidden} onClick={() => setHidden(!hidden)}>
          {hidden ? 'Show' : 'Hide'}
        </button>
      </header>
      {hidden ? null : wasLeft(isStopped, answer) ? (
        <div className="heat-empty" style={{ height }}>
          Not counted: the search was stopped.
          <button type="button" onClick={() => void answer.refetch()}>
            Count
          </button>
        </div>
      ) : answer.isPending ? (
        <Skeleton height={height} />
      ) : problem?.status === 400 ? (
        <div className="heat-note">{problem.errors ? 'Nothing is drawn: the query has a mistake.' : refusalOf(problem.detail)}</div>
      ) : answer.isError ? (
        <Problem error={answer.error} title="The heatmap could not be made" retry={() => void answer.refetch()} />
      ) : shown && shown.data.total > 0 && shown.data.y_edges.length > 0 ? (
        <div aria-busy={answer.isPlaceholderData} style={answer.isPlaceholderData ? { opacity: 0.6 } : undefined}>
          <Heatmap scene={sceneOf(shown)} height={height} onNarrow={onNarrow} />
          <Remarks answer={shown} isSampled={isSampled} />
        </div>
      ) : (
        <div className="heat-empty" style={{ height }}>
          {shown && shown.data.total > 0 ? 'All of these spans took no time.' : 'No span matches in this time.'}
        </div>
      )}
    </section>
  );
}

const sceneOf = (answer: Answer<HeatmapData>): HeatScene => ({ map: answer.data, stepUs: (answer.meta.step_ms ?? 0) * 1e3 });

/** The counts at once; and then, where some failed and it is not too dear, which of them. */
function useHeatmap(query: string, range: Range, freshness: string, wanted: boolean, isStopped: boolean, isSampled: boolean) {
  const ask = (errors: boolean, signal: AbortSignal) => api.heatmap({ query, ...range, width: COLUMNS, height: ROWS, errors }, signal);
  // What is not asked again is dear, and is read from the spans anyhow.
  const isDear = freshness === 'once';
  const queryKey = [freshness, 'heatmap', query, range];
  useEndsWith(isStopped, queryKey);
  const answer = useQuery({
    queryKey,
    queryFn: ({ signal }) => ask(isDear, signal),
    placeholderData: keepPreviousData,
    enabled: wanted && !isStopped,
  });
  const total = answer.data?.data;
  // The metrics count all; the spans of a sample would count less.
  const isSame = !isSampled || answer.data?.meta.source === 'spans';
  const isWorthIt = total !== undefined && total.errors === null && !answer.isPlaceholderData && isSame && total.failed > 0 && total.total <= CELLS_MOST;
  const cells = useQuery({
    queryKey: [...queryKey, 'failed'],
    queryFn: ({ signal }) => ask(true, signal),
    enabled: wanted && isWorthIt && !isStopped,
  });
  return { answer, shown: isWorthIt && cells.data ? cells.data : answer.data };
}

function Figures({ data, of }: { data: HeatmapData; of: string | undefined }) {
  return (
    <span className="muted" role="status">
      {count(data.total)} {of ?? (data.total === 1 ? 'span' : 'spans')}
      {data.failed > 0 && <span className="bad">{` · ▲ ${count(data.failed)} failed, ${percent(data.failed / data.total)}`}</span>}
    </span>
  );
}

function Scale({ data }: { data: HeatmapData }) {
  const most = data.counts.reduce((best, cell) => Math.max(best, cell), 0);
  return (
    <span className="heat-scale muted extra" title="How many spans a cell holds">
      1 <i /> {count(most)}
    </span>
  );
}

function Remarks({ answer: { data, meta }, isSampled }: { answer: Answer<HeatmapData>; isSampled: boolean }) {
  const instant = data.zeros.reduce((sum, zeros) => sum + zeros, 0);
  const sample = isSampled && meta.source === 'spans' ? ['Older time, as the note on samples says, is counted from the sample.'] : [];
  const remarks = [...meta.warnings, ...sample, ...(instant > 0 ? [`${count(instant)} took no time and have no cell.`] : [])];
  return remarks.length > 0 && <div className="heat-note">{remarks.join(' ')}</div>;
}

/** What the server says of a parameter, as a sentence. */
export const refusalOf = (detail: string | null | undefined): string => {
  const text = (detail ?? 'this query cannot be counted').replace(/^query: /, 'This query ');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
};
