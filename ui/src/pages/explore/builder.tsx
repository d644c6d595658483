// What is measured, how it becomes one figure, what it is split by, and how finely: a sentence of fields.

import { type KeyboardEvent, useId, useState } from 'react';

import type { Facets } from '../../api/types';
import type { ExploreState } from '../../router';
import { AGGREGATIONS, FIELDS, METRICS, SPLIT_MOST, STEPS, TOPS, type View, isCounted } from './state';

interface Props {
  view: View;
  /** What the spans have; `null` while that is not known. */
  facets: Facets | null;
  onChange: (next: Partial<ExploreState>) => void;
}

/** Chosen when a metric is to be any attribute, which is then written. */
const ATTRIBUTE = '@';

export function Builder({ view, facets, onChange }: Props) {
  const keys = facets?.keys ?? [];
  const numeric = keys.filter((facet) => facet.type === 'number' && facet.source !== 'reserved').map((facet) => facet.key);
  const splittable = [...FIELDS, ...keys.filter((facet) => facet.source !== 'reserved' && !facet.unique).map((facet) => facet.key)];
  return (
    <div className="builder" role="group" aria-label="What is shown">
      <MetricField metric={view.metric} numeric={numeric} onChange={(metric) => onChange({ metric })} />
      {!isCounted(view.metric) && (
        <label>
          as
          <Choice label="Aggregation" value={view.agg} options={AGGREGATIONS} onChange={(agg) => onChange({ agg })} />
        </label>
      )}
      <SplitFields split={view.split} offered={splittable} onChange={(split) => onChange({ split: split.join(',') || undefined, hide: undefined, sort: undefined })} />
      <span className="spacer" />
      <label>
        every
        <Choice label="Step" value={view.step} options={STEPS.map((step) => [step, step])} onChange={(step) => onChange({ step })} />
      </label>
      {view.split.length > 0 && (
        <label>
          the first
          <Choice label="Most series" value={view.top} options={TOPS.map((top) => [top, top])} onChange={(top) => onChange({ top })} />
        </label>
      )}
    </div>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: [string, string][];
  onChange: (value: string) => void;
}

/** A choice that also holds what is not offered, since a URL may say anything. */
function Choice({ label, value, options, onChange }: ChoiceProps) {
  const known = options.some(([option]) => option === value);
  return (
    <select aria-label={label} value={value} onChange={(event) => onChange(event.target.value)}>
      {!known && <option value={value}>{value}</option>}
      {options.map(([option, text]) => (
        <option key={option} value={option}>
          {text}
        </option>
      ))}
    </select>
  );
}

function MetricField({ metric, numeric, onChange }: { metric: string; numeric: string[]; onChange: (metric: string) => void }) {
  const [isWritten, setWritten] = useState(false);
  const id = useId();
  const isKnown = METRICS.some(([known]) => known === metric);
  const write = (text: string) => {
    setWritten(false);
    const name = text.trim();
    // An attribute may be called as a metric is.
    if (name) onChange(METRICS.some(([known]) => known === name) ? `@${name}` : name);
  };
  return (
    <label>
      Show
      {isWritten ? (
        <>
          <input
            autoFocus
            list={id}
            placeholder="http.response.body.size"
            aria-label="Attribute"
            onBlur={(event) => write(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === 'Enter') write(event.currentTarget.value);
              else if (event.key === 'Escape') setWritten(false);
            }}
          />
          <datalist id={id}>
            {numeric.map((key) => (
              <option key={key} value={key} />
            ))}
          </datalist>
        </>
      ) : (
        <select aria-label="Metric" value={metric} onChange={(event) => (event.target.value === ATTRIBUTE ? setWritten(true) : onChange(event.target.value))}>
          {METRICS.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
          <optgroup label="Attributes that are numbers">
            {!isKnown && !numeric.includes(metric) && <option value={metric}>{metric.replace(/^@/, '')}</option>}
            {numeric.map((key) => (
              <option key={key} value={key}>
                {key}
              </option>
            ))}
            <option value={ATTRIBUTE}>another attribute …</option>
          </optgroup>
        </select>
      )}
    </label>
  );
}

function SplitFields({ split, offered, onChange }: { split: string[]; offered: string[]; onChange: (split: string[]) => void }) {
  const [typed, setTyped] = useState('');
  const id = useId();
  const free = offered.filter((field) => !split.includes(field));
  const add = (field: string) => {
    const name = field.trim();
    setTyped('');
    if (name && !split.includes(name)) onChange([...split, name]);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter') add(typed);
    else if (event.key === 'Backspace' && typed === '') onChange(split.slice(0, -1));
  };
  return (
    <div className="split" role="group" aria-label="Split by">
      <span>split by</span>
      {split.map((field) => (
        <span key={field} className="chip">
          <span className="chip-text">{field}</span>
          <button type="button" aria-label={`Do not split by ${field}`} onClick={() => onChange(split.filter((other) => other !== field))}>
            ×
          </button>
        </span>
      ))}
      {split.length < SPLIT_MOST && (
        <>
          <input
            list={id}
            value={typed}
            data-find
            placeholder={split.length > 0 ? 'and …' : 'a field or attribute'}
            aria-label="Split by a field"
            onChange={(event) => {
              const text = event.target.value;
              // One chosen from the list comes whole, without a key.
              const isChosen = !(event.nativeEvent as InputEvent).inputType || (event.nativeEvent as InputEvent).inputType === 'insertReplacementText';
              if (isChosen && free.includes(text)) add(text);
              else setTyped(text);
            }}
            onBlur={() => add(typed)}
            onKeyDown={onKeyDown}
          />
          <datalist id={id}>
            {free.map((field) => (
              <option key={field} value={field} />
            ))}
          </datalist>
        </>
      )}
    </div>
  );
}
