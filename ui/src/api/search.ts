// A search for traces, told line by line while it runs.

import { linesOf } from '../lib/lines';
import { ApiError, type FailedAnswer, type Range, send } from './client';
import type { Answer, SearchLine, SearchProgress, TraceRow } from './types';

export interface TraceSearch extends Range {
  query: string;
  order: string;
  limit: number;
  cursor?: string;
}

/** A page of traces. */
export interface TracePage extends Answer<TraceRow[]> {
  /** What ended it before its time: the reader, or a failure. Its rows are right all the same. */
  ended?: 'stopped' | FailedAnswer;
}

/** A search under way. */
export interface Running {
  /** In order; those that are told later come behind them. */
  rows: TraceRow[];
  progress: SearchProgress | null;
}

interface Listening {
  /** Nobody wants the page any more. */
  signal: AbortSignal;
  /** Ends the search with what was found by then. */
  stop: AbortSignal;
  onNews: (running: Running) => void;
}

const BROKEN: FailedAnswer = { title: 'The connection ended before the search did', status: 0 };

export async function searchTraces(search: TraceSearch, { signal, stop, onNews }: Listening): Promise<TracePage> {
  const began = performance.now();
  const ending = new AbortController();
  for (const other of [signal, stop]) {
    if (other.aborted) ending.abort();
    other.addEventListener('abort', () => ending.abort(), { once: true });
  }
  let running: Running = { rows: [], progress: null };
  let failed: FailedAnswer = BROKEN;
  try {
    const response = await send('spans/search', 'application/x-ndjson, application/json', ending.signal, { ...search, mode: 'traces' });
    // A server that does not tell, or not yet.
    if (!response.body || !response.headers.get('content-type')?.includes('ndjson')) return (await response.json()) as TracePage;
    for await (const text of linesOf(response.body)) {
      const line = JSON.parse(text) as SearchLine;
      if (line.type === 'end') return { data: running.rows, meta: line.meta };
      if (line.type === 'error') {
        failed = line.problem;
        break;
      }
      if (line.type === 'progress') running = { ...running, progress: line };
      else running = { ...running, rows: [...running.rows, line as TraceRow] };
      onNews(running);
    }
  } catch (error) {
    if (signal.aborted || (error instanceof ApiError && !stop.aborted)) throw error;
  }
  const { rows, progress } = running;
  if (!stop.aborted && rows.length === 0 && !progress?.next) throw new ApiError(failed);
  const meta = {
    exact: false,
    complete: false,
    next: progress?.next ?? search.cursor ?? null,
    scanned_until_us: progress?.reached_us ?? null,
    elapsed_ms: Math.round(performance.now() - began),
    warnings: [],
  };
  return { data: rows, meta, ended: stop.aborted ? 'stopped' : failed };
}
