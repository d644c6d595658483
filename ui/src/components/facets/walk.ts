// Arrow keys in the list of fields: it is one stop of the Tab key, however many buttons it has.

const rowOf = (element: Element) => element.closest('[data-row]');

/** Where the focus goes from a button of the list; `null` when the key is none of the list's. */
export function neighbour(list: Element, from: Element, key: string): HTMLElement | null {
  const rows = [...list.querySelectorAll('[data-row]')];
  const row = rowOf(from);
  const at = row ? rows.indexOf(row) : -1;
  const buttons = [...(row?.querySelectorAll<HTMLElement>('button') ?? [])];
  const within = buttons.indexOf(from as HTMLElement);
  /** The same column of another row, where it has one. */
  const inRow = (index: number): HTMLElement | null => {
    const others = rows[Math.max(0, Math.min(rows.length - 1, index))]?.querySelectorAll<HTMLElement>('button') ?? [];
    return others[Math.min(within, others.length - 1)] ?? null;
  };
  if (key === 'ArrowDown') return inRow(at + 1);
  if (key === 'ArrowUp') return inRow(at - 1);
  if (key === 'Home') return inRow(0);
  if (key === 'End') return inRow(rows.length - 1);
  if (key === 'ArrowRight') return buttons[within + 1] ?? null;
  if (key === 'ArrowLeft') return buttons[within - 1] ?? null;
  return null;
}
