// The lines of a function by what was measured in them: which line it is that takes the time.

import { keepPreviousData, useQuery } from '@tanstack/react-query';

import { type Selection, profiles } from '../api/profiles';
import { type Format, points, shortPlaceOf } from '../components/flame-graph/words';
import type { Frame } from '../lib/flame/tree';
import { count, percent } from '../lib/format';
import { Loaded } from './loaded';

/** More are not read. */
const ROWS_MOST = 200;

interface Props {
  frame: Frame;
  selection: Selection;
  baseline: Selection | null;
  format: Format;
}

export function Lines({ frame, selection, baseline, format }: Props) {
  const answer = useQuery({
    queryKey: ['live', 'profile-lines', selection, baseline, frame.fn, frame.file],
    queryFn: ({ signal }) => profiles.lines({ selection, function: frame.fn, ...(frame.file ? { file: frame.file } : {}), ...(baseline ? { baseline } : {}) }, signal),
    placeholderData: keepPreviousData,
  });
  return (
    <>
      <h2>
        Lines of {frame.fn} <span className="muted">{shortPlaceOf({ ...frame, line: 0 })} · their text is not on the server</span>
      </h2>
      <div className="lines">
        <Loaded answer={answer} heights={[60]}>
          {({ lines, whole, total, baseline_whole: before }) => {
            const share = (value: number, of: number) => (of > 0 ? value / of : 0);
            return (
              <table aria-label={`Lines of ${frame.fn}`}>
                <thead>
                  <tr>
                    <th className="num">Line</th>
                    <th className="num">Self</th>
                    <th className="num">Total</th>
                    <th className="num">Of the function</th>
                    {before !== undefined && before !== null && <th className="num">Δ total</th>}
                    <th className="num">Samples</th>
                  </tr>
                </thead>
                <tbody>
                  {lines.slice(0, ROWS_MOST).map((line) => (
                    <tr key={`${line.file}:${line.line}`}>
                      <td className="num">{line.line === 0 ? 'not told' : line.file.startsWith('/') ? <a href={`vscode://file${encodeURI(line.file)}:${line.line}`} title={`Open ${line.file}:${line.line} in VS Code`}>{line.line}</a> : line.line}</td>
                      <td className="num">{line.self > 0 ? format(line.self) : ''}</td>
                      <td className="num">
                        {format(line.total)} <span className="muted">· {percent(share(line.total, whole))}</span>
                      </td>
                      <td className="num value" style={{ backgroundSize: `${(100 * share(line.total, total)).toFixed(2)}% 3px` }}>
                        {percent(share(line.total, total))}
                      </td>
                      {before !== undefined && before !== null && <td className="num">{points(share(line.total, whole), share(line.total_base ?? 0, before))}</td>}
                      <td className="num">{count(line.samples)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            );
          }}
        </Loaded>
      </div>
    </>
  );
}
