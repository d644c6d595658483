// A trace as rows: which are visible, where they go, how one finds the next.

export interface Rows {
  n: number;
  parent: ArrayLike<number>;
  depth: ArrayLike<number>;
}

/** For each row the index after its last descendant. Rows come depth first. */
export function subtreeEnds({ n, depth }: Rows): Int32Array {
  const ends = new Int32Array(n);
  const open: number[] = [];
  for (let row = 0; row < n; row++) {
    while (open.length > 0 && depth[open[open.length - 1]!]! >= depth[row]!) ends[open.pop()!] = row;
    open.push(row);
  }
  while (open.length > 0) ends[open.pop()!] = n;
  return ends;
}

/** Rows that are shown: not below a collapsed row, and, with a filter, matching or above a match. */
export function visibleRows(rows: Rows, ends: Int32Array, collapsed: ReadonlySet<number>, shown: Uint8Array | null): Int32Array {
  const out = new Int32Array(rows.n);
  let length = 0;
  for (let row = 0; row < rows.n; ) {
    if (shown === null || shown[row] === 1) out[length++] = row;
    row = collapsed.has(row) ? ends[row]! : row + 1;
  }
  return out.subarray(0, length);
}

/** Marks matching rows and all rows above them. */
export function withAncestors(rows: Rows, matches: (row: number) => boolean): Uint8Array {
  const shown = new Uint8Array(rows.n);
  for (let row = 0; row < rows.n; row++) {
    if (!matches(row)) continue;
    for (let at = row; at >= 0 && shown[at] === 0; at = rows.parent[at]!) shown[at] = 1;
  }
  return shown;
}

/** The next visible row after `from` for which `wanted` holds, going round; -1 when there is none. */
export function nextRow(visible: Int32Array, from: number, wanted: (row: number) => boolean): number {
  const start = visible.indexOf(from);
  for (let step = 1; step <= visible.length; step++) {
    const row = visible[(start + step + visible.length) % visible.length]!;
    if (wanted(row)) return row;
  }
  return -1;
}

/** Round tick positions for an axis from `from` to `to`, about `wanted` of them. */
export function ticks(from: number, to: number, wanted: number): number[] {
  const rough = (to - from) / Math.max(1, wanted);
  if (!(rough > 0)) return [from];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? power * 10;
  const out: number[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) out.push(at);
  return out;
}
