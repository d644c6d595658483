// The query's terms, one by one: to look at, to turn around, to take out.

import type { Analysis, Chip } from '../../lib/query/types';

interface Props {
  text: string;
  analysis: Analysis;
  /** Whether the text changed since, so that the ranges are not its own. */
  stale: boolean;
  onSelect: (chip: Chip) => void;
  onNegate: (chip: Chip) => void;
  onRemove: (chip: Chip) => void;
}

export function Chips({ text, analysis, stale, onSelect, onNegate, onRemove }: Props) {
  const { chips, tokens } = analysis;
  /** How a chip's condition relates to the one before it. */
  const relation = (chip: Chip, before: Chip | undefined) => {
    if (!before || stale || (before.kind === chip.kind && before.index === chip.index)) return '';
    return tokens
      .filter((token) => token.kind === 'relation' && token.from >= before.to && token.to <= chip.from)
      .map((token) => text.slice(token.from, token.to))
      .join(' ');
  };
  const act = (change: () => void) => {
    if (!stale) change();
  };
  return (
    <ul className="chips" aria-label="Terms of the query">
      {chips.map((chip, index) => {
        const between = relation(chip, chips[index - 1]);
        return (
          // By place, so that the focus stays where it is when a chip changes or goes.
          <li key={index}>
            {between && <code className="muted">{between}</code>}
            <span className={chip.text.startsWith('-') ? 'chip negated' : 'chip'}>
              <button type="button" className="chip-text" aria-disabled={stale} onClick={() => act(() => onSelect(chip))} title={`Edit ${chip.text}`}>
                {chip.text}
              </button>
              {chip.kind === 'term' && (
                <button type="button" aria-disabled={stale} onClick={() => act(() => onNegate(chip))} aria-label={`Turn around ${chip.text}`} title={chip.text.startsWith('-') ? 'Include' : 'Exclude'}>
                  {chip.text.startsWith('-') ? '+' : '−'}
                </button>
              )}
              <button type="button" aria-disabled={stale} onClick={() => act(() => onRemove(chip))} aria-label={`Remove ${chip.text}`} title="Remove">
                ×
              </button>
            </span>
          </li>
        );
      })}
    </ul>
  );
}
