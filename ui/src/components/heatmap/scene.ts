// The heatmap's geometry: from figures to places and back, without a canvas.

import { duration } from '../../lib/format';

/** Spans by start and duration. Cells come column after column, each from the shortest row. */
export interface HeatMap {
  /** Start of each column, in microseconds since the epoch. */
  t: number[];
  /** Ends of the rows in nanoseconds, one more than there are rows, all by the same factor apart. */
  y_edges: number[];
  counts: number[];
  /** How many of each cell failed; `null` when that was not asked for. */
  errors: number[] | null;
  column_errors: number[];
  /** Spans of each column that took no time, which no row holds. */
  zeros: number[];
  total: number;
  failed: number;
}

/** What is drawn: the figures, and how wide their columns are in time. */
export interface HeatScene {
  map: HeatMap;
  stepUs: number;
}

/** A part of the plot: shares of its width from the left and of its height from below. */
export interface Region {
  left: number;
  right: number;
  low: number;
  high: number;
}

export interface Cell {
  column: number;
  row: number;
}

/** What a region asks for; `null` where it does not narrow. */
export interface Narrowing {
  time: { fromUs: number; toUs: number } | null;
  duration: { fromNs: number | null; toNs: number | null } | null;
}

/** An edge of the plot counts as reached this close to it. */
const EDGE = 0.005;

export const columnsOf = ({ map }: HeatScene): number => map.t.length;
export const rowsOf = ({ map }: HeatScene): number => Math.max(0, map.y_edges.length - 1);

/** Where the plot's time begins and ends. */
export function timeOf({ map, stepUs }: HeatScene): [number, number] {
  const first = map.t[0] ?? 0;
  return [first, (map.t[map.t.length - 1] ?? first) + stepUs];
}

const timeAt = (scene: HeatScene, share: number): number => {
  const [from, to] = timeOf(scene);
  return from + share * (to - from);
};

/** The duration at a height; rows are all by the same factor apart. */
function durationAt({ map: { y_edges: edges } }: HeatScene, share: number): number {
  const [least, most] = [edges[0] ?? 1, edges[edges.length - 1] ?? 1];
  return least * (most / least) ** share;
}

/** How high a duration stands, as a share of the height. */
export function heightOf({ map: { y_edges: edges } }: HeatScene, ns: number): number {
  const [least, most] = [edges[0] ?? 1, edges[edges.length - 1] ?? 1];
  return Math.log(ns / least) / Math.log(most / least);
}

export function narrowing(scene: HeatScene, region: Region): Narrowing {
  const wide = region.left <= EDGE && region.right >= 1 - EDGE;
  const isFloor = region.low <= EDGE;
  const isCeiling = region.high >= 1 - EDGE;
  return {
    time: wide ? null : { fromUs: Math.round(timeAt(scene, region.left)), toUs: Math.round(timeAt(scene, region.right)) },
    duration: isFloor && isCeiling ? null : { fromNs: isFloor ? null : durationAt(scene, region.low), toNs: isCeiling ? null : durationAt(scene, region.high) },
  };
}

/** The region that two cells span. */
export function regionOf(scene: HeatScene, one: Cell, other: Cell): Region {
  const [columns, rows] = [columnsOf(scene), rowsOf(scene)];
  return {
    left: Math.min(one.column, other.column) / columns,
    right: (Math.max(one.column, other.column) + 1) / columns,
    low: Math.min(one.row, other.row) / rows,
    high: (Math.max(one.row, other.row) + 1) / rows,
  };
}

/** The cell at a place; the nearest one when it is outside. */
export function cellAt(scene: HeatScene, x: number, y: number): Cell {
  const within = (share: number, count: number) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
  return { column: within(x, columnsOf(scene)), row: within(y, rowsOf(scene)) };
}

const at = ({ map }: HeatScene, { column, row }: Cell): number => column * (map.y_edges.length - 1) + row;

export const countOf = (scene: HeatScene, cell: Cell): number => scene.map.counts[at(scene, cell)] ?? 0;

/** How many of a cell failed; `null` when that is not known. */
export const failedOf = (scene: HeatScene, cell: Cell): number | null => (scene.map.errors ? (scene.map.errors[at(scene, cell)] ?? 0) : null);

