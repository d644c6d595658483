// The fields of the spans that were found, with their commonest values: a click asks for a value.

import { type KeyboardEvent, type MouseEvent, useRef, useState } from 'react';

import { count, percent } from '../../lib/format';
import { type Presence, presence } from '../../lib/query/edit';
import type { Facet, FacetValue, Facets } from '../../lib/query/types';
import { useStored } from '../../lib/stored';
import { steady } from './order';
import { neighbour } from './walk';
import './facets.css';

/** Fields that show their values until the user says otherwise. */
const OPEN_AT_FIRST = 5;

interface Props {
  /** `null` while they are awaited. */
  facets: Facets | null;
  /** Whether they cannot be had, as of a query with a mistake. */
  failed: boolean;
  /** Asks for them after all, where they ended with a search that was stopped. */
  onAsk: (() => void) | null;
  /** What they are of; as long as it stays, nothing changes its place. */
  scope: string;
  query: string;
  onToggle: (term: string, wanted: 'included' | 'excluded') => void;
}

export function FacetList({ facets, failed, onAsk, scope, query, onToggle }: Props) {
  const [collapsed, setCollapsed] = useStored('pitviper.fields.collapsed', false);
  const [opened, setOpened] = useStored<Record<string, boolean>>('pitviper.fields.open', {});
  const [filter, setFilter] = useState('');
  const [stop, setStop] = useState('');
  const list = useRef<HTMLDivElement>(null);
  const keys = useSteady(facets, scope);

  if (collapsed) {
    return (
      <aside className="facets collapsed" aria-label="Fields">
        <button type="button" aria-expanded={false} onClick={() => setCollapsed(false)} title="Show the fields">
          Fields ›
        </button>
      </aside>
    );
  }
  const shown = keys.filter((facet) => facet.key.toLowerCase().includes(filter.trim().toLowerCase()));
  const isOpen = (facet: Facet) => opened[facet.key] ?? (filter.trim() !== '' || keys.indexOf(facet) < OPEN_AT_FIRST);
  const names = shown.flatMap((facet) => [facet.key, ...(isOpen(facet) ? facet.top.map((value) => value.term) : [])]);
  const tabStop = names.includes(stop) ? stop : names[0];

  const onKeyDown = (event: KeyboardEvent) => {
    const button = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || !list.current) return;
    const next = neighbour(list.current, button, event.key);
    if (!next) return;
    event.preventDefault();
    next.focus();
  };

  return (
    <aside className="facets" aria-label="Fields">
      <div className="facets-head">
        <input value={filter} onChange={(event) => setFilter(event.target.value)} placeholder="Filter fields" aria-label="Filter fields" />
        <button type="button" aria-expanded onClick={() => setCollapsed(true)} title="Hide the fields" aria-label="Hide the fields">
          ‹
        </button>
      </div>
      {onAsk && (
        <p className="muted facets-note">
          Not counted: the search was stopped.{' '}
          <button type="button" onClick={onAsk}>
            Count
          </button>
        </p>
      )}
      {!onAsk && <p className="muted facets-note">{failed ? 'Nothing was found to take fields from.' : noteOf(facets, keys.length)}</p>}
      {failed || onAsk ? null : facets === null ? (
        <div className="facets-list" role="status" aria-label="Loading">
          {[5, 3, 4].map((lines) => (
            <div key={lines} className="skeleton" style={{ height: 28 + 24 * lines }} />
          ))}
        </div>
      ) : (
        <div
          className="facets-list"
          ref={list}
          role="toolbar"
          aria-label="Fields and values"
          aria-orientation="vertical"
          onKeyDown={onKeyDown}
          onFocus={(event) => setStop(event.target.closest<HTMLElement>('[data-row]')?.dataset['row'] ?? '')}
        >
          {shown.map((facet) => (
            <div key={facet.key} role="group" aria-label={facet.key}>
              <div data-row={facet.key}>
                <button
                  type="button"
                  className="facet-key"
                  aria-expanded={isOpen(facet)}
                  tabIndex={tabStop === facet.key ? 0 : -1}
                  onClick={() => setOpened({ ...opened, [facet.key]: !isOpen(facet) })}
                  title={`${facet.key}\n${facet.type}, ${facet.distinct} values, in ${percent(facet.share)} of the spans${facet.exact ? ', all of them counted' : ''}`}
                >
                  <span className="facet-name">{facet.key}</span>
                  <span className="muted">{percent(facet.share)}</span>
                </button>
              </div>
              {isOpen(facet) && <Values facet={facet} query={query} tabStop={tabStop} onToggle={onToggle} />}
            </div>
          ))}
          {keys.length > 0 && shown.length === 0 && <p className="muted facets-note">No field has “{filter}” in its name.</p>}
        </div>
      )}
    </aside>
  );
}

function noteOf(facets: Facets | null, keys: number): string {
  if (!facets) return 'Reading the fields …';
  if (keys === 0) return 'No spans, so no fields.';
  return facets.sampled ? `Sampled from the newest ${facets.sample.toLocaleString('en')} spans` : `Of all ${facets.sample.toLocaleString('en')} spans`;
}

/** The fields in an order that holds as long as the scope does. */
function useSteady(facets: Facets | null, scope: string): Facet[] {
  const shown = useRef<{ scope: string; of: Facets | null; keys: Facet[] }>({ scope, of: null, keys: [] });
  if (facets && facets !== shown.current.of) {
    const before = shown.current.scope === scope ? shown.current.keys : [];
    shown.current = { scope, of: facets, keys: steady(before, facets.keys) };
  }
  return facets ? shown.current.keys : [];
}

interface ValuesProps {
  facet: Facet;
  query: string;
  tabStop: string | undefined;
  onToggle: (term: string, wanted: 'included' | 'excluded') => void;
}

function Values({ facet, query, tabStop, onToggle }: ValuesProps) {
  if (facet.unique) return <p className="muted facets-note">Every span has a value of its own.</p>;
  const most = Math.max(...facet.top.map((value) => value.count), 1);
  const others = facet.distinct - facet.top.length;
  return (
    <>
      {facet.top.map((value) => (
        <Value key={value.term} value={value} state={presence(query, value.term)} part={value.count / most} isStop={tabStop === value.term} onToggle={onToggle} />
      ))}
      {others > 0 && <p className="muted facets-note">and {count(others)} more</p>}
    </>
  );
}

interface ValueProps {
  value: FacetValue;
  state: Presence;
  /** Of the commonest value, 0 to 1. */
  part: number;
  isStop: boolean;
  onToggle: (term: string, wanted: 'included' | 'excluded') => void;
}

function Value({ value: { value, term, count: spans }, state, part, isStop, onToggle }: ValueProps) {
  const choose = (event: MouseEvent) => onToggle(term, event.altKey ? 'excluded' : 'included');
  return (
    <div data-row={term} className={`facet-value ${state ?? ''}`}>
      <button type="button" tabIndex={isStop ? 0 : -1} aria-pressed={state === 'included'} onClick={choose} title={`${term}\nClick to ask for it, Alt-click to leave it out`}>
        <span className="facet-name">{value === '' ? '(empty)' : value}</span>
        <span className="muted">{count(spans)}</span>
        <span className="facet-bar" style={{ width: `${100 * part}%` }} />
      </button>
      <button type="button" tabIndex={-1} aria-pressed={state === 'excluded'} aria-label={`Without ${term}`} title={`Without ${term}`} onClick={() => onToggle(term, 'excluded')}>
        −
      </button>
    </div>
  );
}
