// The queries that were run last, kept by the browser.

const KEY = 'pitviper.queries';
const MAX_QUERIES = 20;
/** Longer ones are programs, and would crowd out the rest of what the browser keeps. */
const MAX_LENGTH = 1_000;

export function recent(): string[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(stored) ? stored.filter((query): query is string => typeof query === 'string').slice(0, MAX_QUERIES) : [];
  } catch {
    return [];
  }
}

export function remember(query: string): void {
  const text = query.trim();
  if (text === '' || text.length > MAX_LENGTH) return;
  const queries = [text, ...recent().filter((other) => other !== text)].slice(0, MAX_QUERIES);
  try {
    localStorage.setItem(KEY, JSON.stringify(queries));
  } catch {
    // A browser that keeps nothing has no history.
  }
}
