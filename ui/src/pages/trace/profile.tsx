// The samples of a whole trace as one profile.

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';

import { profiles } from '../../api/profiles';
import { TYPES, typeName } from '../../components/profile/types';
import { Empty, Skeleton } from '../../components/states';
import { Problem } from '../loaded';
import { type BodyView, ProfileBody } from '../profile-body';
import type { SampledTime } from './samples';

/** Which kinds of profile there are at a time, and the one that is shown: waits are part of a trace. */
export function useTypes(time: SampledTime): { types: string[]; type: string; setType: (type: string) => void; isPending: boolean } {
  const [chosen, setType] = useState<string | null>(null);
  const values = useQuery({ queryKey: ['profile-values', time], queryFn: ({ signal }) => profiles.values(time, signal), staleTime: 60_000 });
  const known = values.data?.data.types.map(({ type }) => type) ?? [];
  const types = [...TYPES.map(([id]) => id).filter((id) => known.includes(id)), ...known.filter((id) => !TYPES.some(([each]) => each === id))];
  const type = chosen ?? ['wall', 'cpu'].find((id) => types.includes(id)) ?? types[0] ?? 'wall';
  return { types, type, setType, isPending: values.isPending };
}

export function TypePicker({ types, type, setType }: { types: string[]; type: string; setType: (type: string) => void }) {
  return (
    <select aria-label="Kind of profile" value={type} onChange={(event) => setType(event.target.value)}>
      {[...new Set([...types, type])].map((id) => (
        <option key={id} value={id}>
          {typeName(id)}
        </option>
      ))}
    </select>
  );
}

export function TraceProfile({ traceId, time }: { traceId: string; time: SampledTime }) {
  const { isPending, ...kinds } = useTypes(time);
  const [view, setView] = useState<BodyView>({});
  const lines = view.whole !== true;
  const answer = useQuery({
    queryKey: ['trace-profile', traceId, time, kinds.type, lines],
    queryFn: ({ signal }) => profiles.merge({ selection: { ...time, type: kinds.type, trace_id: traceId }, lines }, signal),
    placeholderData: keepPreviousData,
    enabled: !isPending,
  });
  if (answer.isError) return <Problem error={answer.error} title="The profile could not be had" retry={() => void answer.refetch()} />;
  if (answer.isPending) return <Skeleton height={420} />;
  if (answer.data.data.total === 0) {
    return (
      <Empty title={`No sample of ${typeName(kinds.type).toLowerCase()} was taken in this trace`}>
        <span className="muted">Samples come a hundred times a second from processes that are profiled, and arrive up to a minute later.</span>
        <div className="legend">
          <TypePicker {...kinds} />
          <Link to="/profiles">All profiles</Link>
        </div>
      </Empty>
    );
  }
  return (
    <ProfileBody profile={answer.data.data} view={view} onChange={(change) => setView((before) => ({ ...before, ...change }))}>
      <TypePicker {...kinds} />
    </ProfileBody>
  );
}
