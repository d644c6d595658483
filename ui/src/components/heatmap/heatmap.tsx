// The latency heatmap: time by duration, the colour says how many spans. A box that is dragged, or
// walked with Shift and the arrow keys, asks for what is in it.

import { type KeyboardEvent, type PointerEvent, useLayoutEffect, useMemo, useRef, useState } from 'react';

import { useThemed } from '../../lib/use-themed';
import { type Plot, heatColors, lookOf, paintHeatmap, plotOf } from './paint';
import { type Cell, type HeatScene, type Narrowing, type Region, cellAt, cellWords, columnWords, columnsOf, fullest, narrowing, regionOf, rowsOf } from './scene';
import './heatmap.css';

/** A drag shorter than this in one direction is meant along the other, and in both it is a click. */
const LEAST_DRAG = 6;
const TIP_WIDTH = 190;

interface Props {
  scene: HeatScene;
  height: number;
  onNarrow: (wanted: Narrowing) => void;
}

export function Heatmap({ scene, height, onNarrow }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const theme = useThemed();
  const [hovered, setHovered] = useState<Cell | null>(null);
  const [region, setRegion] = useState<Region | null>(null);
  /** The cell that the keys are at, and the one that a selection with Shift began in. */
  const [cursor, setCursor] = useState<{ at: Cell; from: Cell | null } | null>(null);
  const dragged = useRef<{ x: number; y: number } | null>(null);

  useLayoutEffect(() => {
    const element = frame.current;
    if (!element) return;
    const measure = () => setWidth(element.clientWidth);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  // Colours are read from the page, which has others after the theme changed.
  // eslint-disable-next-line
  const colors = useMemo(heatColors, [theme]);

  const box = { width, height };
  const look = lookOf(box);
  const plot = plotOf(box);
  const walked = cursor && inScene(scene, cursor.at) ? cursor.at : null;
  const marked = region ?? (cursor?.from && walked && inScene(scene, cursor.from) ? flat(regionOf(scene, cursor.from, walked), look) : null);

  useLayoutEffect(() => {
    const context = canvas.current?.getContext('2d', { alpha: false });
    if (!canvas.current || !context || width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.current.width !== across || canvas.current.height !== down) {
      canvas.current.width = across;
      canvas.current.height = down;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    paintHeatmap(context, { width, height }, scene, { region: marked, cursor: walked }, colors);
  });

  const place = (event: PointerEvent) => {
    const bounds = canvas.current?.getBoundingClientRect();
    return bounds ? { x: event.clientX - bounds.left, y: event.clientY - bounds.top } : { x: 0, y: 0 };
  };
  const onPointerDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    const from = place(event);
    if (!within(plot, from)) return;
    dragged.current = from;
    setCursor(null);
    frame.current?.setPointerCapture(event.pointerId);
  };
  const onPointerMove = (event: PointerEvent) => {
    const to = place(event);
    const cell = cellAt(scene, (to.x - plot.left) / plot.width, 1 - (to.y - plot.top) / plot.height);
    setHovered(dragged.current === null && within(plot, to) ? cell : null);
    if (dragged.current) setRegion(dragRegion(plot, dragged.current, to, look));
  };
  const onPointerUp = () => {
    dragged.current = null;
    setRegion(null);
    if (region) onNarrow(narrowing(scene, region));
  };
  const stop = () => {
    dragged.current = null;
    setRegion(null);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    if (event.key === 'Escape') {
      stop();
      setCursor((now) => (now?.from ? { at: now.at, from: null } : null));
      return;
    }
    if (event.key === 'Enter' && walked) {
      event.preventDefault();
      setCursor(null);
      onNarrow(narrowing(scene, marked ?? flat(regionOf(scene, walked, walked), look)));
      return;
    }
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const at = walked ?? fullest(scene);
    // The first key shows where one is.
    const next = walked ? clamp(scene, step(at, columnsOf(scene))) : at;
    setHovered(null);
    setCursor({ at: next, from: event.shiftKey ? (cursor?.from ?? at) : null });
  };

  const told = hovered ?? walked;
  const words = told ? (look === 'map' ? cellWords(scene, told) : columnWords(scene, told.column)) : [];
  const tip = told && !region ? tipAt(plot, scene, told, width) : null;
  return (
    <div
      ref={frame}
      className="heatmap"
      style={{ height }}
      tabIndex={0}
      role="application"
      aria-roledescription="heatmap"
      aria-label="Spans by start and duration. Arrow keys walk through the cells, with Shift they select, Enter searches there."
      data-testid="heatmap"
      onKeyDown={onKeyDown}
      onBlur={() => setCursor(null)}
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
      onPointerUp={onPointerUp}
      onPointerCancel={stop}
      onPointerLeave={() => setHovered(null)}
    >
      <canvas ref={canvas} style={{ width, height }} aria-hidden="true" />
      {tip && (
        <div className="heat-tip" style={{ ...tip, width: TIP_WIDTH }} aria-hidden="true">
          {words.map((line) => (
            <div key={line}>{line}</div>
          ))}
        </div>
      )}
      <span className="visually-hidden" role="status">
        {walked ? words.join(', ') : ''}
      </span>
    </div>
  );
}

const STEPS: Record<string, (cell: Cell, columns: number) => Cell> = {
  ArrowLeft: ({ column, row }) => ({ column: column - 1, row }),
  ArrowRight: ({ column, row }) => ({ column: column + 1, row }),
  ArrowUp: ({ column, row }) => ({ column, row: row + 1 }),
  ArrowDown: ({ column, row }) => ({ column, row: row - 1 }),
  Home: ({ row }) => ({ column: 0, row }),
  End: ({ row }, columns) => ({ column: columns - 1, row }),
};

const inScene = (scene: HeatScene, { column, row }: Cell): boolean => column < columnsOf(scene) && row < rowsOf(scene);

const clamp = (scene: HeatScene, { column, row }: Cell): Cell => ({
  column: Math.max(0, Math.min(columnsOf(scene) - 1, column)),
  row: Math.max(0, Math.min(rowsOf(scene) - 1, row)),
});

const within = (plot: Plot, { x, y }: { x: number; y: number }): boolean => x >= plot.left && x <= plot.left + plot.width && y >= plot.top && y <= plot.top + plot.height;

/** Counts over time have no durations to choose from. */
const flat = (region: Region, look: 'map' | 'counts'): Region => (look === 'map' ? region : { ...region, low: 0, high: 1 });

/** What is marked by a drag; `null` while it may still be a click. */
function dragRegion(plot: Plot, from: { x: number; y: number }, to: { x: number; y: number }, look: 'map' | 'counts'): Region | null {
  const isWide = Math.abs(to.x - from.x) >= LEAST_DRAG;
  const isHigh = look === 'map' && Math.abs(to.y - from.y) >= LEAST_DRAG;
  if (!isWide && !isHigh) return null;
  const share = (value: number) => Math.max(0, Math.min(1, value));
  const [left, right] = [from.x, to.x].map((x) => share((x - plot.left) / plot.width)).toSorted((a, b) => a - b) as [number, number];
  const [low, high] = [from.y, to.y].map((y) => share(1 - (y - plot.top) / plot.height)).toSorted((a, b) => a - b) as [number, number];
  return { ...(isWide ? { left, right } : { left: 0, right: 1 }), ...(isHigh ? { low, high } : { low: 0, high: 1 }) };
}

/** Beside the cell, on the side that has room. */
function tipAt(plot: Plot, scene: HeatScene, { column }: Cell, width: number): { left: number; top: number } {
  const x = plot.left + ((column + 1) / columnsOf(scene)) * plot.width;
  const left = x + 10 + TIP_WIDTH <= width ? x + 10 : x - plot.width / columnsOf(scene) - 10 - TIP_WIDTH;
  return { left: Math.max(0, left), top: plot.top + 2 };
}
