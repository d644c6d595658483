// Says that a search ended before it had looked at everything, and goes on.

import type { TracePage } from '../../api/search';
import { moment } from '../../lib/format';

interface Props {
  order: string;
  ended: TracePage['ended'];
  /** Up to where it came, in microseconds since the epoch. */
  untilUs: number | null | undefined;
  onFurther: () => void;
}

export function Further({ order, ended, untilUs, onFurther }: Props) {
  const onwards = { '-start': 'Search further back', start: 'Search further on' }[order] ?? 'Search further';
  const why = ended === 'stopped' ? 'You stopped the search' : ended ? `The search failed: ${ended.detail ?? ended.title}. It ended` : 'The search stopped';
  return (
    <div className="further" role={typeof ended === 'object' ? 'alert' : 'status'}>
      <span>
        {why} before it had looked at everything.{untilUs ? ` It got as far as ${moment(untilUs)}.` : ''}
        {typeof ended === 'object' && ended.request_id ? ` Request ${ended.request_id}.` : ''}
      </span>
      <button type="button" onClick={onFurther}>
        {onwards}
      </button>
    </div>
  );
}
