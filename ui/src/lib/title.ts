// The window's title: what is looked at, then where.

import { useEffect } from 'react';

export function useTitle(...parts: (string | undefined)[]): void {
  const title = [...parts.filter(Boolean), 'Pitviper'].join(' · ');
  useEffect(() => {
    document.title = title;
  }, [title]);
}
