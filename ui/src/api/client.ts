// The one way to the server.

import type {
  AggregateAnswer,
  AggregateRequest,
  Analysis,
  Answer,
  Completion,
  Facets,
  Heatmap,
  HeatmapRequest,
  Instance,
  Operation,
  Problem,
  SeriesAnswer,
  SeriesQuery,
  ServerMeta,
  Service,
  SpanDetails,
  SqlAnswer,
  SqlRequest,
  SqlViews,
  TraceColumns,
} from './types';

/** What is known of a failure: all that the server says, or that there was no server to say it. */
export type FailedAnswer = Pick<Problem, 'title' | 'status'> & Partial<Problem>;

/** An answer that is no success: an RFC 9457 problem, or no answer at all. */
export class ApiError extends Error {
  readonly problem: FailedAnswer;

  constructor(problem: FailedAnswer) {
    super(problem.detail ?? problem.title);
    this.problem = problem;
  }
}

export interface Range {
  from: string;
  to: string;
}

export async function send(path: string, accept: string, signal: AbortSignal | undefined, body?: unknown, method = 'POST'): Promise<Response> {
  const options: RequestInit = { headers: { accept } };
  if (signal) options.signal = signal;
  if (body !== undefined) {
    options.method = method;
    options.headers = { accept, 'content-type': 'application/json' };
    options.body = JSON.stringify(body);
  }
  let response: Response;
  try {
    response = await fetch(`/api/v1/${path}`, options);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError({ title: 'The server does not answer', status: 0, detail: 'Is pitviper-server running?' });
  }
  if (response.ok) return response;
  const fallback: FailedAnswer = { title: `The server answered ${response.status}`, status: response.status };
  const problem = await response.json().catch(() => fallback);
  throw new ApiError({ ...fallback, ...(problem as FailedAnswer) });
}

export const ask = async <T>(path: string, signal: AbortSignal | undefined, body?: unknown): Promise<Answer<T>> =>
  (await send(path, 'application/json', signal, body)).json() as Promise<Answer<T>>;

const absent = new Set<string>();

/** Asks what an older server does not know: then the answer is `null`, and it is not asked again. */
async function askIfKnown<T>(endpoint: string, parameters: string, signal: AbortSignal | undefined, body?: unknown): Promise<T | null> {
  if (absent.has(endpoint)) return null;
  try {
    return (await ask<T>(endpoint + parameters, signal, body)).data;
  } catch (error) {
    if (!(error instanceof ApiError) || error.problem.status !== 404) throw error;
    absent.add(endpoint);
    return null;
  }
}

const query = (values: Record<string, string | number>) =>
  new URLSearchParams(Object.entries(values).map(([key, value]) => [key, String(value)])).toString();

export const api = {
  meta: (signal?: AbortSignal) => ask<ServerMeta>('meta', signal),

  services: (range: Range, signal?: AbortSignal) => ask<Service[]>(`services?${query({ ...range, points: 60 })}`, signal),

  operations: (service: string, range: Range, signal?: AbortSignal) =>
    ask<Operation[]>(`services/${encodeURIComponent(service)}/operations?${query({ ...range, points: 30 })}`, signal),

  instances: (service: string, range: Range, signal?: AbortSignal) =>
    ask<Instance[]>(`services/${encodeURIComponent(service)}/instances?${query({ ...range })}`, signal),

  series: (service: string, queries: SeriesQuery[], range: Range, signal?: AbortSignal) =>
    ask<SeriesAnswer>('series', signal, { scope: { service }, queries, ...range, max_points: 120 }),

  heatmap: (wanted: HeatmapRequest, signal?: AbortSignal) => ask<Heatmap>('heatmap', signal, wanted),

  aggregate: (wanted: AggregateRequest, signal?: AbortSignal) => ask<AggregateAnswer>('aggregate', signal, wanted),

  sqlViews: (signal?: AbortSignal) => ask<SqlViews>('sql/views', signal),

  sql: (statement: SqlRequest, signal?: AbortSignal) => ask<SqlAnswer>('sql', signal, statement),

  /** The rows as a file; without those that an answer leaves out. */
  sqlCsv: async (statement: SqlRequest, signal?: AbortSignal): Promise<Blob> => (await send('sql', 'text/csv', signal, statement)).blob(),

  parse: (text: string, signal?: AbortSignal) => askIfKnown<Analysis>('query/parse', '', signal, { query: text }),

  complete: (text: string, cursor: number, range: Range, signal?: AbortSignal) =>
    askIfKnown<Completion>('complete', `?${query({ query: text, cursor, ...range, limit: 20 })}`, signal),

  facets: (text: string, range: Range, signal?: AbortSignal) => askIfKnown<Facets>('facets', '', signal, { query: text, ...range }),

  trace: (id: string, signal?: AbortSignal) =>
    ask<TraceColumns>(`traces/${encodeURIComponent(id)}?shape=columns&max_spans=50000`, signal),

  span: (traceId: string, spanId: string, signal?: AbortSignal) =>
    ask<SpanDetails[]>(`traces/${encodeURIComponent(traceId)}/spans?${query({ ids: spanId })}`, signal),
};

/** Waits for the first span there ever is; returns how to stop waiting. */
export function onFirstSpan(arrived: (traceId: string) => void): () => void {
  const source = new EventSource('/api/v1/first-span');
  source.addEventListener('first_span', (event) => {
    source.close();
    const { trace_id } = JSON.parse((event as MessageEvent<string>).data) as { trace_id: string };
    arrived(trace_id);
  });
  return () => source.close();
}
