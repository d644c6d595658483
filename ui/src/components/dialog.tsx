// A modal dialog: the browser's own, which keeps focus and closes with Escape.

import { type ReactNode, useEffect, useRef } from 'react';

export function Dialog({ label, onClose, children }: { label: string; onClose: () => void; children: ReactNode }) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = element.current;
    if (dialog && !dialog.open) dialog.showModal();
  }, []);
  return (
    // The backdrop is the dialog itself, outside of its body; Escape does the same by keyboard.
    <dialog ref={element} aria-label={label} onClose={onClose} onClick={(event) => event.target === element.current && onClose()}>
      <div className="body">{children}</div>
    </dialog>
  );
}
