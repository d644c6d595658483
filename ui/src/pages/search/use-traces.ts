// The traces that a query finds, page by page, and how far the page came that is being looked for.

import { type InfiniteData, type UseInfiniteQueryResult, keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';

import type { Range } from '../../api/client';
import { type Running, type TracePage, searchTraces } from '../../api/search';

const PAGE = 100;
/** A search that took longer is asked again only when its reader asks: it would hardly do anything else. */
const SLOW_MS = 2_000;

export type FoundTraces = UseInfiniteQueryResult<InfiniteData<TracePage>>;

interface Traces {
  found: FoundTraces;
  /** The page that is being looked for and that the reader waits for, as far as it came. */
  running: Running | null;
  /** Ends the search with what was found by then. */
  stop: () => void;
  /** Whether the reader has ended it so, and not gone on since. */
  isStopped: boolean;
}

export function useTraces(freshness: string, query: string, order: string, range: Range): Traces {
  const queryKey = [freshness, 'traces', query, order, range];
  const scope = JSON.stringify(queryKey);
  const [news, setNews] = useState<{ scope: string; running: Running } | null>(null);
  const stopping = useRef<AbortController | null>(null);
  const [held, setHeld] = useState('');

  const found = useInfiniteQuery({
    queryKey,
    queryFn: async ({ signal, pageParam }) => {
      const own = new AbortController();
      stopping.current = own;
      setNews(null);
      const search = { query, order, limit: PAGE, ...range, ...(pageParam ? { cursor: pageParam } : {}) };
      const page = await searchTraces(search, { signal, stop: own.signal, onNews: (running) => setNews({ scope, running }) });
      if (page.ended || page.meta.elapsed_ms > SLOW_MS) setHeld(scope);
      return page;
    },
    initialPageParam: '',
    getNextPageParam: (last: TracePage) => last.meta.next ?? undefined,
    placeholderData: keepPreviousData,
    enabled: held !== scope,
  });
  // A search that is asked again unasked gets all of its rows at once, in place of those that are shown.
  const isNews = found.isPending || found.isPlaceholderData || found.isFetchingNextPage || held === scope;
  const isWaitedFor = found.isFetching && isNews;

  const stop = () => stopping.current?.abort();
  useEffect(() => {
    if (!isWaitedFor) return;
    const onKey = (event: KeyboardEvent) => {
      // Whatever else Escape closes comes first.
      if (event.key !== 'Escape' || event.defaultPrevented || document.querySelector('dialog[open]')) return;
      event.preventDefault();
      stopping.current?.abort();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [isWaitedFor]);

  const nothing: Running = { rows: [], progress: null };
  const running = isWaitedFor ? (news?.scope === scope ? news.running : nothing) : null;
  const isStopped = !isWaitedFor && !found.isPlaceholderData && found.data?.pages.at(-1)?.ended === 'stopped';
  return { found, running, stop, isStopped };
}
