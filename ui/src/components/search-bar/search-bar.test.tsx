// The bar as a page uses it, with the text held outside.

import { act, useState } from 'react';
import { type Root, createRoot } from 'react-dom/client';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import type { Analysis, Chip } from '../../lib/query/types';
import type { Completed } from './completion';
import { SearchBar } from './search-bar';

const ran = vi.fn();
const changed = vi.fn();
const wanted = vi.fn();
let root: Root;

interface Known {
  errors?: Analysis['errors'];
  chips?: [from: number, to: number][];
  completed?: Completed;
  history?: string[];
}

function show(initial: string, known: Known = {}): void {
  const chips = (known.chips ?? []).map(([from, to]): Chip => ({ kind: 'term', index: 0, from, to, text: initial.slice(from, to), without: '' }));
  const analysis = { text: initial, result: { tokens: [], errors: known.errors ?? [], warnings: [], canonical: null, chips } };
  const Page = () => {
    const [text, setText] = useState(initial);
    return (
      <SearchBar text={text} onText={setText} onRun={ran} onEdit={(edited) => (setText(edited), changed(edited))} ran="" analysis={analysis} completed={known.completed ?? null} onCursor={wanted} history={known.history ?? []} placeholder="">
        <button type="submit">Search</button>
      </SearchBar>
    );
  };
  act(() => root.render(<Page />));
}

const field = () => document.querySelector<HTMLTextAreaElement>('[role=combobox]')!;
const listed = () => [...document.querySelectorAll('[role=option] code')].map((option) => option.textContent);
const press = (key: string, more: KeyboardEventInit = {}) => {
  const event = new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...more });
  act(() => void field().dispatchEvent(event));
  return event.defaultPrevented;
};
const click = (name: string) => act(() => document.querySelector<HTMLElement>(`[aria-label="${name}"]`)!.click());

beforeEach(() => {
  vi.stubGlobal('IS_REACT_ACT_ENVIRONMENT', true);
  document.body.innerHTML = '<div id="root"></div>';
  root = createRoot(document.getElementById('root')!);
});

afterEach(() => {
  act(() => root.unmount());
  vi.unstubAllGlobals();
  ran.mockReset();
  changed.mockReset();
  wanted.mockReset();
});

const KEYS: Completed = { query: 'a s', cursor: 3, replace: [2, 3], items: [{ insert: 'service:', kind: 'key', detail: '7 values' }, { insert: 'status:', kind: 'key' }] };

test('the list is asked for, walked and taken from, and says so to assistive technology', () => {
  show('a s', { completed: KEYS });
  expect(field().getAttribute('aria-expanded')).toBe('false');
  act(() => {
    field().focus();
    field().setSelectionRange(3, 3);
  });
  press(' ', { ctrlKey: true });
  expect(wanted).toHaveBeenLastCalledWith(3);
  expect(listed()).toEqual(['service:', 'status:']);
  expect(field().getAttribute('aria-expanded')).toBe('true');
  press('ArrowDown');
  press('ArrowDown');
  const active = document.getElementById(field().getAttribute('aria-activedescendant')!);
  expect(active?.querySelector('code')?.textContent).toBe('status:');
  expect(active?.getAttribute('aria-selected')).toBe('true');
  expect(press('Tab')).toBe(true);
  expect(field().value).toBe('a status:');
  expect(ran).not.toHaveBeenCalled();
  expect(press('Tab')).toBe(false);
  press('Enter');
  expect(ran).toHaveBeenCalledExactlyOnceWith('a status:');
});

test('Escape closes the list and keeps the text', () => {
  show('a s', { completed: KEYS });
  act(() => {
    field().focus();
    field().setSelectionRange(3, 3);
  });
  press(' ', { ctrlKey: true });
  expect(press('Escape')).toBe(true);
  expect(listed()).toEqual([]);
  expect(field().value).toBe('a s');
  expect(wanted).toHaveBeenLastCalledWith(null);
});

test('keys belong to an input method while it composes', () => {
  show('a', {});
  act(() => field().focus());
  expect(press('Enter', { isComposing: true })).toBe(false);
  expect(ran).not.toHaveBeenCalled();
});

test('an empty field offers the last queries, and Enter runs the one that was chosen', () => {
  show('', { history: ['status:error', 'b'] });
  act(() => field().focus());
  expect(listed()).toEqual(['status:error', 'b']);
  expect(press('Tab')).toBe(false);
  press('ArrowDown');
  press('Enter');
  expect(ran).toHaveBeenCalledExactlyOnceWith('status:error');
  expect(field().value).toBe('status:error');
});

test('a mistake is underlined and said, and one key mends it', () => {
  show('is:rot b', { errors: [{ from: 3, to: 6, message: 'not known', fix: { replace: 'root' } }] });
  expect(document.querySelector('.tok-wrong')?.textContent).toBe('rot');
  expect(field().getAttribute('aria-invalid')).toBe('true');
  expect(document.getElementById(field().getAttribute('aria-describedby')!)?.textContent).toContain('not known');
  press('Enter');
  expect(ran).not.toHaveBeenCalled();
  press('Enter', { altKey: true });
  expect(field().value).toBe('is:root b');
  // The server has not read the new text yet, so nothing is said of it.
  expect(field().getAttribute('aria-invalid')).toBe('false');
  press('Enter');
  expect(ran).toHaveBeenCalledExactlyOnceWith('is:root b');
});

test('chips turn around and take out what they stand for, and the search follows', () => {
  show('a  b', { chips: [[0, 1], [3, 4]] });
  click('Turn around b');
  expect([field().value, changed.mock.lastCall]).toEqual(['a  -b', ['a  -b']]);
});

test('a chip of a text that changed does nothing', () => {
  show('a b', { chips: [[0, 1], [2, 3]] });
  click('Remove a');
  expect(field().value).toBe('b');
  click('Remove b');
  expect(field().value).toBe('b');
  expect(changed).toHaveBeenCalledOnce();
  expect(ran).not.toHaveBeenCalled();
});
