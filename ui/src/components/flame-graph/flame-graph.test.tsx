import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { largeProfile, profileOf } from '../../lib/flame/example';
import { type FlameTree, flameTree, frameAt } from '../../lib/flame/tree';
import { FlameGraph } from './flame-graph';
import { growth, rowColors } from './palette';
import { isFew, points, rowWords } from './words';

const TREE = flameTree(profileOf({ stacks: { 'a;b': 3, 'a;flask/c': 1, d: 4 } }));
const nothing = () => {};
let host: HTMLElement;
let close = nothing;

beforeEach(() => {
  vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(400);
  vi.spyOn(HTMLElement.prototype, 'clientWidth', 'get').mockReturnValue(800);
  host = document.createElement('div');
  document.body.append(host);
});
afterEach(() => {
  close();
  host.remove();
  vi.restoreAllMocks();
});

interface Shown {
  tree?: FlameTree;
  orientation?: 'icicle' | 'flame';
  onFocus?: (row: number) => void;
  onKey?: (key: string, row: number) => boolean;
  menu?: string[];
}

function show({ tree = TREE, orientation = 'icicle', onFocus = nothing, onKey, menu }: Shown = {}): HTMLElement {
  const root = createRoot(host);
  close = () => flushSync(() => root.unmount());
  const items = menu ? { menuOf: () => menu.map((label) => ({ label, run: () => onFocus(-7) })) } : {};
  flushSync(() => root.render(<FlameGraph tree={tree} format={String} label="Test" orientation={orientation} colorBy="code" hits={null} focus={0} onFocus={onFocus} {...(onKey ? { onKey } : {})} {...items} />));
  return host.querySelector<HTMLElement>('[role=application]')!;
}
const press = (element: HTMLElement, ...keys: string[]) => keys.forEach((key) => flushSync(() => element.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }))));
const status = () => host.querySelector('[role=status]')!.textContent;

test('the widest frames are mirrored for assistive technology', () => {
  show();
  expect([...host.querySelectorAll('[role=treeitem]')].map((item) => `${item.getAttribute('aria-level')} ${item.textContent}`)).toEqual(['1 all, 8, 100 %', '2 a, 4, 50.0 %', '2 d, 4, 50.0 %', '3 b, 3, 37.5 %', '3 c, 1, 12.5 %']);
});

test('of 100,000 frames only some are in the document', () => {
  show({ tree: flameTree(largeProfile(100_000)) });
  expect(host.querySelectorAll('*').length).toBeLessThan(100);
});

test('arrow keys walk, Enter zooms, Escape shows all', () => {
  const seen: number[] = [];
  const graph = show({ onFocus: (row) => seen.push(row) });
  press(graph, 'ArrowDown', 'ArrowDown');
  expect(status()).toBe('a, 4, 50.0 %');
  press(graph, 'ArrowRight');
  expect(status()).toBe('d, 4, 50.0 %');
  press(graph, 'ArrowLeft', 'ArrowDown');
  expect(status()).toBe('b, 3, 37.5 %');
  press(graph, 'Enter', 'Escape');
  expect(seen.map((row) => frameAt(TREE, row)?.fn)).toEqual(['b', undefined]);
  expect(status()).toBe('');
});

test('a flame grows upwards, and its keys do', () => {
  const graph = show({ orientation: 'flame' });
  press(graph, 'ArrowUp', 'ArrowUp', 'ArrowUp', 'ArrowDown');
  expect(status()).toBe('a, 4, 50.0 %');
});

test('keys that mean something around the graph go there, and no further', () => {
  const keys: string[] = [];
  const beyond = vi.fn();
  window.addEventListener('keydown', beyond);
  const graph = show({ onKey: (key) => key === 't' && keys.push(key) > 0 });
  press(graph, 't');
  expect(beyond).not.toHaveBeenCalled();
  press(graph, 'z');
  expect(keys).toEqual(['t']);
  expect(beyond).toHaveBeenCalledTimes(1);
  window.removeEventListener('keydown', beyond);
});

test('the menu opens by key, is walked, and gives the focus back', () => {
  const seen: number[] = [];
  const graph = show({ menu: ['one', 'two'], onFocus: (row) => seen.push(row) });
  graph.focus();
  press(graph, 'ArrowDown', 'm');
  const menu = host.querySelector<HTMLElement>('[role=menu]')!;
  expect(document.activeElement?.textContent).toBe('one');
  press(menu, 'ArrowUp');
  expect(document.activeElement?.textContent).toBe('two');
  flushSync(() => (document.activeElement as HTMLElement).click());
  expect(seen).toEqual([-7]);
  expect(host.querySelector('[role=menu]')).toBeNull();
  expect(document.activeElement).toBe(graph);
  press(graph, 'm');
  press(host.querySelector<HTMLElement>('[role=menu]')!, 'Escape');
  expect(host.querySelector('[role=menu]')).toBeNull();
});

test('own code, libraries and the standard library differ in colour', () => {
  const tree = flameTree(profileOf({ stacks: { 'a;flask/b;stdlib/c': 1 } }));
  expect(new Set(rowColors(tree, 'code')).size).toBe(4);
});

test('differences are of shares, and the strongest where there is nothing to compare with', () => {
  const tree = flameTree(profileOf({ stacks: { a: 1, b: 2, c: 1 }, base: { a: 20, b: 10, d: 10 } }));
  const at = (fn: string) => Array.from(tree.frame).findIndex((_, row) => frameAt(tree, row)?.fn === fn);
  expect([growth(tree, 0), growth(tree, at('a')), growth(tree, at('b')), growth(tree, at('c')), growth(tree, at('d'))]).toEqual([0, -0.5, 0.5, 1, -1]);
  expect(new Set([at('a'), at('b'), at('c'), at('d')].map((row) => rowColors(tree, 'diff')[row])).size).toBe(4);
  expect(Object.fromEntries(rowWords(tree, at('a'), String, 'all', false).pairs)).toMatchObject({ total: '1 · 25.0 %', baseline: '20 · 50.0 %', 'Δ of share': '−25.0 %', samples: '1' });
});

test('what was there at a moment is compared by value', () => {
  const tree = flameTree(profileOf({ stacks: { a: 30, b: 10 }, base: { a: 10, b: 10 } }), true);
  const at = (fn: string) => Array.from(tree.frame).findIndex((_, row) => frameAt(tree, row)?.fn === fn);
  expect(growth(tree, at('b'))).toBe(0);
  expect(growth(tree, at('a'))).toBeCloseTo(Math.log(3) / Math.log(4));
  expect(Object.fromEntries(rowWords(tree, at('a'), String, 'all', false).pairs)).toMatchObject({ total: '30 · 75.0 %', baseline: '10', Δ: '+20' });
});

test('few samples are told, sums of many are not taken for few', () => {
  const profile = (samples: number, total: number, type = 'wall') => isFew({ samples, total, type });
  expect([profile(49, 490e6), profile(50, 500e6), profile(3, 60e9), profile(3, 9e7, 'loop_block')]).toEqual([true, false, false, false]);
});

test('points have a sign', () => expect([points(0.5, 0.25), points(0.25, 0.5), points(0.5, 0.5001)]).toEqual(['+25.0 %', '−25.0 %', '±0.0 %']));
