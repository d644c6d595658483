// Edits of a query's text that leave a query: what chips and facets do.

import { tokenize } from './tokens';
import type { Token } from './types';

/** Terms that are there, terms that are excluded, or neither. */
export type Presence = 'included' | 'excluded' | null;

interface Range {
  from: number;
  to: number;
}

const NOT = /^(?:-|NOT$)/;

/** Whether the text means itself without quotes wherever it stands; the same rule as the server's. */
function isPlain(text: string): boolean {
  const reserved = /^(?:AND|OR|NOT|TO|\dxx)$/i.test(text) || /^-|\/$/.test(text);
  return !reserved && /^[\p{Alphabetic}\p{N}_./-]+$/u.test(text);
}

export const quote = (text: string): string => (isPlain(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`);

const keyOf = (key: string): string => (isPlain(key.replace(/^@/, '')) ? key : quote(key));

/** `key:value`, as it is written in a query. */
export const termOf = (key: string, value: string): string => `${keyOf(key)}:${quote(value)}`;

/** What asks for all that do not have the key. */
export const without = (key: string): string => `-${keyOf(key)}:*`;

/** The query without a part of it. */
export function remove(text: string, { from, to }: Range): string {
  const tokens = tokenize(text);
  const before = tokens.findLast((token) => token.to <= from);
  const behind = tokens.find((token) => token.from >= to);
  // What joined the part to its neighbours goes with it.
  const isAnd = (token: Token | undefined) => token !== undefined && text.slice(token.from, token.to) === 'AND';
  const start = isAnd(before) ? before!.from : from;
  const end = !isAnd(before) && isAnd(behind) ? behind!.to : to;
  const left = text.slice(0, start).trimEnd();
  const right = text.slice(end).trimStart();
  // A function needs something it can count.
  if (left === '' && /^\|(?!\|)/.test(right)) return `{} ${right}`;
  const touches = left === '' || right === '' || /[{(]$/.test(left) || /^[})]/.test(right);
  return `${left}${touches ? '' : ' '}${right}`;
}

/** The query with the opposite of a part of it. */
export function negate(text: string, { from, to }: Range): string {
  const part = text.slice(from, to);
  const tokens = tokenize(part);
  const [first, second] = tokens;
  const replace = (by: string) => text.slice(0, from) + by + text.slice(to);
  if (hasAtTop(part, tokens, /^(?:OR|AND)$/)) return replace(`-(${part})`);
  if (first?.kind === 'operator' && second && NOT.test(part.slice(first.from, first.to))) return replace(part.slice(second.from));
  return replace(`-${part}`);
}

/** Whether there is such an operator outside of all parentheses. */
export function hasAtTop(text: string, tokens: Token[], operator: RegExp): boolean {
  let depth = 0;
  return tokens.some((token) => {
    const written = text.slice(token.from, token.to);
    if (token.kind === 'bracket') depth += /[([{]/.test(written) ? 1 : /[)\]}]/.test(written) ? -1 : 0;
    return depth === 0 && token.kind === 'operator' && operator.test(written);
  });
}

/** The condition that found what is shown: the last one in braces, or all before the functions. */
export function lastCondition(text: string, tokens: Token[]): Range {
  const pipe = tokens.findIndex((token) => token.kind === 'pipe');
  const spans = pipe < 0 ? tokens : tokens.slice(0, pipe);
  const last = spans.at(-1);
  if (last?.kind === 'bracket' && text[last.from] === '}') {
    const open = spans.findLast((token) => token.kind === 'bracket' && text[token.from] === '{');
    if (open) return { from: open.to, to: last.from };
  }
  return { from: 0, to: pipe < 0 ? text.length : (tokens[pipe]?.from ?? text.length) };
}

/** Where a term stands in a condition, with the negation before it, outside of any parentheses. */
function find(text: string, condition: Range, term: string): (Range & { negated: boolean }) | null {
  const part = text.slice(condition.from, condition.to);
  const tokens = tokenize(part);
  if (hasAtTop(part, tokens, /^OR$/)) return null;
  let depth = 0;
  for (const [index, token] of tokens.entries()) {
    const written = part.slice(token.from, token.to);
    const to = token.from + term.length;
    if (depth === 0 && part.startsWith(term, token.from) && !/^\S/.test(part.slice(to))) {
      const previous = tokens[index - 1];
      const negated = previous?.kind === 'operator' && NOT.test(part.slice(previous.from, previous.to));
      const from = negated && previous ? previous.from : token.from;
      return { from: condition.from + from, to: condition.from + to, negated };
    }
    if (token.kind === 'bracket') depth += /[([{]/.test(written) ? 1 : -1;
  }
  return null;
}

/** Whether the query already asks for the term, or for the opposite. */
export function presence(text: string, term: string): Presence {
  const found = find(text, lastCondition(text, tokenize(text)), term);
  return found ? (found.negated ? 'excluded' : 'included') : null;
}

/** The query that also asks for a term, or for its opposite; asking for the same once more takes it back. */
export function toggle(text: string, term: string, wanted: 'included' | 'excluded'): string {
  const condition = lastCondition(text, tokenize(text));
  const found = find(text, condition, term);
  if (found) return (found.negated ? 'excluded' : 'included') === wanted ? remove(text, found) : negate(text, found);
  const part = text.slice(condition.from, condition.to).trim();
  // `OR` binds weaker than what is added.
  const kept = hasAtTop(part, tokenize(part), /^OR$/) ? `(${part})` : part;
  const added = [kept, wanted === 'excluded' ? `-${term}` : term].filter(Boolean).join(' ');
  const left = text.slice(0, condition.from);
  const right = text.slice(condition.to);
  return `${left}${added}${right !== '' && !right.startsWith('}') ? ' ' : ''}${right}`;
}
