// A profile as one looks at it: graph, callers and callees, table; what is searched and left out.

import { type ReactNode, useMemo } from 'react';

import type { MergedProfile } from '../api/profiles';
import { FlameGraph } from '../components/flame-graph/flame-graph';
import type { MenuItem } from '../components/flame-graph/menu';
import { type ColorBy, flamePalette, legendOf } from '../components/flame-graph/palette';
import { type Format, isFew, placeOf, points } from '../components/flame-graph/words';
import { Empty } from '../components/states';
import { callees, callers, functionsOf, reshaped } from '../lib/flame/build';
import { hitValue, hitsOf, patternOf } from '../lib/flame/search';
import { type FlameTree, type Frame, flameTree, frameAt, nameOf, rowNamed, stackOf } from '../lib/flame/tree';
import { count, percent } from '../lib/format';
import { useThemed } from '../lib/use-themed';
import { Find } from '../components/profile/find';
import { FunctionsTable } from '../components/profile/functions-table';
import { formatOf } from '../components/profile/types';
import '../components/profile/profile.css';


/** How a profile is shown; the keys are those of the URL. */
export interface BodyView {
  view?: string | undefined;
  /** The function between its callers and callees. */
  fn?: string | undefined;
  q?: string | undefined;
  focus?: string | undefined;
  color?: string | undefined;
  own?: true | undefined;
  fold?: true | undefined;
  whole?: true | undefined;
  alone?: true | undefined;
}

interface Props {
  profile: MergedProfile;
  view: BodyView;
  onChange: (change: Partial<BodyView>) => void;
  /** Shows the traces that ran a function. */
  onSpans?: ((frame: Frame) => void) | undefined;
  /** The lines of a function, where they can be had. */
  linesOf?: ((frame: Frame) => ReactNode) | undefined;
  /** Whether a comparison is of values, not of shares. */
  isAbsolute?: boolean;
  /** What else is to be said of the samples. */
  remark?: ReactNode;
  /** What stands at the end of the tools. */
  children?: ReactNode;
}

const VIEWS: [string, string][] = [
  ['icicle', 'Icicle'],
  ['flame', 'Flame'],
  ['sandwich', 'Sandwich'],
  ['table', 'Table'],
];

/** Names a function in the URL. */
export const functionName = ({ fn, file }: Frame): string => (file ? `${fn}@${file}` : fn);

const viewOf = ({ view }: BodyView): string => (VIEWS.some(([id]) => id === view) ? view! : 'icicle');

