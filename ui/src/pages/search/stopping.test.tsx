// What goes with a search ends with it: fields and heatmap, when it is stopped and when another takes its place.

import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { type Root, createRoot } from 'react-dom/client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import { router } from '../../router';

interface Asked {
  path: string;
  query: string;
  signal: AbortSignal;
}

vi.setConfig({ testTimeout: 60_000 });
const WAIT = { timeout: 20_000 };
const SIDES = ['facets', 'heatmap'];
const asked: Asked[] = [];
let root: Root;

const says = (text: string) => vi.waitUntil(() => document.body.textContent?.includes(text), WAIT);
const open = (query: string) => router.navigate({ href: `/search?query=${encodeURIComponent(query)}` });
const button = (name: string, within: ParentNode = document) => [...within.querySelectorAll('button')].find((one) => one.textContent?.startsWith(name));

/** The requests for a query that nobody has answered, in the order of the paths. */
const requests = (query: string, number = 0) =>
  vi.waitUntil(() => {
    const found = ['spans/search', ...SIDES].map((path) => asked.filter((one) => one.query === query && one.path === path)[number]);
    return found.every((one) => one !== undefined) ? found : null;
  }, WAIT);

/** Never answers; ends when nobody waits any more. */
function hang(path: string, options: RequestInit): Promise<Response> {
  const signal = options.signal!;
  const { query } = JSON.parse(options.body as string) as { query: string };
  asked.push({ path, query, signal });
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError'))));
}

beforeAll(() => {
  vi.stubGlobal('scrollTo', () => {});
  vi.stubGlobal('fetch', async (url: string, options: RequestInit) => {
    const path = ['spans/search', ...SIDES].find((one) => url.endsWith(one));
    return path ? hang(path, options) : Response.json({ title: 'not here', status: 404 }, { status: 404 });
  });
  document.body.innerHTML = '<div id="root"></div>';
  root = createRoot(document.getElementById('root')!);
  root.render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <RouterProvider router={router} />
    </QueryClientProvider>,
  );
});

afterAll(() => {
  root.unmount();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

test('another query ends all that was asked for the first', async () => {
  await open('first one');
  const first = await requests('first one');
  expect(first.map((one) => one!.signal.aborted)).toEqual([false, false, false]);
  await open('second one');
  await vi.waitUntil(() => first.every((one) => one!.signal.aborted), WAIT);
  const second = await requests('second one');
  expect(second.map((one) => one!.signal.aborted)).toEqual([false, false, false]);
});

test('a search that is stopped takes its fields and its heatmap along, which can be asked for again', async () => {
  await open('stopped');
  const all = await requests('stopped');
  await vi.waitUntil(() => button('Stop'), WAIT);
  button('Stop')!.click();
  await vi.waitUntil(() => all.every((one) => one!.signal.aborted), WAIT);
  await says('You stopped the search');
  const panels = ['[aria-label="Fields"]', '[aria-label="Latency"]'].map((panel) => document.querySelector(panel)!);
  for (const [number, panel] of panels.entries()) {
    await vi.waitUntil(() => panel.textContent?.includes('Not counted: the search was stopped.'), WAIT);
    button('Count', panel)!.click();
    const again = await vi.waitUntil(() => asked.filter((one) => one.query === 'stopped' && one.path === SIDES[number])[1], WAIT);
    expect(again.signal.aborted).toBe(false);
  }
});
