// What the list below the field offers, and what a key does to it.

import type { Completion, Suggestion } from '../../lib/query/types';

/** A completion, and the text and cursor it was asked for. */
export interface Completed extends Completion {
  query: string;
  cursor: number;
}

export interface Option {
  kind: Suggestion['kind'] | 'history';
  insert: string;
  detail: string;
  /** What it replaces. */
  from: number;
  to: number;
  /** Where in the inserted text the cursor goes. */
  caret: number;
}

/** Most queries of the past that are offered. */
const MAX_HISTORY = 8;

/**
 * The range and items of a completion after more was typed, until the server's next answer. Nothing
 * when the text changed anywhere but between the range's start and the cursor.
 */
export function narrow(completed: Completed, text: string, cursor: number): Completion | null {
  const [from, to] = completed.replace;
  const rest = completed.query.slice(completed.cursor);
  if (cursor < from || text.slice(0, from) !== completed.query.slice(0, from) || text.slice(cursor) !== rest) return null;
  const typed = text.slice(from, cursor);
  const isSame = text === completed.query && cursor === completed.cursor;
  if (!isSame && /[\s:()]/.test(typed)) return null;
  const end = cursor + Math.max(0, to - completed.cursor);
  const matches = (item: Suggestion) => isSame || item.insert.toLowerCase().includes(typed.toLowerCase());
  return { replace: [from, end], items: completed.items.filter(matches) };
}

export function options(text: string, cursor: number, completed: Completed | null, history: string[]): Option[] {
  const completion = completed && narrow(completed, text, cursor);
  const [from, to] = completion?.replace ?? [0, 0];
  const offered = (completion?.items ?? [])
    // What is there already is no news.
    .filter((item) => item.insert !== text.slice(from, to))
    .map((item) => ({ kind: item.kind, insert: item.insert, detail: item.detail ?? '', from, to, caret: item.caret ?? item.insert.length }));
  if (text.trim() !== '') return offered;
  const past = history.slice(0, MAX_HISTORY).map((insert) => ({ kind: 'history' as const, insert, detail: '', from: 0, to: text.length, caret: insert.length }));
  return [...past, ...offered];
}

export interface ListState {
  /** How many options are shown; zero when the list is closed. */
  count: number;
  /** The option the arrows chose, or -1. */
  active: number;
  /** Whether Tab takes the first option when none was chosen: a term has been begun. */
  eager: boolean;
}

export type ListAction = { type: 'open' | 'close' | 'run' | 'fix' } | { type: 'move' | 'accept'; index: number };

export interface Key {
  key: string;
  ctrlKey: boolean;
  altKey: boolean;
  shiftKey: boolean;
}

/** What a key does; `null` leaves it to the field. */
export function actionOf({ key, ctrlKey, altKey, shiftKey }: Key, { count, active, eager }: ListState): ListAction | null {
  if (ctrlKey && key === ' ') return { type: 'open' };
  if (altKey && key === 'ArrowDown') return { type: 'open' };
  if (altKey && key === 'Enter') return { type: 'fix' };
  // A line break; Shift-Tab always leaves.
  if (shiftKey || ctrlKey || altKey) return null;
  if (key === 'Enter') return active >= 0 ? { type: 'accept', index: active } : { type: 'run' };
  if (count === 0) return null;
  if (key === 'Escape') return { type: 'close' };
  // Beyond either end lies the text itself.
  if (key === 'ArrowDown') return { type: 'move', index: active + 1 < count ? active + 1 : -1 };
  if (key === 'ArrowUp') return { type: 'move', index: active >= 0 ? active - 1 : count - 1 };
  if (key === 'Tab' && (active >= 0 || eager)) return { type: 'accept', index: Math.max(0, active) };
  return null;
}
