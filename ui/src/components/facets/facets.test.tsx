import { act } from 'react';
import { type Root, createRoot } from 'react-dom/client';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { termOf } from '../../lib/query/edit';
import type { Facets } from '../../lib/query/types';
import { FacetList } from './facets';

const toggled = vi.fn();
let root: Root;

const facet = (key: string, values: Record<string, number>) => ({
  key,
  type: 'string',
  share: 1,
  distinct: Object.keys(values).length,
  exact: false,
  unique: false,
  top: Object.entries(values).map(([value, count]) => ({ value, term: termOf(key, value), count })),
});
const SERVICE = facet('service', { flaskr: 90, billing: 45 });
const NAME = facet('name', { 'GET /': 50 });

function show(facets: Partial<Facets> | null, query = '', scope = 'a'): void {
  const all = facets && { sampled: true, sample: 2_000, keys: [SERVICE, NAME], ...facets };
  act(() => root.render(<FacetList facets={all} failed={false} onAsk={null} scope={scope} query={query} onToggle={toggled} />));
}

const rows = () => [...document.querySelectorAll<HTMLElement>('[data-row]')].map((row) => row.dataset['row']);
const button = (row: string, index = 0) => document.querySelectorAll<HTMLElement>(`[data-row="${row}"] button`)[index]!;
const click = (element: HTMLElement, how: MouseEventInit = {}) => act(() => void element.dispatchEvent(new MouseEvent('click', { bubbles: true, ...how })));
const press = (key: string) => act(() => void document.activeElement!.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })));

beforeEach(() => {
  vi.stubGlobal('IS_REACT_ACT_ENVIRONMENT', true);
  localStorage.clear();
  document.body.innerHTML = '<div id="root"></div>';
  root = createRoot(document.getElementById('root')!);
});

afterEach(() => {
  act(() => root.unmount());
  vi.unstubAllGlobals();
  toggled.mockReset();
});

test('a click asks for a value, Alt-click and the minus leave it out', () => {
  show({});
  click(button('service:flaskr'));
  click(button('service:flaskr'), { altKey: true });
  click(button('service:flaskr', 1));
  expect(toggled.mock.calls).toEqual([['service:flaskr', 'included'], ['service:flaskr', 'excluded'], ['service:flaskr', 'excluded']]);
});

test('what the query asks for is marked', () => {
  show({}, 'service:flaskr -name:"GET /"');
  expect(button('service:flaskr').getAttribute('aria-pressed')).toBe('true');
  expect(button('service:billing').getAttribute('aria-pressed')).toBe('false');
  expect(document.querySelector('.excluded .facet-name')?.textContent).toBe('GET /');
});

test('counts are bars, and a sample is said to be one', () => {
  show({});
  expect([...document.querySelectorAll<HTMLElement>('.facet-bar')].map((bar) => bar.style.width)).toEqual(['100%', '50%', '100%']);
  expect(document.body.textContent).toContain('Sampled from the newest 2,000 spans');
  show({ sampled: false, sample: 140 });
  expect(document.body.textContent).toContain('Of all 140 spans');
});

test('the list is one stop of the Tab key, and arrows walk it', () => {
  show({});
  const stops = () => document.querySelectorAll('.facets-list [tabindex="0"]').length;
  expect(stops()).toBe(1);
  act(() => button('service').focus());
  press('ArrowDown');
  expect(document.activeElement).toBe(button('service:flaskr'));
  press('ArrowRight');
  expect(document.activeElement).toBe(button('service:flaskr', 1));
  press('ArrowDown');
  expect(document.activeElement).toBe(button('service:billing', 1));
  press('End');
  expect(document.activeElement?.closest('[data-row]')).toBe(document.querySelector(`[data-row='name:"GET /"']`));
  expect(stops()).toBe(1);
});

test('while the same is shown, nothing changes its place; another search begins anew', () => {
  show({});
  const other = { keys: [NAME, facet('service', { billing: 99, flaskr: 95 })] };
  const before = rows();
  show(other);
  expect(rows()).toEqual(before);
  show({ ...other, keys: [...other.keys] }, '', 'b');
  expect(rows()).toEqual(['name', 'name:"GET /"', 'service', 'service:billing', 'service:flaskr']);
});

test('fields are filtered, and what was folded stays folded', () => {
  show({});
  click(button('service'));
  expect(rows()).toEqual(['service', 'name', 'name:"GET /"']);
  click(document.querySelector<HTMLElement>('[title="Hide the fields"]')!);
  expect(rows()).toEqual([]);
  act(() => root.unmount());
  root = createRoot(document.getElementById('root')!);
  show({});
  expect(rows()).toEqual([]);
  click(document.querySelector<HTMLElement>('[title="Show the fields"]')!);
  expect(rows()).toEqual(['service', 'name', 'name:"GET /"']);
});
