// The chart of the series, and the legend: a table that sorts them, hides them, and leads to their traces.

import { Link, useNavigate } from '@tanstack/react-router';
import { type CSSProperties, useMemo } from 'react';

import type { AggregateAnswer, AggregateSeries } from '../../api/types';
import { Chart, type Line, type Mark } from '../../components/chart';
import { SortHeader } from '../../components/sort-header';
import { count, moment } from '../../lib/format';
import { serviceColor } from '../../lib/theme';
import { useThemed } from '../../lib/use-themed';
import type { ExploreState } from '../../router';
import { type View, colorsOf, formatOf, isCounted, keyOf, queryOf, sorted, titleOf } from './state';

interface Row {
  series: AggregateSeries;
  key: string;
  /** The index of a service's colour, or a colour token. */
  color: number | string;
  isOther: boolean;
}

const OTHER = 'all others';

interface Props {
  view: View;
  data: AggregateAnswer;
  onChange: (next: Partial<ExploreState>) => void;
}

export function Course({ view, data, onChange }: Props) {
  const navigate = useNavigate();
  // Colours are other ones after the theme changed.
  useThemed();
  const format = useMemo(() => formatOf(data.unit), [data.unit]);
  const splitBy = view.split.join();
  const rows = useMemo(() => rowsOf(data, splitBy === '' ? [] : splitBy.split(',')), [data, splitBy]);
  const hidden = new Set(view.hide);
  const shown = rows.filter((row) => !hidden.has(row.key));
  const hiddenKeys = view.hide.join('\n');
  const { lines, marks } = useMemo(
    () => ({ lines: linesOf(shown), marks: shown.flatMap((row) => marksOf(row, data, isCounted(view.metric), format)) }),
    // eslint-disable-next-line
    [rows, hiddenKeys, data, format, view.metric],
  );
  const zoom = (from: number, to: number) => void navigate({ to: '/explore', search: (before) => ({ ...before, from: String(from), to: String(to) }) });
  return (
    <>
      <Chart label={titleOf(view)} times={data.t} lines={lines} marks={marks} format={format} onZoom={zoom} className="chart tall" {...(rows.length > 1 ? { note: <span className="muted">{shown.length} of {rows.length} series</span> } : {})} />
      <Legend view={view} rows={rows} hidden={hidden} format={format} onChange={onChange} />
    </>
  );
}

function rowsOf(data: AggregateAnswer, split: string[]): Row[] {
  const keys = data.series.map((series) => keyOf(series, split));
  const colors = colorsOf(keys, split);
  const rows: Row[] = data.series.map((series, index) => ({ series, key: keys[index] ?? '', color: colors[index] ?? '--accent', isOther: false }));
  if (data.other) rows.push({ series: data.other, key: OTHER, color: '--text-2', isOther: true });
  return rows;
}

const linesOf = (rows: Row[]): Line[] => rows.map((row) => ({ label: rows.length > 1 ? row.key : '', color: row.color, values: row.series.v, fill: rows.length === 1 }));

const css = (color: number | string): string => (typeof color === 'number' ? serviceColor(color) : `var(${color})`);

/** Dots for the spans that stand for a series. What is counted has its dots on the line. */
function marksOf(row: Row, data: AggregateAnswer, isOnLine: boolean, format: (value: number | null) => string): Mark[] {
  return row.series.exemplars.map(([trace, us, value]) => {
    const step = data.t.findLastIndex((start) => start <= us);
    const words = `${row.key === 'all' ? 'A span' : row.key}, ${isOnLine ? '' : `${format(value)} `}at ${moment(us)}`;
    const draw = (style: CSSProperties) => (
      <Link
        key={`${row.key} ${trace} ${us}`}
        className="exemplar"
        to="/traces/$traceId"
        params={{ traceId: trace }}
        search={{ span: undefined, filter: undefined }}
        // The table below has the same links for the keyboard.
        tabIndex={-1}
        aria-hidden="true"
        title={`${words}\nOpens its trace`}
        style={{ ...style, background: css(row.color) }}
      />
    );
    return { us: isOnLine ? (data.t[step] ?? us) : us, value: isOnLine ? (row.series.v[step] ?? 0) : value, draw };
  });
}

