// A field for a statement, coloured, with its mistake underlined.

import { type KeyboardEvent, type Ref, useMemo } from 'react';

import type { Mistake } from '../../lib/query/types';
import { sqlTokens } from '../../lib/sql/tokens';
import { Highlight } from '../search-bar/highlight';
import '../search-bar/search-bar.css';
import './sql-editor.css';

interface Props {
  text: string;
  /** Names of views, which have a colour of their own. */
  names: ReadonlySet<string>;
  mistakes: Mistake[];
  field: Ref<HTMLTextAreaElement>;
  /** What explains the mistake. */
  noteId: string;
  onText: (text: string) => void;
  onRun: () => void;
  onStop: () => void;
}

export function SqlEditor({ text, names, mistakes, field, noteId, onText, onRun, onStop }: Props) {
  const tokens = useMemo(() => sqlTokens(text, names), [text, names]);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      onRun();
    } else if (event.key === 'Escape') onStop();
  };
  return (
    <div className="query-scroll sql-editor">
      <div className="query-text">
        <textarea
          ref={field}
          data-find
          value={text}
          placeholder="SELECT service, count(*) FROM spans GROUP BY service"
          aria-label="Statement"
          aria-invalid={mistakes.length > 0}
          aria-describedby={noteId}
          autoCapitalize="off"
          autoComplete="off"
          autoCorrect="off"
          spellCheck={false}
          onChange={(event) => onText(event.target.value)}
          onKeyDown={onKeyDown}
        />
        <Highlight text={text} tokens={tokens} mistakes={mistakes} anchorAt={-1} anchor={null} />
      </div>
    </div>
  );
}
