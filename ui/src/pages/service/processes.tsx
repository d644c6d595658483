// The processes of a service: how each is doing, what it says of itself, what its agent lost.

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Fragment, useMemo, useState } from 'react';

import { type Range, api } from '../../api/client';
import type { Instance } from '../../api/types';
import { SortHeader } from '../../components/sort-header';
import { NoMatch } from '../../components/states';
import { Values } from '../../components/values';
import { bytes, count, duration, moment, momentOf, percent, rate } from '../../lib/format';
import { type ProcessFigures, figuresOf, nameOf } from './figures';
import { useSortedRows } from '../../lib/sorted-rows';
import { Loaded } from '../loaded';

interface Row {
  id: string;
  name: string;
  of: Instance;
  figures: ProcessFigures;
}

interface Column {
  title: string;
  hint: string;
  value: (figures: ProcessFigures) => number | null;
  text: (figures: ProcessFigures) => string;
  /** What deserves a look. */
  bad?: (figures: ProcessFigures) => boolean;
}

const COLUMNS = {
  cpus: { title: 'CPU', hint: 'Processor time a second', value: (row) => row.cpus, text: (row) => percent(row.cpus) },
  memory: {
    title: 'Memory',
    hint: 'Resident memory, and of what it may have',
    value: (row) => row.memory,
    text: (row) => (row.memoryShare === null ? bytes(row.memory) : `${bytes(row.memory)} · ${percent(row.memoryShare)}`),
    bad: (row) => (row.memoryShare ?? 0) > 0.9,
  },
  threads: { title: 'Threads', hint: 'Threads of the process', value: (row) => row.threads, text: (row) => count(row.threads) },
  openFiles: { title: 'Open files', hint: 'Open file descriptors', value: (row) => row.openFiles, text: (row) => count(row.openFiles) },
  gilWait: { title: 'GIL wait', hint: 'Mean wait for the interpreter lock', value: (row) => row.gilWait, text: (row) => duration(row.gilWait) },
  loopLag: { title: 'Loop lag', hint: 'How late the event loop runs timers', value: (row) => row.loopLag, text: (row) => duration(row.loopLag), bad: (row) => (row.loopLag ?? 0) > 100e6 },
  gcPause: { title: 'GC pause', hint: 'Mean pause of the slowest generation', value: (row) => row.gcPause, text: (row) => duration(row.gcPause) },
  sampledOut: { title: 'Sampled out', hint: 'Spans that the agent’s sampler leaves out', value: (row) => row.sampledOut, text: (row) => percent(row.sampledOut) },
  lost: { title: 'Lost', hint: 'Spans and log records that the agent loses', value: (row) => row.lost, text: (row) => rate(row.lost), bad: (row) => (row.lost ?? 0) > 0 },
  uptime: { title: 'Up', hint: 'Since it began', value: (row) => row.uptime, text: (row) => duration(row.uptime === null ? null : row.uptime * 1e9) },
} satisfies Record<string, Column>;

type Key = keyof typeof COLUMNS;
const KEYS = Object.keys(COLUMNS) as Key[];

type Sorts = Record<Key | 'name' | 'seen', (row: Row) => string | number>;
const SORTS = Object.fromEntries([
  ...KEYS.map((key) => [key, (row: Row) => COLUMNS[key].value(row.figures) ?? -1]),
  ['name', (row: Row) => row.name],
  ['seen', (row: Row) => row.of.last_seen_us],
]) as Sorts;

export function Processes({ service, range }: { service: string; range: Range }) {
  const answer = useQuery({
    queryKey: ['live', 'instances', service, range],
    queryFn: ({ signal }) => api.instances(service, range, signal),
    placeholderData: keepPreviousData,
  });
  return (
    <Loaded answer={answer} heights={[120]}>
      {(instances) => (instances.length > 0 ? <ProcessTable instances={instances} /> : null)}
    </Loaded>
  );
}

function ProcessTable({ instances }: { instances: Instance[] }) {
  const all = useMemo(() => instances.map((of): Row => ({ id: of.instance, name: nameOf(of), of, figures: figuresOf(of) })), [instances]);
  const { rows, filter, setFilter, head } = useSortedRows(all, { sorts: SORTS, initial: 'seen' });
  const [open, setOpen] = useState<string | null>(null);
  // A column that no process has a figure for says nothing.
  const columns = KEYS.filter((key) => all.some(({ figures }) => COLUMNS[key].value(figures) !== null));
  const now = Date.now();
  return (
    <section data-testid="processes">
      <div className="head">
        <h2>Processes</h2>
        <span className="muted">{all.length}</span>
        <span className="spacer" />
        {all.length > 5 && <input value={filter} onChange={(event) => setFilter(event.target.value)} placeholder="Filter" aria-label="Filter processes" />}
      </div>
      {columns.length === 0 && <p className="muted">They send no metrics of the process. Our agent does so by itself; other agents have a setting for it.</p>}
      <table aria-label="Processes">
        <thead>
          <tr>
            <SortHeader column="name" {...head} numeric={false}>
              Process
            </SortHeader>
            <th>Host</th>
            <th>Version</th>
            {columns.map((key) => (
              <SortHeader key={key} column={key} {...head}>
                {COLUMNS[key].title}
              </SortHeader>
            ))}
            <SortHeader column="seen" {...head}>
              Last seen
            </SortHeader>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <Fragment key={row.id}>
              <tr>
                <td>
                  <button type="button" className="disclosure" aria-expanded={open === row.id} onClick={() => setOpen(open === row.id ? null : row.id)}>
                    {open === row.id ? '▾' : '▸'} {row.name}
                  </button>
                </td>
                <td>{row.of.host || <span className="muted">–</span>}</td>
                <td>{row.of.version || <span className="muted">–</span>}</td>
                {columns.map((key) => (
                  <td key={key} className={`num ${isBad(key, row.figures) ? 'bad' : ''}`} title={COLUMNS[key].hint}>
                    {COLUMNS[key].text(row.figures)}
                  </td>
                ))}
                <td className="num muted" title={moment(row.of.last_seen_us)}>
                  {momentOf(row.of.last_seen_us, now).slice(0, -4)}
                </td>
              </tr>
              {open === row.id && (
                <tr>
                  <td colSpan={columns.length + 4}>
                    <ProcessDetails instance={row.of} />
                  </td>
                </tr>
              )}
            </Fragment>
          ))}
        </tbody>
      </table>
      {rows.length === 0 && <NoMatch what="process" filter={filter} total={all.length} clear={() => setFilter('')} />}
    </section>
  );
}

const isBad = (key: Key, figures: ProcessFigures): boolean => (COLUMNS[key] as Column).bad?.(figures) ?? false;

function ProcessDetails({ instance }: { instance: Instance }) {
  const metrics = instance.metrics.map(({ name, attributes, value, unit }) => {
    const by = Object.values(attributes).map(String).join(', ');
    const shown = unit === 'By' ? bytes(value) : `${Number(value.toPrecision(4))}${unit === '1' ? '' : ` ${unit}`}`;
    return [by ? `${name} (${by})` : name, shown];
  });
  return (
    <div className="process">
      <div>
        <h3>What it says of itself</h3>
        <Values values={instance.resource} />
      </div>
      <div>
        <h3>
          Latest figures <span className="muted">what counts, as its growth a second; times as means</span>
        </h3>
        {metrics.length > 0 ? <Values values={Object.fromEntries(metrics)} /> : <span className="muted">none in the last five minutes of this range</span>}
      </div>
    </div>
  );
}
