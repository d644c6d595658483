// Says that of older traces only a sample is kept.

import { moment } from '../lib/format';
import { resolve } from '../lib/time';

interface Props {
  /** Up to when traces are a sample, in microseconds since the epoch. */
  throughUs: number | null | undefined;
  from: string;
  /** What else is of the sample, as a sentence; rates and percentiles of services never are. */
  also?: string;
}

/** Whether a range begins before the time up to which traces are a sample. */
export function reachesSample(throughUs: number | null | undefined, from: string, now: number): throughUs is number {
  const start = resolve(from, now);
  return throughUs !== null && throughUs !== undefined && start !== null && start * 1000 < throughUs;
}

export function Sampled({ throughUs, from, also }: Props) {
  if (!reachesSample(throughUs, from, Date.now())) return null;
  return (
    <p className="sampled muted" role="note">
      Of traces before {moment(throughUs).slice(0, 16)} a sample is kept: those that failed, were slow or rare, or were asked for, and a share of the others, each whole.{' '}
      {also ?? 'Rates, failures and percentiles of services count all.'}
    </p>
  );
}