interface LegendProps {
  view: View;
  rows: Row[];
  hidden: Set<string>;
  format: (value: number | null) => string;
  onChange: (next: Partial<ExploreState>) => void;
}

function Legend({ view, rows, hidden, format, onChange }: LegendProps) {
  const column = view.sort.replace(/^-/, '');
  const head = {
    sorted: column,
    descending: view.sort.startsWith('-'),
    onSort: (next: string) => onChange({ sort: next === column ? (view.sort.startsWith('-') ? next : `-${next}`) : view.split.includes(next) ? next : `-${next}` }),
  };
  const setHidden = (keys: string[]) => onChange({ hide: keys.length > 0 ? keys : undefined });
  const toggle = (key: string) => setHidden(hidden.has(key) ? view.hide.filter((other) => other !== key) : [...view.hide, key]);
  const only = (key: string) => {
    const others = rows.map((row) => row.key).filter((other) => other !== key);
    // Once more shows all again.
    setHidden(!hidden.has(key) && others.every((other) => hidden.has(other)) ? [] : others);
  };
  const [groups, others] = [rows.filter((row) => !row.isOther), rows.filter((row) => row.isOther)];
  return (
    <div className="series-scroll">
      <table aria-label="Series" className="series">
        <thead>
          <tr>
            <th>
                <span className="visually-hidden">Shown</span>
              </th>
            {view.split.length === 0 && <th>Series</th>}
            {view.split.map((field) => (
              <SortHeader key={field} column={field} {...head} numeric={false}>
                {field}
              </SortHeader>
            ))}
            <SortHeader column="total" {...head}>
              Over all
            </SortHeader>
            <SortHeader column="n" {...head}>
              Values
            </SortHeader>
            <th>Traces</th>
          </tr>
        </thead>
        <tbody>
          {[...sorted(groups, view.sort), ...others].map((row) => (
            <tr key={row.key} className={hidden.has(row.key) ? 'is-hidden' : undefined} onDoubleClick={() => only(row.key)}>
              <td className="swatch">
                <label title="Click hides or shows it, a double click on the row shows nothing else">
                  <input type="checkbox" checked={!hidden.has(row.key)} onChange={() => toggle(row.key)} aria-label={`Show ${row.key}`} />
                  <i style={{ background: css(row.color) }} />
                </label>
              </td>
              <Names row={row} view={view} />
              <td className="num">{format(row.series.total ?? null)}</td>
              <td className={`num ${row.series.n < 20 ? 'muted' : ''}`}>{count(row.series.n)}</td>
              <td>
                <Exemplars series={row.series} view={view} format={format} />
                {rows.length > 1 && (
                  <button type="button" className="only" onClick={() => only(row.key)} aria-label={`Only ${row.key}`}>
                    only
                  </button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Names({ row, view }: { row: Row; view: View }) {
  if (row.isOther) return <td colSpan={view.split.length}>{OTHER}</td>;
  const search = { query: queryOf(view.query, row.series, view.split) || undefined, order: '-duration' };
  if (view.split.length === 0) {
    return (
      <td>
        <Link to="/search" search={search}>
          all
        </Link>
      </td>
    );
  }
  return view.split.map((field, index) => {
    const value = row.series.labels[field];
    const text = value === null || value === undefined ? <span className="muted">none</span> : value === '' ? '(empty)' : value;
    return (
      <td key={field} className="value" title={value ?? `Spans without ${field}`}>
        {index === 0 ? (
          <Link to="/search" search={search}>
            {text}
          </Link>
        ) : (
          text
        )}
      </td>
    );
  });
}

/** Of what is counted the number of an exemplar is how long it took. */
function Exemplars({ series, view, format }: { series: AggregateSeries; view: View; format: (value: number | null) => string }) {
  const words = isCounted(view.metric) ? formatOf('ns') : format;
  return (
    <span className="exemplars">
      {series.exemplars.map(([trace, us, value]) => (
        <Link key={`${trace} ${us}`} to="/traces/$traceId" params={{ traceId: trace }} search={{ span: undefined, filter: undefined }} title={moment(us)}>
          {words(value)}
        </Link>
      ))}
    </span>
  );
}
