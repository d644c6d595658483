// Profiles: where the time, the memory and the waits of a selection go.

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useMemo, useState } from 'react';

import { type ExportFormat, type ProfileValues, type Selection, profiles } from '../../api/profiles';
import type { Range } from '../../api/client';
import { api } from '../../api/client';
import { formatOf, isMoment, typeName } from '../../components/profile/types';
import { CopyLine, Empty, Skeleton } from '../../components/states';
import type { Frame } from '../../lib/flame/tree';
import { useKeys } from '../../lib/keys';
import { useTitle } from '../../lib/title';
import { type ProfilesState, rangeOf } from '../../router';
import { Loaded, Problem } from '../loaded';
import { ProfileBody } from '../profile-body';
import { Lines } from '../profile-lines';
import { Kinds } from './kinds';
import { Pickers } from './pickers';
import { SpansDialog } from './spans';
import { DIMENSIONS, baselineOf, compareName, defaultType, selectionOf, timesOf } from './state';
import { Timeline } from './timeline';

const BUCKETS = 120;
/** What the timeline may be split by. */
const SPLITS = DIMENSIONS.filter(({ key }) => ['state', 'thread', 'endpoint', 'service', 'version', 'host', 'exception', 'lock'].includes(key));
/** What is told apart over time when nothing is chosen; else threads are. */
const SPLIT_OF: Record<string, string> = { wall: 'state', exceptions: 'exception', lock_wait: 'lock', lock_hold: 'lock', inuse_space: 'service', inuse_objects: 'service' };

type Change = (change: Partial<ProfilesState>) => void;

export function ProfilesPage() {
  const search = useSearch({ from: '/profiles' });
  const range = rangeOf(useSearch({ strict: false }));
  const navigate = useNavigate();
  useTitle(search.service, 'Profiles');
  const wanted = { ...(search.service ? { service: search.service } : {}), ...(search.type ? { type: search.type } : {}) };
  const values = useQuery({
    queryKey: ['live', 'profile-values', wanted, range],
    queryFn: ({ signal }) => profiles.values({ ...range, ...wanted }, signal),
    placeholderData: keepPreviousData,
  });
  const change: Change = (next) => void navigate({ to: '/profiles', search: (before) => ({ ...before, ...next }), replace: isLook(next) });
  return (
    <div className="page fill profiles" data-testid="profiles-page">
      <h1 className="visually-hidden">Profiles</h1>
      <Loaded answer={values} heights={[30, 130, 420]}>
        {(data) => (data.types.length > 0 ? <Chosen values={data} search={search} range={range} onChange={change} /> : <NothingYet search={search} onChange={change} />)}
      </Loaded>
    </div>
  );
}

/** Whether a change is only how one looks at the same samples: then Back leads before it. */
const isLook = (change: Partial<ProfilesState>): boolean => Object.keys(change).every((key) => ['q', 'focus', 'own', 'fold', 'whole', 'alone', 'color', 'view', 'fn', 'split', 'idle'].includes(key)) && !('fn' in change);

interface Props {
  values: ProfileValues;
  search: ProfilesState;
  range: Range;
  onChange: Change;
}

