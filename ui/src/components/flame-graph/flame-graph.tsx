// A flame graph: one canvas that draws what is in sight, whatever the number of frames.
//
// The container scrolls up and down natively, the canvas is sticky inside of it. What the pointer and the
// keys are at is marked by elements above the canvas, so that moving them draws nothing anew. A hidden tree
// mirrors the widest frames in sight for assistive technology.

import { type KeyboardEvent, type PointerEvent, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';

import { type Rects, type View, neighbours, noRects, rowAt, visibleRects } from '../../lib/flame/rects';
import { type FlameTree, frameAt } from '../../lib/flame/tree';
import { useSettled } from '../../lib/settled';
import { useThemed } from '../../lib/use-themed';
import { Menu, type MenuItem } from './menu';
import { ROW, paintFlame } from './paint';
import { type ColorBy, flamePalette, rowColors } from './palette';
import { type Format, rowWords, summary } from './words';
import './flame-graph.css';

interface Props {
  tree: FlameTree;
  format: Format;
  /** What it shows, for assistive technology. */
  label: string;
  /** What the root is called when it is no frame. */
  all?: string;
  /** Where the root is: above, as icicles have it, or below. */
  orientation: 'icicle' | 'flame';
  colorBy: ColorBy;
  /** For each frame whether a search hit it; null without a search. */
  hits: Uint8Array | null;
  /** Whether rows lead to their callers. */
  isInverted?: boolean;
  /** The row that takes the whole width; 0 for all. */
  focus: number;
  onFocus: (row: number) => void;
  /** What can be done with a row. */
  menuOf?: (row: number) => MenuItem[];
  /** Keys that mean something around the graph; says whether it took one. */
  onKey?: (key: string, row: number) => boolean;
}

/** The narrowest view, as a share of the whole. */
const VIEW_LEAST = 1e-7;
const MIRROR_MOST = 60;
const MIRROR_DELAY_MS = 150;
const TIP_WIDTH = 440;
const TIP_HEIGHT = 150;
const MENU_WIDTH = 220;

interface Place {
  x: number;
  y: number;
}

export function FlameGraph({ tree, format, label, all = 'all', orientation, colorBy, hits, isInverted = false, focus, onFocus, menuOf, onKey }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const kept = useRef<Rects>(noRects());
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [top, setTop] = useState(0);
  const [view, setView] = useState<View>({ from: 0, to: tree.width });
  const [hovered, setHovered] = useState<{ row: number; at: Place } | null>(null);
  const [cursor, setCursor] = useState(-1);
  const [menu, setMenu] = useState<{ row: number; at: Place } | null>(null);
  const drag = useRef<{ x: number; from: number; moved: boolean } | null>(null);
  const theme = useThemed();
  // eslint-disable-next-line
  const palette = useMemo(flamePalette, [theme]);
  const colors = useMemo(() => rowColors(tree, colorBy), [tree, colorBy]);

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const measure = () => setSize({ width: element.clientWidth, height: element.clientHeight });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const levels = tree.levels.length - 1;
  const content = levels * ROW;
  const isUp = orientation === 'flame';
  // A flame that is lower than the canvas stands on its floor.
  const floor = isUp ? Math.max(content, size.height) : 0;
  const yOf = (level: number) => (isUp ? floor - (level + 1) * ROW : level * ROW) - top;
  const levelAt = (y: number) => Math.floor((isUp ? floor - (y + top) - 1 : y + top) / ROW);
  const [first, last] = [levelAt(isUp ? size.height - 1 : 0), levelAt(isUp ? 0 : size.height - 1) + 1];

  const before = useRef<{ tree: FlameTree; row: number } | null>(null);
  useLayoutEffect(() => {
    const row = focus > 0 && focus < tree.n ? focus : 0;
    const old = before.current;
    before.current = { tree, row };
    setHovered(null);
    // Newer format of the same profile leave a view alone that the reader has moved.
    const isMoved = old && old.tree !== tree && (view.from !== old.tree.x[old.row] || view.to !== old.tree.x[old.row]! + old.tree.wide[old.row]!);
    const scale = isMoved ? tree.width / old.tree.width : 1;
    if (isMoved && Number.isFinite(scale)) setView({ from: view.from * scale, to: view.to * scale });
    else setView({ from: tree.x[row]!, to: tree.x[row]! + tree.wide[row]! });
    // eslint-disable-next-line
  }, [tree, focus]);
  const isLaidOut = size.height > 0;
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    // Some of what leads there stays in sight.
    const above = Math.max(0, ((tree.depth[focus] ?? 0) - 3) * ROW);
    element.scrollTop = isUp ? content - element.clientHeight - above : above;
    // eslint-disable-next-line
  }, [focus, isUp, isLaidOut]);

  const ratio = window.devicePixelRatio || 1;
  useLayoutEffect(() => {
    const context = sized(canvas.current, size, ratio);
    if (!context) return;
    kept.current = visibleRects(tree, view, size.width, Math.max(0, first), Math.max(0, last), kept.current);
    paintFlame(context, { tree, rects: kept.current, colors, hits, ...size, yOf, view, all }, palette);
    // eslint-disable-next-line
  }, [tree, size, view, top, colors, hits, palette, ratio, isUp, all]);

  const scale = size.width / (view.to - view.from);
  const walked = cursor >= 0 && cursor < tree.n ? cursor : -1;
  const mark = (row: number, name: string) => {
    const [left, right] = [Math.max(0, (tree.x[row]! - view.from) * scale), Math.min(size.width, (tree.x[row]! + tree.wide[row]! - view.from) * scale)];
    return right > left && <div className={name} style={{ left, width: Math.max(2, right - left - 1), top: yOf(tree.depth[row]!), height: ROW - 1 }} />;
  };

  const place = (event: { clientX: number; clientY: number }): Place => {
    const box = canvas.current?.getBoundingClientRect();
    return box ? { x: event.clientX - box.left, y: event.clientY - box.top } : { x: 0, y: 0 };
  };
  const rowUnder = ({ x, y }: Place) => rowAt(tree, levelAt(y), view.from + x / scale, 1 / scale);
  const show = (from: number, to: number) => {
    const span = Math.max(tree.width * VIEW_LEAST, Math.min(tree.width, to - from));
    const start = Math.max(0, Math.min(from, tree.width - span));
    setView({ from: start, to: start + span });
  };
  const zoomAt = (x: number, factor: number) => {
    const at = view.from + x / scale;
    show(at - (at - view.from) * factor, at + (view.to - at) * factor);
  };

  const wheel = useRef<(event: WheelEvent) => void>(() => {});
  wheel.current = (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoomAt(place(event).x, Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200))));
      return;
    }
    const across = event.shiftKey ? event.deltaY : event.deltaX;
    if (across === 0) return;
    event.preventDefault();
    show(view.from + across / scale, view.to + across / scale);
  };
  useEffect(() => {
    const element = scroller.current;
    // React's own listener could not keep the page from zooming.
    const onWheel = (event: WheelEvent) => wheel.current(event);
    element?.addEventListener('wheel', onWheel, { passive: false });
    return () => element?.removeEventListener('wheel', onWheel);
  }, []);

  const zoomTo = (row: number) => {
    onFocus(row);
    // The row may be the one in focus already, with the view moved away from it.
    show(tree.x[row]!, tree.x[row]! + tree.wide[row]!);
  };
  const onPointerDown = (event: PointerEvent) => {
    if (event.button !== 0 || menu) return;
    drag.current = { x: event.clientX, from: view.from, moved: false };
  };
  const onPointerMove = (event: PointerEvent) => {
    const held = drag.current;
    if (held && event.buttons & 1) {
      if (!held.moved && Math.abs(event.clientX - held.x) > 4) {
        held.moved = true;
        scroller.current?.setPointerCapture(event.pointerId);
      }
      if (held.moved) {
        const from = held.from - (event.clientX - held.x) / scale;
        show(from, from + view.to - view.from);
        setHovered(null);
        return;
      }
    }
    const at = place(event);
    const row = menu ? -1 : rowUnder(at);
    setHovered(row >= 0 ? { row, at } : null);
  };
  const onPointerUp = (event: PointerEvent) => {
    const held = drag.current;
    drag.current = null;
    if (!held || held.moved || event.button !== 0) return;
    const row = rowUnder(place(event));
    if (row < 0) return;
    setCursor(row);
    zoomTo(row);
  };
  const openMenu = (row: number, at: Place) => {
    if (row < 0 || !menuOf) return;
    setHovered(null);
    setMenu({ row, at });
  };

  const walk = (row: number) => {
    if (row < 0) return;
    setCursor(row);
    setHovered(null);
    const [from, to] = [tree.x[row]!, tree.x[row]! + tree.wide[row]!];
    if (to <= view.from || from >= view.to) show((from + to) / 2 - (view.to - view.from) / 2, (from + to) / 2 + (view.to - view.from) / 2);
    const element = scroller.current;
    const y = yOf(tree.depth[row]!);
    if (element && y < 0) element.scrollTop += y;
    else if (element && y + ROW > size.height) element.scrollTop += y + ROW - size.height;
  };
  const reset = () => {
    setCursor(-1);
    zoomTo(0);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.metaKey || event.ctrlKey || event.altKey || menu) return;
    const at = walked >= 0 ? walked : focus;
    const deeper = () => walk(walked < 0 ? focus : neighbours.in(tree, at));
    const shallower = () => walk(neighbours.out(tree, at));
    const middle = walked >= 0 ? (Math.max(view.from, tree.x[walked]!) - view.from) * scale : size.width / 2;
    const openHere = () => openMenu(at, { x: Math.max(0, (tree.x[at]! - view.from) * scale) + 8, y: yOf(tree.depth[at]!) + ROW });
    const keys: Record<string, () => void> = {
      ArrowDown: isUp ? shallower : deeper,
      ArrowUp: isUp ? deeper : shallower,
      ArrowLeft: () => walk(neighbours.beside(tree, at, -1)),
      ArrowRight: () => walk(neighbours.beside(tree, at, 1)),
      Home: () => walk(0),
      Enter: () => zoomTo(at),
      ' ': () => zoomTo(at),
      Escape: reset,
      '0': reset,
      '+': () => zoomAt(middle, 0.5),
      '=': () => zoomAt(middle, 0.5),
      '-': () => zoomAt(middle, 2),
      m: openHere,
      ContextMenu: openHere,
      ...(event.shiftKey ? { F10: openHere } : {}),
    };
    const action = keys[event.key];
    if (action) action();
    else if (!onKey?.(event.key, at)) return;
    event.preventDefault();
    event.stopPropagation();
  };

  const told = hovered && hovered.row < tree.n ? hovered : null;
  return (
    <div className="flame-frame">
      <div
        ref={scroller}
        className="flame"
        tabIndex={0}
        role="application"
        aria-roledescription="flame graph"
        aria-label={`${label}. Arrow keys walk through the frames, Enter zooms, Escape shows all, m opens the menu.`}
        data-testid="flame-graph"
        onScroll={(event) => setTop(event.currentTarget.scrollTop)}
        onKeyDown={onKeyDown}
        onPointerDown={onPointerDown}
        onPointerMove={onPointerMove}
        onPointerUp={onPointerUp}
        onPointerLeave={() => setHovered(null)}
        onDoubleClick={reset}
        onContextMenu={(event) => {
          if (!menuOf) return;
          event.preventDefault();
          const at = place(event);
          openMenu(rowUnder(at), at);
        }}
      >
        <div className="flame-stage" style={size}>
          <canvas ref={canvas} style={size} aria-hidden="true" />
          {told && mark(told.row, 'flame-mark')}
          {walked >= 0 && mark(walked, 'flame-mark is-walked')}
        </div>
        <div style={{ height: Math.max(0, content - size.height) }} />
        <Mirror tree={tree} format={format} all={all} view={view} size={size} levels={[first, last]} label={label} cursor={walked} />
      </div>
      {told && <Tip tree={tree} row={told.row} at={told.at} size={size} format={format} all={all} isInverted={isInverted} />}
      {menu && menuOf && (
        <Menu
          label="What to do with the frame"
          items={menuOf(menu.row)}
          style={{ left: Math.max(0, Math.min(menu.at.x, size.width - MENU_WIDTH)), ...(menu.at.y < size.height / 2 ? { top: menu.at.y } : { bottom: size.height - menu.at.y }) }}
          onClose={() => setMenu(null)}
        />
      )}
      <span className="visually-hidden" role="status">
        {walked >= 0 ? `${frameAt(tree, walked)?.label ?? all}, ${summary(tree, walked, format)}` : ''}
      </span>
    </div>
  );
}

