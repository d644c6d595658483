// The traces that ran a function, those in which it took most first.

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import { type Selection, profiles } from '../../api/profiles';
import { Dialog } from '../../components/dialog';
import type { Frame } from '../../lib/flame/tree';
import { count } from '../../lib/format';
import { Loaded } from '../loaded';

/** More are not read. */
const ROWS_MOST = 50;

interface Props {
  frame: Frame;
  selection: Selection;
  format: (value: number) => string;
  onClose: () => void;
}

export function SpansDialog({ frame, selection, format, onClose }: Props) {
  const answer = useQuery({
    queryKey: ['profile-spans', selection, frame.fn, frame.file],
    queryFn: ({ signal }) => profiles.spans({ selection, function: frame.fn, ...(frame.file ? { file: frame.file } : {}) }, signal),
  });
  return (
    <Dialog label={`Traces that ran ${frame.fn}`} onClose={onClose}>
      <div className="head">
        <h1>Traces that ran {frame.fn}</h1>
        <span className="spacer" />
        <button type="button" onClick={onClose} aria-label="Close">
          ×
        </button>
      </div>
      <Loaded answer={answer} heights={[180]}>
        {({ spans, count: all, outside }) =>
          spans.length === 0 ? (
            <span className="muted">None of its samples was taken while a span was open. Work outside of requests has no trace.</span>
          ) : (
            <>
              <table aria-label="Traces">
                <thead>
                  <tr>
                    <th>Span</th>
                    <th className="num">In this function</th>
                    <th className="num">Samples</th>
                  </tr>
                </thead>
                <tbody>
                  {spans.slice(0, ROWS_MOST).map((span) => (
                    <tr key={`${span.trace_id ?? ''} ${span.span_id}`}>
                      <td>
                        {span.trace_id ? (
                          <Link to="/traces/$traceId" params={{ traceId: span.trace_id }} search={{ span: span.span_id, filter: undefined, tab: 'hotspots' }} onClick={onClose}>
                            <code>
                              {span.trace_id.slice(0, 16)}… / {span.span_id}
                            </code>
                          </Link>
                        ) : (
                          <code title="Its profiler tells no trace">{span.span_id}</code>
                        )}
                      </td>
                      <td className="num">{format(span.value)}</td>
                      <td className="num">{count(span.samples)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
              <p className="sampled">
                {all > Math.min(spans.length, ROWS_MOST) ? `The first ${Math.min(spans.length, ROWS_MOST)} of ${count(all)} spans. ` : ''}
                {outside > 0 ? `${format(outside)} were outside of all spans.` : ''}
              </p>
            </>
          )
        }
      </Loaded>
    </Dialog>
  );
}