function Chosen({ values, search, range, onChange }: Props) {
  const navigate = useNavigate();
  const type = search.type ?? values.type ?? defaultType(values.types);
  const unit = values.types.find((known) => known.type === type)?.unit ?? 'nanoseconds';
  const format = useMemo(() => formatOf(unit), [unit]);
  const split = search.split ?? SPLIT_OF[type] ?? 'thread';
  const keys: Record<string, () => void> = {
    i: () => type === 'wall' && onChange({ idle: search.idle ? undefined : true }),
    d: () => onChange({ cmp: search.cmp === 'earlier:period' ? undefined : 'earlier:period' }),
  };
  useKeys(keys);
  const selection = selectionOf(search, range, type);
  const baseline = /^(time|earlier):/.test(search.cmp ?? '') ? baselineOf(search.cmp, selection, Date.now()) : null;
  const series = useQuery({
    queryKey: ['live', 'profile-series', selection, split],
    queryFn: ({ signal }) => profiles.series({ selection, buckets: BUCKETS, split: SPLITS.find(({ key }) => key === split)?.field ?? 'state' }, signal),
    placeholderData: keepPreviousData,
  });
  const zoom = (from: number, to: number) => void navigate({ to: '.', search: (before) => ({ ...before, from: String(from), to: String(to) }) });
  return (
    <>
      <Pickers values={values} search={search} type={type} onChange={onChange}>
        <Export selection={selection} />
      </Pickers>
      {series.isError ? (
        <Problem error={series.error} title="The course over time could not be had" retry={() => void series.refetch()} />
      ) : series.isPending ? (
        <Skeleton height={146} />
      ) : (
        series.data.data.series.length > 0 && (
          <Timeline
            data={series.data.data}
            split={split}
            label={typeName(type)}
            format={format}
            isMoment={isMoment(type)}
            onZoom={zoom}
            onCompare={(from, to) => onChange({ cmp: `time:${from}-${to}` })}
            baseline={baseline && timesOf(baseline, Date.now())}
          >
            <select aria-label="Split the time by" value={split} onChange={(event) => onChange({ split: event.target.value })}>
              {SPLITS.map(({ key, label }) => (
                <option key={key} value={key}>
                  by {label.toLowerCase()}
                </option>
              ))}
            </select>
          </Timeline>
        )
      )}
      <Kinds values={values} type={type} selection={selection} format={format} onChange={onChange} />
      <Merged search={search} range={range} type={type} unit={unit} onChange={onChange} />
    </>
  );
}

interface MergedProps extends Omit<Props, 'values'> {
  type: string;
  unit: string;
}

function Merged({ search, range, type, unit, onChange }: MergedProps) {
  const [ran, setRan] = useState<Frame | null>(null);
  const selection = selectionOf(search, range, type);
  const lines = search.whole !== true;
  const baseline = search.cmp ? baselineOf(search.cmp, selection, Date.now()) : null;
  const answer = useQuery({
    queryKey: ['live', 'profile', selection, search.cmp, lines],
    queryFn: ({ signal }) => profiles.merge({ selection, lines, ...(baseline ? { baseline } : {}) }, signal),
    placeholderData: keepPreviousData,
  });
  if (answer.isPending) return <Skeleton height={420} />;
  if (answer.isError) return <Problem error={answer.error} title="The profile could not be had" retry={() => void answer.refetch()} />;
  const profile = answer.data.data;
  if (profile.total === 0 && !profile.baseline_total && profile.excluded > 0) return <OnlyIdle hidden={formatOf(unit)(profile.excluded)} onChange={onChange} />;
  if (profile.total === 0 && !profile.baseline_total) return <NoSamples search={search} type={type} onChange={onChange} />;
  return (
    <div className="profile-answer" aria-busy={answer.isPlaceholderData} style={answer.isPlaceholderData ? { opacity: 0.6 } : undefined}>
      {search.cmp && !profile.baseline_total && <NoBaseline compare={search.cmp} onChange={onChange} />}
      <ProfileBody
        profile={profile}
        view={search}
        onChange={onChange}
        onSpans={setRan}
        isAbsolute={isMoment(type)}
        linesOf={(frame) => <Lines frame={frame} selection={selection} baseline={baseline} format={formatOf(unit)} />}
        remark={type === 'wall' && <Idle search={search} hidden={profile.excluded} format={formatOf(unit)} onChange={onChange} />}
      />
      {ran && <SpansDialog frame={ran} selection={selection} format={formatOf(unit)} onClose={() => setRan(null)} />}
    </div>
  );
}

/** What is left out of wall time, or that nothing is. */
function Idle({ search, hidden, format, onChange }: { search: ProfilesState; hidden: number; format: (value: number) => string; onChange: Change }) {
  if (search.idle) {
    return (
      <button type="button" onClick={() => onChange({ idle: undefined })} title="Thread pools, event loops and servers that wait for work">
        Hide waits for work <kbd>i</kbd>
      </button>
    );
  }
  if (hidden <= 0) return null;
  return (
    <>
      <span className="muted">{format(hidden)} of threads that wait for work are hidden.</span>
      <button type="button" onClick={() => onChange({ idle: true })} title="Thread pools, event loops and servers that wait for work">
        Show them <kbd>i</kbd>
      </button>
    </>
  );
}

