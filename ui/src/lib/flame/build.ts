// Trees made out of trees: only own code, recursion folded, and a function's callers and callees.

import { type FlameTree, type Rows, laidOut } from './tree';

/** A tree that grows by stacks; equal ones become one row. */
class Growing {
  readonly frame: number[];
  readonly parent = [-1];
  readonly depth = [0];
  readonly self = [0];
  readonly selfBase = [0];
  /** What a row has besides its children: mostly its own value, and what the server left out below it. */
  readonly rest = [0];
  readonly restBase = [0];
  readonly restSamples = [0];
  private readonly known = new Map<number, number>();
  private readonly source: FlameTree;

  constructor(source: FlameTree, rootFrame = -1) {
    this.source = source;
    this.frame = [rootFrame];
  }

  child(parent: number, frame: number): number {
    const key = parent * this.source.frames.length + frame;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const row = this.frame.length;
    this.known.set(key, row);
    this.frame.push(frame);
    this.parent.push(parent);
    this.depth.push(this.depth[parent]! + 1);
    for (const column of [this.self, this.selfBase, this.rest, this.restBase, this.restSamples]) column.push(0);
    return row;
  }

  /** Sorted by depth and then, below each row, by name, as the server's are. */
  finish(): FlameTree {
    const n = this.frame.length;
    const order = sortedRows(this, this.source);
    const place = new Int32Array(n);
    order.forEach((old, row) => {
      place[old] = row;
    });
    const take = (column: number[]) => Float64Array.from(order, (old) => column[old]!);
    const parent = Int32Array.from(order, (old) => (old === 0 ? -1 : place[this.parent[old]!]!));
    const summed = (rest: number[]) => {
      const w = take(rest);
      for (let row = n - 1; row > 0; row -= 1) w[parent[row]!]! += w[row]!;
      return w;
    };
    const compared = this.source.wBase !== null;
    const w = summed(this.rest);
    const samples = summed(this.restSamples);
    const wBase = compared ? summed(this.restBase) : null;
    const rows: Rows = {
      frames: this.source.frames,
      functions: this.source.functions,
      depth: Uint16Array.from(order, (old) => this.depth[old]!),
      frame: Int32Array.from(order, (old) => this.frame[old]!),
      parent,
      w,
      self: take(this.self),
      samples,
      wBase,
      selfBase: compared ? take(this.selfBase) : null,
      // Shares are of the whole profile, also where the tree is only a part of it.
      total: this.source.total,
      totalBase: this.source.totalBase,
      isAbsolute: this.source.isAbsolute,
    };
    return laidOut(rows);
  }
}

/** Places of frames by name, then file, then line. */
function ranks({ frames }: FlameTree): Int32Array {
  const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  const order = frames.map((_, index) => index).sort((a, b) => compare(frames[a]!.fn, frames[b]!.fn) || compare(frames[a]!.file, frames[b]!.file) || frames[a]!.line - frames[b]!.line);
  const rank = new Int32Array(frames.length);
  order.forEach((frame, place) => {
    rank[frame] = place;
  });
  return rank;
}

function sortedRows(tree: Growing, source: FlameTree): number[] {
  const rank = ranks(source);
  const children = new Map<number, number[]>();
  for (let row = 1; row < tree.frame.length; row += 1) {
    const siblings = children.get(tree.parent[row]!);
    if (siblings) siblings.push(row);
    else children.set(tree.parent[row]!, [row]);
  }
  const order = [0];
  for (let at = 0; at < order.length; at += 1) {
    const below = children.get(order[at]!);
    if (below) order.push(...below.sort((a, b) => rank[tree.frame[a]!]! - rank[tree.frame[b]!]!));
  }
  return order;
}

/** What each row has besides its children. */
function restOf(tree: FlameTree, w: Float64Array): Float64Array {
  const rest = Float64Array.from(w);
  for (let row = 1; row < tree.n; row += 1) rest[tree.parent[row]!]! -= w[row]!;
  return rest;
}

/** Adds a row of the source to a row of the growing tree. */
function adder(tree: FlameTree, growing: Growing): (to: number, row: number) => void {
  const rest = restOf(tree, tree.w);
  const restSamples = restOf(tree, tree.samples);
  const { wBase, selfBase } = tree;
  const restBase = wBase ? restOf(tree, wBase) : null;
  return (to, row) => {
    growing.self[to]! += tree.self[row]!;
    growing.rest[to]! += rest[row]!;
    growing.restSamples[to]! += restSamples[row]!;
    if (selfBase && restBase) {
      growing.selfBase[to]! += selfBase[row]!;
      growing.restBase[to]! += restBase[row]!;
    }
  };
}

