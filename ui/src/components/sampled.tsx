// Says that of older traces only a sample is kept, and what it is made of.

import { count, moment } from '../lib/format';
import { resolve } from '../lib/time';

/** What thinning did since the server started. */
interface Thinning {
  kept: readonly { reason: string; traces: number }[];
  spans_let_go: number;
}

interface Props {
  /** Up to when traces are a sample, in microseconds since the epoch. */
  throughUs: number | null | undefined;
  thinning?: Thinning | undefined;
  from: string;
  /** What else is of the sample, as a sentence; rates and percentiles of services never are. */
  also?: string;
}

/** Whether a range begins before the time up to which traces are a sample. */
export function reachesSample(throughUs: number | null | undefined, from: string, now: number): throughUs is number {
  const start = resolve(from, now);
  return throughUs !== null && throughUs !== undefined && start !== null && start * 1000 < throughUs;
}

const REASONS: Record<string, string> = { error: 'failed', rule: 'were asked for', slow: 'were slow', rare: 'were rare', crossing: 'reach into other time', share: 'are of the share of all others' };

/** What thinning has kept and let go since the server started; nothing when it has not run since. */
export function thinned(thinning: Thinning | undefined): string {
  const kept = thinning?.kept.filter(({ traces }) => traces > 0) ?? [];
  if (!thinning || (kept.length === 0 && thinning.spans_let_go === 0)) return '';
  const parts = kept.map(({ reason, traces }) => `${count(traces)} ${REASONS[reason] ?? reason}`);
  const of = parts.length > 0 ? `Of the traces kept since the server started ${parts.join(', ')}. ` : '';
  return `${of}${count(thinning.spans_let_go)} spans were let go.`;
}

export function Sampled({ throughUs, thinning, from, also }: Props) {
  if (!reachesSample(throughUs, from, Date.now())) return null;
  return (
    <p className="sampled muted" role="note">
      Of traces before {moment(throughUs).slice(0, 16)} a sample is kept: those that failed, were slow or rare, or were asked for, and a share of the others, each whole.{' '}
      {also ?? 'Rates, failures and percentiles of services count all.'} {thinned(thinning)}
    </p>
  );
}