function OnlyIdle({ hidden, onChange }: { hidden: string; onChange: Change }) {
  return (
    <Empty title="All threads waited for work">
      <span className="muted">{hidden} of it are hidden.</span>
      <button type="button" onClick={() => onChange({ idle: true })}>
        Show them <kbd>i</kbd>
      </button>
    </Empty>
  );
}

const FORMATS: [ExportFormat, string, string][] = [
  ['pprof', 'pprof', 'pprof'],
  ['speedscope', 'speedscope JSON', 'speedscope.json'],
  ['collapsed', 'collapsed stacks', 'collapsed.txt'],
];

function Export({ selection }: { selection: Selection }) {
  const [failed, setFailed] = useState<string | null>(null);
  const download = async (format: ExportFormat) => {
    setFailed(null);
    try {
      const file = await profiles.file(format, selection);
      const link = document.createElement('a');
      link.href = URL.createObjectURL(file);
      link.download = `${selection.service ?? 'profile'}-${selection.type}.${FORMATS.find(([id]) => id === format)?.[2] ?? format}`;
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (error) {
      setFailed(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <>
      <select aria-label="Export" value="" onChange={(event) => void download(event.target.value as ExportFormat)}>
        <option value="" disabled>
          Export …
        </option>
        {FORMATS.map(([format, text]) => (
          <option key={format} value={format}>
            {text}
          </option>
        ))}
      </select>
      {failed && (
        <span className="bad" role="alert">
          {failed}
        </span>
      )}
    </>
  );
}

function NoBaseline({ compare, onChange }: { compare: string; onChange: Change }) {
  return (
    <p className="sampled" role="note">
      There are no samples of {compareName(compare)} to compare with.{' '}
      <button type="button" className="plain" onClick={() => onChange({ cmp: undefined })}>
        Do not compare
      </button>
    </p>
  );
}

function NoSamples({ search, type, onChange }: { search: ProfilesState; type: string; onChange: Change }) {
  const navigate = useNavigate();
  const set = DIMENSIONS.filter(({ key }) => search[key]);
  return (
    <Empty title={`No samples of ${typeName(type).toLowerCase()} for this choice`}>
      <div className="legend">
        {set.map(({ key, all, label }) => (
          <button type="button" key={key} onClick={() => onChange({ [key]: undefined })} aria-label={`Not only ${label.toLowerCase()} ${search[key]}`}>
            {all}
          </button>
        ))}
        {(search.trace ?? search.span) && (
          <button type="button" onClick={() => onChange({ trace: undefined, span: undefined })}>
            all traces
          </button>
        )}
        <button type="button" onClick={() => void navigate({ to: '.', search: (before) => ({ ...before, from: 'now-7d', to: 'now' }) })}>
          the last 7 days
        </button>
      </div>
    </Empty>
  );
}

/** No profiles at all: another time, or how there will be some. */
function NothingYet({ search, onChange }: { search: ProfilesState; onChange: Change }) {
  const navigate = useNavigate();
  const meta = useQuery({ queryKey: ['meta'], queryFn: ({ signal }) => api.meta(signal) });
  const endpoint = meta.data?.data.endpoints.otlp_http ?? '127.0.0.1:4318';
  const url = endpoint.startsWith('http') ? endpoint : `http://${endpoint}`;
  return (
    <Empty title={search.service ? `No profiles of ${search.service} in this time` : 'No profiles in this time'}>
      <div className="legend">
        {search.service && (
          <button type="button" onClick={() => onChange({ service: undefined })}>
            all services
          </button>
        )}
        <button type="button" onClick={() => void navigate({ to: '.', search: (before) => ({ ...before, from: 'now-7d', to: 'now' }) })}>
          the last 7 days
        </button>
      </div>
      <span>An application under the agent sends them by itself, the first ten seconds after its first request:</span>
      <CopyLine label="the run command" text={`PITVIPER_ENDPOINT=${url} PITVIPER_SERVICE=my-app pitviper run gunicorn app:app`} />
      <span>Any pprof can be sent here as well, of whatever language:</span>
      <CopyLine label="the command that sends a pprof" text={`curl --data-binary @profile.pb.gz '${url}/v1/pprof?service.name=my-app'`} />
    </Empty>
  );
}
