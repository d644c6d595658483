// Takes a statement apart to colour it. The server alone knows what is right.

import type { Token, TokenKind } from '../query/types';

const KEYWORDS = new Set(
  `all and any as asc between by case cast cross current date describe desc distinct else end except exists explain false filter first following
  from full group having ilike in inner intersect interval is join last lateral left like limit not null nulls offset on or order outer over
  partition preceding qualify range right row rows select show similar some tables then timestamp true try_cast unbounded union using values when where
  window with within`.split(/\s+/),
);

/** What begins here: white space and signs have no kind of their own. */
const PIECES: [RegExp, (text: string, behind: string) => TokenKind | null][] = [
  [/\s+/y, () => null],
  [/--[^\n]*/y, () => 'bracket'],
  [/\/\*(?:[^*]|\*(?!\/))*(?:\*\/|$)/y, (text) => (text.endsWith('*/') && text.length > 3 ? 'bracket' : 'error')],
  [/'(?:[^']|'')*(?:'|$)/y, (text) => (isClosed(text, "'") ? 'regex' : 'error')],
  [/"(?:[^"]|"")*(?:"|$)/y, (text) => (isClosed(text, '"') ? 'field' : 'error')],
  [/(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?/iy, () => 'number'],
  [/[\p{L}_][\p{L}\p{N}_$]*/uy, (text, behind) => (KEYWORDS.has(text.toLowerCase()) ? 'operator' : /^\s*\(/.test(behind) ? 'function' : 'word')],
  [/[()[\],;]/y, () => 'bracket'],
  [/./suy, () => null],
];

const isClosed = (text: string, quote: string): boolean => text.length > 1 && text.endsWith(quote);

export function sqlTokens(text: string, names: ReadonlySet<string> = new Set()): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    for (const [pattern, kindOf] of PIECES) {
      pattern.lastIndex = at;
      const piece = pattern.exec(text)?.[0];
      if (!piece) continue;
      const to = at + piece.length;
      const kind = kindOf(piece, text.slice(to, to + 8));
      if (kind) tokens.push({ kind: kind === 'word' && names.has(piece.toLowerCase()) ? 'field' : kind, from: at, to });
      at = to;
      break;
    }
  }
  return tokens;
}

/** The word that a place lies in, since a mistake is told by its first letter. */
export function wordAt(text: string, { from, to }: { from: number; to: number }): { from: number; to: number } {
  const rest = /^[\p{L}\p{N}_$]+/u.exec(text.slice(from))?.[0].length ?? 0;
  return { from, to: Math.max(to, from + rest) };
}

/** Line and column of a place, both from one. */
export function lineAt(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at);
  return { line: before.split('\n').length, column: at - before.lastIndexOf('\n') };
}
