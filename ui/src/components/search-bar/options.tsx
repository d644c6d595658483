// The list below the field.

import { type Ref, useEffect, useRef } from 'react';

import type { Option } from './completion';

const KINDS: Record<Option['kind'], string> = { key: 'field', value: 'value', op: 'operator', keyword: 'keyword', function: 'function', history: 'recent' };

interface Props {
  ref: Ref<HTMLDivElement>;
  id: string;
  options: Option[];
  active: number;
  /** In pixels, from the field's corner. */
  left: number;
  top: number;
  onAccept: (index: number) => void;
}

export const optionId = (list: string, index: number) => `${list}-${index}`;

export function Options({ ref, id, options, active, left, top, onAccept }: Props) {
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    list.current?.children[active]?.scrollIntoView({ block: 'nearest' });
  }, [active]);
  return (
    <div ref={ref} className="query-list" style={{ left, top }}>
      <div ref={list} id={id} role="listbox" aria-label="Suggestions">
        {options.map((option, index) => (
          <div
            key={`${option.kind} ${option.insert}`}
            id={optionId(id, index)}
            role="option"
            aria-selected={index === active}
            // The field keeps the focus.
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => onAccept(index)}
          >
            <code>{option.insert}</code>
            <span className="muted">{option.detail}</span>
            <span className="tag">{KINDS[option.kind]}</span>
          </div>
        ))}
      </div>
      <div className="query-keys muted" aria-hidden="true">
        <kbd>↑</kbd> <kbd>↓</kbd> choose <kbd>Tab</kbd> take <kbd>Enter</kbd> search <kbd>Esc</kbd> close
      </div>
    </div>
  );
}