/** The tree with what is asked for left out: what a frame left out took is its caller's. */
export function reshaped(tree: FlameTree, { ownOnly, foldRecursion }: { ownOnly: boolean; foldRecursion: boolean }): FlameTree {
  if (!ownOnly && !foldRecursion) return tree;
  const growing = new Growing(tree);
  const add = adder(tree, growing);
  const target = new Int32Array(tree.n);
  add(0, 0);
  for (let row = 1; row < tree.n; row += 1) {
    const parent = target[tree.parent[row]!]!;
    const frame = tree.frames[tree.frame[row]!]!;
    const above = tree.frames[growing.frame[parent]!];
    const isLeftOut = (ownOnly && frame.kind !== 'own') || (foldRecursion && above?.fnId === frame.fnId);
    target[row] = isLeftOut ? parent : growing.child(parent, tree.frame[row]!);
    add(target[row]!, row);
  }
  return growing.finish();
}

/** A frame of the function; -1 when no row has one. */
const rootOf = (tree: FlameTree, fnId: number): number => tree.frame.find((frame) => frame >= 0 && tree.frames[frame]!.fnId === fnId) ?? -1;

/** What a function calls, wherever it was called from: the function is the root. */
export function callees(tree: FlameTree, fnId: number): FlameTree {
  const growing = new Growing(tree, rootOf(tree, fnId));
  const add = adder(tree, growing);
  const target = new Int32Array(tree.n).fill(-1);
  for (let row = 1; row < tree.n; row += 1) {
    const above = target[tree.parent[row]!]!;
    const frame = tree.frame[row]!;
    if (above >= 0) target[row] = growing.child(above, frame);
    else if (tree.frames[frame]!.fnId === fnId) target[row] = 0;
    if (target[row]! >= 0) add(target[row]!, row);
  }
  return growing.finish();
}

/** Who calls a function, the nearest first: the function is the root. What it calls itself counts once. */
export function callers(tree: FlameTree, fnId: number): FlameTree {
  const growing = new Growing(tree, rootOf(tree, fnId));
  const below = new Uint8Array(tree.n);
  for (let row = 1; row < tree.n; row += 1) {
    const parent = tree.parent[row]!;
    const isIt = tree.frames[tree.frame[row]!]!.fnId === fnId;
    below[row] = below[parent] === 1 || isIt ? 1 : 0;
    if (!isIt || below[parent] === 1) continue;
    let to = 0;
    for (let at = parent; at > 0; at = tree.parent[at]!) to = growing.child(to, tree.frame[at]!);
    growing.rest[to]! += tree.w[row]!;
    growing.restSamples[to]! += tree.samples[row]!;
    growing.self[to]! += tree.w[row]!;
    if (tree.wBase) {
      growing.restBase[to]! += tree.wBase[row]!;
      growing.selfBase[to]! += tree.wBase[row]!;
    }
  }
  return growing.finish();
}

export interface FunctionRow {
  fnId: number;
  /** The frame of the function that has the most for itself. */
  frame: number;
  self: number;
  total: number;
  selfBase: number;
  totalBase: number;
}

/** All functions of a tree. A function that calls itself counts what it took once. */
export function functionsOf(tree: FlameTree): FunctionRow[] {
  const rows: (FunctionRow | undefined)[] = [];
  const most = new Float64Array(tree.functions).fill(-1);
  const perFrame = new Float64Array(tree.frames.length);
  for (let row = 1; row < tree.n; row += 1) perFrame[tree.frame[row]!]! += tree.self[row]!;
  for (let row = 1; row < tree.n; row += 1) {
    const frame = tree.frame[row]!;
    const { fnId } = tree.frames[frame]!;
    const into = (rows[fnId] ??= { fnId, frame, self: 0, total: 0, selfBase: 0, totalBase: 0 });
    if (perFrame[frame]! > most[fnId]!) {
      most[fnId] = perFrame[frame]!;
      into.frame = frame;
    }
    into.self += tree.self[row]!;
    into.selfBase += tree.selfBase?.[row] ?? 0;
    if (isWithin(tree, row, fnId)) continue;
    into.total += tree.w[row]!;
    into.totalBase += tree.wBase?.[row] ?? 0;
  }
  return rows.filter((row) => row !== undefined);
}

/** Whether a row above has the same function. */
function isWithin(tree: FlameTree, row: number, fnId: number): boolean {
  for (let at = tree.parent[row]!; at > 0; at = tree.parent[at]!) if (tree.frames[tree.frame[at]!]!.fnId === fnId) return true;
  return false;
}
