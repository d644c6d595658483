// The waterfall: one canvas that draws the visible rows, whatever the number of spans.
//
// The container scrolls natively; the canvas is sticky inside a spacer as tall as all rows. A hidden
// tree grid mirrors the visible rows for assistive technology.

import { type KeyboardEvent, type PointerEvent, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';

import { duration } from '../../lib/format';
import { onThemeChange } from '../../lib/theme';
import { nextRow, subtreeEnds, visibleRows, withAncestors } from '../../lib/tree';
import { minimap } from './minimap';
import { paint } from './paint';
import { palette } from './palette';
import { ERROR, HEAD, MARGIN, MINIMAP, ROW, type WaterfallTrace, inWords, indentOf, pathByRow } from './scene';

interface Props {
  trace: WaterfallTrace;
  selected: number;
  filter: string;
  critical: boolean;
  onSelect: (row: number) => void;
  onToggleCritical: () => void;
}

export function Waterfall({ trace, selected, filter, critical, onSelect, onToggleCritical }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [top, setTop] = useState(0);
  const [collapsed, setCollapsed] = useState<ReadonlySet<number>>(new Set());
  const [view, setView] = useState<[number, number]>([0, trace.dur_ns]);
  const drag = useRef<{ from: number; area: 'minimap' | 'bars' } | null>(null);
  const [band, setBand] = useState<[number, number] | null>(null);

  const ends = useMemo(() => subtreeEnds(trace), [trace]);
  const shown = useMemo(() => {
    const wanted = filter.trim().toLowerCase();
    if (!wanted) return null;
    const hits = trace.strings.map((text) => text.toLowerCase().includes(wanted));
    return withAncestors(trace, (row) => Boolean(hits[trace.name[row]!] || (trace.desc[row]! >= 0 && hits[trace.desc[row]!]) || hits[trace.services[trace.svc[row]!]!.name]));
  }, [trace, filter]);
  const visible = useMemo(() => visibleRows(trace, ends, collapsed, shown), [trace, ends, collapsed, shown]);
  const onPath = useMemo(() => pathByRow(trace.critical), [trace]);

  useEffect(() => setView([0, trace.dur_ns]), [trace]);

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const measure = () => setSize({ width: element.clientWidth, height: element.clientHeight });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const label = Math.min(420, Math.max(180, size.width * 0.36));
  const scale = (size.width - label - MARGIN) / Math.max(1, view[1] - view[0]);
  const first = Math.min(visible.length, Math.floor(top / ROW));
  // Before it is measured there is no room at all.
  const last = Math.max(first, Math.min(visible.length, Math.ceil((top + size.height - HEAD) / ROW)));

  const [theme, setTheme] = useState(0);
  useEffect(() => onThemeChange(() => setTheme((now) => now + 1)), []);
  const ratio = window.devicePixelRatio || 1;
  // eslint-disable-next-line
  const colors = useMemo(() => palette(trace.services), [trace, theme]);
  const strip = useMemo(() => minimap(trace, size.width - label, ratio, colors), [trace, size.width, label, ratio, colors]);

  useLayoutEffect(() => {
    const element = canvas.current;
    const context = element?.getContext('2d', { alpha: false });
    if (!element || !context || size.width === 0) return;
    const [pixelWidth, pixelHeight] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
    if (element.width !== pixelWidth || element.height !== pixelHeight) {
      element.width = pixelWidth;
      element.height = pixelHeight;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const shownPath = critical ? onPath : null;
    paint(context, { trace, ...size, label, scale, view, visible, first, last, top, ends, collapsed, selected, onPath: shownPath, band }, strip, colors);
  }, [trace, size, label, scale, view, visible, first, last, top, ends, collapsed, selected, critical, onPath, band, strip, colors, ratio]);

  const reveal = (row: number) => {
    const element = scroller.current;
    const index = visible.indexOf(row);
    if (!element || index < 0) return;
    const y = index * ROW;
    if (y < element.scrollTop) element.scrollTop = y;
    else if (y + ROW > element.scrollTop + size.height - HEAD) element.scrollTop = y + ROW - size.height + HEAD;
  };
  const select = (row: number) => {
    if (row < 0) return;
    onSelect(row);
    reveal(row);
  };
  // Only when a trace is opened at a span, not when the reader scrolls.
  useEffect(() => {
    if (selected >= 0 && size.height > 0) reveal(selected);
    // eslint-disable-next-line
  }, [trace, size.height > 0]);

  const toggle = (row: number, collapse?: boolean) => {
    const next = new Set(collapsed);
    if (collapse ?? !next.has(row)) next.add(row);
    else next.delete(row);
    setCollapsed(next);
  };
  const zoomTo = (from: number, to: number) => {
    const least = Math.max(10, trace.dur_ns / 1e6);
    const start = Math.max(0, Math.min(from, trace.dur_ns - least));
    setView([start, Math.min(trace.dur_ns, Math.max(to, start + least))]);
  };
  const zoomBy = (factor: number) => {
    const middle = (view[0] + view[1]) / 2;
    const half = ((view[1] - view[0]) * factor) / 2;
    zoomTo(middle - half, middle + half);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    const at = visible.indexOf(selected);
    const move: Record<string, () => void> = {
      ArrowDown: () => select(visible[Math.min(at + 1, visible.length - 1)] ?? -1),
      ArrowUp: () => select(visible[Math.max(at - 1, 0)] ?? -1),
      Home: () => select(visible[0] ?? -1),
      End: () => select(visible[visible.length - 1] ?? -1),
      ArrowLeft: () => (ends[selected]! > selected + 1 && !collapsed.has(selected) ? toggle(selected, true) : select(trace.parent[selected] ?? -1)),
      ArrowRight: () => selected >= 0 && toggle(selected, false),
      '+': () => zoomBy(0.5),
      '=': () => zoomBy(0.5),
      '-': () => zoomBy(2),
      '0': () => setView([0, trace.dur_ns]),
      '[': () => setCollapsed(new Set(Array.from({ length: trace.n }, (_, row) => row).filter((row) => ends[row]! > row + 1))),
      ']': () => setCollapsed(new Set()),
      a: () => zoomTo(view[0] - (view[1] - view[0]) / 4, view[1] - (view[1] - view[0]) / 4),
      d: () => zoomTo(view[0] + (view[1] - view[0]) / 4, view[1] + (view[1] - view[0]) / 4),
      c: onToggleCritical,
      e: () => select(nextRow(visible, selected, (row) => trace.status[row] === ERROR)),
      f: () => document.querySelector<HTMLInputElement>('[data-find]')?.focus(),
      Escape: () => onSelect(-1),
    };
    const action = move[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };

  const place = (event: PointerEvent) => {
    const box = canvas.current?.getBoundingClientRect();
    return box ? { x: event.clientX - box.left, y: event.clientY - box.top } : { x: 0, y: 0 };
  };
  const toNs = (x: number, area: 'minimap' | 'bars') =>
    area === 'minimap' ? ((x - label) / (size.width - label - MARGIN)) * trace.dur_ns : view[0] + (x - label) / scale;
  const onPointerDown = (event: PointerEvent) => {
    const { x, y } = place(event);
    if (x < label || event.button !== 0) return;
    drag.current = { from: x, area: y < MINIMAP ? 'minimap' : 'bars' };
    scroller.current?.setPointerCapture(event.pointerId);
  };
  const onPointerMove = (event: PointerEvent) => {
    const { x, y } = place(event);
    // Names are cut to their column, and short bars are hard to tell apart.
    const under = y < HEAD ? undefined : visible[Math.floor((y - HEAD + top) / ROW)];
    const words = under === undefined || drag.current ? '' : inWords(trace, under, duration);
    if (scroller.current && scroller.current.title !== words) scroller.current.title = words;
    if (drag.current && Math.abs(x - drag.current.from) > 3) setBand([drag.current.from, Math.max(label, x)]);
  };
  const onPointerUp = (event: PointerEvent) => {
    const { x, y } = place(event);
    const dragged = drag.current;
    drag.current = null;
    setBand(null);
    if (dragged && Math.abs(x - dragged.from) > 3) {
      const [from, to] = [dragged.from, x].sort((a, b) => a - b) as [number, number];
      zoomTo(toNs(Math.max(label, from), dragged.area), toNs(to, dragged.area));
      return;
    }
    if (y < HEAD) return;
    const row = visible[Math.floor((y - HEAD + top) / ROW)];
    if (row === undefined) return;
    const indent = indentOf(trace.depth[row]!);
    if (x < label && x < indent + 12 && x > indent - 8 && ends[row]! > row + 1) toggle(row);
    else select(row);
  };

  const mirrored = Array.from(visible.subarray(first, last));
  return (
    <div
      ref={scroller}
      className="waterfall"
      tabIndex={0}
      role="application"
      aria-label="Waterfall of the trace; arrow keys walk through its spans"
      data-testid="waterfall"
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      onKeyDown={onKeyDown}
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
      onPointerUp={onPointerUp}
      onDoubleClick={() => setView([0, trace.dur_ns])}
    >
      <canvas ref={canvas} style={{ width: size.width, height: size.height }} aria-hidden="true" />
      <div style={{ height: Math.max(0, visible.length * ROW + HEAD - size.height) }} />
      {visible.length === 0 && (
        <div className="nothing" role="status">
          No span has “{filter}” in its name, detail or service.
        </div>
      )}
      <div className="visually-hidden" role="treegrid" aria-label="Spans" aria-rowcount={visible.length}>
        {mirrored.map((row, index) => (
          <div key={row} role="row" aria-level={trace.depth[row]! + 1} aria-selected={row === selected} aria-rowindex={first + index + 1}>
            <span role="gridcell">{trace.strings[trace.services[trace.svc[row]!]!.name]}</span>{' '}
            <span role="gridcell">{trace.strings[trace.name[row]!]}</span>{' '}
            <span role="gridcell">{trace.desc[row]! >= 0 ? trace.strings[trace.desc[row]!] : ''}</span>{' '}
            <span role="gridcell">{duration(trace.dur[row]!)}</span>
          </div>
        ))}
      </div>
    </div>
  );
}
