// The runs of text that look alike: cut where a token or a mistake begins or ends.

import type { Mistake, Token, TokenKind } from '../../lib/query/types';

export interface Segment {
  text: string;
  /** `null` between tokens. */
  kind: TokenKind | null;
  wrong: boolean;
}

/** A mistake about nothing, such as a missing value, is shown at the character before it. */
function visible({ from, to }: Mistake, length: number): { from: number; to: number } {
  return from < to ? { from, to } : { from: Math.max(0, Math.min(from, length) - 1), to: Math.max(1, from) };
}

export function segments(text: string, tokens: Token[], mistakes: Mistake[]): Segment[] {
  const wrong = mistakes.map((mistake) => visible(mistake, text.length));
  const cuts = new Set([0, text.length]);
  for (const { from, to } of [...tokens, ...wrong]) cuts.add(Math.min(from, text.length)).add(Math.min(to, text.length));
  const sorted = [...cuts].toSorted((a, b) => a - b);
  return sorted.slice(1).map((to, index) => {
    const from = sorted[index] ?? 0;
    const covers = (range: { from: number; to: number }) => range.from <= from && to <= range.to;
    return { text: text.slice(from, to), kind: tokens.find(covers)?.kind ?? null, wrong: wrong.some(covers) };
  });
}
