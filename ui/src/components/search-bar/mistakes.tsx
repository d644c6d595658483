// What is wrong with the query, with what to write instead.

import type { Mistake } from '../../lib/query/types';

/** More would push the results off the screen. */
const MAX_SHOWN = 3;

interface Props {
  id: string;
  mistakes: Mistake[];
  warnings: string[];
  onFix: (mistake: Mistake) => void;
}

export function Mistakes({ id, mistakes, warnings, onFix }: Props) {
  const fixable = mistakes.find((mistake) => mistake.fix);
  return (
    <div id={id} className="query-mistakes" role="status">
      {mistakes.slice(0, MAX_SHOWN).map((mistake) => (
        <div key={`${mistake.from} ${mistake.message}`}>
          <span className="bad">▲ {mistake.message}</span>
          {mistake.fix && (
            <button type="button" onClick={() => onFix(mistake)}>
              {mistake.fix.replace === '' ? 'Remove it' : <>Write <code>{mistake.fix.replace}</code></>}
              {mistake === fixable && <kbd>Alt Enter</kbd>}
            </button>
          )}
        </div>
      ))}
      {mistakes.length > MAX_SHOWN && <div className="muted">and {mistakes.length - MAX_SHOWN} more</div>}
      {warnings.map((warning) => (
        <div key={warning} className="query-warning">
          {warning}
        </div>
      ))}
    </div>
  );
}
