// Draws the heatmap, or the counts over time where there is no room for it.

import { axisLabel, count as short } from '../../lib/format';
import { token } from '../../lib/theme';
import { clock } from '../../lib/time';
import { type Cell, type HeatScene, type Region, columnCount, columnsOf, countOf, durationTicks, failedOf, heightOf, niceTop, rowsOf, shade, timeOf, timeTicks } from './scene';

export interface Box {
  width: number;
  height: number;
}

/** Where the plot lies in the canvas, in pixels. */
export interface Plot {
  left: number;
  top: number;
  width: number;
  height: number;
}

const AXIS = { left: 62, bottom: 18, top: 6, right: 8 };
/** Height of the strip of failures below the plot. */
const STRIP = 12;
const GAP = 3;
const LEVELS = 12;

export type Look = 'map' | 'counts';

/** Below this width the cells would be too small to be told apart. */
const LEAST_WIDTH = 460;

export const lookOf = ({ width }: Box): Look => (width < LEAST_WIDTH ? 'counts' : 'map');

export function plotOf(box: Box): Plot {
  const strip = lookOf(box) === 'map' ? STRIP + GAP : 0;
  return { left: AXIS.left, top: AXIS.top, width: Math.max(1, box.width - AXIS.left - AXIS.right), height: Math.max(1, box.height - AXIS.top - AXIS.bottom - strip) };
}

interface Marks {
  region: Region | null;
  cursor: Cell | null;
}

export interface HeatColors {
  shades: string[];
  text: string;
  grid: string;
  bad: string;
  focus: string;
  background: string;
}

const channels = (hex: string): number[] => [1, 3, 5].map((from) => Number.parseInt(hex.slice(from, from + 2), 16));

/** The colours of the theme; shades go from few to many. */
export function heatColors(): HeatColors {
  const stops = ['--heat-low', '--heat-mid', '--heat-high'].map((name) => channels(token(name)));
  const shades = Array.from({ length: LEVELS }, (_, level) => {
    const place = (level / (LEVELS - 1)) * (stops.length - 1);
    const [from, to] = [stops[Math.floor(place)] ?? [], stops[Math.ceil(place)] ?? []];
    return `rgb(${from.map((channel, index) => Math.round(channel + (place % 1) * ((to[index] ?? 0) - channel))).join(' ')})`;
  });
  return { shades, text: token('--text-2'), grid: token('--bg-3'), bad: token('--bad'), focus: token('--focus'), background: token('--bg') };
}

export function paintHeatmap(context: CanvasRenderingContext2D, box: Box, scene: HeatScene, marks: Marks, colors: HeatColors): void {
  const plot = plotOf(box);
  context.fillStyle = colors.background;
  context.fillRect(0, 0, box.width, box.height);
  context.font = '11px system-ui, sans-serif';
  paintTimes(context, box, plot, scene, colors);
  if (lookOf(box) === 'map') paintCells(context, plot, scene, colors);
  else paintCounts(context, plot, scene, colors);
  paintMarks(context, plot, scene, marks, colors);
}

function paintTimes(context: CanvasRenderingContext2D, box: Box, plot: Plot, scene: HeatScene, colors: HeatColors): void {
  const range = timeOf(scene);
  const ticks = timeTicks(range, Math.max(2, Math.floor(plot.width / 84)));
  const labels = clock(ticks.map((us) => us / 1e6));
  context.textAlign = 'center';
  context.textBaseline = 'alphabetic';
  ticks.forEach((us, index) => {
    const x = plot.left + ((us - range[0]) / (range[1] - range[0])) * plot.width;
    context.fillStyle = colors.grid;
    context.fillRect(Math.round(x), plot.top, 1, plot.height);
    context.fillStyle = colors.text;
    const half = context.measureText(labels[index] ?? '').width / 2;
    context.fillText(labels[index] ?? '', Math.min(x, box.width - half), box.height - 5);
  });
}

/** A mark on the axis of the left side, with its line across the plot. */
function paintTick(context: CanvasRenderingContext2D, plot: Plot, share: number, label: string, colors: HeatColors): void {
  const y = plot.top + plot.height * (1 - share);
  context.fillStyle = colors.grid;
  context.fillRect(plot.left, Math.round(y), plot.width, 1);
  context.fillStyle = colors.text;
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  context.fillText(label, plot.left - 6, Math.min(Math.max(y, plot.top + 4), plot.top + plot.height - 4));
}

