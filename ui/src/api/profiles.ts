// Questions about profiles.

import { ask, send } from './client';
import type { components } from './generated/schema';

type Schemas = components['schemas'];

/** Which samples are meant; here the time and the type are always said, the time as a range says it. */
export type Selection = Schemas['ProfileSelection'] & { from: string; to: string; type: string };
export type MergedProfile = Schemas['MergedProfile'];
/** What the pickers offer. */
export type ProfileValues = Schemas['ProfileValues'];
export type ProfileSeries = Schemas['ProfileSeriesAnswer'];
export type ProfileSplit = Schemas['ProfileSplit'];
export type ExportFormat = 'pprof' | 'speedscope' | 'collapsed';

export const profiles = {
  merge: (wanted: Schemas['ProfileMergeRequest'], signal?: AbortSignal) => ask<MergedProfile>('profiles/merge', signal, wanted),

  values: (wanted: Schemas['ProfileValuesRequest'], signal?: AbortSignal) => ask<ProfileValues>('profiles/values', signal, wanted),

  series: (wanted: Schemas['ProfileSeriesRequest'], signal?: AbortSignal) => ask<ProfileSeries>('profiles/series', signal, wanted),

  lines: (wanted: Schemas['ProfileLinesRequest'], signal?: AbortSignal) => ask<Schemas['ProfileLines']>('profiles/lines', signal, wanted),

  longest: (wanted: Schemas['ProfileLongestRequest'], signal?: AbortSignal) => ask<Schemas['ProfileLongest']>('profiles/longest', signal, wanted),

  spans: (wanted: Schemas['ProfileSpansRequest'], signal?: AbortSignal) => ask<Schemas['ProfileSpans']>('profiles/spans', signal, wanted),

  file: async (format: ExportFormat, selection: Selection): Promise<Blob> => (await send(`profiles/export?format=${format}`, '*/*', undefined, { selection })).blob(),
};
