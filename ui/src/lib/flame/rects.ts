// What of a tree is on the screen: whatever the number of rows, at most one rectangle a pixel and level.

import type { FlameTree } from './tree';

/** A part of the tree's width. */
export interface View {
  from: number;
  to: number;
}

/** Rectangles in columns, which are used again for the next drawing. */
export interface Rects {
  n: number;
  row: Int32Array;
  left: Float32Array;
  right: Float32Array;
  /** 1 where several rows that are too narrow to be told apart are drawn as one. */
  merged: Uint8Array;
}

export const noRects = (): Rects => ({ n: 0, row: new Int32Array(0), left: new Float32Array(0), right: new Float32Array(0), merged: new Uint8Array(0) });

const roomFor = (rects: Rects, most: number): Rects =>
  rects.row.length >= most ? { ...rects, n: 0 } : { n: 0, row: new Int32Array(most), left: new Float32Array(most), right: new Float32Array(most), merged: new Uint8Array(most) };

/** The first row of `[from, end)` that ends after `at`. */
function endsAfter({ x, wide }: FlameTree, from: number, end: number, at: number): number {
  let [low, high] = [from, end];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle]! + wide[middle]! > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The first row of `[from, end)` that begins at `at` or after it. */
function beginsAt({ x }: FlameTree, from: number, end: number, at: number): number {
  let [low, high] = [from, end];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle]! >= at) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * The rectangles of levels `first` up to, without it, `last`, on a canvas `pixels` wide. What is
 * narrower than a pixel is drawn as wide as one, together with its like.
 */
export function visibleRects(tree: FlameTree, view: View, pixels: number, first: number, last: number, before: Rects): Rects {
  const end = Math.min(last, tree.levels.length - 1);
  const across = Math.ceil(pixels);
  const rects = roomFor(before, Math.max(0, end - first) * (2 * across + 2));
  const scale = pixels / (view.to - view.from);
  if (!(scale > 0) || !Number.isFinite(scale)) return rects;
  let n = 0;
  for (let level = first; level < end; level += 1) {
    const stop = tree.levels[level + 1]!;
    const start = n;
    let row = endsAfter(tree, tree.levels[level]!, stop, view.from);
    while (row < stop) {
      const left = (tree.x[row]! - view.from) * scale;
      if (left >= pixels) break;
      const width = tree.wide[row]! * scale;
      if (width >= 1) {
        rects.row[n] = row;
        rects.left[n] = Math.max(0, left);
        rects.right[n] = Math.min(pixels, left + width);
        rects.merged[n] = 0;
        n += 1;
        row += 1;
        continue;
      }
      // All that ends within this pixel; of those that begin in it only the last one can be wider.
      const pixel = Math.max(0, Math.floor(left));
      let next = Math.max(row + 1, beginsAt(tree, row, stop, view.from + (pixel + 1) / scale));
      if (next - 1 > row && tree.wide[next - 1]! * scale >= 1) next -= 1;
      if (tree.x[next - 1]! + tree.wide[next - 1]! > tree.x[row]!) {
        if (n > start && rects.merged[n - 1] === 1 && rects.right[n - 1]! >= pixel) rects.right[n - 1] = pixel + 1;
        else {
          rects.row[n] = row;
          rects.left[n] = pixel;
          rects.right[n] = Math.min(pixels, pixel + 1);
          rects.merged[n] = 1;
          n += 1;
        }
      }
      row = next;
    }
  }
  rects.n = n;
  return rects;
}

/** The row of a level at a place; the widest within half a pixel's width, -1 where there is none. */
export function rowAt(tree: FlameTree, level: number, at: number, pixel: number): number {
  if (level < 0 || level >= tree.levels.length - 1) return -1;
  const stop = tree.levels[level + 1]!;
  let best = -1;
  for (let row = endsAfter(tree, tree.levels[level]!, stop, at - pixel / 2); row < stop && tree.x[row]! < at + pixel / 2; row += 1) {
    const isAt = tree.x[row]! <= at && tree.x[row]! + tree.wide[row]! > at;
    if (best < 0 || tree.wide[row]! > tree.wide[best]! || (isAt && tree.wide[row]! >= pixel)) best = row;
    if (isAt && tree.wide[row]! >= pixel) break;
  }
  return best >= 0 && tree.wide[best]! > 0 ? best : -1;
}

/** Rows that arrow keys lead to; -1 where there is none. */
export const neighbours = {
  out: (tree: FlameTree, row: number): number => tree.parent[row] ?? -1,

  /** The widest child. */
  in: (tree: FlameTree, row: number): number => {
    const level = tree.depth[row]! + 1;
    if (level >= tree.levels.length - 1) return -1;
    const stop = tree.levels[level + 1]!;
    let best = -1;
    for (let at = beginsAt(tree, tree.levels[level]!, stop, tree.x[row]!); at < stop && tree.x[at]! < tree.x[row]! + tree.wide[row]!; at += 1) {
      if (tree.parent[at] === row && (best < 0 || tree.wide[at]! > tree.wide[best]!)) best = at;
    }
    return best;
  },

  /** The nearest row on one side that has a width. */
  beside: (tree: FlameTree, row: number, step: -1 | 1): number => {
    const level = tree.depth[row]!;
    for (let at = row + step; at >= tree.levels[level]! && at < tree.levels[level + 1]!; at += step) if (tree.wide[at]! > 0) return at;
    return -1;
  },
};
