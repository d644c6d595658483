// Takes what is known of one text over to the next, until that has been read too.

interface Range {
  from: number;
  to: number;
}

/** The ranges that a change of the text did not touch, where they are now. */
export function carry<T extends Range>(ranges: readonly T[], before: string, after: string): T[] {
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  const shift = after.length - before.length;
  return ranges.flatMap((range) => {
    if (before === after || range.to < head) return [range];
    if (range.from > before.length - tail) return [{ ...range, from: range.from + shift, to: range.to + shift }];
    return [];
  });
}
