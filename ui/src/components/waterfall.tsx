// The waterfall: one canvas that draws the visible rows, whatever the number of spans.
//
// The container scrolls natively; the canvas is sticky inside a spacer as tall as all rows. A hidden
// tree grid mirrors the visible rows for assistive technology.

import { type KeyboardEvent, type PointerEvent, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';

import { duration } from '../lib/format';
import { onThemeChange, serviceColor, token } from '../lib/theme';
import { nextRow, subtreeEnds, ticks, visibleRows, withAncestors } from '../lib/tree';

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
  desc: number[];
  critical: [number, number, number][];
}

interface Props {
  trace: WaterfallTrace;
  selected: number;
  filter: string;
  critical: boolean;
  onSelect: (row: number) => void;
  onToggleCritical: () => void;
}

const ROW = 24;
const MINIMAP = 40;
const RULER = 22;
const HEAD = MINIMAP + RULER;
const INDENT = 14;
/** Deeper rows keep this indentation, so that their names stay readable. */
const MAX_INDENT_LEVELS = 16;
const ERROR = 2;

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
  const onPath = useMemo(() => {
    const parts = new Map<number, [number, number][]>();
    for (const [row, from, to] of trace.critical) parts.set(row, [...(parts.get(row) ?? []), [from, to]]);
    return parts;
  }, [trace]);

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
  const scale = (size.width - label - 12) / Math.max(1, view[1] - view[0]);
  const first = Math.floor(top / ROW);
  const last = Math.min(visible.length, Math.ceil((top + size.height - HEAD) / ROW));

  useLayoutEffect(() => {
    const draw = () => {
      const context = canvas.current?.getContext('2d');
      if (!canvas.current || !context || size.width === 0) return;
      const ratio = window.devicePixelRatio || 1;
      const [pixelWidth, pixelHeight] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
      if (canvas.current.width !== pixelWidth || canvas.current.height !== pixelHeight) {
        canvas.current.width = pixelWidth;
        canvas.current.height = pixelHeight;
      }
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      const paint = {
        bg: token('--bg'), bg2: token('--bg-2'), line: token('--bg-3'), text: token('--text'), muted: token('--text-2'),
        bad: token('--bad'), accent: token('--accent'), chosen: token('--accent-2'), critical: token('--critical'),
      };
      const colors = trace.services.map((service) => serviceColor(service.color));
      context.fillStyle = paint.bg;
      context.fillRect(0, 0, size.width, size.height);
      context.textBaseline = 'middle';
      const x = (ns: number) => label + (ns - view[0]) * scale;

      const marks = ticks(view[0], view[1], Math.max(2, (size.width - label) / 110));
      context.fillStyle = paint.line;
      for (const mark of marks) context.fillRect(Math.round(x(mark)), HEAD, 1, size.height);

      for (let index = first; index < last; index++) {
        const row = visible[index]!;
        const y = HEAD + index * ROW - top;
        if (row === selected) {
          context.fillStyle = paint.chosen;
          context.fillRect(0, y, size.width, ROW);
        }
        const left = x(trace.start[row]!);
        const width = Math.max(2, trace.dur[row]! * scale);
        context.save();
        context.beginPath();
        context.rect(label, y, size.width - label, ROW);
        context.clip();
        context.fillStyle = colors[trace.svc[row]!] ?? paint.accent;
        context.fillRect(left, y + 5, width, ROW - 11);
        if (critical) {
          context.fillStyle = paint.critical;
          for (const [from, to] of onPath.get(row) ?? []) context.fillRect(x(from), y + ROW - 6, Math.max(1, (to - from) * scale), 3);
        }
        context.font = '11px system-ui, sans-serif';
        const text = duration(trace.dur[row]!);
        const textWidth = context.measureText(text).width;
        const after = left + width + 5;
        const before = left - textWidth - 5;
        const [fitsAfter, fitsBefore] = [after + textWidth < size.width, before > label];
        context.fillStyle = fitsAfter || fitsBefore ? paint.muted : paint.bg;
        context.fillText(text, fitsAfter ? after : fitsBefore ? before : Math.max(label, left) + 5, y + ROW / 2);
        context.restore();

        context.save();
        context.beginPath();
        context.rect(0, y, label - 8, ROW);
        context.clip();
        const indent = 8 + Math.min(trace.depth[row]!, MAX_INDENT_LEVELS) * INDENT;
        const below = ends[row]! - row - 1;
        if (below > 0) {
          context.fillStyle = paint.muted;
          context.fillText(collapsed.has(row) ? '▸' : '▾', indent, y + ROW / 2);
        }
        context.fillStyle = colors[trace.svc[row]!] ?? paint.accent;
        context.fillRect(indent + 13, y + 6, 3, ROW - 12);
        const failed = trace.status[row] === ERROR;
        context.font = '12.5px system-ui, sans-serif';
        context.fillStyle = failed ? paint.bad : paint.text;
        const name = `${failed ? '▲ ' : ''}${trace.strings[trace.name[row]!]}`;
        context.fillText(name, indent + 21, y + ROW / 2);
        const detail = trace.desc[row]! >= 0 ? trace.strings[trace.desc[row]!] : '';
        const more = collapsed.has(row) ? `+${below}  ${detail}` : detail;
        if (more) {
          const nameWidth = context.measureText(name).width;
          context.fillStyle = paint.muted;
          context.font = '11px system-ui, sans-serif';
          context.fillText(more.slice(0, 120), indent + 21 + nameWidth + 8, y + ROW / 2);
        }
        context.restore();
      }

      context.fillStyle = paint.bg2;
      context.fillRect(0, 0, size.width, HEAD);
      const whole = (size.width - label - 12) / Math.max(1, trace.dur_ns);
      const depthStep = Math.max(1, Math.ceil(trace.n / 4000));
      for (let row = 0; row < trace.n; row += depthStep) {
        context.fillStyle = trace.status[row] === ERROR ? paint.bad : (colors[trace.svc[row]!] ?? paint.accent);
        const y = 3 + ((row / trace.n) * (MINIMAP - 8));
        context.fillRect(label + trace.start[row]! * whole, y, Math.max(1, trace.dur[row]! * whole), Math.max(1, (MINIMAP - 8) / trace.n - 0.5));
      }
      context.fillStyle = 'rgb(128 128 128 / 28%)';
      context.fillRect(label, 0, view[0] * whole, MINIMAP);
      context.fillRect(label + view[1] * whole, 0, (trace.dur_ns - view[1]) * whole, MINIMAP);
      context.fillStyle = paint.muted;
      context.font = '11px system-ui, sans-serif';
      for (const mark of marks) context.fillText(duration(mark), x(mark) + 3, MINIMAP + RULER / 2);
      context.fillText(`${visible.length === trace.n ? '' : `${visible.length} of `}${trace.n} spans`, 8, MINIMAP + RULER / 2);
      context.fillStyle = paint.line;
      context.fillRect(0, HEAD - 1, size.width, 1);
      context.fillRect(label - 4, 0, 1, size.height);
      if (band) {
        context.fillStyle = 'rgb(26 115 232 / 22%)';
        context.fillRect(Math.min(...band), 0, Math.abs(band[1] - band[0]), size.height);
      }
    };
    draw();
    return onThemeChange(draw);
  }, [trace, size, top, visible, view, selected, critical, onPath, collapsed, ends, band, first, last, label, scale]);

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
    area === 'minimap' ? ((x - label) / (size.width - label - 12)) * trace.dur_ns : view[0] + (x - label) / scale;
  const onPointerDown = (event: PointerEvent) => {
    const { x, y } = place(event);
    if (x < label || event.button !== 0) return;
    drag.current = { from: x, area: y < MINIMAP ? 'minimap' : 'bars' };
    scroller.current?.setPointerCapture(event.pointerId);
  };
  const onPointerMove = (event: PointerEvent) => {
    const { x } = place(event);
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
    const indent = 8 + Math.min(trace.depth[row]!, MAX_INDENT_LEVELS) * INDENT;
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
      <div className="visually-hidden" role="treegrid" aria-label="Spans" aria-rowcount={visible.length}>
        {mirrored.map((row) => (
          <div key={row} role="row" aria-level={trace.depth[row]! + 1} aria-selected={row === selected} aria-rowindex={visible.indexOf(row) + 1}>
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
