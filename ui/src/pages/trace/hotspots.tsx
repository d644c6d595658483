// Which code ran in a span: the stacks of exactly this span, or of it and all below it.

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo, useState } from 'react';

import { type MergedProfile, type Selection, profiles } from '../../api/profiles';
import type { SpanDetails } from '../../api/types';
import { FlameGraph } from '../../components/flame-graph/flame-graph';
import { isFew, placeOf, shortPlaceOf } from '../../components/flame-graph/words';
import { byState, stateColor, stateLabel } from '../../components/profile/states';
import { formatOf } from '../../components/profile/types';
import { Empty, Skeleton } from '../../components/states';
import { functionsOf } from '../../lib/flame/build';
import { flameTree } from '../../lib/flame/tree';
import { count, duration, percent } from '../../lib/format';
import { useThemed } from '../../lib/use-themed';
import { Problem } from '../loaded';
import '../../components/profile/profile.css';
import { TypePicker, useTypes } from './profile';
import type { SampledTime } from './samples';

const TOP = 12;
/** More would not be seen in a panel. */
const NODES_MOST = 20_000;

interface Props {
  span: SpanDetails;
  below: string[] | null;
  time: SampledTime;
}

export function Hotspots({ span, below, time }: Props) {
  const { isPending, ...kinds } = useTypes(time);
  const hasBelow = below === null || below.length > 1;
  const [isOnly, setOnly] = useState(!hasBelow);
  const spans: Partial<Selection> = isOnly ? { span_ids: [span.span_id] } : below ? { span_ids: below } : {};
  const selection: Selection = { ...time, type: kinds.type, trace_id: span.trace_id, ...spans };
  const answer = useQuery({
    queryKey: ['hotspots', selection],
    queryFn: ({ signal }) => profiles.merge({ selection, lines: true, max_nodes: NODES_MOST }, signal),
    placeholderData: keepPreviousData,
    enabled: !isPending,
  });
  return (
    <div className="hotspots" data-testid="hotspots">
      <div className="legend">
        <div className="segments" role="group" aria-label="Of which spans">
          <button type="button" aria-pressed={isOnly} onClick={() => setOnly(true)}>
            This span
          </button>
          <button type="button" aria-pressed={!isOnly} disabled={!hasBelow} onClick={() => setOnly(false)}>
            With all below
          </button>
        </div>
        <TypePicker {...kinds} />
      </div>
      {answer.isError ? (
        <Problem error={answer.error} title="The samples could not be had" retry={() => void answer.refetch()} />
      ) : answer.isPending ? (
        <Skeleton height={300} />
      ) : answer.data.data.total === 0 ? (
        <Nothing span={span} type={kinds.type} />
      ) : (
        <>
          {kinds.type === 'wall' && <States selection={selection} />}
          <Where profile={answer.data.data} />
          <Link to="/profiles" search={{ trace: span.trace_id, type: kinds.type, ...(isOnly ? { span: span.span_id } : {}), ...time }}>
            Open as a profile
          </Link>
        </>
      )}
    </div>
  );
}

function Nothing({ span, type }: { span: SpanDetails; type: string }) {
  return (
    <Empty title="No sample was taken in it">
      <span className="muted">
        {type === 'cpu' || type === 'wall'
          ? `Samples come about a hundred times a second: one that takes ${duration(span.dur_ns)} is not always hit. They arrive up to a minute later.`
          : 'Nothing of this kind happened in it, or it is not recorded.'}
      </span>
      <Link to="/profiles" search={{ service: span.service, type }}>
        Profile of {span.service}
      </Link>
    </Empty>
  );
}

/** On the CPU against the kinds of waiting. */
function States({ selection }: { selection: Selection }) {
  useThemed();
  const answer = useQuery({
    queryKey: ['hotspot-states', selection],
    queryFn: ({ signal }) => profiles.series({ selection, buckets: 1, split: 'state' }, signal),
    placeholderData: keepPreviousData,
  });
  const states = useMemo(
    () => byState((answer.data?.data.series ?? []).map(({ key, values }) => ({ key, value: values.reduce((sum, value) => sum + value, 0) })).filter(({ value }) => value > 0)),
    [answer.data],
  );
  const total = states.reduce((sum, { value }) => sum + value, 0);
  if (total === 0) return null;
  return (
    <section aria-label="What its threads were doing">
      <div className="states" aria-hidden="true">
        {states.map(({ key, value }, place) => (
          <span key={key} style={{ width: `${(100 * value) / total}%`, background: stateColor(key, place) }} />
        ))}
      </div>
      <div className="states-legend">
        {states.map(({ key, value }, place) => (
          <span key={key}>
            <i style={{ background: stateColor(key, place) }} />
            {stateLabel(key)} <b>{duration(value)}</b> <span className="muted">{percent(value / total)}</span>
          </span>
        ))}
      </div>
    </section>
  );
}

function Where({ profile }: { profile: MergedProfile }) {
  const tree = useMemo(() => flameTree(profile), [profile]);
  const top = useMemo(() => functionsOf(tree).toSorted((a, b) => b.self - a.self || b.total - a.total).slice(0, TOP), [tree]);
  const [focus, setFocus] = useState({ tree, row: 0 });
  const format = formatOf(profile.unit);
  return (
    <>
      <div>
        <b>{format(profile.total)}</b> <span className="muted">in {count(profile.samples)} samples</span>
        {isFew(profile) && <span className="warn"> · too few to be exact</span>}
      </div>
      <table aria-label="Top functions" className="functions-top">
        <thead>
          <tr>
            <th>Function</th>
            <th className="num">Self</th>
            <th className="num">Total</th>
          </tr>
        </thead>
        <tbody>
          {top.map((row) => {
            const frame = tree.frames[row.frame]!;
            return (
              <tr key={row.fnId}>
                <td className="wide" title={`${frame.fn}\n${placeOf(frame)}`}>
                  <span className="named">
                    <span>{frame.fn}</span>
                    <span className="muted">{shortPlaceOf(frame)}</span>
                  </span>
                </td>
                <td className="num">{format(row.self)}</td>
                <td className="num">{percent(row.total / tree.total)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      <FlameGraph
        tree={tree}
        format={format}
        label="Hotspots of the span"
        orientation="icicle"
        colorBy="code"
        hits={null}
        focus={focus.tree === tree ? focus.row : 0}
        onFocus={(row) => setFocus({ tree, row })}
        menuOf={(row) => {
          const frame = tree.frames[tree.frame[row] ?? -1];
          return frame
            ? [
                { label: 'Copy name', run: () => void navigator.clipboard.writeText(frame.fn) },
                { label: 'Copy file and line', run: () => void navigator.clipboard.writeText(placeOf(frame)) },
              ]
            : [{ label: 'Show all', run: () => setFocus({ tree, row: 0 }) }];
        }}
      />
    </>
  );
}
