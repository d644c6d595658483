// How the values of an answer are shown.

import type { SqlAnswer } from '../../api/types';

type Column = SqlAnswer['columns'][number];

/** Widths in characters. */
const [LEAST, MOST] = [6, 48];
/** Rows whose values decide how wide a column is. */
const LOOKED_AT = 200;

export const isNumeric = (column: Column): boolean => column.type === 'integer' || column.type === 'float';

/** A value as text; `null` for NULL. */
export function cellText(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** How wide each column is to be, in characters. */
export function widthsOf({ columns, rows }: SqlAnswer): number[] {
  return columns.map((column, index) => {
    const longest = rows.slice(0, LOOKED_AT).reduce((most, row) => Math.max(most, cellText(row[index])?.length ?? 4), column.name.length);
    return Math.max(LEAST, Math.min(MOST, longest));
  });
}

/** The trace that a value names. */
export const traceOf = (column: Column, value: unknown): string | null =>
  column.name === 'trace_id' && typeof value === 'string' && /^[0-9a-f]{32}$/.test(value) ? value : null;

/** A file's name for the rows of a statement: when it was run. */
export const fileName = (now: Date): string => `pitviper-${now.toISOString().slice(0, 19).replace(/:/g, '')}.csv`;
