// The search bar: a text field that colours, checks and completes a query, and the query's terms as
// chips. Both show one text; what is known of it comes from the page.

import { type FormEvent, type KeyboardEvent, type ReactNode, useId, useLayoutEffect, useMemo, useRef, useState } from 'react';

import { carry } from '../../lib/query/carry';
import { negate, remove } from '../../lib/query/edit';
import { tokenize } from '../../lib/query/tokens';
import type { Analysis, Mistake } from '../../lib/query/types';
import { useSettled } from '../../lib/settled';
import { Chips } from './chips';
import { type Completed, actionOf, options } from './completion';
import { Highlight } from './highlight';
import { insertAt } from './insert';
import { Mistakes } from './mistakes';
import { Options, optionId } from './options';
import './search-bar.css';

/** After so long without a key a term is taken for finished. */
const RESTS_MS = 800;

interface Props {
  text: string;
  onText: (text: string) => void;
  onRun: (text: string) => void;
  /** A change by a chip, which is run at once. */
  onEdit: (text: string) => void;
  /** What was run last: of that, all mistakes are shown. */
  ran: string;
  /** What the server read, and in which text. */
  analysis: { text: string; result: Analysis } | null;
  completed: Completed | null;
  /** Says at which place completions are wanted; `null` when they are not. */
  onCursor: (cursor: number | null) => void;
  history: string[];
  placeholder: string;
  /** What the field is called. */
  label?: string;
  /** What else stands in the row. */
  children: ReactNode;
}

