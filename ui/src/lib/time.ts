// What may be typed into the time picker, and what the server is asked.

export interface TimeRange {
  from: string;
  to: string;
}

export const DEFAULT_RANGE: TimeRange = { from: 'now-1h', to: 'now' };

export const PRESETS = ['5m', '15m', '1h', '3h', '12h', '1d', '7d', '30d'] as const;

const UNIT_MS: Record<string, number> = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3, w: 604_800e3 };

/** The moment an expression means, in milliseconds since the epoch; null when it means none. */
export function resolve(expression: string, now: number): number | null {
  const text = expression.trim();
  if (text === 'now') return now;
  const relative = /^now-(\d+)([smhdw])$/.exec(text);
  if (relative) return now - Number(relative[1]) * (UNIT_MS[relative[2] ?? ''] ?? 0);
  if (/^\d{16}$/.test(text)) return Number(text) / 1000;
  if (/^\d{13}$/.test(text)) return Number(text);
  if (/^\d{10}$/.test(text)) return Number(text) * 1000;
  const parsed = Date.parse(text.replace(' ', 'T'));
  return Number.isNaN(parsed) ? null : parsed;
}

/** Reads what somebody typed: `15m`, `now-2h`, `today`, `2026-11-21 14:00 to 15:00`; null when unclear. */
export function parseRange(typed: string, now: number): TimeRange | null {
  const text = typed.trim().toLowerCase();
  if (/^\d+[smhdw]$/.test(text)) return { from: `now-${text}`, to: 'now' };
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  if (text === 'today') return { from: iso(midnight), to: 'now' };
  if (text === 'yesterday') return { from: iso(midnight - 86_400e3), to: iso(midnight) };
  const parts = typed.split(/\s+to\s+|\s+-\s+|\s*…\s*/);
  const from = parts[0]?.trim() ?? '';
  let to = parts[1]?.trim() ?? 'now';
  if (/^\d\d:\d\d(:\d\d)?$/.test(to)) to = `${from.slice(0, 10)} ${to}`;
  const [start, end] = [resolve(from, now), resolve(to, now)];
  if (parts.length > 2 || start === null || end === null || start >= end) return null;
  return { from: from.startsWith('now') ? from : iso(start), to: to.startsWith('now') ? to : iso(end) };
}

const iso = (ms: number) => new Date(ms).toISOString();

/** How a range reads on a button. */
export function describe(range: TimeRange): string {
  const relative = /^now-(\d+[smhdw])$/.exec(range.from);
  if (relative && range.to === 'now') return `last ${relative[1]}`;
  const short = (expression: string) => {
    const ms = expression.startsWith('now') ? null : resolve(expression, 0);
    return ms === null ? expression : new Date(ms).toLocaleString([], { dateStyle: 'short', timeStyle: 'medium' });
  };
  return `${short(range.from)} – ${short(range.to)}`;
}

/** The range twice as long with the same middle, ending now at the latest. */
export function zoomOut(range: TimeRange, now: number): TimeRange {
  const [start, end] = [resolve(range.from, now) ?? now - 3600e3, resolve(range.to, now) ?? now];
  const half = (end - start) / 2;
  return { from: iso(start - half), to: iso(Math.min(now, end + half)) };
}

/** Times of day, with seconds when the ticks are that close, with the day where it begins. */
export function clock(seconds: number[]): string[] {
  const close = (seconds[1] ?? 0) - (seconds[0] ?? 0) < 60;
  return seconds.map((second) => {
    const date = new Date(second * 1000);
    const midnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
    if (midnight) return date.toLocaleDateString([], { month: 'short', day: 'numeric' });
    return date.toTimeString().slice(0, close ? 8 : 5);
  });
}
