// What a thread was doing when it was sampled: names and colours.

import { isDark } from '../../lib/theme';

const STATES: Record<string, { label: string; hue: number; saturation: number }> = {
  cpu: { label: 'on the CPU', hue: 172, saturation: 55 },
  gil: { label: 'waiting for the GIL', hue: 12, saturation: 65 },
  lock: { label: 'waiting for a lock', hue: 40, saturation: 70 },
  network: { label: 'network', hue: 212, saturation: 60 },
  disk: { label: 'disk', hue: 262, saturation: 45 },
  sleep: { label: 'sleeping', hue: 300, saturation: 30 },
  child: { label: 'a child process', hue: 332, saturation: 50 },
  runqueue: { label: 'ready, no CPU free', hue: 24, saturation: 80 },
  idle: { label: 'idle', hue: 210, saturation: 8 },
  other: { label: 'other waits', hue: 90, saturation: 25 },
};

/** The states in the order in which they are stacked. */
const ORDER = Object.keys(STATES);

export const stateLabel = (state: string): string => STATES[state]?.label ?? (state || 'not told');

const LIGHTNESS: [number, number] = [44, 56];

/** The colour of a key; what is no state gets one of its own by its place. */
export function stateColor(state: string, place: number): string {
  const known = STATES[state] ?? { hue: (place * 67 + 172) % 360, saturation: 45 };
  const lightness = LIGHTNESS[isDark() ? 1 : 0] + (ORDER.indexOf(state) % 2 === 1 ? 8 : 0);
  return `hsl(${known.hue} ${known.saturation}% ${lightness}%)`;
}

/** States in their order, others after them by name. */
export function byState<T extends { key: string }>(rows: T[]): T[] {
  const place = (key: string) => (ORDER.includes(key) ? ORDER.indexOf(key) : ORDER.length);
  return rows.toSorted((a, b) => place(a.key) - place(b.key) || (a.key < b.key ? -1 : 1));
}
