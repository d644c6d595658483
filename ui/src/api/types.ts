// What the server's API answers. The document is served at /api/openapi.json.

export interface Meta {
  from?: number;
  to?: number;
  step_ms?: number | null;
  exact?: boolean;
  /** Of a search: false when it stopped at a bound, so that there may be more behind `next`. */
  complete?: boolean;
  /** Of a search that stopped, by time: up to where it came. */
  scanned_until_us?: number | null;
  elapsed_ms?: number;
  next?: string | null;
  warnings?: string[];
}

export interface Answer<T> {
  data: T;
  meta: Meta;
}

export interface Figure {
  v: number | null;
  s: (number | null)[];
}

export interface Service {
  name: string;
  kind: string;
  lang: string | null;
  framework: string | null;
  env: string[];
  version: string[];
  instances: number;
  hits: number;
  errors: number;
  rps: Figure;
  err: Figure;
  p50: Figure;
  p95: Figure;
  last_seen_us: number;
}

export interface Operation {
  name: string;
  kind: string;
  entry: boolean;
  hits: number;
  errors: number;
  err: number | null;
  rps: number;
  p50: number | null;
  p90: number | null;
  p95: number | null;
  p99: number | null;
  max: number | null;
  total_ns: number;
  share: number;
  s: (number | null)[];
}

export interface SeriesQuery {
  metric: 'response_time' | 'failure_rate' | 'throughput' | 'count';
  agg?: string;
}

export interface Series {
  name: string;
  metric: string;
  agg: string | null;
  unit: string;
  v: (number | null)[];
}

export interface SeriesAnswer {
  t: number[];
  series: Series[];
}

export interface TraceRow {
  trace_id: string;
  t0_us: number;
  dur_ns: number;
  root: { service: string; name: string; kind: string; status: string } | null;
  spans: number;
  errors: number;
  services: [string, number][];
  matched: string[];
  matched_count: number;
}

export interface TraceColumns {
  trace_id: string;
  t0_us: number;
  dur_ns: number;
  n: number;
  strings: string[];
  services: { name: number; color: number; kind: string; self_ns: number }[];
  id: string[];
  parent: number[];
  depth: number[];
  svc: number[];
  name: number[];
  kind: number[];
  start: number[];
  dur: number[];
  self: number[];
  status: number[];
  flags: number[];
  critical: [number, number, number][];
  desc: number[];
  truncated: { total: number } | null;
}

export interface SpanDetails {
  trace_id: string;
  span_id: string;
  parent_span_id: string | null;
  name: string;
  kind: string;
  service: string;
  start_us: number;
  dur_ns: number;
  status: string;
  status_message: string;
  attributes: Record<string, unknown>;
  events: { time_us: number; offset_ns: number; name: string; attributes: Record<string, unknown> }[];
  links: { trace_id: string; span_id: string; attributes: Record<string, unknown> }[];
  resource: Record<string, unknown>;
  scope: { name: string; version: string };
}

export interface ServerMeta {
  version: string;
  spans_stored: number;
  /** Up to when traces are a sample, by their start; null when all are there. */
  sampled_through_us?: number | null;
  first_span: boolean;
  endpoints: { otlp_http: string; otlp_grpc: string; http: string };
}

export interface Problem {
  title: string;
  status: number;
  code?: string;
  detail?: string;
  request_id?: string;
  errors?: { from: number; to: number; message: string; fix?: { replace: string } | null }[];
}
