// The colours of a flame graph, and which one a frame or a row has.
//
// Own code, libraries and the standard library differ in hue and lightness. Differences go from blue to
// orange, which all common kinds of colour vision tell apart.

import type { FlameTree, Frame, Kind } from '../../lib/flame/tree';
import { isDark, token } from '../../lib/theme';

export type ColorBy = 'code' | 'package' | 'diff';

/** Neighbours of one kind get different shades. */
const SHADES = 3;
const KINDS: Kind[] = ['own', 'library', 'stdlib'];
/** Steps on each side of no difference. */
const STEPS = 5;
const PACKAGES = 14;
/** From this many times as much, or as little, the colour is the strongest. */
const STRONGEST = 4;

const DIFF = KINDS.length * SHADES;
const PACKAGE = DIFF + 2 * STEPS + 1;
const ROOT = PACKAGE + PACKAGES;

export interface FlamePalette {
  /** Fills by the index that {@link rowColors} gives. */
  fills: string[];
  bg: string;
  text: string;
  muted: string;
  sliver: string;
  focus: string;
  hit: string;
}

const LIGHT: Record<Kind, (shade: number) => string> = {
  own: (shade) => `hsl(${168 + 6 * shade} 48% ${72 + 5 * shade}%)`,
  library: (shade) => `hsl(${258 + 8 * shade} 58% ${83 + 3 * shade}%)`,
  stdlib: (shade) => `hsl(210 14% ${80 + 4 * shade}%)`,
};
const DARK: Record<Kind, (shade: number) => string> = {
  own: (shade) => `hsl(${168 + 6 * shade} 52% ${22 + 4 * shade}%)`,
  library: (shade) => `hsl(${258 + 8 * shade} 30% ${33 + 4 * shade}%)`,
  stdlib: (shade) => `hsl(210 10% ${23 + 4 * shade}%)`,
};

/** The fill of a step from -STEPS, much less, to STEPS, much more. */
function difference(step: number, dark: boolean): string {
  if (step === 0) return dark ? 'hsl(210 10% 26%)' : 'hsl(210 14% 90%)';
  const strength = Math.abs(step) / STEPS;
  const hue = step < 0 ? 214 : 30;
  const saturation = (step < 0 ? 62 : 82) * (0.45 + 0.55 * strength);
  return dark ? `hsl(${hue} ${saturation}% ${26 + (step < 0 ? 20 : 12) * strength}%)` : `hsl(${hue} ${saturation + 8}% ${88 - 26 * strength}%)`;
}

export function flamePalette(): FlamePalette {
  const dark = isDark();
  const kinds = KINDS.flatMap((kind) => Array.from({ length: SHADES }, (_, shade) => (dark ? DARK : LIGHT)[kind](shade)));
  const steps = Array.from({ length: 2 * STEPS + 1 }, (_, step) => difference(step - STEPS, dark));
  const packages = Array.from({ length: PACKAGES }, (_, index) => `hsl(${Math.round((index * 360) / PACKAGES)} ${dark ? 32 : 52}% ${(dark ? 27 : 78) + 5 * (index % 2)}%)`);
  return {
    fills: [...kinds, ...steps, ...packages, token('--bg-3')],
    bg: token('--bg'),
    text: token('--text'),
    muted: token('--text-2'),
    sliver: dark ? '#4a545e' : '#b9c0c7',
    focus: token('--focus'),
    hit: token('--warn'),
  };
}

const ofFrame = (frame: Frame, by: ColorBy): number =>
  by === 'package' && frame.pkg !== '' ? PACKAGE + (hashed(frame.pkg) % PACKAGES) : KINDS.indexOf(frame.kind) * SHADES + (frame.hash % SHADES);

const hashed = (text: string): number => Array.from(text).reduce((hash, letter) => (Math.imul(hash, 31) + letter.charCodeAt(0)) >>> 0, 7);

/** How much larger its share became: 0 for the same, 1 for the strongest growth, -1 for the opposite. */
export function growth(tree: FlameTree, row: number): number {
  const now = tree.total > 0 ? tree.w[row]! / tree.total : 0;
  const before = tree.totalBase > 0 ? (tree.wBase?.[row] ?? 0) / tree.totalBase : 0;
  if (now === before) return 0;
  if (now === 0) return -1;
  if (before === 0) return 1;
  return Math.max(-1, Math.min(1, Math.log(now / before) / Math.log(STRONGEST)));
}

/** The index of each row's fill. */
export function rowColors(tree: FlameTree, by: ColorBy): Uint8Array {
  const frames = Uint8Array.from(tree.frames, (frame) => ofFrame(frame, by));
  const colors = new Uint8Array(tree.n);
  for (let row = 0; row < tree.n; row += 1) {
    const frame = tree.frame[row]!;
    if (by === 'diff') colors[row] = DIFF + STEPS + Math.round(growth(tree, row) * STEPS);
    else colors[row] = frame < 0 ? ROOT : frames[frame]!;
  }
  return colors;
}

/** What the legend shows, with the index of each fill. */
export function legendOf(by: ColorBy): { label: string; fills: number[] }[] {
  if (by === 'diff') return [{ label: 'less', fills: [DIFF, DIFF + 2] }, { label: 'same', fills: [DIFF + STEPS] }, { label: 'more', fills: [DIFF + 2 * STEPS - 2, DIFF + 2 * STEPS] }];
  if (by === 'package') return [{ label: 'own code', fills: [0] }, { label: 'each package its own', fills: [PACKAGE, PACKAGE + 4, PACKAGE + 8] }];
  return KINDS.map((kind, index) => ({ label: { own: 'own code', library: 'libraries', stdlib: 'standard library' }[kind], fills: [index * SHADES] }));
}
