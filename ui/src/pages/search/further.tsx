// Says that a search ended before it had looked at everything, and goes on.

import { moment } from '../../lib/format';

interface Props {
  order: string;
  /** Up to where it came, in microseconds since the epoch. */
  untilUs: number | null | undefined;
  searching: boolean;
  onFurther: () => void;
}

export function Further({ order, untilUs, searching, onFurther }: Props) {
  const onwards = { '-start': 'Search further back', start: 'Search further on' }[order] ?? 'Search further';
  return (
    <div className="further" role="status">
      <span>The search stopped before it had looked at everything.{untilUs ? ` It got as far as ${moment(untilUs)}.` : ''}</span>
      <button type="button" aria-disabled={searching} onClick={() => !searching && onFurther()}>
        {searching ? 'Searching …' : onwards}
      </button>
    </div>
  );
}
