// Which samples: the kind of profile, and a value of each dimension that has several.

import type { ReactNode } from 'react';

import type { ProfileValues } from '../../api/profiles';
import { stateLabel } from '../../components/profile/states';
import { GROUPS, TYPES, aboutType, isMoment } from '../../components/profile/types';
import { percent } from '../../lib/format';
import type { ProfilesState } from '../../router';
import { DIMENSIONS, type Dimension, compareName } from './state';

interface Props {
  values: ProfileValues;
  search: ProfilesState;
  type: string;
  onChange: (change: Partial<ProfilesState>) => void;
  /** What stands at the end. */
  children?: ReactNode;
}

const named = (dimension: Dimension, value: string): string => (dimension.key === 'state' ? stateLabel(value) : value || '(none)');

/** Longer lists are cut: what is further down hardly counts. */
const OPTIONS_MOST = 200;

export function Pickers({ values, search, type, onChange, children }: Props) {
  const isThere = (id: string) => id === type || values.types.some((known) => known.type === id);
  const others = [...new Set([...values.types.map((known) => known.type), type])].filter((id) => !TYPES.some(([known]) => known === id));
  return (
    <div className="pickers" role="group" aria-label="Which samples">
      <select aria-label="Kind of profile" title={aboutType(type)} value={type} onChange={(event) => onChange({ type: event.target.value, focus: undefined, split: undefined })} className="is-set">
        {GROUPS.map(({ label, kinds }) => ({ label, kinds: kinds.filter(({ id }) => isThere(id)) }))
          .filter(({ kinds }) => kinds.length > 0)
          .map(({ label, kinds }) => (
            <optgroup key={label} label={label}>
              {kinds.map(({ id, name, about }) => (
                <option key={id} value={id} title={about}>
                  {name}
                </option>
              ))}
            </optgroup>
          ))}
        {others.length > 0 && (
          <optgroup label="Others">
            {others.map((id) => (
              <option key={id}>{id}</option>
            ))}
          </optgroup>
        )}
      </select>
      {DIMENSIONS.map((dimension) => (
        <Picker key={dimension.key} dimension={dimension} values={values} value={search[dimension.key]} onChange={onChange} />
      ))}
      {search.trace && <Only label={`trace ${search.trace.slice(0, 8)}`} clear={() => onChange({ trace: undefined, span: undefined })} />}
      {search.span && <Only label={`span ${search.span.slice(0, 8)}`} clear={() => onChange({ span: undefined })} />}
      <span className="spacer" />
      <button type="button" aria-pressed={search.cmp === 'earlier:period'} onClick={() => onChange({ cmp: search.cmp === 'earlier:period' ? undefined : 'earlier:period', color: undefined, focus: undefined })} title={`Against the same length of time just before (d)`}>
        {isMoment(type) ? 'Growth' : 'Change'}
      </button>
      <Compare values={values} search={search} onChange={onChange} />
      {children}
    </div>
  );
}

function Only({ label, clear }: { label: string; clear: () => void }) {
  return (
    <button type="button" aria-pressed="true" onClick={clear} title="Show all again">
      {label} ×
    </button>
  );
}

interface PickerProps {
  dimension: Dimension;
  values: ProfileValues;
  value: string | undefined;
  onChange: (change: Partial<ProfilesState>) => void;
}

function Picker({ dimension, values, value, onChange }: PickerProps) {
  const offered = values[dimension.offered].slice(0, OPTIONS_MOST);
  const total = values[dimension.offered].reduce((sum, each) => sum + each.total, 0);
  // Where there is nothing to choose, no field says so.
  if (!value && offered.length < 2 && dimension.key !== 'service') return null;
  const isKnown = !value || offered.some((each) => each.value === value);
  return (
    <select
      aria-label={dimension.label}
      className={value ? 'is-set' : undefined}
      value={value ?? ''}
      onChange={(event) => onChange({ [dimension.key]: event.target.value || undefined, focus: undefined })}
    >
      <option value="">{dimension.all}</option>
      {!isKnown && <option value={value}>{named(dimension, value)}</option>}
      {offered
        .filter((each) => each.value !== '')
        .map((each) => (
          <option key={each.value} value={each.value}>
            {named(dimension, each.value)} ({percent(total > 0 ? each.total / total : 0)})
          </option>
        ))}
    </select>
  );
}

const TIMES = ['earlier:period', 'earlier:1h', 'earlier:1d', 'earlier:7d'];

/** What to compare with: an earlier time, or another value of a dimension that is chosen. */
function Compare({ values, search, onChange }: Pick<Props, 'values' | 'search' | 'onChange'>) {
  const others = DIMENSIONS.flatMap((dimension) => {
    const chosen = search[dimension.key];
    if (!chosen) return [];
    const offered = values[dimension.offered].filter(({ value }) => value !== '' && value !== chosen).slice(0, OPTIONS_MOST);
    return offered.length > 0 ? [{ dimension, offered }] : [];
  });
  const all = [...TIMES, ...others.flatMap(({ dimension, offered }) => offered.map(({ value }) => `${dimension.key}:${value}`))];
  return (
    <select aria-label="Compare with" className={search.cmp ? 'is-set' : undefined} value={search.cmp ?? ''} onChange={(event) => onChange({ cmp: event.target.value || undefined, color: undefined, focus: undefined })}>
      <option value="">compare with …</option>
      {search.cmp && !all.includes(search.cmp) && <option value={search.cmp}>{`against ${compareName(search.cmp)}`}</option>}
      <optgroup label="Another time">
        {TIMES.map((time) => (
          <option key={time} value={time}>{`against ${compareName(time)}`}</option>
        ))}
      </optgroup>
      {others.map(({ dimension, offered }) => (
        <optgroup key={dimension.key} label={`Another ${dimension.label.toLowerCase()}`}>
          {offered.map(({ value }) => (
            <option key={value} value={`${dimension.key}:${value}`}>{`against ${named(dimension, value)}`}</option>
          ))}
        </optgroup>
      ))}
    </select>
  );
}
