// A profile's tree as sorted columns: rows go by depth and then from left to right, row 0 is the root.

/** What the server answers with; all indices but `frame` and `parent` are of `strings`. */
export interface ProfileColumns {
  type: string;
  unit: string;
  total: number;
  samples: number;
  baseline_total?: number | null;
  strings: string[];
  frames: { fn: number; file: number; line: number; pkg: number; in_app: boolean }[];
  depth: number[];
  w: number[];
  self: number[];
  /** Samples through each row. */
  n: number[];
  frame: number[];
  parent: number[];
  w_base?: number[] | null;
  self_base?: number[] | null;
}

/** Whose code a frame is. */
export type Kind = 'own' | 'library' | 'stdlib';

export interface Frame {
  fn: string;
  file: string;
  /** Zero when it is not known, or when the lines of a function are one frame. */
  line: number;
  /** The function, with the line where several of them are told apart. */
  label: string;
  pkg: string;
  kind: Kind;
  /** The same for all frames of one function, whatever the line; an index of nothing but itself. */
  fnId: number;
  /** A number that is the same in each answer, and mostly another one for each frame. */
  hash: number;
}

export interface FlameTree {
  n: number;
  frames: Frame[];
  /** Number of functions; ids of {@link Frame.fnId} are below it. */
  functions: number;
  depth: Uint16Array;
  /** Rows of depth `d` are `levels[d]` up to, without it, `levels[d + 1]`. */
  levels: Int32Array;
  /** Where a row begins and how wide it is, in parts of {@link FlameTree.width}. */
  x: Float64Array;
  wide: Float64Array;
  width: number;
  /** The value of a row with all below it, and of the row alone. */
  w: Float64Array;
  self: Float64Array;
  /** The same of what it is compared with; null without a comparison. */
  wBase: Float64Array | null;
  selfBase: Float64Array | null;
  /** Samples through a row. */
  samples: Float64Array;
  /** Index of a row's frame; -1 for a root that is no frame. */
  frame: Int32Array;
  parent: Int32Array;
  total: number;
  /** What shares of the comparison are of. */
  totalBase: number;
  /** Whether values are compared, and not shares: then both are shares of the same whole. */
  isAbsolute: boolean;
}

/** 32-bit FNV-1a of a text's UTF-16 units. */
export function hashOf(text: string, seed = 0x811c9dc5): number {
  let hash = seed;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) >>> 0;
  return hash;
}

const kindOf = (pkg: string, inApp: boolean): Kind => (inApp ? 'own' : pkg === 'stdlib' ? 'stdlib' : 'library');

export function framesOf({ strings, frames }: Pick<ProfileColumns, 'strings' | 'frames'>): { frames: Frame[]; functions: number } {
  const ids = new Map<number, number>();
  const lines = new Map<number, number>();
  const out = frames.map((frame): Frame => {
    const [fn, file, pkg] = [strings[frame.fn] ?? '', strings[frame.file] ?? '', strings[frame.pkg] ?? ''];
    const key = frame.fn * strings.length + frame.file;
    const fnId = ids.get(key) ?? ids.size;
    ids.set(key, fnId);
    lines.set(fnId, (lines.get(fnId) ?? 0) + 1);
    return { fn, file, line: frame.line, label: fn, pkg, kind: kindOf(pkg, frame.in_app), fnId, hash: hashOf(`${fn}\n${file}\n${frame.line}`) };
  });
  for (const frame of out) if (frame.line > 0 && lines.get(frame.fnId)! > 1) frame.label = `${frame.fn}:${frame.line}`;
  return { frames: out, functions: ids.size };
}

