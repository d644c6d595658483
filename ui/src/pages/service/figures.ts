// How a process is doing: figures read out of its latest metrics, whoever measured them.

import type { Instance, LatestMetric } from '../../api/types';

export interface ProcessFigures {
  /** Processors in use. */
  cpus: number | null;
  /** Resident memory in bytes. */
  memory: number | null;
  /** The share of the memory it may have. */
  memoryShare: number | null;
  threads: number | null;
  openFiles: number | null;
  /** Mean waits, in nanoseconds. */
  gilWait: number | null;
  loopLag: number | null;
  /** The mean pause of the slowest generation, in nanoseconds. */
  gcPause: number | null;
  /** Seconds since it began. */
  uptime: number | null;
  /** The share of spans that the agent's sampler leaves out. */
  sampledOut: number | null;
  /** Spans and log records that the agent loses, a second. */
  lost: number | null;
}

const SECONDS = 1e9;

type Read = (metrics: LatestMetric[]) => number;

const sum: Read = (metrics) => metrics.reduce((total, { value }) => total + value, 0);
const largest: Read = (metrics) => Math.max(...metrics.map(({ value }) => value));

/** Where a figure stands: the first of these that the process has. Ours, then OpenTelemetry's, then Datadog's. */
type Source = [name: string, read: Read, scale?: number, where?: [key: string, value: string]];

const SOURCES = {
  cpus: [
    ['process.cpu.time', sum],
    ['process.runtime.cpython.cpu_time', sum],
    ['runtime.python.cpu.percent', largest, 0.01],
  ],
  memory: [
    ['process.memory.usage', largest],
    ['process.runtime.cpython.memory', sum, 1, ['type', 'rss']],
    ['runtime.python.mem.rss', largest],
  ],
  memoryShare: [['process.memory.utilization', largest]],
  threads: [
    ['process.thread.count', largest],
    ['process.runtime.cpython.thread_count', largest],
    ['runtime.python.thread_count', largest],
  ],
  openFiles: [
    ['process.unix.file_descriptor.count', largest],
    ['process.open_file_descriptor.count', largest],
  ],
  gilWait: [['pitviper.python.gil.wait', largest, SECONDS]],
  loopLag: [['pitviper.python.event_loop.lag', largest, SECONDS]],
  gcPause: [['pitviper.python.gc.pause', largest, SECONDS]],
  uptime: [['process.uptime', largest]],
} satisfies Record<string, Source[]>;

function figure(metrics: LatestMetric[], sources: Source[]): number | null {
  for (const [name, read, scale = 1, where] of sources) {
    const found = metrics.filter((metric) => metric.name === name && (!where || metric.attributes[where[0]] === where[1]));
    if (found.length > 0) return read(found) * scale;
  }
  return null;
}

const SAMPLING_RESULT = 'otel.span.sampling_result';

/** What the agent left out and lost, from the figures it sends about itself. */
function losses(metrics: LatestMetric[]): Pick<ProcessFigures, 'sampledOut' | 'lost'> {
  const started = metrics.filter(({ name }) => name === 'otel.sdk.span.started');
  const all = sum(started);
  const dropped = sum(started.filter(({ attributes }) => attributes[SAMPLING_RESULT] === 'DROP'));
  const handled = metrics.filter(({ name }) => /^otel\.sdk\.(processor|exporter)\.(span|log)\./.test(name));
  const failed = handled.filter(({ attributes }) => attributes['error.type'] !== undefined);
  return { sampledOut: all > 0 ? dropped / all : null, lost: handled.length > 0 ? sum(failed) : null };
}

export function figuresOf({ metrics }: Instance): ProcessFigures {
  const read = (key: keyof typeof SOURCES) => figure(metrics, SOURCES[key]);
  return {
    cpus: read('cpus'),
    memory: read('memory'),
    memoryShare: read('memoryShare'),
    threads: read('threads'),
    openFiles: read('openFiles'),
    gilWait: read('gilWait'),
    loopLag: read('loopLag'),
    gcPause: read('gcPause'),
    uptime: read('uptime'),
    ...losses(metrics),
  };
}

/** What people call the process: whose worker it is and which, else its number, else what tells it from others. */
export function nameOf({ instance, resource }: Instance): string {
  const text = (key: string) => (resource[key] === undefined ? '' : String(resource[key]));
  const pid = text('process.pid');
  const kind = text('pitviper.worker.kind');
  const name = text('pitviper.worker.name');
  // A number alone does not say of what.
  const worker = [kind, kind && !/\D/.test(name) && 'worker', name].filter(Boolean).join(' ');
  const named = [worker, pid && `pid ${pid}`].filter(Boolean).join(' · ');
  return named || instance || 'unnamed';
}
