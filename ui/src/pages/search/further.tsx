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
  const direction = order === 'start' ? 'on' : 'back';
  const came = untilUs ? ` It came ${order === 'start' ? 'up' : 'back'} to ${moment(untilUs)}.` : '';
  return (
    <div className="further" role="status">
      <span>The search stopped before it had looked at everything.{came}</span>
      <button type="button" aria-disabled={searching} onClick={() => !searching && onFurther()}>
        {searching ? 'Searching …' : order === '-duration' ? 'Search further' : `Search further ${direction}`}
      </button>
    </div>
  );
}
