import { act } from 'react';
import { type Root, createRoot } from 'react-dom/client';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { SCENE } from './example';
import { Heatmap } from './heatmap';

const narrowed = vi.fn();
let root: Root;

function show(width: number): HTMLElement {
  vi.spyOn(HTMLElement.prototype, 'clientWidth', 'get').mockReturnValue(width);
  act(() => root.render(<Heatmap scene={SCENE} height={136} onNarrow={narrowed} />));
  return document.querySelector<HTMLElement>('[role=application]')!;
}

const press = (element: HTMLElement, key: string, shiftKey = false) => act(() => void element.dispatchEvent(new KeyboardEvent('keydown', { key, shiftKey, bubbles: true })));
const point = (element: HTMLElement, type: string, clientX: number, clientY: number) =>
  act(() => void element.dispatchEvent(new PointerEvent(type, { clientX, clientY, button: 0, pointerId: 1, bubbles: true })));
const said = () => document.querySelector('[role=status]')!.textContent;

beforeEach(() => {
  vi.stubGlobal('IS_REACT_ACT_ENVIRONMENT', true);
  HTMLElement.prototype.setPointerCapture = () => {};
  document.body.innerHTML = '<div id="root"></div>';
  root = createRoot(document.getElementById('root')!);
});

afterEach(() => {
  act(() => root.unmount());
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  narrowed.mockReset();
});

test('keys walk from the fullest cell, select with Shift, and search with Enter', () => {
  const heatmap = show(900);
  press(heatmap, 'ArrowUp');
  expect(said()).toContain('40 spans, 4 failed');
  press(heatmap, 'ArrowUp', true);
  press(heatmap, 'ArrowLeft', true);
  expect(said()).toContain('1 span, 1 failed');
  press(heatmap, 'Enter');
  expect(narrowed).toHaveBeenCalledExactlyOnceWith({ time: null, duration: { fromNs: expect.closeTo(2e6, 3), toNs: null } });
  expect(said()).toBe('');
});

test('Escape gives up the selection, then the cell', () => {
  const heatmap = show(900);
  press(heatmap, 'ArrowUp');
  press(heatmap, 'ArrowLeft', true);
  press(heatmap, 'Escape');
  expect(said()).not.toBe('');
  press(heatmap, 'Escape');
  expect(said()).toBe('');
  press(heatmap, 'Enter');
  expect(narrowed).not.toHaveBeenCalled();
});

test('a drag searches what it marks, a click does not', () => {
  const heatmap = show(900);
  // The plot is 830 pixels wide from the 62nd on.
  point(heatmap, 'pointerdown', 62 + 415, 30);
  point(heatmap, 'pointermove', 62 + 418, 31);
  point(heatmap, 'pointerup', 62 + 418, 31);
  expect(narrowed).not.toHaveBeenCalled();
  point(heatmap, 'pointerdown', 62 + 415, 30);
  point(heatmap, 'pointermove', 62 + 830, 32);
  point(heatmap, 'pointerup', 62 + 830, 32);
  const [first, second] = SCENE.map.t as [number, number];
  expect(narrowed).toHaveBeenCalledExactlyOnceWith({ time: { fromUs: second, toUs: 2 * second - first }, duration: null });
});

test('where it is narrow there are counts over time, and no durations to choose', () => {
  const heatmap = show(300);
  press(heatmap, 'ArrowUp');
  expect(said()).toContain('42 spans, 4 failed');
  press(heatmap, 'Enter');
  expect(narrowed).toHaveBeenCalledExactlyOnceWith({ time: expect.anything(), duration: null });
});
