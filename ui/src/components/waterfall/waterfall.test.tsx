import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';
import { afterEach, expect, test, vi } from 'vitest';

import { Waterfall } from './waterfall';

const N = 5_000;
const column = (value: (row: number) => number) => Array.from({ length: N }, (_, row) => value(row));
const TRACE = {
  n: N,
  dur_ns: N,
  strings: ['service', 'name'],
  services: [{ name: 0, color: 0 }],
  parent: column((row) => (row === 0 ? -1 : 0)),
  depth: column((row) => Math.min(row, 1)),
  svc: column(() => 0),
  name: column(() => 1),
  start: column((row) => row),
  dur: column((row) => (row === 0 ? N : 1)),
  status: column(() => 0),
  desc: column(() => -1),
  flags: [], critical: [],
};

/** The most rows there were at any time. */
function mostRows(height: number): number {
  vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(height);
  vi.spyOn(HTMLElement.prototype, 'clientWidth', 'get').mockReturnValue(height);
  const host = document.createElement('div');
  let most = 0;
  const append = Node.prototype.appendChild;
  const seen = vi.spyOn(Node.prototype, 'appendChild').mockImplementation(function (this: Node, child) {
    const added = append.call(this, child);
    if (child instanceof Element) most = Math.max(most, child.querySelectorAll('[role=row]').length);
    return added as never;
  });
  const nothing = () => {};
  const root = createRoot(host);
  flushSync(() => root.render(<Waterfall trace={TRACE} selected={-1} filter="" critical onSelect={nothing} onToggleCritical={nothing} />));
  seen.mockRestore();
  most = Math.max(most, host.querySelectorAll('[role=row]').length);
  flushSync(() => root.unmount());
  return most;
}

afterEach(() => vi.restoreAllMocks());

test('before there is a layout there are no rows', () => expect(mostRows(0)).toBe(0));

test('there are as many rows as fit on the screen', () => {
  const rows = mostRows(600);
  expect(rows).toBeGreaterThan(15);
  expect(rows).toBeLessThan(30);
});
