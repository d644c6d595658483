// The text of the field, coloured. It lies over the field and has the same box, so that both break
// their lines at the same places; what is typed, selected and pointed at is the field's own.

import type { Ref } from 'react';

import type { Mistake, Token } from '../../lib/query/types';
import { segments } from './segments';

interface Props {
  text: string;
  tokens: Token[];
  mistakes: Mistake[];
  /** Where the list of options hangs. */
  anchorAt: number;
  anchor: Ref<HTMLSpanElement>;
}

export function Highlight({ text, tokens, mistakes, anchorAt, anchor }: Props) {
  let from = 0;
  return (
    <div className="query-colors" aria-hidden="true">
      {segments(text, tokens, mistakes).map((segment) => {
        const at = from;
        from += segment.text.length;
        const hangs = anchorAt > at && anchorAt < from ? anchorAt - at : 0;
        return (
          <span key={at} className={`tok-${segment.look}${segment.wrong ? ' tok-wrong' : ''}`}>
            {anchorAt === at && <span ref={anchor} />}
            {segment.text.slice(0, hangs)}
            {hangs > 0 && <span ref={anchor} />}
            {segment.text.slice(hangs)}
          </span>
        );
      })}
      {anchorAt >= from && <span ref={anchor} />}
      {/* Gives a last line that is empty its height. */}
      {'\u200b'}
    </div>
  );
}
