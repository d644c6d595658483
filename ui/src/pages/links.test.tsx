// Links of tables hold the whole view they lead to, for a new tab and for "copy link"; rows follow them.

import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { type Root, createRoot } from 'react-dom/client';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';

import { router } from '../router';

const FIGURE = { v: 1, s: [1, 2] };
const SERVICE = { name: 'flask r/1', kind: 'web', lang: null, framework: null, env: [], version: [], instances: 1, hits: 3, errors: 0, rps: FIGURE, err: FIGURE, p50: FIGURE, p95: FIGURE };
const OPERATION = { name: 'POST /create', kind: 'server', entry: true, hits: 3, errors: 0, err: 0, rps: 1, p50: 1, p95: 1, p99: 1, max: 1, total_ns: 3, s: [1] };
const TRACE = { trace_id: 'a'.repeat(32), t0_us: 0, dur_ns: 5, root: { name: 'GET /', service: 'flaskr' }, spans: 2, errors: 0, services: [['flaskr', 1]], matched: ['b'.repeat(16)] };

const ANSWERS: [RegExp, unknown][] = [
  [/\/services\?/, [SERVICE]],
  [/\/operations\?/, [OPERATION]],
  [/\/spans\/search/, [TRACE]],
];

let root: Root;
const opened = vi.fn();

async function show(url: string): Promise<void> {
  await router.navigate({ href: url });
  await vi.waitUntil(() => document.querySelector('tbody a'));
}

const link = () => document.querySelector<HTMLAnchorElement>('tbody a')!;
const address = () => new URL(link().href);
const parameters = () => Object.fromEntries(address().searchParams);
const clickRow = (type: string, options: MouseEventInit) =>
  document.querySelector('tbody td.num')!.dispatchEvent(new MouseEvent(type, { bubbles: true, cancelable: true, ...options }));

// There is one router, so it is shown once and every test goes to its page.
beforeAll(() => {
  vi.stubGlobal('scrollTo', () => {});
  vi.stubGlobal('open', opened);
  // Without a layout a list of rows has no height, and none would be shown.
  vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(600);
  vi.stubGlobal('fetch', async (url: string) => {
    const found = ANSWERS.find(([pattern]) => pattern.test(url));
    return found ? Response.json({ data: found[1], meta: {} }) : Response.json({ title: 'not here', status: 404 }, { status: 404 });
  });
  document.body.innerHTML = '<div id="root"></div>';
  root = createRoot(document.getElementById('root')!);
  root.render(
    <QueryClientProvider client={new QueryClient()}>
      <RouterProvider router={router} />
    </QueryClientProvider>,
  );
});

beforeEach(() => void opened.mockReset());

afterAll(() => {
  root.unmount();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

test('a service links to its page in the time that is shown', async () => {
  await show('/?from=now-2h&to=now');
  expect(address().pathname).toBe('/services/flask%20r%2F1');
  expect(parameters()).toEqual({ from: 'now-2h', to: 'now' });
});

test('an operation links to the search for its traces', async () => {
  await show('/services/flaskr?from=now-2h&to=now');
  expect(address().pathname).toBe('/search');
  expect(parameters()).toEqual({ query: 'service:flaskr name:"POST /create"', from: 'now-2h', to: 'now' });
});

test('a found trace links to the span that matched', async () => {
  await show('/search?query=flaskr&from=now-2h&to=now&order=-duration');
  expect(address().pathname).toBe(`/traces/${TRACE.trace_id}`);
  expect(parameters()).toEqual({ span: TRACE.matched[0], from: 'now-2h', to: 'now' });
});

test('a click on a row follows its link within the page', async () => {
  await show('/services/flaskr?from=now-2h&to=now');
  clickRow('click', {});
  expect(opened).not.toHaveBeenCalled();
  await vi.waitUntil(() => router.state.location.pathname === '/search');
  expect(router.state.location.search).toEqual({ query: 'service:flaskr name:"POST /create"', from: 'now-2h', to: 'now' });
});

test.each([
  ['click', { ctrlKey: true }],
  ['click', { metaKey: true }],
  ['auxclick', { button: 1 }],
] as const)('a %s with %o on a row opens its link beside the page', async (type, options) => {
  await show('/services/flaskr?from=now-2h&to=now');
  const { href } = link();
  clickRow(type, options);
  expect(opened).toHaveBeenCalledExactlyOnceWith(href, '_blank', 'noopener');
  expect(router.state.location.pathname).toBe('/services/flaskr');
});

test('a right click on a row does nothing', async () => {
  await show('/services/flaskr?from=now-2h&to=now');
  clickRow('auxclick', { button: 2 });
  expect(opened).not.toHaveBeenCalled();
  expect(router.state.location.pathname).toBe('/services/flaskr');
});

test.each([
  ['/', 'Services', 'Services · Pitviper'],
  ['/services/flaskr', 'Services', 'flaskr · Pitviper'],
  ['/search?query=status:error', 'Traces', 'status:error · Traces · Pitviper'],
])('the rail and the title of %s say where it is', async (url, section, title) => {
  await show(url);
  await vi.waitUntil(() => document.title === title);
  expect([...document.querySelectorAll('.rail [aria-current]')].map((current) => current.textContent)).toEqual([section]);
});
