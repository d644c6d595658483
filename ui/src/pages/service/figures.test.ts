import { expect, test } from 'vitest';

import type { Instance, LatestMetric } from '../../api/types';
import { figuresOf, nameOf } from './figures';

const metric = (name: string, value: number, attributes: Record<string, unknown> = {}): LatestMetric => ({ name, value, attributes, kind: 'gauge', unit: '', time_us: 0 });
const instance = (metrics: LatestMetric[], resource: Record<string, unknown> = {}): Instance => ({ instance: 'abc', host: '', version: '', env: '', first_seen_us: 0, last_seen_us: 0, resource, metrics });

test('the figures of our agent', () => {
  const figures = figuresOf(
    instance([
      metric('process.cpu.time', 0.5, { 'cpu.mode': 'user' }),
      metric('process.cpu.time', 0.25, { 'cpu.mode': 'system' }),
      metric('process.memory.usage', 1000),
      metric('pitviper.python.gc.pause', 0.001, { 'cpython.gc.generation': 0 }),
      metric('pitviper.python.gc.pause', 0.02, { 'cpython.gc.generation': 2 }),
      metric('otel.sdk.span.started', 30, { 'otel.span.sampling_result': 'DROP' }),
      metric('otel.sdk.span.started', 10, { 'otel.span.sampling_result': 'RECORD_AND_SAMPLE' }),
      metric('otel.sdk.processor.span.processed', 9),
      metric('otel.sdk.processor.span.processed', 1, { 'error.type': 'queue_full' }),
      metric('otel.sdk.exporter.log.exported', 2, { 'error.type': 'rejected' }),
    ]),
  );
  expect(figures).toMatchObject({ cpus: 0.75, memory: 1000, gcPause: 20_000_000, sampledOut: 0.75, lost: 3 });
});

test('the figures of other agents stand under their names', () => {
  const datadog = figuresOf(instance([metric('runtime.python.cpu.percent', 50), metric('runtime.python.mem.rss', 7), metric('runtime.python.thread_count', 3)]));
  expect(datadog).toMatchObject({ cpus: 0.5, memory: 7, threads: 3, gilWait: null, sampledOut: null, lost: null });
  const otel = figuresOf(instance([metric('process.runtime.cpython.memory', 5, { type: 'rss' }), metric('process.runtime.cpython.memory', 9, { type: 'vms' })]));
  expect(otel.memory).toBe(5);
});

test('nothing measured is nothing, and no zero', () => {
  expect(Object.values(figuresOf(instance([]))).every((value) => value === null)).toBe(true);
});

test('a process is called by its worker, its number or its id', () => {
  expect(nameOf(instance([], { 'process.pid': 12, 'pitviper.worker.name': 'gunicorn-1' }))).toBe('gunicorn-1 · pid 12');
  const worker = (kind: string, name: string) => nameOf(instance([], { 'process.pid': 12, 'pitviper.worker.kind': kind, 'pitviper.worker.name': name }));
  expect(worker('gunicorn', '1')).toBe('gunicorn worker 1 · pid 12');
  expect(worker('gunicorn', '')).toBe('gunicorn worker · pid 12');
  expect(worker('uwsgi', 'mule 1')).toBe('uwsgi mule 1 · pid 12');
  expect(worker('celery', 'ForkPoolWorker-1')).toBe('celery ForkPoolWorker-1 · pid 12');
  expect(nameOf(instance([], { 'process.pid': 12 }))).toBe('pid 12');
  expect(nameOf(instance([]))).toBe('abc');
});