/** The context of a canvas that has as many pixels as its place on the screen. */
function sized(element: HTMLCanvasElement | null, { width, height }: { width: number; height: number }, ratio: number): CanvasRenderingContext2D | null {
  const context = element?.getContext('2d', { alpha: false });
  if (!element || !context || width === 0 || height === 0) return null;
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (element.width !== across || element.height !== down) {
    element.width = across;
    element.height = down;
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

interface TipProps {
  tree: FlameTree;
  row: number;
  at: Place;
  size: { width: number; height: number };
  format: Format;
  all: string;
  isInverted: boolean;
}

function Tip({ tree, row, at, size, format, all, isInverted }: TipProps) {
  const { title, place, pairs } = rowWords(tree, row, format, all, isInverted);
  const isLeft = at.x + 16 + TIP_WIDTH > size.width && at.x > size.width / 2;
  const isAbove = at.y + 20 + TIP_HEIGHT > size.height && at.y > size.height / 2;
  return (
    <div className="flame-tip" aria-hidden="true" style={{ ...(isLeft ? { right: size.width - at.x + 12 } : { left: at.x + 14 }), ...(isAbove ? { bottom: size.height - at.y + 10 } : { top: at.y + 18 }) }}>
      <b>{title}</b>
      {place && <div className="muted">{place}</div>}
      <dl>
        {pairs.map(([name, value]) => [<dt key={`${name} name`}>{name}</dt>, <dd key={name}>{value}</dd>])}
      </dl>
    </div>
  );
}

interface MirrorProps {
  tree: FlameTree;
  format: Format;
  all: string;
  view: View;
  size: { width: number; height: number };
  levels: [number, number];
  label: string;
  cursor: number;
}

/** The widest frames in sight, from the root inwards. */
function Mirror({ tree, format, all, view, size, levels: [first, last], label, cursor }: MirrorProps) {
  // While the view moves nobody reads it.
  const settled = useSettled(view, MIRROR_DELAY_MS);
  const rows = useMemo(() => {
    if (size.width === 0) return [];
    const rects = visibleRects(tree, settled, size.width, Math.max(0, first), Math.max(0, last), noRects());
    const seen = Array.from({ length: rects.n }, (_, at) => at).filter((at) => rects.merged[at] === 0);
    const widest = seen.sort((a, b) => rects.right[b]! - rects.left[b]! - (rects.right[a]! - rects.left[a]!)).slice(0, MIRROR_MOST);
    return widest.map((at) => rects.row[at]!).sort((a, b) => a - b);
  }, [tree, settled, size.width, first, last]);
  if (rows.length === 0) return null;
  return (
    <div className="visually-hidden" role="tree" aria-label={`${label}: the widest frames`}>
      {rows.map((row) => (
        <div key={row} role="treeitem" aria-level={tree.depth[row]! + 1} aria-selected={row === cursor}>
          {frameAt(tree, row)?.label ?? all}, {summary(tree, row, format)}
        </div>
      ))}
    </div>
  );
}
