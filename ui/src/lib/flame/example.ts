// Profiles for tests: from stacks as text, and large ones by a fixed dice.

import type { ProfileColumns } from './tree';

interface Made {
  /** Stacks with `;` between their frames, the outermost first; a frame is `function` or `package/function`. */
  stacks: Record<string, number>;
  base?: Record<string, number>;
}

/** A profile of stacks as the server would answer: own code has no package. */
export function profileOf({ stacks, base }: Made): ProfileColumns {
  const strings: string[] = [''];
  const indexOf = (text: string): number => {
    const known = strings.indexOf(text);
    return known >= 0 ? known : strings.push(text) - 1;
  };
  const paths = new Set<string>(['']);
  for (const stack of [...Object.keys(stacks), ...Object.keys(base ?? {})]) stack.split(';').forEach((_, index, all) => paths.add(all.slice(0, index + 1).join(';')));
  const depthOf = (path: string) => (path === '' ? 0 : path.split(';').length);
  const above = (path: string) => path.split(';').slice(0, -1).join(';');
  const order = [...paths].sort((a, b) => depthOf(a) - depthOf(b));
  // Below each row by name, and rows of a level in the order of those above them.
  const place = new Map<string, number>();
  const sorted: string[] = [];
  for (let depth = 0; depth <= Math.max(...order.map(depthOf)); depth += 1) {
    const level = order.filter((path) => depthOf(path) === depth).sort((a, b) => (place.get(above(a)) ?? 0) - (place.get(above(b)) ?? 0) || (a < b ? -1 : 1));
    for (const path of level) place.set(path, sorted.push(path) - 1);
  }
  const names = [...new Set(sorted.filter(Boolean).map((path) => path.split(';').pop()!))];
  const under = (of: Record<string, number>, path: string) => Object.entries(of).reduce((sum, [stack, value]) => sum + (path === '' || stack === path || stack.startsWith(`${path};`) ? value : 0), 0);
  return {
    type: 'cpu',
    unit: 'nanoseconds',
    total: under(stacks, ''),
    samples: 100,
    strings,
    frames: names.map((name) => {
      const [pkg, fn] = name.includes('/') ? (name.split('/') as [string, string]) : ['', name];
      return { fn: indexOf(fn), file: indexOf(`${pkg || 'app'}.py`), line: 7, pkg: indexOf(pkg), in_app: pkg === '' };
    }),
    depth: sorted.map(depthOf),
    w: sorted.map((path) => under(stacks, path)),
    self: sorted.map((path) => stacks[path] ?? 0),
    n: sorted.map((path) => under(stacks, path)),
    frame: sorted.map((path) => (path === '' ? -1 : names.indexOf(path.split(';').pop()!))),
    parent: sorted.map((path) => (path === '' ? -1 : place.get(above(path))!)),
    ...(base ? { baseline_total: under(base, ''), w_base: sorted.map((path) => under(base, path)), self_base: sorted.map((path) => base[path] ?? 0) } : {}),
  };
}

/** A profile of `n` rows whose sizes differ by orders of magnitude. */
export function largeProfile(n: number): ProfileColumns {
  let seed = 42;
  const dice = () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 32;
  };
  const functions = 2_000;
  const [depth, parent, frame] = [[0], [-1], [-1]];
  // Level by level; each row has some children, the first of a level more than the others.
  for (let at = 0; depth.length < n; at += 1) {
    const children = depth[at]! >= 60 ? 0 : Math.max(at === depth.length - 1 ? 1 : 0, Math.floor(dice() ** 3 * 9));
    for (let child = 0; child < children && depth.length < n; child += 1) {
      depth.push(depth[at]! + 1);
      parent.push(at);
      frame.push(Math.floor(dice() * functions));
    }
  }
  const self = depth.map(() => Math.floor(dice() ** 6 * 1e7));
  const w = [...self];
  for (let row = n - 1; row > 0; row -= 1) w[parent[row]!]! += w[row]!;
  const strings = ['', 'stdlib', 'flask', ...Array.from({ length: functions }, (_, at) => `module_${at % 97}.function_${at}`), ...Array.from({ length: 97 }, (_, at) => `/srv/app/module_${at}.py`)];
  return {
    type: 'cpu',
    unit: 'nanoseconds',
    total: w[0]!,
    samples: 50_000,
    strings,
    frames: Array.from({ length: functions }, (_, at) => ({ fn: 3 + at, file: 3 + functions + (at % 97), line: at % 400, pkg: at % 3, in_app: at % 3 === 0 })),
    depth,
    parent,
    frame,
    w,
    self,
    n: w.map((value) => Math.ceil(value / 1e4)),
  };
}
