// Draws the rows that are on the screen, whatever the number of spans, and the time above them.

import { axisLabel, duration } from '../../lib/format';
import { ticks } from '../../lib/tree';
import { paintMinimap } from './minimap';
import type { Palette } from './palette';
import { ERROR, HEAD, MINIMAP, PROFILED, ROW, RULER, type Scene, indentOf } from './scene';

const SMALL = '11px system-ui, sans-serif';
const NORMAL = '12.5px system-ui, sans-serif';
/** Free pixels between two marks of the ruler. */
const MARK_SPACE = 110;

export function paint(context: CanvasRenderingContext2D, scene: Scene, strip: HTMLCanvasElement, colors: Palette): void {
  const { width, height, label, view, first, last, top, band } = scene;
  context.fillStyle = colors.bg;
  context.fillRect(0, 0, width, height);
  context.textBaseline = 'middle';
  const marks = ticks(view[0], view[1], Math.max(2, (width - label) / MARK_SPACE));
  context.fillStyle = colors.line;
  for (const mark of marks) context.fillRect(Math.round(xOf(scene, mark)), HEAD, 1, height);

  for (let index = first; index < last; index++) {
    const row = scene.visible[index]!;
    const y = HEAD + index * ROW - top;
    if (row === scene.selected) {
      context.fillStyle = colors.chosen;
      context.fillRect(0, y, width, ROW);
    }
    paintBar(context, scene, row, y, colors);
    paintName(context, scene, row, y, colors);
  }

  // Over the rows, which scroll below it.
  context.fillStyle = colors.bg2;
  context.fillRect(0, 0, width, HEAD);
  paintMinimap(context, scene, strip, colors);
  paintRuler(context, scene, marks, colors);
  context.fillStyle = colors.line;
  context.fillRect(0, HEAD - 1, width, 1);
  context.fillRect(label - 4, 0, 1, height);
  if (band) {
    context.fillStyle = 'rgb(26 115 232 / 22%)';
    context.fillRect(Math.min(...band), 0, Math.abs(band[1] - band[0]), height);
  }
}

const xOf = ({ label, view, scale }: Scene, ns: number): number => label + (ns - view[0]) * scale;

function paintRuler(context: CanvasRenderingContext2D, scene: Scene, marks: number[], colors: Palette): void {
  const { trace, visible, width, label } = scene;
  const middle = MINIMAP + RULER / 2;
  context.fillStyle = colors.muted;
  context.font = SMALL;
  const step = (marks[1] ?? scene.view[1]) - (marks[0] ?? scene.view[0]);
  for (const mark of marks) {
    const text = axisLabel(mark, step);
    const x = xOf(scene, mark) + 3;
    if (x + context.measureText(text).width <= width) context.fillText(text, x, middle);
  }
  const spans = `${visible.length === trace.n ? '' : `${visible.length.toLocaleString('en')} of `}${trace.n.toLocaleString('en')} spans`;
  context.fillText(cut(context, spans, label - 20), 8, middle);
}

function paintBar(context: CanvasRenderingContext2D, scene: Scene, row: number, y: number, colors: Palette): void {
  const { trace, width: canvasWidth, label, scale } = scene;
  const left = xOf(scene, trace.start[row]!);
  const width = Math.max(2, trace.dur[row]! * scale);
  context.font = SMALL;
  if (left + width < label || left > canvasWidth) {
    // Out of view: only where it went.
    context.fillStyle = colors.muted;
    context.fillText(left > canvasWidth ? '›' : '‹', left > canvasWidth ? canvasWidth - 8 : label + 3, y + ROW / 2);
    return;
  }
  const [from, to] = [Math.max(label, left), Math.min(canvasWidth, left + width)];
  const service = trace.svc[row]!;
  context.fillStyle = colors.services[service] ?? colors.muted;
  context.fillRect(from, y + 5, to - from, ROW - 11);
  const text = duration(trace.dur[row]!);
  const textWidth = context.measureText(text).width;
  const [fitsAfter, fitsBefore] = [to + 5 + textWidth < canvasWidth, from - 5 - textWidth > label];
  context.fillStyle = fitsAfter || fitsBefore ? colors.muted : (colors.onServices[service] ?? colors.bg);
  context.fillText(text, fitsAfter ? to + 5 : fitsBefore ? from - textWidth - 5 : from + 5, y + ROW / 2);
  const parts = scene.onPath?.get(row);
  if (parts) paintPath(context, scene, parts, y + ROW - 6, colors);
}

/** The stretches of a row on the critical path; those that share a pixel are drawn as one. */
function paintPath(context: CanvasRenderingContext2D, scene: Scene, parts: [number, number][], y: number, colors: Palette): void {
  context.fillStyle = colors.critical;
  let [from, to] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const flush = () => {
    const [left, right] = [Math.max(scene.label, from), Math.min(scene.width, to)];
    if (right > left) context.fillRect(left, y, right - left, 3);
  };
  for (const [start, end] of parts) {
    const left = xOf(scene, start);
    const right = Math.max(left + 1, xOf(scene, end));
    if (left <= to + 0.5) {
      to = Math.max(to, right);
      continue;
    }
    flush();
    [from, to] = [left, right];
  }
  flush();
}

function paintName(context: CanvasRenderingContext2D, scene: Scene, row: number, y: number, colors: Palette): void {
  const { trace, collapsed, ends } = scene;
  const middle = y + ROW / 2;
  const indent = indentOf(trace.depth[row]!);
  const below = ends[row]! - row - 1;
  if (below > 0) {
    context.font = SMALL;
    context.fillStyle = colors.muted;
    context.fillText(collapsed.has(row) ? '▸' : '▾', indent, middle);
  }
  context.fillStyle = colors.services[trace.svc[row]!] ?? colors.muted;
  context.fillRect(indent + 13, y + 6, 3, ROW - 12);
  const failed = trace.status[row] === ERROR;
  const left = indent + 21;
  const isSampled = (trace.flags[row]! & PROFILED) !== 0;
  const space = scene.label - (isSampled ? 22 : 10) - left;
  if (isSampled) paintSampled(context, scene.label - 16, y, colors);
  context.font = NORMAL;
  context.fillStyle = failed ? colors.bad : colors.text;
  const name = cut(context, `${failed ? '▲ ' : ''}${trace.strings[trace.name[row]!]}`, space);
  context.fillText(name, left, middle);
  const detail = trace.desc[row]! >= 0 ? trace.strings[trace.desc[row]!]! : '';
  const more = collapsed.has(row) ? `+${below.toLocaleString('en')}  ${detail}` : detail;
  if (!more) return;
  const after = left + context.measureText(name).width + 8;
  context.fillStyle = colors.muted;
  context.font = SMALL;
  context.fillText(cut(context, more, scene.label - (isSampled ? 22 : 10) - after), after, middle);
}

/** Three bars, like a flame: a profiler took samples in the span. */
function paintSampled(context: CanvasRenderingContext2D, x: number, y: number, colors: Palette): void {
  context.fillStyle = colors.muted;
  [9, 6, 3].forEach((width, index) => context.fillRect(x, y + 7 + 3 * index, width, 2));
}

/** The text, or as much of it as fits, and an ellipsis. */
function cut(context: CanvasRenderingContext2D, text: string, space: number): string {
  const line = text.slice(0, 160);
  const width = context.measureText(line).width;
  if (width <= space) return line;
  // Letters differ in width; what is a guess by their mean is put right from there.
  let length = Math.floor((line.length * space) / width);
  while (length > 0 && context.measureText(`${line.slice(0, length)}…`).width > space) length--;
  return length > 0 ? `${line.slice(0, length)}…` : '';
}
