// What can be done with a frame: a menu where the pointer or the keys are.

import { type CSSProperties, type KeyboardEvent, useEffect, useRef } from 'react';

export interface MenuItem {
  label: string;
  run: () => void;
}

interface Props {
  label: string;
  items: MenuItem[];
  style: CSSProperties;
  onClose: () => void;
}

export function Menu({ label, items, style, onClose }: Props) {
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    list.current?.querySelector('button')?.focus();
    const outside = (event: PointerEvent) => !(event.target instanceof Node && list.current?.contains(event.target)) && onClose();
    window.addEventListener('pointerdown', outside);
    return () => {
      window.removeEventListener('pointerdown', outside);
      // The focus goes back where it was, unless what was chosen took it elsewhere.
      if (before instanceof HTMLElement && (document.activeElement === null || document.activeElement === document.body)) before.focus();
    };
    // eslint-disable-next-line
  }, []);
  const onKeyDown = (event: KeyboardEvent) => {
    event.stopPropagation();
    const buttons = [...(list.current?.querySelectorAll('button') ?? [])];
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -at, End: buttons.length - 1 - at }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      buttons[(at + step + buttons.length) % buttons.length]?.focus();
    } else if (event.key === 'Escape' || event.key === 'Tab') {
      event.preventDefault();
      onClose();
    }
  };
  return (
    <div ref={list} className="flame-menu" role="menu" aria-label={label} style={style} onKeyDown={onKeyDown}>
      {items.map((item) => (
        <button
          type="button"
          role="menuitem"
          key={item.label}
          onClick={(event) => {
            event.stopPropagation();
            onClose();
            item.run();
          }}
        >
          {item.label}
        </button>
      ))}
    </div>
  );
}