function paintCells(context: CanvasRenderingContext2D, plot: Plot, scene: HeatScene, colors: HeatColors): void {
  const [columns, rows] = [columnsOf(scene), rowsOf(scene)];
  for (const ns of durationTicks(scene)) paintTick(context, plot, heightOf(scene, ns), axisLabel(ns, ns), colors);
  const most = scene.map.counts.reduce((best, count) => Math.max(best, count), 0);
  const [across, down] = [plot.width / columns, plot.height / Math.max(1, rows)];
  // Cells end where the next ones begin, on whole pixels, so that no lines appear between them.
  const x = (column: number) => Math.round(plot.left + column * across);
  const y = (row: number) => Math.round(plot.top + plot.height - row * down);
  for (let column = 0; column < columns; column += 1) {
    const [left, right] = [x(column), x(column + 1)];
    for (let row = 0; row < rows; row += 1) {
      const count = countOf(scene, { column, row });
      if (count === 0) continue;
      const [top, bottom] = [y(row + 1), y(row)];
      const [width, height] = [Math.max(1, right - left - (across >= 5 ? 1 : 0)), Math.max(1, bottom - top - (down >= 5 ? 1 : 0))];
      context.fillStyle = colors.shades[shade(count, most, colors.shades.length)] ?? colors.text;
      context.fillRect(left, top, width, height);
      const failed = failedOf(scene, { column, row });
      if (!failed) continue;
      context.fillStyle = colors.bad;
      context.fillRect(left, top, Math.min(width, Math.max(2, Math.round((width * failed) / count))), height);
    }
  }
  paintFailures(context, plot, scene, x, colors);
}

/** The share of each column that failed, as a strip below the plot. */
function paintFailures(context: CanvasRenderingContext2D, plot: Plot, scene: HeatScene, x: (column: number) => number, colors: HeatColors): void {
  const base = plot.top + plot.height + GAP + STRIP;
  context.fillStyle = colors.grid;
  context.fillRect(plot.left, base, plot.width, 1);
  context.fillStyle = scene.map.failed > 0 ? colors.bad : colors.text;
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  context.fillText('failed', plot.left - 6, base - STRIP / 2 + 1);
  context.fillStyle = colors.bad;
  scene.map.column_errors.forEach((failed, column) => {
    if (failed === 0) return;
    const height = Math.max(3, Math.round((STRIP * failed) / Math.max(1, columnCount(scene, column))));
    const [left, right] = [x(column), x(column + 1)];
    context.fillRect(left, base - height, Math.max(2, right - left - (right - left >= 5 ? 1 : 0)), height);
  });
}

function paintCounts(context: CanvasRenderingContext2D, plot: Plot, scene: HeatScene, colors: HeatColors): void {
  const columns = columnsOf(scene);
  const counts = Array.from({ length: columns }, (_, column) => columnCount(scene, column));
  const top = niceTop(counts.reduce((best, count) => Math.max(best, count), 0));
  for (const share of [0, 0.5, 1]) paintTick(context, plot, share, short(share * top), colors);
  const x = (column: number) => Math.round(plot.left + (column * plot.width) / columns);
  const high = (count: number) => (count === 0 ? 0 : Math.max(2, Math.round((plot.height * count) / top)));
  const bottom = plot.top + plot.height;
  const usual = colors.shades[Math.floor(colors.shades.length / 2)] ?? colors.text;
  counts.forEach((count, column) => {
    const width = Math.max(1, x(column + 1) - x(column) - 1);
    context.fillStyle = usual;
    context.fillRect(x(column), bottom - high(count), width, high(count));
    const failed = scene.map.column_errors[column] ?? 0;
    context.fillStyle = colors.bad;
    context.fillRect(x(column), bottom - high(failed), width, high(failed));
  });
}

function paintMarks(context: CanvasRenderingContext2D, plot: Plot, scene: HeatScene, { region, cursor }: Marks, colors: HeatColors): void {
  context.strokeStyle = colors.focus;
  if (region) {
    const [left, top] = [plot.left + region.left * plot.width, plot.top + (1 - region.high) * plot.height];
    const [width, height] = [(region.right - region.left) * plot.width, (region.high - region.low) * plot.height];
    context.fillStyle = colors.focus;
    context.globalAlpha = 0.16;
    context.fillRect(left, top, width, height);
    context.globalAlpha = 1;
    context.lineWidth = 1.5;
    context.strokeRect(left, top, width, height);
  }
  if (cursor && columnsOf(scene) > 0) {
    const [columns, rows] = [columnsOf(scene), Math.max(1, rowsOf(scene))];
    const [width, height] = [plot.width / columns, plot.height / rows];
    context.lineWidth = 2;
    context.strokeRect(plot.left + cursor.column * width - 1, plot.top + plot.height - (cursor.row + 1) * height - 1, width + 2, height + 2);
  }
}
