// The heatmap's panel above a search, in every state it can be in.

import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { type Root, createRoot } from 'react-dom/client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import { SCENE } from '../components/heatmap/example';
import { router } from '../router';

const NOTHING = { t: [1], y_edges: [], counts: [], errors: null, column_errors: [0], zeros: [0], total: 0, failed: 0, min_ns: null, max_ns: null };
const asked: { path: string; query: string; errors?: boolean }[] = [];

const problem = (status: number, more: object) => Response.json({ title: 'no', status, code: 'x', ...more }, { status });
const answer = (data: object, source: string) => Response.json({ data, meta: { exact: true, elapsed_ms: 1, warnings: [], source, step_ms: 60_000 } });

/** Answers a heatmap as the word in its query says. */
function heatmap(query: string, errors: boolean): Response {
  if (query.includes('broken')) return problem(500, { detail: 'the store is away' });
  if (query.includes('mistake')) return problem(400, { errors: [{ from: 0, to: 1, message: 'wrong' }] });
  if (query.includes('root.')) return problem(400, { detail: 'query: asks for roots, which cannot be counted' });
  if (query.includes('nowhere')) return answer(NOTHING, 'metrics');
  return answer({ ...SCENE.map, errors: errors ? SCENE.map.errors : null }, query.includes('counted') ? 'metrics' : 'spans');
}

let root: Root;
let sampledThrough: number | null = null;

async function panel(query: string, from = 'now-1h'): Promise<HTMLElement> {
  await router.navigate({ to: '/search', search: { query, order: undefined, from, to: 'now' } });
  return vi.waitUntil(() => document.querySelector<HTMLElement>('[aria-label="Latency"]'));
}

const says = async (element: HTMLElement, text: string): Promise<void> => void (await vi.waitUntil(() => element.textContent?.includes(text), { timeout: 3_000 }));

beforeAll(() => {
  vi.stubGlobal('scrollTo', () => {});
  vi.stubGlobal('fetch', async (url: string, options?: RequestInit) => {
    const path = url.replace('/api/v1/', '');
    const body = JSON.parse((options?.body as string | undefined) ?? '{}') as { query: string; errors?: boolean };
    asked.push({ path, ...body });
    if (path === 'heatmap') return heatmap(body.query, body.errors ?? false);
    if (path === 'meta') return answer({ sampled_through_us: sampledThrough }, '');
    if (path === 'spans/search') return answer([], '');
    return problem(404, {});
  });
  document.body.innerHTML = '<div id="root"></div>';
  root = createRoot(document.getElementById('root')!);
  root.render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false, gcTime: 0 } } })}>
      <RouterProvider router={router} />
    </QueryClientProvider>,
  );
});

afterAll(() => {
  root.unmount();
  vi.unstubAllGlobals();
});

test('it tells how many spans there are, and asks again for which of them failed', async () => {
  const shown = await panel('service:flaskr');
  await says(shown, '50 spans · ▲ 5 failed, 10.0 %');
  expect(shown.querySelector('[role=application]')).not.toBeNull();
  await vi.waitUntil(() => asked.some(({ path, query, errors }) => path === 'heatmap' && query === 'service:flaskr' && errors));
});

test.each([
  ['nowhere', 'No span matches in this time.'],
  ['broken', 'The heatmap could not be made'],
  ['mistake', 'Nothing is drawn: the query has a mistake.'],
  ['root.service:a', 'This query asks for roots, which cannot be counted.'],
])('of %s it says: %s', async (query, words) => says(await panel(query), words));

test('of what is found trace by trace all is asked at once', async () => {
  await says(await panel('{a} >> {b}'), '50 spans · ▲ 5 failed, 10.0 %');
  expect(asked.filter(({ path, query }) => path === 'heatmap' && query.includes('>>')).map(({ errors }) => errors)).toEqual([true]);
});

test('of time whose traces are a sample it says so, and does not mix spans into what the metrics count', async () => {
  sampledThrough = (Date.now() - 86_400_000) * 1000;
  root.unmount();
  root = createRoot(document.getElementById('root')!);
  root.render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <RouterProvider router={router} />
    </QueryClientProvider>,
  );
  await says(await panel('other', 'now-3d'), 'counted from the sample');
  await says(document.body, 'a sample is kept: those that failed');
  await says(await panel('counted', 'now-3d'), '50 spans');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(asked.filter(({ path, query, errors }) => path === 'heatmap' && query === 'counted' && errors)).toEqual([]);
});
