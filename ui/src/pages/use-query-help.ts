// What the server knows of a query while it is written. Answers that come late are told apart by the
// text they are about.

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';

import { type Range, api } from '../api/client';
import type { Completed } from '../components/search-bar/completion';
import type { Analysis } from '../lib/query/types';
import { useSettled } from '../lib/settled';

const SETTLED_MS = 120;
/** Which values there are changes with what arrives. */
const VALUES_STALE_MS = 15_000;

export function useAnalysis(written: string): { text: string; result: Analysis } | null {
  const text = useSettled(written, SETTLED_MS);
  const answer = useQuery({
    queryKey: ['parse', text],
    queryFn: async ({ signal }) => {
      const result = await api.parse(text, signal);
      return result && { text, result };
    },
    staleTime: Infinity,
    placeholderData: keepPreviousData,
  });
  return answer.data ?? null;
}

/** What could stand at the cursor; nothing is asked while that is `null`. */
export function useCompletion(text: string, cursor: number | null, range: Range): Completed | null {
  const place = useMemo(() => (cursor === null ? null : { query: text, cursor }), [text, cursor]);
  const asked = useSettled(place, SETTLED_MS);
  const answer = useQuery({
    queryKey: ['complete', asked, range],
    queryFn: async ({ signal }) => {
      if (!asked) return null;
      const completion = await api.complete(asked.query, asked.cursor, range, signal);
      return completion && { ...completion, ...asked };
    },
    enabled: asked !== null,
    staleTime: VALUES_STALE_MS,
    placeholderData: keepPreviousData,
  });
  return answer.data ?? null;
}
