// Questions about profiles.

import type { ProfileColumns } from '../lib/flame/tree';
import { type Answer } from './types';
import { ask, send } from './client';

/** Which samples are meant; times are what a range says: microseconds, ISO 8601, `now-1h`. */
export interface Selection {
  from: string;
  to: string;
  type: string;
  service?: string;
  environment?: string;
  version?: string;
  endpoint?: string;
  thread?: string;
  state?: string;
  host?: string;
  instance?: string;
  trace_id?: string;
  /** Samples of exactly these spans. */
  span_ids?: string[];
  root_span_id?: string;
}

export interface MergedProfile extends ProfileColumns {
  dropped_below: number;
  left_out_samples: number;
}

interface ValueTotal {
  value: string;
  total: number;
}

/** What the pickers offer. */
export interface ProfileValues {
  /** The type that the lists are of. */
  type?: string | null;
  types: { type: string; unit: string; value: number; samples: number }[];
  services: ValueTotal[];
  endpoints: ValueTotal[];
  threads: ValueTotal[];
  states: ValueTotal[];
  versions: ValueTotal[];
  environments: ValueTotal[];
  hosts: ValueTotal[];
  instances: ValueTotal[];
}

export interface ProfileSeries {
  step_us: number;
  from_us: number;
  series: { key: string; values: number[] }[];
  /** What the others have together; null when there are none. */
  other?: number[] | null;
}

export interface FunctionSpans {
  spans: { trace_id?: string | null; span_id: string; value: number; samples: number }[];
  /** How many spans there are, whether they are told or not. */
  count: number;
  /** What was outside of all spans. */
  outside: number;
}

export type ExportFormat = 'pprof' | 'speedscope' | 'collapsed';

export interface MergeRequest {
  selection: Selection;
  baseline?: Selection;
  lines?: boolean;
  max_nodes?: number;
}

export const profiles = {
  merge: (wanted: MergeRequest, signal?: AbortSignal): Promise<Answer<MergedProfile>> => ask('profiles/merge', signal, wanted),

  values: (wanted: { from: string; to: string; service?: string; type?: string }, signal?: AbortSignal): Promise<Answer<ProfileValues>> => ask('profiles/values', signal, wanted),

  series: (wanted: { selection: Selection; buckets?: number; split?: string }, signal?: AbortSignal): Promise<Answer<ProfileSeries>> => ask('profiles/series', signal, wanted),

  spans: (wanted: { selection: Selection; function: string; file?: string }, signal?: AbortSignal): Promise<Answer<FunctionSpans>> => ask('profiles/spans', signal, wanted),

  file: async (format: ExportFormat, selection: Selection): Promise<Blob> => (await send(`profiles/export?format=${format}`, '*/*', undefined, { selection })).blob(),
};
