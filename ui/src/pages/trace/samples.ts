// Which samples belong to a trace and to its spans.

import { subtreeEnds } from '../../lib/tree';
import type { TraceColumns } from '../../api/types';

/** When samples of a trace may be dated: microseconds since the epoch, as a selection has them. */
export interface SampledTime {
  from: string;
  to: string;
}

/** A profile whose samples have no moment of their own is dated by its end, and goes on for a minute. */
const AFTER_US = 120e6;
const BEFORE_US = 1e6;
/** Of more spans the samples are not asked for one by one. */
const SPANS_MOST = 2_000;

export const sampledTime = (trace: TraceColumns): SampledTime => ({ from: String(trace.t0_us - BEFORE_US), to: String(Math.ceil(trace.t0_us + trace.dur_ns / 1000) + AFTER_US) });

/** Ids of a row's span and of all below it; null where that is the whole trace, or as good as. */
export function belowOf(trace: TraceColumns, row: number): string[] | null {
  const end = subtreeEnds(trace)[row] ?? row + 1;
  return end - row >= trace.n || end - row > SPANS_MOST ? null : trace.id.slice(row, end);
}
