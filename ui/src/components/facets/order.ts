// Keeps what is shown where it is while its counts change.

import type { Facet } from '../../lib/query/types';

/** Those that were there in their former order, then what is new. */
function inOrderOf<T>(before: readonly T[], now: readonly T[], name: (item: T) => string): T[] {
  const places = new Map(before.map((item, index) => [name(item), index]));
  const place = (item: T) => places.get(name(item)) ?? Number.POSITIVE_INFINITY;
  // Sorting is stable, and what is new has no place; without this it would be compared as not a number.
  return now.toSorted((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
}

export function steady(before: readonly Facet[], now: readonly Facet[]): Facet[] {
  const former = new Map(before.map((facet) => [facet.key, facet]));
  return inOrderOf(before, now, (facet) => facet.key).map((facet) => {
    const values = former.get(facet.key)?.top ?? [];
    return { ...facet, top: inOrderOf(values, facet.top, (value) => value.value) };
  });
}
