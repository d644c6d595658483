// A setting as it is edited: text while it is typed, and what the server takes once it is applied.

import type { AgentSetting } from '../../api/settings';

/** Stands for every service, and for every environment. */
export const ANY = '*';

/** What a switch says; nothing is what the process has itself. */
export type Choice = '' | 'on' | 'off';

export interface Draft {
  service: string;
  env: string;
  /** In percent. */
  share: string;
  tracing: Choice;
  profiling: Choice;
  /** Samples a second. */
  rate: string;
}

const MAX_RATE = 1_000;

const choice = (value: boolean | null | undefined): Choice => (value === true ? 'on' : value === false ? 'off' : '');

export const EMPTY: Draft = { service: '', env: '', share: '', tracing: '', profiling: '', rate: '' };

export const draftOf = (of: AgentSetting): Draft => ({
  service: of.service ?? ANY,
  env: of.env ?? ANY,
  share: of.sample_rate == null ? '' : String(Number((of.sample_rate * 100).toPrecision(12))),
  tracing: choice(of.tracing),
  profiling: choice(of.profiling),
  rate: of.profiling_rate == null ? '' : String(of.profiling_rate),
});

export const isSame = (one: AgentSetting, other: Pick<Draft, 'service' | 'env'>): boolean =>
  (one.service ?? ANY) === (other.service.trim() || ANY) && (one.env ?? ANY) === (other.env.trim() || ANY);

/** What is wrong with a draft, in words for who typed it. */
export function faultOf(draft: Draft): string | null {
  const share = Number(draft.share.replace(',', '.'));
  if (draft.share.trim() && !(share >= 0 && share <= 100)) return 'The share of traces is 0 to 100 percent.';
  const rate = Number(draft.rate);
  if (draft.rate.trim() && !(Number.isInteger(rate) && rate >= 1 && rate <= MAX_RATE)) return `The rate is a whole number from 1 to ${MAX_RATE}.`;
  if (!draft.share.trim() && !draft.tracing && !draft.profiling && !draft.rate.trim()) return 'Say what is to be different.';
  return null;
}

/** The setting with what the draft says in it; what is not edited here stays. */
export function applied(draft: Draft, before?: AgentSetting): AgentSetting {
  const { sample_rate: _share, tracing: _tracing, profiling: _profiling, profiling_rate: _rate, ...rest } = before ?? {};
  const next: AgentSetting = { ...rest, service: draft.service.trim() || ANY, env: draft.env.trim() || ANY };
  if (draft.share.trim()) next.sample_rate = Number(draft.share.replace(',', '.')) / 100;
  if (draft.tracing) next.tracing = draft.tracing === 'on';
  if (draft.profiling) next.profiling = draft.profiling === 'on';
  if (draft.rate.trim()) next.profiling_rate = Number(draft.rate);
  return next;
}

/** What a setting says to Datadog's clients alone, which is not edited here. */
export function besides(of: AgentSetting): string {
  const several = (count: number, one: string) => (count === 0 ? null : count === 1 ? `1 ${one}` : `${count} ${one}s`);
  return [
    several(of.sampling_rules?.length ?? 0, 'sampling rule'),
    several(Object.keys(of.tags ?? {}).length, 'tag'),
    of.log_injection == null ? null : `log injection ${of.log_injection ? 'on' : 'off'}`,
  ]
    .filter(Boolean)
    .join(', ');
}
