// The whole trace in a strip: drawn once for a size and a theme, and then copied.

import type { Palette } from './palette';
import { ERROR, MARGIN, MINIMAP, type Scene, type WaterfallTrace } from './scene';

const TOP = 3;
const INNER = MINIMAP - 8;

/** Where a row is in the strip. */
const placeOf = (trace: WaterfallTrace, row: number): number => TOP + (row / trace.n) * INNER;

/** The bars of all rows, `width` pixels wide. */
export function minimap(trace: WaterfallTrace, width: number, ratio: number, colors: Palette): HTMLCanvasElement {
  const strip = document.createElement('canvas');
  strip.width = Math.max(1, Math.round(width * ratio));
  strip.height = MINIMAP * ratio;
  const context = strip.getContext('2d');
  // Nothing is drawn before there is room.
  if (!context || width <= 0) return strip;
  const scale = (width - MARGIN) / Math.max(1, trace.dur_ns);
  const height = Math.max(1, INNER / trace.n - 0.5);
  // Most bars of a large trace fall on the pixels of the one before them, and need no second drawing.
  const drawn = new Map<string, number>();
  const bar = (row: number, color: string, least: number, high: number) => {
    const [x, y] = [Math.floor(trace.start[row]! * scale * ratio), Math.floor(placeOf(trace, row) * ratio)];
    const across = Math.max(least * ratio, Math.ceil(trace.dur[row]! * scale * ratio));
    const pixels = (y * strip.width + x) * strip.width + across;
    if (drawn.get(color) === pixels) return;
    drawn.set(color, pixels);
    context.fillStyle = color;
    context.fillRect(x, y, across, high * ratio);
  };
  for (let row = 0; row < trace.n; row++) bar(row, colors.services[trace.svc[row]!] ?? colors.muted, 1, height);
  // Failures come last and larger, so that a single one among thousands is seen.
  for (let row = 0; row < trace.n; row++) if (trace.status[row] === ERROR) bar(row, colors.bad, 2, Math.max(3, height));
  return strip;
}

/** Copies the strip, shades what is out of view, and marks which rows are on the screen. */
export function paintMinimap(context: CanvasRenderingContext2D, scene: Scene, strip: HTMLCanvasElement, colors: Palette): void {
  const { trace, width, label, view, visible, first, last } = scene;
  const inner = width - label;
  context.drawImage(strip, label, 0, inner, MINIMAP);
  const scale = (inner - MARGIN) / Math.max(1, trace.dur_ns);
  context.fillStyle = 'rgb(128 128 128 / 28%)';
  context.fillRect(label, 0, view[0] * scale, MINIMAP);
  context.fillRect(label + view[1] * scale, 0, (trace.dur_ns - view[1]) * scale, MINIMAP);
  if (view[0] > 0 || view[1] < trace.dur_ns) {
    // However short, what is in view is to be found.
    context.fillStyle = colors.focus;
    context.fillRect(label + view[0] * scale - 1, 0, 1, MINIMAP);
    context.fillRect(label + view[1] * scale, 0, 1, MINIMAP);
  }
  if (last <= first || last - first === visible.length) return;
  const [from, to] = [placeOf(trace, visible[first]!), placeOf(trace, visible[last - 1]! + 1)];
  context.fillStyle = colors.focus;
  context.fillRect(label - 3, from, 2, Math.max(3, to - from));
  context.globalAlpha = 0.3;
  context.fillRect(label, from, inner, Math.max(1, to - from));
  context.globalAlpha = 1;
}
