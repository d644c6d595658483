// One line below the search bar: how far the search came, and how it ended.

import type { Running } from '../../api/search';
import type { SearchProgress } from '../../api/types';
import { count, duration, momentOf } from '../../lib/format';
import { useSettled } from '../../lib/settled';

/** What is found sooner needs no words. */
const QUIET_MS = 300;

interface Props {
  order: string;
  running: Running | null;
  /** How many traces are shown, and how long the last page took; `null` before there is one. */
  last: { rows: number; more: boolean; elapsedMs: number } | null;
  onStop: () => void;
}

export function SearchState({ order, running, last, onStop }: Props) {
  const settled = useSettled(running !== null, QUIET_MS);
  const isSlow = running !== null && settled;
  const share = running?.progress ? shareOf(running.progress) : null;
  return (
    <div className="search-state" data-testid="search-state">
      {isSlow ? (
        <>
          <progress aria-label="Searched" max={1} {...(share === null ? {} : { value: share })} />
          <span>{running.progress ? words(running.progress, order, Date.now()) : 'Searching …'}</span>
          <button type="button" onClick={onStop}>
            Stop <kbd>Esc</kbd>
          </button>
        </>
      ) : (
        <span role="status">{last && !running ? `${last.rows}${last.more ? '+' : ''} ${last.rows === 1 && !last.more ? 'trace' : 'traces'} · ${took(last.elapsedMs)}` : ''}</span>
      )}
    </div>
  );
}

/** How long an answer took; the server tells whole milliseconds. */
const took = (ms: number): string => (ms < 1 ? '<1 ms' : duration(ms * 1e6));

const shareOf = ({ looked_at, of }: SearchProgress): number | null => (of ? Math.min(1, looked_at / of) : null);

/** How far back or on, how many of how many, how many found, how long. */
export function words(progress: SearchProgress, order: string, now: number): string {
  const { what, looked_at, of, reached_us, found, elapsed_ms } = progress;
  const parts = [];
  if (reached_us !== null) parts.push(`Looked ${order === 'start' ? 'on' : 'back'} to ${momentOf(reached_us, now).slice(0, -4)}`);
  parts.push(of === null ? `${count(looked_at)} ${what}` : `${count(looked_at)} of ${count(of)} ${what}`);
  if (what !== 'conditions') parts.push(`${count(found)} found`);
  parts.push(duration(elapsed_ms * 1e6));
  return parts.join(' · ');
}
