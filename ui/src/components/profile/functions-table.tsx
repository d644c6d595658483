// The functions of a profile by what they took, in a table that holds only the rows in sight.

import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useMemo, useRef } from 'react';

import { type Format, placeOf, points, shortPlaceOf, signed } from '../flame-graph/words';
import { SortHeader } from '../sort-header';
import { NoMatch } from '../states';
import type { FunctionRow } from '../../lib/flame/build';
import type { FlameTree, Frame } from '../../lib/flame/tree';
import { percent } from '../../lib/format';
import { useListKeys } from '../../lib/list-keys';
import { useSortedRows } from '../../lib/sorted-rows';

const ROW_HEIGHT = 28;

interface Row extends FunctionRow {
  name: string;
  place: Frame;
  /** How many points its shares changed; the difference of values where these are compared. */
  selfChange: number;
  totalChange: number;
}

const SORTS = {
  name: (row: Row) => row.name,
  self: (row: Row) => row.self,
  total: (row: Row) => row.total,
  selfChange: (row: Row) => row.selfChange,
  totalChange: (row: Row) => row.totalChange,
} as const;

interface Props {
  tree: FlameTree;
  functions: FunctionRow[];
  hits: Uint8Array | null;
  format: Format;
  /** Whether there is room for all columns. */
  isWide: boolean;
  /** Id of the function that is looked at. */
  chosen: number | undefined;
  onChoose: (frame: Frame) => void;
  onSpans: ((frame: Frame) => void) | undefined;
  search: string;
  onClear: () => void;
}

export function FunctionsTable({ tree, functions, hits, format, isWide, chosen, onChoose, onSpans, search, onClear }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const share = (value: number, total: number) => (total > 0 ? value / total : 0);
  const all = useMemo(
    () =>
      functions
        .filter((row) => hits === null || hits[row.frame] === 1)
        .map((row): Row => {
          const place = tree.frames[row.frame]!;
          return {
            ...row,
            place,
            name: place.fn,
            selfChange: tree.isAbsolute ? row.self - row.selfBase : share(row.self, tree.total) - share(row.selfBase, tree.totalBase),
            totalChange: tree.isAbsolute ? row.total - row.totalBase : share(row.total, tree.total) - share(row.totalBase, tree.totalBase),
          };
        }),
    [tree, functions, hits],
  );
  const { rows, head } = useSortedRows(all, { sorts: SORTS, initial: tree.wBase ? 'totalChange' : 'self' });
  const selected = useListKeys(rows.length, (index) => rows[index] && onChoose(rows[index].place));
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => scroller.current, estimateSize: () => ROW_HEIGHT, overscan: 12 });
  useEffect(() => {
    if (selected >= 0) virtual.scrollToIndex(selected);
  }, [selected, virtual]);
  const items = virtual.getVirtualItems();
  const above = items[0]?.start ?? 0;
  const below = virtual.getTotalSize() - (items[items.length - 1]?.end ?? 0);
  const compared = tree.wBase !== null;
  const changeText = (change: number) => (tree.isAbsolute ? signed(change, format) : points(change, 0));
  if (rows.length === 0 && hits) return <NoMatch what="function" filter={search} total={functions.length} clear={onClear} />;

  return (
    <div ref={scroller} className={isWide ? 'functions wide-table' : 'functions'}>
      <table aria-label="Functions" aria-rowcount={rows.length}>
        <thead>
          <tr>
            <SortHeader column="name" {...head} numeric={false}>
              Function
            </SortHeader>
            <SortHeader column="self" {...head}>
              Self
            </SortHeader>
            {compared && (
              <SortHeader column="selfChange" {...head}>
                Δ self
              </SortHeader>
            )}
            <SortHeader column="total" {...head}>
              Total
            </SortHeader>
            {compared && (
              <SortHeader column="totalChange" {...head}>
                Δ total
              </SortHeader>
            )}
            {isWide && onSpans && (
              <th>
                <span className="visually-hidden">Traces</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {above > 0 && <tr aria-hidden="true" style={{ height: above }} />}
          {items.map(({ index }) => {
            const row = rows[index];
            if (!row) return null;
            const { place } = row;
            return (
              <tr key={row.fnId} aria-selected={index === selected || row.fnId === chosen} aria-rowindex={index + 1} onClick={() => onChoose(place)}>
                <td className="wide" title={`${place.fn}\n${placeOf(place)}${place.pkg ? `\n${place.pkg}` : ''}`}>
                  <span className="named">
                    <button type="button" className="plain" onClick={() => onChoose(place)}>
                      {place.fn}
                    </button>
                    <span className="muted">{isWide ? placeOf(place) : shortPlaceOf(place, 0)}</span>
                  </span>
                </td>
                <Value value={row.self} total={tree.total} format={format} isWide={isWide} />
                {compared && <Change text={changeText(row.selfChange)} />}
                <Value value={row.total} total={tree.total} format={format} isWide={isWide} />
                {compared && <Change text={changeText(row.totalChange)} />}
                {isWide && onSpans && (
                  <td>
                    <button
                      type="button"
                      className="plain"
                      aria-label={`Traces that ran ${place.fn}`}
                      onClick={(event) => {
                        event.stopPropagation();
                        onSpans(place);
                      }}
                    >
                      traces
                    </button>
                  </td>
                )}
              </tr>
            );
          })}
          {below > 0 && <tr aria-hidden="true" style={{ height: below }} />}
        </tbody>
      </table>
    </div>
  );
}

function Value({ value, total, format, isWide }: { value: number; total: number; format: (value: number) => string; isWide: boolean }) {
  const share = total > 0 ? value / total : 0;
  return (
    <td className="num value" title={format(value)} style={{ backgroundSize: `${(100 * share).toFixed(2)}% 3px` }}>
      {isWide ? `${format(value)} · ${percent(share)}` : percent(share)}
    </td>
  );
}

/** A change: told by its sign and by its colour. */
function Change({ text }: { text: string }) {
  return <td className={`num ${text.startsWith('+') ? 'more' : text.startsWith('−') ? 'less-than' : 'muted'}`}>{text}</td>;
}
