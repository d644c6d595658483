import { expect, test } from 'vitest';

import { callees, callers, functionsOf, reshaped } from './build';
import { largeProfile, profileOf } from './example';
import { neighbours, noRects, rowAt, visibleRects } from './rects';
import { hitValue, hitsOf, patternOf } from './search';
import { type FlameTree, flameTree, nameOf, rowNamed, stackOf } from './tree';

const treeOf = (stacks: Record<string, number>, base?: Record<string, number>) => flameTree(profileOf(base ? { stacks, base } : { stacks }));
const fnOf = (tree: FlameTree, name: string) => tree.frames.find((frame) => frame.fn === name)!.fnId;
const label = (tree: FlameTree, row: number) => tree.frames[tree.frame[row]!]?.fn ?? '*';
/** The tree as lines: where each row begins, its name, what it took with all below and alone. */
const drawn = (tree: FlameTree) => Array.from({ length: tree.n }, (_, row) => `${' '.repeat(tree.depth[row]!)}${label(tree, row)} ${tree.x[row]}+${tree.wide[row]} self ${tree.self[row]}`);

test('rows get their places', () => {
  expect(drawn(treeOf({ 'a;b': 3, 'a;c': 1, d: 2, a: 1 }))).toEqual(['* 0+7 self 0', ' a 0+5 self 1', ' d 5+2 self 2', '  b 0+3 self 3', '  c 3+1 self 1']);
});

test('in a comparison what is only in one of them is seen', () => {
  const tree = treeOf({ a: 3, b: 1 }, { b: 1, c: 1 });
  expect(tree.width).toBe(1);
  expect(drawn(tree).map((line) => line.split(' self')[0])).toEqual(['* 0+1', ' a 0+0.375', ' b 0.375+0.375', ' c 0.75+0.25']);
});

test('own code only: what libraries took is their caller’s', () => {
  const tree = reshaped(treeOf({ 'a;flask/run;b': 3, 'a;flask/run': 1, 'a;b': 2, 'stdlib/main;a': 4 }), { ownOnly: true, foldRecursion: false });
  expect(drawn(tree)).toEqual(['* 0+10 self 0', ' a 0+10 self 5', '  b 0+5 self 5']);
});

test('recursion is folded, and only where a function calls itself', () => {
  const tree = reshaped(treeOf({ 'a;a;a;b': 3, 'a;b;a': 1, 'a;a': 2 }), { ownOnly: false, foldRecursion: true });
  expect(drawn(tree)).toEqual(['* 0+6 self 0', ' a 0+6 self 2', '  b 0+4 self 3', '   a 0+1 self 1']);
});

test('what is left out below a row stays with it', () => {
  const answer = profileOf({ stacks: { 'a;b': 3, a: 1 } });
  // The server cut a row of 2 below `a`.
  answer.w = [6, 6, 3];
  answer.total = 6;
  expect(drawn(reshaped(flameTree(answer), { ownOnly: true, foldRecursion: false }))).toEqual(['* 0+6 self 0', ' a 0+6 self 1', '  b 0+3 self 3']);
});

test('a function between its callers and its callees', () => {
  const tree = treeOf({ 'a;f;x': 3, 'b;f;x': 2, 'b;f;f;y': 1, 'b;z': 5 });
  const f = fnOf(tree, 'f');
  expect(drawn(callees(tree, f))).toEqual(['f 0+6 self 0', ' f 0+1 self 0', ' x 1+5 self 5', '  y 0+1 self 1']);
  expect(drawn(callers(tree, f))).toEqual(['f 0+6 self 0', ' a 0+3 self 3', ' b 3+3 self 3']);
  expect(callers(tree, f).total).toBe(11);
});

test('functions count what they took once, with recursion too', () => {
  const tree = treeOf({ 'a;f;f': 3, 'b;f': 2 }, { 'a;f': 1 });
  const byName = Object.fromEntries(functionsOf(tree).map((row) => [tree.frames[row.frame]!.fn, [row.self, row.total, row.selfBase, row.totalBase]]));
  expect(byName).toEqual({ a: [0, 3, 0, 1], b: [0, 2, 0, 0], f: [5, 5, 1, 1] });
});

test('a search counts what it hits once', () => {
  const tree = treeOf({ 'a;b;a': 3, 'c;flask/b': 2, d: 1 });
  const share = (text: string) => hitValue(tree, hitsOf(tree, patternOf(text)!));
  expect([share('^[ab]$'), share('flask'), share('B'), share('app.py:7')]).toEqual([5, 2, 5, 6]);
  // What is no expression is a text.
  expect(share('a(')).toBe(0);
  expect(patternOf('  ')).toBeNull();
});

test('a row is found again by its name, in another answer too', () => {
  const tree = treeOf({ 'a;b': 3, 'c;b': 1 });
  const row = Array.from(tree.depth).findIndex((_, at) => label(tree, at) === 'b' && label(tree, tree.parent[at]!) === 'c');
  const other = treeOf({ 'a;a': 1, 'c;b': 1, 'c;d': 9 });
  const found = rowNamed(other, nameOf(tree, row));
  expect(stackOf(other, found).map((at) => label(other, at))).toEqual(['c', 'b']);
  expect(rowNamed(treeOf({ a: 1 }), nameOf(tree, row))).toBe(-1);
});

