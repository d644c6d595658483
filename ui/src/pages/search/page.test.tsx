// The search page while a search is told line by line.

import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { type Root, createRoot } from 'react-dom/client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import { router } from '../../router';

interface Asked {
  query: string;
  cursor?: string;
  signal: AbortSignal;
  /** Tells a line. */
  tell: (line: object) => void;
  /** Ends the body; with an error, the connection. */
  end: (error?: Error) => void;
}

vi.setConfig({ testTimeout: 60_000 });
const WAIT = { timeout: 20_000 };
const asked: Asked[] = [];
let root: Root;

const row = (name: string, number: number) => ({
  type: 'row', trace_id: `${number}`.padStart(32, 'a'), t0_us: 1_795_224_000_000_000 - number, dur_ns: 5, root: { name, service: 'flaskr' }, spans: 2, errors: 0, services: [['flaskr', 1]], matched: ['b'.repeat(16)], matched_count: 1,
});
const progress = (found: number, next: string | null = 'tn.5.0.0') => ({
  type: 'progress', what: 'spans', looked_at: 3_100_000, of: 20_000_000, reached_us: 1_795_224_000_000_000, found, rows: found, next, elapsed_ms: 1_200,
});
const END = { type: 'end', next: null, rows: 1, meta: { exact: true, complete: true, next: null, elapsed_ms: 1_500, warnings: [] } };

function told(options: RequestInit): Response {
  const { query, cursor } = JSON.parse(options.body as string) as { query: string; cursor?: string };
  const signal = options.signal!;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const tell = (line: object) => controller.enqueue(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
      const end = (error?: Error) => (error ? controller.error(error) : controller.close());
      signal.addEventListener('abort', () => controller.error(new DOMException('aborted', 'AbortError')));
      asked.push({ query, ...(cursor ? { cursor } : {}), signal, tell, end });
    },
  });
  return new Response(body, { headers: { 'content-type': 'application/x-ndjson' } });
}

const says = (text: string) => vi.waitUntil(() => document.body.textContent?.includes(text), WAIT);
const request = (query: string, number = 0) => vi.waitUntil(() => asked.filter((one) => one.query === query)[number], WAIT);
const open = (query: string) => router.navigate({ href: `/search?query=${encodeURIComponent(query)}` });
const press = (key: string) => document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));

beforeAll(() => {
  vi.stubGlobal('scrollTo', () => {});
  vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(600);
  vi.stubGlobal('fetch', async (url: string, options: RequestInit) =>
    url.endsWith('spans/search') ? told(options) : Response.json({ title: 'not here', status: 404 }, { status: 404 }),
  );
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

test('rows stand there as they come, with how far the search is', async () => {
  await open('early');
  const search = await request('early');
  search.tell(progress(0));
  await says('3.10 M of 20.0 M spans · 0 found · 1.20 s');
  search.tell(row('GET /first', 1));
  await says('GET /first');
  expect(document.querySelector('[data-testid=search-state] progress')).not.toBeNull();
  press('j');
  await vi.waitUntil(() => document.querySelector('tr[aria-selected=true]')?.textContent?.includes('GET /first'), WAIT);
  search.tell(row('GET /second', 2));
  search.tell(END);
  search.end();
  await says('2 traces · 1.50 s');
  expect([...document.querySelectorAll('tbody a')].map((link) => link.textContent)).toEqual(['GET /first', 'GET /second']);
  expect(document.querySelector('[data-testid=search-state] progress')).toBeNull();
});

test('Escape ends a search, and what was found stays', async () => {
  await open('stopped');
  const search = await request('stopped');
  search.tell(row('GET /kept', 1));
  search.tell(progress(1));
  await says('GET /kept');
  press('Escape');
  await says('You stopped the search before it had looked at everything.');
  expect(search.signal.aborted).toBe(true);
  expect(document.body.textContent).toContain('GET /kept');
  [...document.querySelectorAll('button')].find((button) => button.textContent === 'Search further back')!.click();
  const further = await request('stopped', 1);
  expect(further.cursor).toBe('tn.5.0.0');
  further.tell(row('GET /more', 2));
  further.tell(END);
  further.end();
  await says('GET /more');
  expect(document.body.textContent).toContain('GET /kept');
});

test.each([
  ['failing', (search: Asked) => search.tell({ type: 'error', problem: { title: 'no', detail: 'the disk is gone', status: 500, code: 'internal', request_id: 'r-7' } }), 'the disk is gone. It ended before it had looked at everything.'],
  ['breaking', (search: Asked) => search.end(new TypeError('network')), 'The connection ended before the search did'],
])('of a search that is %s the rows stay', async (query, fail, words) => {
  await open(query);
  const search = await request(query);
  search.tell(row(`GET /${query}`, 1));
  search.tell(progress(1));
  await says(`GET /${query}`);
  fail(search);
  await says(words);
  expect(document.body.textContent).toContain(`GET /${query}`);
});

test('one that fails before it found anything is a failure', async () => {
  await open('nothing');
  (await request('nothing')).tell({ type: 'error', problem: { title: 'The store failed', detail: 'the disk is gone', status: 500, code: 'internal', request_id: 'r-8' } });
  await says('The store failed');
  await says('request r-8');
});

test('another query ends the search', async () => {
  await open('first one');
  const search = await request('first one');
  await open('second one');
  await vi.waitUntil(() => search.signal.aborted, WAIT);
  const second = await request('second one');
  second.tell(row('GET /second', 3));
  second.tell(END);
  second.end();
  await says('GET /second');
});