export function SearchBar({ text, onText, onRun, onEdit, ran, analysis, completed, onCursor, history, placeholder, label = 'Search traces', children }: Props) {
  const id = useId();
  const [listId, noteId] = [`${id}list`, `${id}note`];
  const field = useRef<HTMLTextAreaElement>(null);
  const anchor = useRef<HTMLSpanElement>(null);
  const scrolled = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const [cursor, setCursor] = useState(0);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const [composing, setComposing] = useState(false);
  const [place, setPlace] = useState({ left: 0, top: 0 });

  const current = analysis?.text === text ? analysis.result : null;
  const tokens = useMemo(() => current?.tokens ?? tokenize(text), [current, text]);
  const offered = open && !composing ? options(text, cursor, completed, history) : [];
  const isListed = offered.length > 0;
  const chosen = Math.min(active, offered.length - 1);
  const listAt = offered.find((option) => option.kind !== 'history')?.from ?? 0;

  // While a term is being written it is not wrong yet.
  const rests = useSettled(text, RESTS_MS) === text;
  const isUnfinished = (mistake: Mistake) => isListed && !rests && text !== ran && mistake.to >= cursor;
  const known = current?.errors ?? (analysis ? carry(analysis.result.errors, analysis.text, text) : []);
  const mistakes = known.filter((mistake) => !isUnfinished(mistake));

  useLayoutEffect(() => {
    const mark = anchor.current;
    const scroller = scrolled.current;
    if (!isListed || !mark || !scroller) return;
    const left = Math.max(0, Math.min(mark.offsetLeft, scroller.clientWidth - (list.current?.offsetWidth ?? 0)));
    setPlace({ left, top: mark.offsetTop + mark.offsetHeight - scroller.scrollTop });
  }, [isListed, listAt, text, completed]);

  const show = (shown: boolean, at = field.current?.selectionStart ?? 0) => {
    setOpen(shown);
    setActive(-1);
    setCursor(at);
    onCursor(shown ? at : null);
  };
  const run = (query: string) => {
    show(false);
    // The server would refuse it; what is wrong is said below the field.
    if (query !== text || !current?.errors.length) onRun(query);
  };
  const edit = (query: string) => {
    show(false);
    onEdit(query);
  };
  const accept = (index: number) => {
    const option = offered[index];
    const element = field.current;
    if (!option || !element) return;
    // A value ends its term and a function its line, so that the next can begin; anything else goes on.
    const ends = option.kind === 'value' || option.kind === 'function' || option.kind === 'history';
    const space = (ends && option.kind !== 'history') || option.kind === 'keyword' ? ' ' : '';
    const behind = option.to === text.length && option.caret === option.insert.length ? space : '';
    insertAt(element, option.from, option.to, option.insert + behind);
    const caret = option.from + option.caret + behind.length;
    element.setSelectionRange(caret, caret);
    show(!ends, caret);
    if (option.kind === 'history') run(option.insert);
  };
  const fix = (mistake: Mistake | undefined) => {
    if (field.current && mistake?.fix) insertAt(field.current, mistake.from, mistake.to, mistake.fix.replace);
    show(false);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    // Keys that choose among an input method's candidates are not ours; 229 is how older browsers say so.
    if (event.nativeEvent.isComposing || event.keyCode === 229) return;
    const action = actionOf(event, { count: offered.length, active: chosen, eager: /\S$/.test(text.slice(0, cursor)) });
    if (!action) return;
    event.preventDefault();
    if (action.type === 'open') show(true);
    else if (action.type === 'close') show(false);
    else if (action.type === 'move') setActive(action.index);
    else if (action.type === 'accept') accept(action.index);
    else if (action.type === 'fix') fix(mistakes.find((mistake) => mistake.fix));
    else run(text);
  };
  const onInput = (event: FormEvent<HTMLTextAreaElement>) => {
    const { value, selectionStart } = event.currentTarget;
    onText(value);
    show(true, selectionStart);
  };
  const onSelect = () => {
    const element = field.current;
    if (!element || element.selectionStart === cursor) return;
    if (open) show(element.selectionStart === element.selectionEnd);
    else setCursor(element.selectionStart);
  };

  return (
    <div className="search">
      <form
        role="search"
        className="querybar"
        onSubmit={(event) => {
          event.preventDefault();
          run(text);
        }}
      >
        <div className="query">
          <div className="query-scroll" ref={scrolled}>
            <div className={composing ? 'query-text composing' : 'query-text'}>
              <textarea
                ref={field}
                data-find
                rows={1}
                value={text}
                placeholder={placeholder}
                role="combobox"
                aria-label={label}
                aria-autocomplete="list"
                aria-haspopup="listbox"
                aria-expanded={isListed}
                aria-controls={listId}
                aria-activedescendant={isListed && chosen >= 0 ? optionId(listId, chosen) : undefined}
                aria-invalid={mistakes.length > 0}
                aria-describedby={noteId}
                enterKeyHint="search"
                autoCapitalize="off"
                autoComplete="off"
                autoCorrect="off"
                spellCheck={false}
                onChange={onInput}
                onSelect={onSelect}
                onKeyDown={onKeyDown}
                onFocus={() => text === '' && show(true)}
                onBlur={() => show(false)}
                onCompositionStart={() => setComposing(true)}
                onCompositionEnd={() => setComposing(false)}
              />
              <Highlight text={text} tokens={tokens} mistakes={mistakes} anchorAt={listAt} anchor={anchor} />
            </div>
          </div>
          {isListed && <Options ref={list} id={listId} options={offered} active={chosen} {...place} onAccept={accept} />}
          <span className="visually-hidden" role="status">
            {isListed ? `${offered.length} suggestions` : ''}
          </span>
        </div>
        {children}
      </form>
      <div className="query-note">
        {mistakes.length === 0 && analysis && text.trim() !== '' && (
          <Chips
            text={text}
            analysis={analysis.result}
            stale={current === null}
            onSelect={(chip) => {
              field.current?.focus();
              field.current?.setSelectionRange(chip.from, chip.to);
            }}
            onNegate={(chip) => edit(negate(text, chip))}
            onRemove={(chip) => {
              edit(remove(text, chip));
              if (chip === analysis.result.chips.at(-1)) field.current?.focus();
            }}
          />
        )}
        <Mistakes id={noteId} mistakes={mistakes} warnings={current?.warnings ?? []} onFix={fix} />
        {text === '' && (
          <span className="muted">
            A word finds it anywhere, <code>field:value</code> in one place. <kbd>/</kbd> goes to the field, <kbd>Ctrl Space</kbd> shows what can be written.
          </span>
        )}
      </div>
    </div>
  );
}
