// Changes a field's text as typing would, so that the browser's undo takes it back.

export function insertAt(field: HTMLTextAreaElement, from: number, to: number, text: string): void {
  field.focus();
  field.setSelectionRange(from, to);
  if (from === to && text === '') return;
  // Deprecated, and the only way that keeps undo.
  const done = document.execCommand?.(text === '' ? 'delete' : 'insertText', false, text);
  if (done) return;
  field.setRangeText(text, from, to, 'end');
  field.dispatchEvent(new Event('input', { bubbles: true }));
}
