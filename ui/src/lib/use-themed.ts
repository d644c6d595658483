// Renders again when the theme changed, for what takes its colours from code.

import { useEffect, useState } from 'react';

import { onThemeChange } from './theme';

/** A number that is another one after each change of the theme. */
export function useThemed(): number {
  const [theme, setTheme] = useState(0);
  useEffect(() => onThemeChange(() => setTheme((now) => now + 1)), []);
  return theme;
}
