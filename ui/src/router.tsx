// The pages and what their URLs hold. A URL is the whole state of a view.

import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect, retainSearchParams } from '@tanstack/react-router';

import { DEFAULT_RANGE } from './lib/time';
import { NotFound, Shell } from './shell';

export interface CommonSearch {
  from?: string | undefined;
  to?: string | undefined;
}

const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : typeof value === 'number' ? String(value) : undefined;

const root = createRootRoute({
  component: Shell,
  notFoundComponent: NotFound,
  validateSearch: (search: Record<string, unknown>): CommonSearch => ({ from: text(search['from']), to: text(search['to']) }),
  search: { middlewares: [retainSearchParams(['from', 'to'])] },
});

const services = createRoute({
  getParentRoute: () => root,
  path: '/',
  component: lazyRouteComponent(() => import('./pages/services/page'), 'ServicesPage'),
});

const service = createRoute({
  getParentRoute: () => root,
  path: '/services/$service',
  component: lazyRouteComponent(() => import('./pages/service/page'), 'ServicePage'),
});

export interface SearchState {
  query?: string | undefined;
  order?: string | undefined;
}

const search = createRoute({
  getParentRoute: () => root,
  path: '/search',
  validateSearch: (values: Record<string, unknown>): SearchState => ({ query: text(values['query']), order: text(values['order']) }),
  component: lazyRouteComponent(() => import('./pages/search/page'), 'SearchPage'),
});

export interface TraceState {
  span?: string | undefined;
  filter?: string | undefined;
  /** What of the span is told; its details when this is nothing. */
  tab?: 'hotspots' | undefined;
  /** What is shown of the trace; the waterfall when this is nothing. */
  mode?: 'profile' | undefined;
}

const trace = createRoute({
  getParentRoute: () => root,
  path: '/traces/$traceId',
  validateSearch: (values: Record<string, unknown>): TraceState => ({
    span: text(values['span']),
    filter: text(values['filter']),
    tab: values['tab'] === 'hotspots' ? 'hotspots' : undefined,
    mode: values['mode'] === 'profile' ? 'profile' : undefined,
  }),
  component: lazyRouteComponent(() => import('./pages/trace/page'), 'TracePage'),
});

export interface ExploreState {
  query?: string | undefined;
  metric?: string | undefined;
  agg?: string | undefined;
  /** Fields to split by, with commas between them. */
  split?: string | undefined;
  step?: string | undefined;
  top?: string | undefined;
  /** What the legend is sorted by, with `-` in front when the greatest comes first. */
  sort?: string | undefined;
  /** Keys of the series that are not drawn. */
  hide?: string[] | undefined;
}

const explore = createRoute({
  getParentRoute: () => root,
  path: '/explore',
  validateSearch: (values: Record<string, unknown>): ExploreState => ({
    query: text(values['query']),
    metric: text(values['metric']),
    agg: text(values['agg']),
    split: text(values['split']),
    step: text(values['step']),
    top: text(values['top']),
    sort: text(values['sort']),
    hide: Array.isArray(values['hide']) ? values['hide'].map(String) : undefined,
  }),
  component: lazyRouteComponent(() => import('./pages/explore/page'), 'ExplorePage'),
});

export interface SqlState {
  q?: string | undefined;
}

const sql = createRoute({
  getParentRoute: () => root,
  path: '/sql',
  validateSearch: (values: Record<string, unknown>): SqlState => ({ q: text(values['q']) }),
  component: lazyRouteComponent(() => import('./pages/sql/page'), 'SqlPage'),
});

/** Keys of the page on profiles that hold text: which samples, and how they are shown. */
const PROFILE_KEYS = ['service', 'type', 'endpoint', 'thread', 'state', 'version', 'env', 'host', 'instance', 'exception', 'lock', 'trace', 'span', 'cmp', 'view', 'fn', 'q', 'focus', 'color', 'split'] as const;

export type ProfilesState = { [key in (typeof PROFILE_KEYS)[number]]?: string | undefined } & {
  /** Only own code. */
  own?: true | undefined;
  /** Recursion as one frame. */
  fold?: true | undefined;
  /** Functions, whatever the line. */
  whole?: true | undefined;
  /** Without the table beside the graph. */
  alone?: true | undefined;
  /** With waits for work. */
  idle?: true | undefined;
};

const profiles = createRoute({
  getParentRoute: () => root,
  path: '/profiles',
  validateSearch: (values: Record<string, unknown>): ProfilesState => {
    const on = (key: string): true | undefined => (values[key] === true || values[key] === 1 ? true : undefined);
    return { ...Object.fromEntries(PROFILE_KEYS.map((key) => [key, text(values[key])])), own: on('own'), fold: on('fold'), whole: on('whole'), alone: on('alone'), idle: on('idle') };
  },
  component: lazyRouteComponent(() => import('./pages/profiles/page'), 'ProfilesPage'),
});

const settings = createRoute({
  getParentRoute: () => root,
  path: '/settings',
  component: lazyRouteComponent(() => import('./pages/settings/page'), 'SettingsPage'),
});

/** Sections whose pages are elsewhere lead there. */
const traces = createRoute({
  getParentRoute: () => root,
  path: '/traces',
  beforeLoad: ({ search: values }) => {
    throw redirect({ to: '/search', search: values, replace: true });
  },
});

const serviceList = createRoute({
  getParentRoute: () => root,
  path: '/services',
  beforeLoad: ({ search: values }) => {
    throw redirect({ to: '/', search: values, replace: true });
  },
});

export const router = createRouter({
  routeTree: root.addChildren([services, serviceList, service, search, traces, trace, explore, profiles, sql, settings]),
  defaultPreload: 'intent',
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}

/** The time range of a URL. */
export function rangeOf(search: CommonSearch): { from: string; to: string } {
  return { from: search.from ?? DEFAULT_RANGE.from, to: search.to ?? DEFAULT_RANGE.to };
}
