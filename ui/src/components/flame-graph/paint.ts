// Draws what of a flame graph is on the screen.

import type { Rects, View } from '../../lib/flame/rects';
import type { FlameTree } from '../../lib/flame/tree';
import type { FlamePalette } from './palette';

export const ROW = 20;
const FONT = '11.5px system-ui, sans-serif';
/** Narrower frames have no text. */
const TEXT_LEAST = 26;
const PAD = 5;

export interface FlameScene {
  tree: FlameTree;
  rects: Rects;
  /** Fills of the rows, indices of the palette's. */
  colors: Uint8Array;
  /** For each frame whether the search hit it; null without a search. */
  hits: Uint8Array | null;
  width: number;
  height: number;
  /** Where a level is on the canvas. */
  yOf: (level: number) => number;
  /** What is shown of the tree's width. */
  view: View;
  /** What the root is called. */
  all: string;
}

export function paintFlame(context: CanvasRenderingContext2D, scene: FlameScene, palette: FlamePalette): void {
  const { tree, rects, colors, hits, width, height, yOf, view } = scene;
  context.globalAlpha = 1;
  context.fillStyle = palette.bg;
  context.fillRect(0, 0, width, height);
  let [fill, alpha] = ['', 1];
  for (let at = 0; at < rects.n; at += 1) {
    const row = rects.row[at]!;
    const frame = tree.frame[row]!;
    const isMerged = rects.merged[at] === 1;
    const wanted = isMerged ? palette.sliver : palette.fills[colors[row]!]!;
    const isDim = hits !== null && (isMerged || frame < 0 || hits[frame] === 0);
    // What is wider than the view stands above what is looked at.
    const isAround = tree.x[row]! < view.from || tree.x[row]! + tree.wide[row]! > view.to;
    const wantedAlpha = isDim ? 0.3 : isAround && tree.wide[row]! > (view.to - view.from) * 1.001 ? 0.6 : 1;
    if (wantedAlpha !== alpha) {
      alpha = wantedAlpha;
      context.globalAlpha = alpha;
    }
    if (wanted !== fill) {
      fill = wanted;
      context.fillStyle = fill;
    }
    const [left, right] = [rects.left[at]!, rects.right[at]!];
    // A gap of a pixel tells neighbours apart, where there is room for one.
    context.fillRect(left, yOf(tree.depth[row]!), Math.max(1, right - left - (right - left > 3 ? 1 : 0)), ROW - 1);
  }
  context.globalAlpha = 1;
  paintHits(context, scene, palette);
  paintNames(context, scene, palette);
}

/** A line below what the search hit, so that it is not told by colour alone. */
function paintHits(context: CanvasRenderingContext2D, { tree, rects, hits, yOf }: FlameScene, palette: FlamePalette): void {
  if (!hits) return;
  context.fillStyle = palette.hit;
  for (let at = 0; at < rects.n; at += 1) {
    const frame = tree.frame[rects.row[at]!]!;
    if (rects.merged[at] === 1 || frame < 0 || hits[frame] === 0) continue;
    context.fillRect(rects.left[at]!, yOf(tree.depth[rects.row[at]!]!) + ROW - 3, Math.max(1, rects.right[at]! - rects.left[at]! - 1), 2);
  }
}

function paintNames(context: CanvasRenderingContext2D, { tree, rects, hits, yOf, all }: FlameScene, palette: FlamePalette): void {
  context.font = FONT;
  context.textBaseline = 'middle';
  let color = '';
  for (let at = 0; at < rects.n; at += 1) {
    const space = rects.right[at]! - rects.left[at]! - 2 * PAD;
    if (space < TEXT_LEAST || rects.merged[at] === 1) continue;
    const row = rects.row[at]!;
    const frame = tree.frame[row]!;
    const text = cut(context, frame < 0 ? all : tree.frames[frame]!.label, space);
    if (!text) continue;
    const wanted = hits !== null && (frame < 0 || hits[frame] === 0) ? palette.muted : palette.text;
    if (wanted !== color) {
      color = wanted;
      context.fillStyle = color;
    }
    context.fillText(text, rects.left[at]! + PAD, yOf(tree.depth[row]!) + ROW / 2);
  }
}

/** Measuring a text costs more than drawing it; names come again in each frame. */
const widths = new Map<string, number>();
const WIDTHS_MOST = 20_000;

function widthOf(context: CanvasRenderingContext2D, text: string): number {
  let width = widths.get(text);
  if (width === undefined) {
    if (widths.size >= WIDTHS_MOST) widths.clear();
    width = context.measureText(text).width;
    widths.set(text, width);
  }
  return width;
}

/** The text, or what of it surely fits, and an ellipsis. */
function cut(context: CanvasRenderingContext2D, text: string, space: number): string {
  const width = widthOf(context, text);
  if (width <= space) return text;
  const letters = Math.floor(((space - 8) * text.length * 0.94) / width);
  return letters < 2 ? '' : `${text.slice(0, letters)}…`;
}