export function ProfileBody({ profile, view, onChange, onSpans, linesOf, isAbsolute = false, remark, children }: Props) {
  const whole = useMemo(() => flameTree(profile, isAbsolute), [profile, isAbsolute]);
  const tree = useMemo(() => reshaped(whole, { ownOnly: view.own === true, foldRecursion: view.fold === true }), [whole, view.own, view.fold]);
  const functions = useMemo(() => functionsOf(tree), [tree]);
  const pattern = useMemo(() => patternOf(view.q ?? ''), [view.q]);
  const hits = useMemo(() => (pattern ? hitsOf(tree, pattern) : null), [tree, pattern]);
  const format = useMemo(() => formatOf(profile.unit), [profile.unit]);
  const focus = useMemo(() => (view.focus ? Math.max(0, rowNamed(tree, view.focus)) : 0), [tree, view.focus]);
  const chosen = useMemo(() => (view.fn ? tree.frames.find((frame) => functionName(frame) === view.fn) : undefined), [tree, view.fn]);
  const shown = viewOf(view);
  const colorBy: ColorBy = view.color === 'package' ? 'package' : tree.wBase && view.color !== 'code' ? 'diff' : 'code';

  const sandwich = (frame: Frame) => onChange({ view: 'sandwich', fn: functionName(frame), focus: undefined });
  const menuOf = (of: FlameTree, zoom: ((row: number) => void) | null) => (row: number): MenuItem[] => {
    const frame = frameAt(of, row);
    const stack = stackOf(of, row).map((at) => frameAt(of, at)!);
    if (!frame) return [{ label: 'Show all', run: () => zoom?.(0) }];
    return [
      ...(zoom ? [{ label: 'Zoom to this', run: () => zoom(row) }] : []),
      { label: 'Callers and callees', run: () => sandwich(frame) },
      ...(onSpans ? [{ label: 'Traces that ran it', run: () => onSpans(frame) }] : []),
      { label: 'Find it everywhere', run: () => onChange({ q: `^${frame.fn.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$` }) },
      ...(frame.file.startsWith('/') ? [{ label: 'Open in VS Code', run: () => window.location.assign(`vscode://file${encodeURI(frame.file)}:${frame.line || 1}`) }] : []),
      { label: 'Copy name', run: () => void navigator.clipboard.writeText(frame.fn) },
      { label: 'Copy file and line', run: () => void navigator.clipboard.writeText(placeOf(frame)) },
      { label: 'Copy stack', run: () => void navigator.clipboard.writeText(stack.map((each) => `${each.fn} (${placeOf(each)})`).join('\n')) },
    ];
  };
  const zoom = (row: number) => onChange({ focus: row > 0 ? nameOf(tree, row) : undefined });
  const onKeyOf = (of: FlameTree) => (key: string, row: number): boolean => {
    const frame = frameAt(of, row);
    if (key === 't') onChange(view.alone ? { alone: undefined } : { alone: true });
    else if (key === 's' && frame) sandwich(frame);
    else return false;
    return true;
  };

  const table = (isWide: boolean) => (
    <FunctionsTable tree={tree} functions={functions} hits={hits} format={format} isWide={isWide} chosen={chosen?.fnId} onChoose={sandwich} onSpans={onSpans} search={view.q ?? ''} onClear={() => onChange({ q: undefined })} />
  );
  const graph = { format, colorBy, hits };
  return (
    <section className="profile" aria-label="Profile">
      <div className="head profile-tools">
        <div className="segments" role="group" aria-label="View">
          {VIEWS.map(([id, text]) => (
            <button type="button" key={id} aria-pressed={shown === id} onClick={() => onChange({ view: id === 'icicle' ? undefined : id })}>
              {text}
            </button>
          ))}
        </div>
        <button type="button" aria-pressed={view.own === true} onClick={() => onChange({ own: view.own ? undefined : true, focus: undefined })} title="Leave out libraries; what they took is their caller’s">
          Own code
        </button>
        <button type="button" aria-pressed={view.fold === true} onClick={() => onChange({ fold: view.fold ? undefined : true, focus: undefined })} title="A function that calls itself is one frame">
          Fold recursion
        </button>
        <button type="button" aria-pressed={view.whole !== true} onClick={() => onChange({ whole: view.whole ? undefined : true, focus: undefined })} title="Tell lines of a function apart">
          Lines
        </button>
        {(shown === 'icicle' || shown === 'flame') && (
          <button type="button" aria-pressed={view.alone !== true} onClick={() => onChange({ alone: view.alone ? undefined : true })} title="The table beside the graph (t)">
            Table beside
          </button>
        )}
        <select aria-label="Colours" value={colorBy} onChange={(event) => onChange({ color: event.target.value === (tree.wBase ? 'diff' : 'code') ? undefined : event.target.value })}>
          {tree.wBase && <option value="diff">colour: difference</option>}
          <option value="code">colour: whose code</option>
          <option value="package">colour: package</option>
        </select>
        <span className="spacer" />
        <Find value={view.q ?? ''} onChange={(q) => onChange({ q: q || undefined })} />
        <span className="matched muted" role="status">
          {hits ? `${percent(tree.total > 0 ? hitValue(tree, hits) / tree.total : 0)} matched` : ''}
        </span>
        {children}
      </div>
      <Remarks profile={profile} tree={tree} format={format} colorBy={colorBy} isZoomed={focus > 0} onReset={() => zoom(0)}>
        {remark}
      </Remarks>
      <div className="profile-body">
        {shown === 'table' ? (
          table(true)
        ) : shown === 'sandwich' ? (
          <>
            {table(false)}
            {chosen ? <Sandwich key={functionName(chosen)} tree={tree} chosen={chosen} {...graph} onKeyOf={onKeyOf} menuOf={(of) => menuOf(of, null)} lines={linesOf?.(chosen)} /> : <Choose />}
          </>
        ) : (
          <>
            {!view.alone && table(false)}
            <FlameGraph tree={tree} {...graph} label="Profile" orientation={shown === 'flame' ? 'flame' : 'icicle'} focus={focus} onFocus={zoom} menuOf={menuOf(tree, zoom)} onKey={onKeyOf(tree)} />
          </>
        )}
      </div>
    </section>
  );
}

