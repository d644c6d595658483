// What was spent over time, by state or another dimension: bars on each other. Dragging chooses a time,
// dragging with Shift one to compare with.

import { type KeyboardEvent, type PointerEvent, type ReactNode, useMemo, useRef, useState } from 'react';

import type { ProfileSeries } from '../../api/profiles';
import { byState, stateColor, stateLabel } from '../../components/profile/states';
import { percent } from '../../lib/format';
import { clock } from '../../lib/time';
import { useThemed } from '../../lib/use-themed';

interface Props {
  data: ProfileSeries;
  /** What the bars are split by. */
  split: string;
  label: string;
  format: (value: number) => string;
  onZoom: (fromUs: number, toUs: number) => void;
  onCompare: (fromUs: number, toUs: number) => void;
  /** The time that is compared with. */
  baseline: { fromUs: number; toUs: number } | null;
  /** Whether values are of a moment, and not added up over time. */
  isMoment: boolean;
  /** Beside the heading. */
  children?: ReactNode;
}

/** Keys with a colour of their own; the others are drawn as one. */
const KEYS_MOST = 10;
const OTHERS = 'all others';
const MARKS = 6;

interface Layer {
  key: string;
  label: string;
  values: number[];
  total: number;
  color: string;
}

const sum = (values: number[]): number => values.reduce((all, value) => all + value, 0);

/** The series in the order of their layers; the smallest, where there are too many, as one. */
export function layersOf({ series, other }: ProfileSeries, split: string): Omit<Layer, 'color'>[] {
  const all = series.map(({ key, values }) => ({ key, label: split === 'state' ? stateLabel(key) : key || 'not told', values, total: sum(values) })).filter(({ total }) => total > 0);
  if (split === 'state') return byState(all);
  const sorted = all.toSorted((a, b) => b.total - a.total);
  const rest = [...sorted.slice(KEYS_MOST).map((layer) => layer.values), ...(other ? [other] : [])];
  const values = rest[0]?.map((_, index) => rest.reduce((all, layer) => all + (layer[index] ?? 0), 0)) ?? [];
  return [...sorted.slice(0, KEYS_MOST), ...(sum(values) > 0 ? [{ key: OTHERS, label: OTHERS, values, total: sum(values) }] : [])];
}

