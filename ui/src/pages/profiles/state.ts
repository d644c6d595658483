// What the URL of the page holds, and what it asks.

import type { Selection } from '../../api/profiles';
import { type TimeRange, resolve } from '../../lib/time';
import type { ProfilesState } from '../../router';

export interface Dimension {
  /** Its key in the URL, in a selection, and in what the server offers. */
  key: 'service' | 'endpoint' | 'thread' | 'state' | 'version' | 'env' | 'host' | 'instance' | 'exception' | 'lock';
  field: 'service' | 'endpoint' | 'thread' | 'state' | 'version' | 'environment' | 'host' | 'instance' | 'exception' | 'lock';
  offered: 'services' | 'endpoints' | 'threads' | 'states' | 'versions' | 'environments' | 'hosts' | 'instances' | 'exceptions' | 'locks';
  label: string;
  all: string;
}

export const DIMENSIONS: Dimension[] = [
  { key: 'service', field: 'service', offered: 'services', label: 'Service', all: 'all services' },
  { key: 'endpoint', field: 'endpoint', offered: 'endpoints', label: 'Endpoint', all: 'all endpoints' },
  { key: 'thread', field: 'thread', offered: 'threads', label: 'Thread', all: 'all threads' },
  { key: 'state', field: 'state', offered: 'states', label: 'State', all: 'all states' },
  { key: 'version', field: 'version', offered: 'versions', label: 'Version', all: 'all versions' },
  { key: 'env', field: 'environment', offered: 'environments', label: 'Environment', all: 'all environments' },
  { key: 'host', field: 'host', offered: 'hosts', label: 'Host', all: 'all hosts' },
  { key: 'instance', field: 'instance', offered: 'instances', label: 'Instance', all: 'all instances' },
  { key: 'exception', field: 'exception', offered: 'exceptions', label: 'Exception', all: 'all exceptions' },
  { key: 'lock', field: 'lock', offered: 'locks', label: 'Lock', all: 'all locks' },
];

const HOUR_MS = 3_600_000;

/** The moments of a range in microseconds. */
export function timesOf(range: TimeRange, now: number): { fromUs: number; toUs: number } {
  const to = resolve(range.to, now) ?? now;
  const from = resolve(range.from, now) ?? to - HOUR_MS;
  return { fromUs: Math.round(from * 1000), toUs: Math.round(to * 1000) };
}

/**
 * Whether threads that wait for work are left out: of wall time they would be nearly all, and say nothing of where
 * it goes. Who asks for a state, a trace or all of it gets it.
 */
export const hidesIdle = (search: ProfilesState, type: string): boolean => type === 'wall' && !search.idle && !search.state && !search.trace && !search.span;

/** The samples that a URL means. */
export function selectionOf(search: ProfilesState, { from, to }: TimeRange, type: string): Selection {
  const selection: Selection = { from, to, type };
  for (const { key, field } of DIMENSIONS) if (search[key]) selection[field] = search[key];
  if (search.trace) selection.trace_id = search.trace;
  if (search.span) selection.span_ids = [search.span];
  if (hidesIdle(search, type)) selection.exclude_states = ['idle'];
  return selection;
}

/** Times to compare with: how long before, in milliseconds. */
const EARLIER: Record<string, number> = { '1h': HOUR_MS, '1d': 24 * HOUR_MS, '7d': 168 * HOUR_MS };

/**
 * What a selection is compared with: `earlier:1h`, `earlier:period` for the time just before, `time:FROM-TO`
 * in microseconds, or another value of a dimension, such as `version:1.1`. Null when it says nothing that is known.
 */
export function baselineOf(compare: string | undefined, selection: Selection, now: number): Selection | null {
  const [, kind, value] = /^([a-z]+):(.+)$/s.exec(compare ?? '') ?? [];
  if (!kind || !value) return null;
  if (kind === 'earlier') {
    const { fromUs, toUs } = timesOf(selection, now);
    const shift = value === 'period' ? toUs - fromUs : (EARLIER[value] ?? 0) * 1000;
    return shift > 0 ? { ...selection, from: String(fromUs - shift), to: String(toUs - shift) } : null;
  }
  if (kind === 'time') {
    const [from, to] = value.split('-').map(Number);
    return from && to && from < to ? { ...selection, from: String(from), to: String(to) } : null;
  }
  const dimension = DIMENSIONS.find(({ key }) => key === kind);
  return dimension ? { ...selection, [dimension.field]: value } : null;
}

/** What a comparison is called. */
export function compareName(compare: string): string {
  const [kind = '', ...rest] = compare.split(':');
  const value = rest.join(':');
  if (kind === 'earlier') return value === 'period' ? 'the time before' : `${value} earlier`;
  if (kind === 'time') {
    const [from = 0, to = 0] = value.split('-').map(Number);
    const clock = (us: number) => new Date(us / 1000).toTimeString().slice(0, 8);
    return `${clock(from)} – ${clock(to)}`;
  }
  return `${kind} ${value}`;
}

/** Which type is shown when the URL names none: processor time, or else what there is most of. */
export const defaultType = (types: { type: string; samples: number }[]): string =>
  types.find(({ type }) => type === 'cpu')?.type ?? types.find(({ type }) => type === 'wall')?.type ?? types.toSorted((a, b) => b.samples - a.samples)[0]?.type ?? 'cpu';