function Choose() {
  return (
    <div className="profile-choose">
      <Empty title="Which function?">
        <span className="muted">Choose one in the table: its callers stand above it, what it calls below. On a frame of the graph, s does the same.</span>
      </Empty>
    </div>
  );
}

interface SandwichProps {
  tree: FlameTree;
  chosen: Frame;
  format: Format;
  colorBy: ColorBy;
  hits: Uint8Array | null;
  onKeyOf: (tree: FlameTree) => (key: string, row: number) => boolean;
  menuOf: (tree: FlameTree) => (row: number) => MenuItem[];
  lines: ReactNode;
}

function Sandwich({ tree, chosen, menuOf, onKeyOf, lines, ...graph }: SandwichProps) {
  const above = useMemo(() => callers(tree, chosen.fnId), [tree, chosen.fnId]);
  const below = useMemo(() => callees(tree, chosen.fnId), [tree, chosen.fnId]);
  const nothing = () => {};
  return (
    <div className="sandwich">
      <h2>Callers of {chosen.fn}</h2>
      <FlameGraph tree={above} {...graph} label={`Callers of ${chosen.fn}`} orientation="flame" isInverted focus={0} onFocus={nothing} menuOf={menuOf(above)} onKey={onKeyOf(above)} />
      {lines}
      <h2>What it calls</h2>
      <FlameGraph tree={below} {...graph} label={`What ${chosen.fn} calls`} orientation="icicle" focus={0} onFocus={nothing} menuOf={menuOf(below)} onKey={onKeyOf(below)} />
    </div>
  );
}

interface RemarksProps {
  profile: MergedProfile;
  tree: FlameTree;
  format: Format;
  colorBy: ColorBy;
  isZoomed: boolean;
  onReset: () => void;
  children: ReactNode;
}

function Remarks({ profile, tree, format, colorBy, isZoomed, onReset, children }: RemarksProps) {
  useThemed();
  const { fills } = flamePalette();
  const before = profile.baseline_total;
  return (
    <div className="profile-remarks" role="note">
      <span>
        <b>{format(profile.total)}</b> <span className="muted">in {count(profile.samples)} samples</span>
      </span>
      {before !== null && before !== undefined && (
        <span>
          against <b>{format(before)}</b> {before > 0 && <span className="muted">({points(profile.total / before, 1)})</span>}
        </span>
      )}
      {isFew(profile) && <span className="warn">Too few samples to be exact: shares may be off by {percent(Math.min(1, 1 / Math.sqrt(Math.max(1, profile.samples))))}.</span>}
      {profile.dropped_below > 0 && <span className="muted">Frames below {format(profile.dropped_below)} are left out; their time is their callers’.</span>}
      {profile.left_out_samples > 0 && <span className="warn">{count(profile.left_out_samples)} samples are left out: choose a shorter time.</span>}
      {children}
      {isZoomed && (
        <button type="button" onClick={onReset}>
          Show all <kbd>Esc</kbd>
        </button>
      )}
      <span className="spacer" />
      <span className="flame-legend muted">
        {legendOf(colorBy).map(({ label, fills: indices }) => (
          <span key={label}>
            {indices.map((index) => (
              <i key={index} style={{ background: fills[index] }} />
            ))}
            {label}
          </span>
        ))}
        {tree.wBase && <span className="extra">widths: mean of both</span>}
      </span>
    </div>
  );
}
