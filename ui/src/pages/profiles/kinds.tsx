// Lists that some types of samples have: exceptions by type, and where one event took longest.

import { keepPreviousData, useQuery } from '@tanstack/react-query';

import { type ProfileValues, type Selection, profiles } from '../../api/profiles';
import { isEvent, typeName } from '../../components/profile/types';
import { count, percent } from '../../lib/format';
import type { ProfilesState } from '../../router';
import { Loaded } from '../loaded';

/** More are not read. */
const ROWS_MOST = 50;

interface Props {
  values: ProfileValues;
  type: string;
  selection: Selection;
  format: (value: number) => string;
  onChange: (change: Partial<ProfilesState>) => void;
}

export function Kinds(props: Props) {
  const { type, values } = props;
  if (type === 'exceptions' && values.exceptions.length > 0) return <Exceptions {...props} />;
  return isEvent(type) ? <Longest {...props} /> : null;
}

/** Types of exceptions by how often they are raised; choosing one narrows the profile to it. */
function Exceptions({ values: { exceptions: rows }, selection, format, onChange }: Props) {
  const total = rows.reduce((sum, row) => sum + row.total, 0);
  const chosen = selection.exception;
  const label = 'Exceptions by type';
  return (
    <section className="panel kinds" aria-label={label}>
      <header>
        <h2>{label}</h2>
        <span className="muted">
          {format(total)} of {count(rows.length)} {rows.length === 1 ? 'type' : 'types'}; choose one to see where it is raised
        </span>
      </header>
      <div className="scroll">
        <table aria-label={label}>
          <thead>
            <tr>
              <th>Type</th>
              <th className="num">Raised</th>
              <th className="num">Share</th>
              <th className="num">Samples</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, ROWS_MOST).map((row) => (
              <tr key={row.value} aria-selected={row.value === chosen}>
                <td className="wide">
                  <button type="button" className="plain" onClick={() => onChange({ exception: row.value === chosen ? undefined : row.value, focus: undefined })}>
                    {row.value}
                  </button>
                </td>
                <td className="num">{format(row.total)}</td>
                <td className="num value" style={{ backgroundSize: `${((100 * row.total) / Math.max(1, total)).toFixed(2)}% 3px` }}>
                  {percent(row.total / Math.max(1, total))}
                </td>
                <td className="num">{count(row.samples)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** Where one event took longest: the application's own code, and what it was doing. */
function Longest({ type, selection, format, onChange }: Props) {
  const answer = useQuery({
    queryKey: ['live', 'profile-longest', selection],
    queryFn: ({ signal }) => profiles.longest({ selection, limit: ROWS_MOST }, signal),
    placeholderData: keepPreviousData,
  });
  const label = `${typeName(type)}: the longest first`;
  return (
    <section className="panel kinds" aria-label={label}>
      <header>
        <h2>{label}</h2>
        <span className="muted">by the innermost function of your own code</span>
      </header>
      <div className="scroll">
        <Loaded answer={answer} heights={[90]}>
          {({ places, count: all }) =>
            places.length === 0 ? (
              <p className="sampled">There was none in this time.</p>
            ) : (
              <>
                <table aria-label={label}>
                  <thead>
                    <tr>
                      <th>Where</th>
                      <th>What it was doing</th>
                      <th className="num">Longest</th>
                      <th className="num">Total</th>
                      <th className="num">Times</th>
                    </tr>
                  </thead>
                  <tbody>
                    {places.map((place) => (
                      <tr key={`${place.fn} ${place.file}:${place.line} ${place.inner}`}>
                        <td className="wide">
                          <span className="named">
                            <button type="button" className="plain" onClick={() => onChange({ view: 'sandwich', fn: place.file ? `${place.fn}@${place.file}` : place.fn, focus: undefined })}>
                              {place.fn}
                            </button>
                            <span className="muted" title={place.file}>
                              {place.file.split('/').pop()}
                              {place.line > 0 ? `:${place.line}` : ''}
                            </span>
                          </span>
                        </td>
                        <td>{place.inner === place.fn ? <span className="muted">its own work</span> : place.inner}</td>
                        <td className="num">{format(place.longest)}</td>
                        <td className="num">{format(place.total)}</td>
                        <td className="num">{count(place.samples)}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
                {all > places.length && <p className="sampled">The first {count(places.length)} of {count(all)} places.</p>}
              </>
            )
          }
        </Loaded>
      </div>
    </section>
  );
}
