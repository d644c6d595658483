// What is drawn, and where on the canvas it goes.

/** The columns of a trace that are drawn; rows come depth first. */
export interface WaterfallTrace {
  n: number;
  dur_ns: number;
  strings: string[];
  services: { name: number; color: number }[];
  parent: number[];
  depth: number[];
  svc: number[];
  name: number[];
  start: number[];
  dur: number[];
  status: number[];
  flags: number[];
  desc: number[];
  critical: [number, number, number][];
}

export interface Scene {
  trace: WaterfallTrace;
  width: number;
  height: number;
  /** Width of the names' column. */
  label: number;
  /** Pixels a nanosecond. */
  scale: number;
  /** The time that is shown, in nanoseconds after the trace's start. */
  view: readonly [number, number];
  /** Rows that are not collapsed or filtered out; `first` to `last` of them are on the screen. */
  visible: Int32Array;
  first: number;
  last: number;
  /** How far the rows are scrolled. */
  top: number;
  /** For each row the index after its last descendant. */
  ends: Int32Array;
  collapsed: ReadonlySet<number>;
  selected: number;
  /** For rows on the critical path, when; null when it is not shown. */
  onPath: ReadonlyMap<number, [number, number][]> | null;
  /** A stretch that is being chosen, in pixels. */
  band: readonly [number, number] | null;
}

export const ROW = 24;
export const MINIMAP = 40;
export const RULER = 22;
export const HEAD = MINIMAP + RULER;
/** Free space right of the bars. */
export const MARGIN = 12;
export const ERROR = 2;
/** The flag of spans that a profiler took samples in. */
export const PROFILED = 16;

const INDENT = 14;
/** Deeper rows keep this indentation, so that their names stay readable. */
const MAX_INDENT_LEVELS = 16;

/** Where a row's name begins. */
export const indentOf = (depth: number): number => 8 + Math.min(depth, MAX_INDENT_LEVELS) * INDENT;

/** The critical path by row. */
export function pathByRow(critical: [number, number, number][]): Map<number, [number, number][]> {
  const parts = new Map<number, [number, number][]>();
  for (const [row, from, to] of critical) {
    const known = parts.get(row);
    if (known) known.push([from, to]);
    else parts.set(row, [[from, to]]);
  }
  return parts;
}

/** A row in words, for a tooltip. */
export function inWords(trace: WaterfallTrace, row: number, time: (ns: number) => string): string {
  const service = trace.strings[trace.services[trace.svc[row]!]!.name];
  const detail = trace.desc[row]! >= 0 ? `\n${trace.strings[trace.desc[row]!]}` : '';
  return `${service}: ${trace.strings[trace.name[row]!]}${detail}\n${time(trace.dur[row]!)}, after ${time(trace.start[row]!)}`;
}
