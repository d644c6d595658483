// A chart over time. Charts on one page share their cursor; dragging across one chooses a time.

import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

import { onThemeChange, token } from '../lib/theme';

export interface Line {
  label: string;
  /** A colour token. */
  color: string;
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
}

/** Times of day, with seconds when the ticks are that close, with the day where it begins. */
function clock(seconds: number[]): string[] {
  const close = (seconds[1] ?? 0) - (seconds[0] ?? 0) < 60;
  return seconds.map((second) => {
    const date = new Date(second * 1000);
    const midnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
    if (midnight) return date.toLocaleDateString([], { month: 'short', day: 'numeric' });
    return date.toTimeString().slice(0, close ? 8 : 5);
  });
}

const sync = uPlot.sync('pitviper');

export function Chart({ times, lines, format, onZoom, label }: Props) {
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
          scales: { x: { time: true }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
          axes: [
            { ...axis, size: 30, values: (_, seconds) => clock(seconds) },
            { ...axis, size: 66, values: (_, values) => values.map((value) => (value === 0 ? '0' : format(value))) },
          ],
          series: [
            {},
            ...lines.map((line): uPlot.Series => {
              const stroke = token(line.color);
              const points = { show: line.values.filter((value) => value !== null).length < 3 };
              return { label: line.label, stroke, width: 1.5, points, ...(line.fill ? { fill: `${stroke}22` } : {}) };
            }),
          ],
          hooks: {
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
  }, [times, lines, format]);

  return (
    <section className="panel">
      <header>
        <h2>{label}</h2>
        <span className="spacer" />
        <span className="readout muted" ref={readout}>
          {lines.map((line) => (
            <span key={line.label}>
              {line.label && <i style={{ background: `var(${line.color})` }} />}
              {line.label} <b />
            </span>
          ))}
        </span>
      </header>
      <div className="chart" ref={host} role="img" aria-label={`${label} over time`} />
    </section>
  );
}
