// A table row that is clickable as a whole, and behaves as its link does.

import type { MouseEvent } from 'react';

/** Whether the browser opens a link clicked like this beside the page. */
const beside = (event: MouseEvent) => event.button === 1 || event.ctrlKey || event.metaKey || event.shiftKey;

function follow(event: MouseEvent<HTMLElement>): void {
  const link = event.currentTarget.querySelector('a');
  // A click on the link itself is the browser's business.
  if (!link || event.button > 1 || (event.target as Element).closest('a, button')) return;
  // Who marks text in a row wants to copy it.
  if (window.getSelection()?.type === 'Range') return;
  if (beside(event)) window.open(link.href, '_blank', 'noopener');
  else link.click();
}

/** Handlers for a row: it goes where the first link in it goes. */
export const followsItsLink = { onClick: follow, onAuxClick: follow };