/** All spans of a column, those that took no time too. */
export function columnCount(scene: HeatScene, column: number): number {
  const rows = rowsOf(scene);
  let count = scene.map.zeros[column] ?? 0;
  for (let row = 0; row < rows; row += 1) count += countOf(scene, { column, row });
  return count;
}

/** The fullest cell: where a walk through the cells begins. */
export function fullest(scene: HeatScene): Cell {
  const most = scene.map.counts.reduce((best, count, index, counts) => (count > (counts[best] ?? 0) ? index : best), 0);
  const rows = Math.max(1, rowsOf(scene));
  return { column: Math.floor(most / rows), row: most % rows };
}

/** Which of `levels` shades a count has: by its logarithm, since a few spans matter beside thousands. */
export function shade(count: number, most: number, levels: number): number {
  if (most <= 1) return levels - 1;
  return Math.round((Math.log(count) / Math.log(most)) * (levels - 1));
}

const clock = (us: number, stepUs: number): string => new Date(us / 1000).toTimeString().slice(0, stepUs < 60e6 ? 8 : 5);

/** When a column is, as a reader says it; with the day where the plot is longer than one. */
export function columnTime(scene: HeatScene, column: number): string {
  const from = scene.map.t[column] ?? 0;
  const [start, end] = timeOf(scene);
  const day = end - start > 86_400e6 ? `${new Date(from / 1000).toLocaleDateString([], { month: 'short', day: 'numeric' })} ` : '';
  return `${day}${clock(from, scene.stepUs)} – ${clock(from + scene.stepUs, scene.stepUs)}`;
}

export const rowDurations = ({ map }: HeatScene, row: number): string => `${duration(map.y_edges[row] ?? 0)} – ${duration(map.y_edges[row + 1] ?? 0)}`;

const spans = (count: number): string => `${count.toLocaleString('en')} ${count === 1 ? 'span' : 'spans'}`;

/** A cell's figures, line by line. */
export function cellWords(scene: HeatScene, cell: Cell): string[] {
  const failed = failedOf(scene, cell);
  const inColumn = scene.map.column_errors[cell.column] ?? 0;
  const lines = [columnTime(scene, cell.column), rowDurations(scene, cell.row), spans(countOf(scene, cell))];
  if (failed) lines.push(`${failed.toLocaleString('en')} failed`);
  else if (failed === null && inColumn > 0) lines.push(`${inColumn.toLocaleString('en')} of all ${spans(columnCount(scene, cell.column))} at that time failed`);
  return lines;
}

/** The figures of a column, line by line. */
export function columnWords(scene: HeatScene, column: number): string[] {
  const failed = scene.map.column_errors[column] ?? 0;
  return [columnTime(scene, column), spans(columnCount(scene, column)), ...(failed > 0 ? [`${failed.toLocaleString('en')} failed`] : [])];
}

/** Durations worth a mark on the axis: powers of ten, and steps between them where few of these are in sight. */
export function durationTicks(scene: HeatScene): number[] {
  if (rowsOf(scene) === 0) return [];
  const { y_edges: edges } = scene.map;
  const [least, most] = [edges[0] ?? 1, edges[edges.length - 1] ?? 1];
  const powers: number[] = [];
  for (let power = Math.floor(Math.log10(least)); 10 ** power <= most; power += 1) powers.push(10 ** power);
  const inSight = (ticks: number[]) => ticks.filter((ns) => ns >= least && ns <= most);
  const coarse = inSight(powers);
  return coarse.length >= 3 ? coarse : inSight(powers.flatMap((power) => [power, 2 * power, 5 * power]));
}

const SECOND = 1e6;
const STEPS_US = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800].map((seconds) => seconds * SECOND);

/** Moments worth a mark, at most so many: whole minutes, hours or days of the reader's clock. */
export function timeTicks([from, to]: [number, number], most: number): number[] {
  const step = STEPS_US.find((width) => (to - from) / width <= most) ?? 2_592_000 * SECOND;
  const offset = new Date(from / 1000).getTimezoneOffset() * 60 * SECOND;
  const ticks: number[] = [];
  for (let tick = Math.ceil((from - offset) / step) * step + offset; tick <= to; tick += step) ticks.push(tick);
  return ticks;
}

/** A whole number not below `most` that an axis may end with. */
export function niceTop(most: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, most)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((top) => top >= most) ?? 10 * power;
}
