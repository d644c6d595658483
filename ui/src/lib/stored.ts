// State that the browser keeps between visits.

import { useState } from 'react';

function read<T>(key: string, initial: T): T {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(key) ?? 'null');
    return typeof stored === typeof initial && stored !== null ? (stored as T) : initial;
  } catch {
    return initial;
  }
}

/** Holds a value under a key of the browser's storage. What is stored has to have the type of `initial`. */
export function useStored<T>(key: string, initial: T): [T, (value: T) => void] {
  const [value, setValue] = useState(() => read(key, initial));
  const store = (next: T) => {
    setValue(next);
    try {
      localStorage.setItem(key, JSON.stringify(next));
    } catch {
      // A browser that keeps nothing starts anew each time.
    }
  };
  return [value, store];
}
