// Types of profiles: their names, and how their values are written.

import { bytes, count, duration } from '../../lib/format';

/** The kinds of profiles by their names, in the order in which they are offered. */
export const TYPES: [string, string][] = [
  ['cpu', 'CPU time'],
  ['wall', 'Wall time'],
  ['alloc_space', 'Allocated bytes'],
  ['alloc_objects', 'Allocations'],
  ['inuse_space', 'Live heap'],
  ['inuse_objects', 'Live objects'],
  ['lock_wait', 'Waiting for locks'],
  ['lock_hold', 'Holding locks'],
  ['exceptions', 'Exceptions'],
  ['gc_pause', 'Garbage collection'],
  ['loop_block', 'Event loop blocked'],
];

export const typeName = (type: string): string => TYPES.find(([id]) => id === type)?.[1] ?? type;

/** How values of a unit are written. */
export const formatOf = (unit: string): ((value: number) => string) => (unit === 'nanoseconds' ? duration : unit === 'bytes' ? bytes : count);
