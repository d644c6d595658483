// A frame of a profile in words.

import { percent } from '../../lib/format';
import { type FlameTree, type Frame, frameAt } from '../../lib/flame/tree';

/** How values of a profile are written. */
export type Format = (value: number) => string;

/** Fewer samples say little about a share. */
const FEW_SAMPLES = 50;
/** A sample of more time is a sum of several, from before their number was kept. */
const SUM_NS = 50e6;
/** Types whose samples are taken by the clock; others are events, or chosen by their size. */
const BY_CLOCK = ['cpu', 'wall'];

/** Whether shares of a profile rest on few samples. */
export const isFew = ({ samples, total, type }: { samples: number; total: number; type: string }): boolean => BY_CLOCK.includes(type) && samples < FEW_SAMPLES && total <= samples * SUM_NS;

export const placeOf = ({ file, line }: Frame): string => (line > 0 ? `${file}:${line}` : file);

/** The place with as much of its path as tells files of one name apart. */
export const shortPlaceOf = (frame: Frame, folders = 1): string => placeOf(frame).split('/').slice(-1 - folders).join('/');

const share = (value: number, total: number): string => percent(total > 0 ? value / total : 0);

/** A difference of shares in points of percent, with its sign. */
export function points(now: number, before: number): string {
  const difference = 100 * (now - before);
  const text = Math.abs(difference) < 0.05 ? '0.0' : Math.abs(difference).toFixed(1);
  return `${text === '0.0' ? '±' : difference > 0 ? '+' : '−'}${text} %`;
}

/** A difference of values, with its sign. */
export const signed = (difference: number, format: Format): string => `${difference > 0 ? '+' : difference < 0 ? '−' : '±'}${format(Math.abs(difference))}`;

/** The shares of a row now and before. */
export function sharesOf(tree: FlameTree, row: number): { now: number; before: number } {
  return { now: tree.total > 0 ? tree.w[row]! / tree.total : 0, before: tree.totalBase > 0 ? (tree.wBase?.[row] ?? 0) / tree.totalBase : 0 };
}

/** How much a row took, in one line. */
export function summary(tree: FlameTree, row: number, format: Format): string {
  const { now, before } = sharesOf(tree, row);
  const difference = tree.wBase ? `, ${tree.isAbsolute ? signed(tree.w[row]! - tree.wBase[row]!, format) : points(now, before)} against the baseline` : '';
  return `${format(tree.w[row]!)}, ${percent(now)}${difference}`;
}

/** All that a tooltip says of a row: a heading, and pairs of a label and a value. */
export function rowWords(tree: FlameTree, row: number, format: Format, all: string, isInverted: boolean): { title: string; place: string; pairs: [string, string][] } {
  const frame = frameAt(tree, row);
  const pairs: [string, string][] = [['total', `${format(tree.w[row]!)} · ${share(tree.w[row]!, tree.total)}`]];
  if (!isInverted) pairs.push(['self', `${format(tree.self[row]!)} · ${share(tree.self[row]!, tree.total)}`]);
  if (tree.wBase) {
    const { now, before } = sharesOf(tree, row);
    if (tree.isAbsolute) pairs.push(['baseline', format(tree.wBase[row]!)], ['Δ', signed(tree.w[row]! - tree.wBase[row]!, format)]);
    else pairs.push(['baseline', `${format(tree.wBase[row]!)} · ${percent(before)}`], ['Δ of share', points(now, before)]);
  }
  pairs.push(['samples', tree.samples[row]!.toLocaleString('en')]);
  if (frame?.pkg) pairs.push(['package', frame.pkg]);
  return { title: frame?.fn ?? all, place: frame ? placeOf(frame) : '', pairs };
}