/** The tree of an answer. */
export function flameTree(answer: ProfileColumns, isAbsolute = false): FlameTree {
  const { frames, functions } = framesOf(answer);
  return laidOut({
    frames,
    functions,
    depth: Uint16Array.from(answer.depth),
    frame: Int32Array.from(answer.frame),
    parent: Int32Array.from(answer.parent),
    w: Float64Array.from(answer.w),
    self: Float64Array.from(answer.self),
    samples: Float64Array.from(answer.n),
    wBase: answer.w_base ? Float64Array.from(answer.w_base) : null,
    selfBase: answer.self_base ? Float64Array.from(answer.self_base) : null,
    total: answer.total,
    totalBase: isAbsolute && answer.baseline_total ? Math.max(answer.total, 1) : (answer.baseline_total ?? 0),
    isAbsolute,
  });
}

export type Rows = Omit<FlameTree, 'n' | 'levels' | 'x' | 'wide' | 'width'>;

/**
 * Gives sorted rows their places. Without a comparison a row is as wide as its value; with one, as the
 * sum of its shares of both, so that what is only in one of them is seen as well.
 */
export function laidOut(rows: Rows): FlameTree {
  const n = rows.depth.length;
  const deepest = n > 0 ? rows.depth[n - 1]! : 0;
  const levels = new Int32Array(deepest + 2);
  for (let row = 0; row < n; row += 1) levels[rows.depth[row]! + 1] = row + 1;
  const { w, wBase, total, totalBase } = rows;
  let wide = w;
  if (wBase) {
    wide = new Float64Array(n);
    const [one, other] = [total > 0 ? 0.5 / total : 0, totalBase > 0 ? 0.5 / totalBase : 0];
    for (let row = 0; row < n; row += 1) wide[row] = w[row]! * one + wBase[row]! * other;
  }
  const x = new Float64Array(n);
  const next = new Float64Array(n);
  for (let row = 1; row < n; row += 1) {
    const parent = rows.parent[row]!;
    x[row] = next[parent]!;
    next[row] = x[row]!;
    next[parent] = x[row]! + wide[row]!;
  }
  return { ...rows, n, levels, x, wide, width: n > 0 ? wide[0]! : 0 };
}

/** For each row whether it is at or below one that `marks` holds for. */
export function atOrBelow(tree: FlameTree, marks: (row: number) => boolean): Uint8Array {
  const below = new Uint8Array(tree.n);
  for (let row = 0; row < tree.n; row += 1) {
    const parent = tree.parent[row]!;
    below[row] = (parent >= 0 && below[parent] === 1) || marks(row) ? 1 : 0;
  }
  return below;
}

/** Rows from one below the root to this one. */
export function stackOf(tree: FlameTree, row: number): number[] {
  const stack: number[] = [];
  for (let at = row; at >= 0 && tree.frame[at]! >= 0; at = tree.parent[at]!) stack.unshift(at);
  return stack;
}

export const frameAt = (tree: FlameTree, row: number): Frame | null => tree.frames[tree.frame[row] ?? -1] ?? null;

const NO_STACK = 0x811c9dc5;

/** The hash of a stack with one more frame. */
function below(stack: number, frame: number): number {
  const mixed = Math.imul(stack ^ frame, 0x9e3779b1);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

/** Names a row by its stack, the same in each answer that has it. */
export function nameOf(tree: FlameTree, row: number): string {
  return stackOf(tree, row)
    .reduce((hash, at) => below(hash, frameAt(tree, at)?.hash ?? 0), NO_STACK)
    .toString(36);
}

/** What the rows of a tree are called; worked out once, as each step of a walk asks. */
const namesOf = new WeakMap<FlameTree, Uint32Array>();

/** The row with a name; -1 when there is none. */
export function rowNamed(tree: FlameTree, name: string): number {
  const wanted = parseInt(name, 36);
  let names = namesOf.get(tree);
  if (!names) {
    names = new Uint32Array(tree.n);
    for (let row = 0; row < tree.n; row += 1) {
      const parent = tree.parent[row]!;
      const before = parent >= 0 ? names[parent]! : NO_STACK;
      names[row] = tree.frame[row]! < 0 ? before : below(before, tree.frames[tree.frame[row]!]!.hash);
    }
    namesOf.set(tree, names);
  }
  const row = names.indexOf(wanted, 1);
  return names[row]?.toString(36) === name ? row : -1;
}
