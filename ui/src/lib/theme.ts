// The theme: dark, light, or the system's. Canvases are told when it changes.

export type Theme = 'dark' | 'light' | 'system';

const KEY = 'pitviper.theme';
const media = () => window.matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();

export function storedTheme(): Theme {
  const stored = localStorage.getItem(KEY);
  return stored === 'dark' || stored === 'light' ? stored : 'system';
}

export function applyTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  const dark = theme === 'dark' || (theme === 'system' && media().matches);
  document.documentElement.dataset['theme'] = dark ? 'dark' : 'light';
  for (const listener of listeners) listener();
}

export function onThemeChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const isDark = (): boolean => document.documentElement.dataset['theme'] === 'dark';

/** The value of a colour token, for canvases. */
export const token = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Twenty hues that differ for most kinds of colour vision, one lightness a theme.
const HUES = [172, 262, 32, 212, 332, 92, 292, 12, 192, 52, 242, 132, 312, 72, 232, 152, 352, 112, 272, 22];

/** In percent. Neighbours in hue differ in lightness as well. */
function lightness(index: number): number {
  const odd = index % 2 === 1;
  return isDark() ? (odd ? 68 : 52) : odd ? 58 : 40;
}

/** The colour of a service, by the index the server gives it: the same on every screen. */
export function serviceColor(index: number): string {
  const hue = HUES[((index % HUES.length) + HUES.length) % HUES.length];
  return `hsl(${hue} ${isDark() ? 48 : 55}% ${lightness(index)}%)`;
}

/** The colour of text on a service's colour. */
export const onServiceColor = (index: number): string => (lightness(index) > 45 ? '#101418' : '#ffffff');

/** The colour index of a service, as the server computes it: 32-bit FNV-1a of its name. */
export function colorIndex(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash % HUES.length;
}
