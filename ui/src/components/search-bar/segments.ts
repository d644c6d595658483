// The runs of text that look alike. As few as can be: each begins at a whole fraction of a pixel, so
// many of them on a line drift from where the field draws its letters.

import type { Mistake, Token, TokenKind } from '../../lib/query/types';

type Look = Exclude<TokenKind, 'word' | 'value'> | 'plain';

export interface Segment {
  text: string;
  look: Look;
  wrong: boolean;
}

const lookOf = (kind: TokenKind | undefined): Look => (kind === undefined || kind === 'word' || kind === 'value' ? 'plain' : kind);

/** A mistake about nothing, such as a missing value, is shown at the character before it. */
function visible({ from, to }: Mistake, length: number): { from: number; to: number } {
  return from < to ? { from, to } : { from: Math.max(0, Math.min(from, length) - 1), to: Math.max(1, from) };
}

export function segments(text: string, tokens: Token[], mistakes: Mistake[]): Segment[] {
  const wrong = mistakes.map((mistake) => visible(mistake, text.length));
  const cuts = new Set([text.length]);
  for (const { from, to } of [...tokens, ...wrong]) cuts.add(Math.min(from, text.length)).add(Math.min(to, text.length));
  const all: Segment[] = [];
  let from = 0;
  for (const to of [...cuts].toSorted((a, b) => a - b)) {
    if (to === from) continue;
    const covers = (range: { from: number; to: number }) => range.from <= from && to <= range.to;
    const piece = text.slice(from, to);
    const last = all.at(-1);
    const isWrong = wrong.some(covers);
    // White space has no colour of its own.
    const look = last && piece.trim() === '' ? last.look : lookOf(tokens.find(covers)?.kind);
    if (last?.look === look && last.wrong === isWrong) last.text += piece;
    else all.push({ text: piece, look, wrong: isWrong });
    from = to;
  }
  return all;
}
