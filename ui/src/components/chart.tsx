// A chart over time. Charts on one page share their cursor; dragging across one chooses a time.

import { type CSSProperties, type ReactNode, useEffect, useRef, useState } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

import { onThemeChange, serviceColor, token } from '../lib/theme';
import { clock } from '../lib/time';

export interface Line {
  label: string;
  /** A colour token, or the index of a service's colour. */
  color: string | number;
  values: (number | null)[];
  fill?: boolean;
}

interface Props {
  /** Microseconds since the epoch. */
  times: number[];
  lines: Line[];
  format: (value: number | null) => string;
  onZoom: (fromUs: number, toUs: number) => void;
  label: string;
  /** Places on the chart that lead somewhere. */
  marks?: Mark[] | undefined;
  /** Beside the heading, in place of the figures under the cursor. */
  note?: ReactNode;
  className?: string;
}

/** A moment and a value, and what stands there. */
export interface Mark {
  us: number;
  value: number;
  draw: (style: CSSProperties) => ReactNode;
}

const paint = (color: string | number): string => (typeof color === 'number' ? serviceColor(color) : token(color));

const NONE: Mark[] = [];
/** Pixels between two times of the axis, which may have seconds. */
const TICK_SPACE = 60;
const sync = uPlot.sync('pitviper');

export function Chart({ times, lines, format, onZoom, label, marks = NONE, note, className = 'chart' }: Props) {
  const [places, setPlaces] = useState<CSSProperties[]>([]);
  const host = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLSpanElement>(null);
  const zoom = useRef(onZoom);
  zoom.current = onZoom;

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    let plot: uPlot | null = null;
    const build = () => {
      plot?.destroy();
      const axis: Partial<uPlot.Axis> = {
        stroke: token('--text-2'),
        grid: { stroke: token('--bg-3'), width: 1 },
        ticks: { show: false },
        font: '11px system-ui, sans-serif',
      };
      const latest = lines[0] ? lines[0].values.findLastIndex((value) => value !== null) : -1;
      const show = (index: number | null | undefined) => {
        const figures = readout.current?.querySelectorAll('b') ?? [];
        figures.forEach((figure, at) => {
          figure.textContent = format(index === null || index === undefined ? null : (lines[at]?.values[index] ?? null));
        });
      };
      plot = new uPlot(
        {
          width: element.clientWidth,
          height: element.clientHeight,
          cursor: { sync: { key: sync.key }, drag: { x: true, y: false, setScale: false }, y: false },
          // The figures are in the header.
          legend: { show: false },
          select: { show: true, left: 0, top: 0, width: 0, height: 0 },
          scales: { x: { time: true }, y: { range: (_, min, max) => [Math.min(0, min * 1.1), max > 0 ? max * 1.1 : 1] } },
          axes: [
            { ...axis, size: 30, space: TICK_SPACE, values: (_, seconds) => clock(seconds) },
            { ...axis, size: 66, values: (_, values) => values.map((value) => (value === 0 ? '0' : format(value))) },
          ],
          series: [
            {},
            ...lines.map((line): uPlot.Series => {
              const stroke = paint(line.color);
              const lone = lonely(line.values);
              const points = { show: false, size: 4, fill: stroke, filter: () => (lone.length > 0 ? lone : null) };
              return { label: line.label, stroke, width: 1.5, points, ...(line.fill ? { fill: `${stroke}22` } : {}) };
            }),
          ],
          hooks: {
            draw: [(self) => setPlaces(marks.length > 0 ? marks.map((mark) => placeOf(self, mark)) : (none) => (none.length > 0 ? [] : none))],
            setCursor: [(self) => show(self.cursor.idx ?? latest)],
            setSelect: [
              (self) => {
                if (self.select.width < 4) return;
                const from = self.posToVal(self.select.left, 'x');
                const to = self.posToVal(self.select.left + self.select.width, 'x');
                zoom.current(Math.round(from * 1e6), Math.round(to * 1e6));
              },
            ],
          },
        },
        [times.map((us) => us / 1e6), ...lines.map((line) => line.values)] as uPlot.AlignedData,
        element,
      );
      show(latest);
    };
    build();
    const resized = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height: element.clientHeight }));
    resized.observe(element);
    const stop = onThemeChange(build);
    return () => {
      stop();
      resized.disconnect();
      plot?.destroy();
    };
  }, [times, lines, format, marks]);

  return (
    <section className="panel">
      <header>
        <h2>{label}</h2>
        <span className="spacer" />
        {note ?? (
          <span className="readout muted" ref={readout}>
            {lines.map((line) => (
              <span key={line.label}>
                {line.label && <i style={{ background: typeof line.color === 'number' ? serviceColor(line.color) : `var(${line.color})` }} />}
                {line.label} <b />
              </span>
            ))}
          </span>
        )}
      </header>
      <div className="plot">
        <div className={className} ref={host} role="img" aria-label={`${label} over time`} />
        {marks.map((mark, index) => places[index] && mark.draw(places[index]))}
      </div>
    </section>
  );
}

/** Where a mark is within the plot; one that is higher than the axis reaches stands at its end. */
function placeOf(plot: uPlot, { us, value }: Mark): CSSProperties {
  const [left, top] = [plot.over.offsetLeft + (plot.root.offsetLeft || 0), plot.over.offsetTop + (plot.root.offsetTop || 0)];
  const x = plot.valToPos(us / 1e6, 'x');
  const y = Math.max(0, Math.min(plot.over.clientHeight, plot.valToPos(value, 'y')));
  return { left: left + x, top: top + y, ...(x < 0 || x > plot.over.clientWidth ? { display: 'none' } : {}) };
}

/** Values that no line leads to or from. */
function lonely(values: (number | null)[]): number[] {
  const isNothing = (value: number | null | undefined) => value === null || value === undefined;
  return values.flatMap((value, index) => (!isNothing(value) && isNothing(values[index - 1]) && isNothing(values[index + 1]) ? [index] : []));
}