export function Timeline({ data, split, label, format, onZoom, onCompare, baseline, isMoment, children }: Props) {
  const theme = useThemed();
  const host = useRef<HTMLDivElement>(null);
  const [drag, setDrag] = useState<{ from: number; to: number; isBase: boolean } | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const layers = useMemo(() => layersOf(data, split).map((layer, place): Layer => ({ ...layer, color: stateColor(layer.key, place) })), [data, split, theme]);
  const buckets = layers[0]?.values.length ?? 0;
  const heights = Array.from({ length: buckets }, (_, index) => sum(layers.map((layer) => layer.values[index] ?? 0)));
  const most = Math.max(...heights, 1);
  // Of what was there at a moment the last word counts.
  const last = heights.findLastIndex((height) => height > 0);
  const whole = isMoment ? (heights[last] ?? 0) : sum(heights);
  const [from, to] = [data.from_us, data.from_us + buckets * data.step_us];
  const usAt = (share: number) => Math.round(from + share * (to - from));

  const share = (event: PointerEvent): number => {
    const box = host.current?.getBoundingClientRect();
    return box && box.width > 0 ? Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) : 0;
  };
  const onPointerDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    host.current?.setPointerCapture(event.pointerId);
    const here = share(event);
    setDrag({ from: here, to: here, isBase: event.shiftKey });
  };
  const onPointerMove = (event: PointerEvent) => {
    const here = share(event);
    if (drag) setDrag({ ...drag, to: here });
    else setAt(Math.min(buckets - 1, Math.floor(here * buckets)));
  };
  const onPointerUp = () => {
    if (drag && Math.abs(drag.to - drag.from) > 0.005) {
      const [start, end] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
      (drag.isBase ? onCompare : onZoom)(usAt(start), usAt(end));
    }
    setDrag(null);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step !== undefined) setAt((now) => Math.max(0, Math.min(buckets - 1, (now ?? -1) + step)));
    else if (event.key === 'Enter' && at !== null) onZoom(usAt(at / buckets), usAt((at + 1) / buckets));
    else return;
    event.preventDefault();
  };

  const told = at !== null && at < buckets ? at : null;
  const inLegend = layers.map((layer) => ({ ...layer, shown: told !== null ? (layer.values[told] ?? 0) : isMoment ? (layer.values[last] ?? 0) : layer.total }));
  const of = told === null ? whole : heights[told]!;
  const marks = clock(Array.from({ length: MARKS }, (_, index) => (from + (index * (to - from)) / (MARKS - 1)) / 1e6));
  const band = (left: number, right: number, isBase: boolean) => (
    <div className={isBase ? 'timeline-band is-base' : 'timeline-band'} style={{ left: `${100 * Math.max(0, left)}%`, right: `${100 * (1 - Math.min(1, right))}%` }} />
  );
  const base = baseline ? [(baseline.fromUs - from) / (to - from), (baseline.toUs - from) / (to - from)] : null;
  return (
    <section className="panel" style={{ flex: 'none' }} aria-label="Over time">
      <header>
        <h2>{label}</h2>
        {children}
        <span className="muted">{told === null ? format(whole) : `${format(of)} at ${clock([usAt(told / buckets) / 1e6])[0]}`}</span>
        <span className="spacer" />
        <span className="timeline-legend">
          {inLegend.map((layer) => (
            <span key={layer.key}>
              <i style={{ background: layer.color }} />
              {layer.label} <span className="muted">{percent(of > 0 ? layer.shown / of : 0)}</span>
            </span>
          ))}
        </span>
      </header>
      <div
        ref={host}
        className="timeline"
        tabIndex={0}
        role="application"
        aria-label={`${label} over time. Arrow keys walk, Enter narrows the time; dragging with Shift chooses what to compare with.`}
        data-testid="profile-timeline"
        onPointerDown={onPointerDown}
        onPointerMove={onPointerMove}
        onPointerUp={onPointerUp}
        onPointerCancel={() => setDrag(null)}
        onPointerLeave={() => setAt(null)}
        onKeyDown={onKeyDown}
        onBlur={() => setAt(null)}
      >
        <Bars layers={layers} buckets={buckets} most={most} />
        {told !== null && !drag && band(told / buckets, (told + 1) / buckets, false)}
        {base && base[1]! > 0 && base[0]! < 1 && band(base[0]!, base[1]!, true)}
        {drag && band(Math.min(drag.from, drag.to), Math.max(drag.from, drag.to), drag.isBase)}
        <span className="visually-hidden" role="status">
          {told === null ? '' : `${format(of)}: ${inLegend.map((layer) => `${layer.label} ${percent(of > 0 ? layer.shown / of : 0)}`).join(', ')}`}
        </span>
      </div>
      <div className="timeline-axis muted" aria-hidden="true">
        {marks.map((mark, index) => (
          <span key={index}>{mark}</span>
        ))}
      </div>
    </section>
  );
}

/** One path a layer, whatever the number of bars. */
function Bars({ layers, buckets, most }: { layers: Layer[]; buckets: number; most: number }) {
  const floors = Array.from({ length: buckets }, () => 0);
  return (
    <svg viewBox={`0 0 ${Math.max(1, buckets)} 100`} preserveAspectRatio="none" aria-hidden="true">
      {layers.map((layer) => {
        const path = layer.values
          .map((value, index) => {
            const floor = floors[index]!;
            floors[index] = floor + value;
            const [low, high] = [100 - (100 * floor) / most, 100 - (100 * (floor + value)) / most];
            return value > 0 ? `M${index + 0.04} ${low.toFixed(2)}V${high.toFixed(2)}H${index + 0.96}V${low.toFixed(2)}Z` : '';
          })
          .join('');
        return <path key={layer.key} d={path} fill={layer.color} />;
      })}
    </svg>
  );
}
