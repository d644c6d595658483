// Types of profiles: their names, and how their values are written.

import { bytes, count, duration } from '../../lib/format';

export interface Kind {
  id: string;
  name: string;
  /** What its values are, in a few words. */
  about: string;
}

/** The kinds of profiles, in the groups and the order in which they are offered. */
export const GROUPS: { label: string; kinds: Kind[] }[] = [
  {
    label: 'Time',
    kinds: [
      { id: 'cpu', name: 'CPU time', about: 'seconds on a processor' },
      { id: 'wall', name: 'Wall time', about: 'seconds that passed, running or waiting' },
    ],
  },
  {
    label: 'Memory',
    kinds: [
      { id: 'alloc_space', name: 'Allocated bytes', about: 'bytes that were allocated, freed since or not' },
      { id: 'alloc_objects', name: 'Allocations', about: 'how many allocations there were' },
      { id: 'inuse_space', name: 'Live heap', about: 'bytes that were held at the end of the time' },
      { id: 'inuse_objects', name: 'Live objects', about: 'allocations that were held at the end of the time' },
    ],
  },
  {
    label: 'Waits',
    kinds: [
      { id: 'lock_wait', name: 'Waiting for locks', about: 'seconds until a lock was had' },
      { id: 'lock_hold', name: 'Holding locks', about: 'seconds that locks were held' },
      { id: 'loop_block', name: 'Event loop blocked', about: 'seconds in which an event loop could not go on' },
      { id: 'gc_pause', name: 'Garbage collection', about: 'seconds in the garbage collector' },
    ],
  },
  { label: 'Errors', kinds: [{ id: 'exceptions', name: 'Exceptions', about: 'how many exceptions were raised' }] },
];

/** All kinds by their names. */
export const TYPES: [string, string][] = GROUPS.flatMap(({ kinds }) => kinds.map(({ id, name }): [string, string] => [id, name]));

export const aboutType = (type: string): string => GROUPS.flatMap(({ kinds }) => kinds).find(({ id }) => id === type)?.about ?? '';

/** Whether values are what there was at a moment: the last word of each process, not a sum over time. */
export const isMoment = (type: string): boolean => type === 'inuse_space' || type === 'inuse_objects';

/** Whether samples are events, of which the longest one matters. */
export const isEvent = (type: string): boolean => type === 'loop_block' || type === 'gc_pause' || type === 'lock_wait' || type === 'lock_hold';

export const typeName = (type: string): string => TYPES.find(([id]) => id === type)?.[1] ?? type;

/** How values of a unit are written. */
export const formatOf = (unit: string): ((value: number) => string) => (unit === 'nanoseconds' ? duration : unit === 'bytes' ? bytes : count);
