import { expect, test } from 'vitest';

import { type Completed, type Key, type ListState, actionOf, narrow, options } from './completion';

const completed = (query: string, cursor: number, replace: [number, number], ...inserts: string[]): Completed => ({
  query,
  cursor,
  replace,
  items: inserts.map((insert) => ({ insert, kind: insert.endsWith(':') ? 'key' : 'value' })),
});
const inserts = (completion: ReturnType<typeof narrow>) => completion?.items.map((item) => item.insert);

test('an answer serves the letters typed after it, until the next one comes', () => {
  const answer = completed('a ht', 4, [2, 4], 'http.route:', 'http.status:', 'light:');
  expect(inserts(narrow(answer, 'a ht', 4))).toEqual(['http.route:', 'http.status:', 'light:']);
  expect(narrow(answer, 'a http.R', 8)).toEqual({ replace: [2, 8], items: [answer.items[0]] });
  expect(inserts(narrow(answer, 'a h', 3))).toEqual(['http.route:', 'http.status:', 'light:']);
});

test('an answer about another place or another term is none', () => {
  const answer = completed('a ht b', 4, [2, 4], 'http.route:');
  expect(narrow(answer, 'x ht b', 4)).toBeNull();
  expect(narrow(answer, 'a ht c', 4)).toBeNull();
  expect(narrow(answer, 'a', 1)).toBeNull();
  expect(narrow(answer, 'a ht: b', 5)).toBeNull();
  expect(narrow(answer, 'a ht  b', 5)).toBeNull();
});

test('what is behind the cursor and belongs to the term is replaced too', () => {
  const answer = completed('statsu:ok', 3, [0, 7], 'status:');
  expect(narrow(answer, 'statsu:ok', 3)?.replace).toEqual([0, 7]);
  expect(narrow(answer, 'stattsu:ok', 4)?.replace).toEqual([0, 8]);
  expect(narrow(completed('a:fl', 2, [2, 4], 'flaskr'), 'a:ffl', 3)?.replace).toEqual([2, 5]);
});

test('an empty field offers the last queries first; a term that is there is not offered', () => {
  const answer = completed('', 0, [0, 0], 'service:');
  expect(options('', 0, answer, ['x y', 'z']).map((option) => option.insert)).toEqual(['x y', 'z', 'service:']);
  expect(options('', 0, null, Array.from({ length: 30 }, String))).toHaveLength(8);
  expect(options('s', 1, completed('s', 1, [0, 1], 's', 'service:'), ['z']).map((option) => option.insert)).toEqual(['service:']);
});

const press = (key: string, list: Partial<ListState> = {}, modifiers: Partial<Key> = {}) =>
  actionOf({ key, ctrlKey: false, altKey: false, shiftKey: false, ...modifiers }, { count: 3, active: -1, eager: true, ...list });

test('arrows walk the list and the text between its ends', () => {
  expect([-1, 0, 1, 2].map((active) => press('ArrowDown', { active }))).toEqual([0, 1, 2, -1].map((index) => ({ type: 'move', index })));
  expect([-1, 2, 1, 0].map((active) => press('ArrowUp', { active }))).toEqual([2, 1, 0, -1].map((index) => ({ type: 'move', index })));
  expect(press('ArrowDown', { count: 0 })).toBeNull();
});

test('Enter searches, unless the arrows chose something', () => {
  expect(press('Enter')).toEqual({ type: 'run' });
  expect(press('Enter', { count: 0 })).toEqual({ type: 'run' });
  expect(press('Enter', { active: 1 })).toEqual({ type: 'accept', index: 1 });
  expect(press('Enter', {}, { altKey: true })).toEqual({ type: 'fix' });
  expect(press('Enter', {}, { shiftKey: true })).toBeNull();
});

test('Tab takes the first of what was typed for, and leaves the field otherwise', () => {
  expect(press('Tab')).toEqual({ type: 'accept', index: 0 });
  expect(press('Tab', { active: 2 })).toEqual({ type: 'accept', index: 2 });
  expect(press('Tab', { eager: false })).toBeNull();
  expect(press('Tab', { eager: false, active: 0 })).toEqual({ type: 'accept', index: 0 });
  expect(press('Tab', { count: 0 })).toBeNull();
  expect(press('Tab', {}, { shiftKey: true })).toBeNull();
});

test('the list opens when asked and closes with Escape', () => {
  expect(press(' ', { count: 0 }, { ctrlKey: true })).toEqual({ type: 'open' });
  expect(press('ArrowDown', { count: 0 }, { altKey: true })).toEqual({ type: 'open' });
  expect(press('Escape')).toEqual({ type: 'close' });
  expect(press('Escape', { count: 0 })).toBeNull();
  expect(press('a')).toBeNull();
});
