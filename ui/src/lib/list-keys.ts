// j, k and Enter in a list.

import { useEffect, useState } from 'react';

/** The selected index of a list of `length` rows; Enter calls `open`. */
export function useListKeys(length: number, open: (index: number) => void): number {
  const [selected, setSelected] = useState(-1);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target;
      if (event.metaKey || event.ctrlKey || (target instanceof HTMLElement && target.matches('input, select, button, a, textarea, [role=application]'))) return;
      if (event.key === 'j' || event.key === 'ArrowDown') setSelected((now) => Math.min(now + 1, length - 1));
      else if (event.key === 'k' || event.key === 'ArrowUp') setSelected((now) => Math.max(now - 1, 0));
      else if (event.key === 'Enter' && selected >= 0) open(selected);
      else return;
      event.preventDefault();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  });
  return Math.min(selected, length - 1);
}
