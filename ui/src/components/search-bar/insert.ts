// Changes a field's text as typing would, so that the browser's undo takes it back.

export function insertAt(field: HTMLTextAreaElement, from: number, to: number, text: string): void {
  field.focus();
  field.setSelectionRange(from, to);
  if (from === to && text === '') return;
  // Deprecated, and the only way that keeps undo.
  const done = document.execCommand?.(text === '' ? 'delete' : 'insertText', false, text);
  if (done) return;
  // React overlays the field's own property to tell its changes from the user's.
  const set = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value')?.set;
  set?.call(field, field.value.slice(0, from) + text + field.value.slice(to));
  field.setSelectionRange(from + text.length, from + text.length);
  field.dispatchEvent(new Event('input', { bubbles: true }));
}
