// What the server says of the time up to which traces are a sample, for pages that list or count spans.

import { useQuery } from '@tanstack/react-query';

import { type Range, api } from '../api/client';
import type { ServerMeta } from '../api/types';
import { Sampled, reachesSample } from '../components/sampled';

/** It moves on once a day. */
const STALE_MS = 300_000;

function useMeta(): Partial<ServerMeta> {
  const meta = useQuery({ queryKey: ['meta'], queryFn: ({ signal }) => api.meta(signal), staleTime: STALE_MS });
  return meta.data?.data ?? {};
}

/** Whether spans of the range are a sample in part. */
export const useIsSampled = (range: Range): boolean => reachesSample(useMeta().sampled_through_us, range.from, Date.now());

export function SampleNote({ range, also }: { range: Range; also?: string }) {
  const { sampled_through_us, thinning } = useMeta();
  return <Sampled throughUs={sampled_through_us} thinning={thinning} from={range.from} {...(also ? { also } : {})} />;
}
