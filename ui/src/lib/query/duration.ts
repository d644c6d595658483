// Durations in a query: how a range of them is written, and how it takes the place of another.

import { hasAtTop, lastCondition, remove } from './edit';
import { tokenize } from './tokens';
import type { Token } from './types';

const UNITS: [number, string][] = [
  [1e9, 's'],
  [1e6, 'ms'],
  [1e3, 'us'],
  [1, 'ns'],
];

/** How a term for durations begins. */
const ASKS = /^duration[:<>=]/;

/** A duration as a query has it, to three digits. */
export function written(ns: number): string {
  const rounded = Number(ns.toPrecision(3));
  const [size, unit] = UNITS.find(([least]) => rounded >= least) ?? [1, 'ns'];
  return `${Number((rounded / size).toPrecision(3))}${unit}`;
}

/** The term for durations between two, of which one may be open. */
export function durationTerm(fromNs: number | null, toNs: number | null): string {
  if (fromNs === null) return `duration:<=${written(toNs ?? 0)}`;
  return toNs === null ? `duration:>=${written(fromNs)}` : `duration:[${written(fromNs)} TO ${written(toNs)}]`;
}

/** The query with this term in place of what it says of durations so far. */
export function withDuration(text: string, term: string): string {
  const condition = lastCondition(text, tokenize(text));
  let part = text.slice(condition.from, condition.to).trim();
  if (hasAtTop(part, tokenize(part), /^OR$/)) part = `(${part})`;
  for (let found = durationIn(part); found; found = durationIn(part)) part = remove(part, found);
  const left = text.slice(0, condition.from);
  const right = text.slice(condition.to);
  return `${left}${[part, term].filter(Boolean).join(' ')}${right !== '' && !right.startsWith('}') ? ' ' : ''}${right}`;
}

/** Where a condition outside of parentheses asks for durations. */
function durationIn(part: string): { from: number; to: number } | null {
  const tokens = tokenize(part);
  let depth = 0;
  for (const [index, token] of tokens.entries()) {
    const text = part.slice(token.from, token.to);
    const isNegated = /^(?:-|NOT)$/.test(before(part, tokens[index - 1]));
    if (depth === 0 && ASKS.test(text) && !isNegated) return { from: token.from, to: endOf(part, tokens, index) };
    if (token.kind === 'bracket') depth += /[([{]/.test(text) ? 1 : -1;
  }
  return null;
}

const before = (part: string, token: Token | undefined): string => (token ? part.slice(token.from, token.to) : '');

/** Where the term ends that begins with a token: at the next space outside of its brackets. */
function endOf(part: string, tokens: Token[], first: number): number {
  let depth = 0;
  let end = tokens[first]?.to ?? part.length;
  for (const token of tokens.slice(first + 1)) {
    if (depth === 0 && token.from > end) break;
    const text = part.slice(token.from, token.to);
    if (token.kind === 'bracket') depth += /[([{]/.test(text) ? 1 : -1;
    if (depth < 0) break;
    end = token.to;
  }
  return end;
}
