// Whether answers to a query are asked for again while a page is live.

import { tokenize } from './tokens';

/**
 * The first part of the keys of its questions. What relates or counts spans is found by looking at
 * traces one by one: too dear for every few seconds, and for each page that was reached.
 */
export const freshness = (query: string): 'live' | 'once' =>
  tokenize(query).some((token) => token.kind === 'relation' || token.kind === 'pipe') ? 'once' : 'live';
