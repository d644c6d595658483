// Which frames a search means, and how much of the profile they are.

import type { FlameTree, Frame } from './tree';

/** What a search means: a regular expression, or its letters where it is none; null for no search. */
export function patternOf(text: string): RegExp | null {
  const wanted = text.trim();
  if (!wanted) return null;
  try {
    return new RegExp(wanted, 'iu');
  } catch {
    return new RegExp(wanted.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'iu');
  }
}

export const isMatch = (pattern: RegExp, frame: Frame): boolean => pattern.test(frame.fn) || pattern.test(`${frame.file}:${frame.line}`) || (frame.pkg !== '' && pattern.test(frame.pkg));

/** For each frame 1 where the pattern matches it. */
export const hitsOf = (tree: FlameTree, pattern: RegExp): Uint8Array => Uint8Array.from(tree.frames, (frame) => (isMatch(pattern, frame) ? 1 : 0));

/** How much of the tree is at or below a frame that was hit; what is hit twice counts once. */
export function hitValue(tree: FlameTree, hits: Uint8Array): number {
  const below = new Uint8Array(tree.n);
  let sum = 0;
  for (let row = 0; row < tree.n; row += 1) {
    const parent = tree.parent[row]!;
    if (parent >= 0 && below[parent] === 1) below[row] = 1;
    else if (tree.frame[row]! >= 0 && hits[tree.frame[row]!] === 1) {
      below[row] = 1;
      sum += tree.w[row]!;
    }
  }
  return sum;
}