test('lines are told apart where a function has several', () => {
  const answer = profileOf({ stacks: { a: 1, b: 2, c: 3 } });
  // Two lines of one function.
  answer.frames[1] = { ...answer.frames[0]!, line: 9 };
  const tree = flameTree(answer);
  expect(tree.frames.map((frame) => frame.label)).toEqual(['a:7', 'a:9', 'c']);
  expect(functionsOf(tree).map((row) => [tree.frames[row.frame]!.label, row.total])).toEqual([['a:9', 3], ['c', 3]]);
});

test('arrow keys lead along the tree', () => {
  const tree = treeOf({ 'a;b': 1, 'a;c': 3, d: 2 });
  const at = (name: string) => Array.from(tree.frame).findIndex((_, row) => label(tree, row) === name);
  expect(neighbours.in(tree, 0)).toBe(at('a'));
  expect(neighbours.in(tree, at('a'))).toBe(at('c'));
  expect(neighbours.in(tree, at('d'))).toBe(-1);
  expect(neighbours.out(tree, at('b'))).toBe(at('a'));
  expect([neighbours.beside(tree, at('a'), 1), neighbours.beside(tree, at('a'), -1), neighbours.beside(tree, at('d'), 1)]).toEqual([at('d'), -1, -1]);
});

const LARGE = flameTree(largeProfile(100_000));
const PIXELS = 1_300;

test.each([
  ['all of it', 0, LARGE.width],
  ['a tenth', LARGE.width * 0.31, LARGE.width * 0.41],
  ['a millionth', LARGE.width * 0.5, LARGE.width * 0.500001],
])('of 100,000 rows each wide one is drawn where it is, and each pixel that has any: %s', (_, from, to) => {
  expect(LARGE.n).toBe(100_000);
  const levels = LARGE.levels.length - 1;
  const rects = visibleRects(LARGE, { from, to }, PIXELS, 0, levels, noRects());
  const scale = PIXELS / (to - from);
  const covered = Array.from({ length: levels }, () => new Uint8Array(PIXELS + 1));
  const found = new Map<number, number>();
  let [last, lastDepth] = [-1, -1];
  for (let at = 0; at < rects.n; at += 1) {
    const [row, left, right] = [rects.row[at]!, rects.left[at]!, rects.right[at]!];
    const depth = LARGE.depth[row]!;
    // They go from left to right, and none lies on another by more than the pixel it was widened to.
    expect(depth === lastDepth ? left >= last - 1.001 : depth > lastDepth).toBe(true);
    [last, lastDepth] = [right, depth];
    if (rects.merged[at] === 0) found.set(row, at);
    else expect(right - left).toBeGreaterThan(0);
    for (let pixel = Math.floor(left); pixel < right; pixel += 1) covered[depth]![pixel] = 1;
  }
  let missing = 0;
  for (let row = 0; row < LARGE.n; row += 1) {
    const [left, width] = [(LARGE.x[row]! - from) * scale, LARGE.wide[row]! * scale];
    if (left >= PIXELS || left + width <= 0 || width === 0) continue;
    const at = found.get(row);
    if (width >= 1) {
      if (at === undefined) missing += 1;
      else {
        expect(rects.left[at]!).toBeCloseTo(Math.max(0, left), 1);
        expect(rects.right[at]!).toBeCloseTo(Math.min(PIXELS, left + width), 1);
      }
    } else {
      if (at !== undefined) missing += 1;
      if (covered[LARGE.depth[row]!]![Math.max(0, Math.floor(left))] === 0) missing += 1;
    }
  }
  expect(missing).toBe(0);
  expect(rects.n).toBeLessThanOrEqual(levels * (2 * PIXELS + 2));
});

test('a place leads to its row, and where rows are too narrow to the widest', () => {
  const tree = treeOf({ a: 98, b: 0.5, c: 1.5 });
  expect(label(tree, rowAt(tree, 1, 50, 1))).toBe('a');
  expect(label(tree, rowAt(tree, 1, 98.4, 4))).toBe('a');
  expect(label(tree, rowAt(tree, 1, 99.7, 2))).toBe('c');
  expect(rowAt(tree, 2, 50, 1)).toBe(-1);
  expect(rowAt(treeOf({ a: 1 }), 1, 5, 1)).toBe(-1);
});

test('of 100,000 rows all trees that are made agree on the whole', () => {
  for (const made of [reshaped(LARGE, { ownOnly: true, foldRecursion: false }), reshaped(LARGE, { ownOnly: false, foldRecursion: true })]) {
    expect(made.w[0]).toBe(LARGE.total);
    expect(made.self.reduce((sum, value) => sum + value, 0)).toBe(LARGE.total);
  }
  const functions = functionsOf(LARGE);
  expect(functions.reduce((sum, row) => sum + row.self, 0)).toBe(LARGE.total - LARGE.self[0]!);
  const most = functions.toSorted((a, b) => b.total - a.total)[0]!;
  expect(callers(LARGE, most.fnId).w[0]).toBe(most.total);
  expect(callees(LARGE, most.fnId).w[0]).toBe(most.total);
});
