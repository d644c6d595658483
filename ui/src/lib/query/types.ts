// What is known of a query while it is written. All ranges count UTF-16 code units, as text fields do.

import type { components } from '../../api/generated/schema';

type Schemas = components['schemas'];

export type TokenKind = Schemas['TokenKind'];
export type Token = Schemas['QueryToken'];
export type Mistake = Schemas['SyntaxError'];
/** A part of a query that can be taken out: a term of a condition, or a function behind a bar. */
export type Chip = Schemas['Chip'];
export type Analysis = Schemas['Analysis'];
export type Suggestion = Schemas['Item'];
/** What could stand at the cursor, in place of the range. */
export type Completion = Schemas['Completion'];
export type FacetValue = Schemas['FacetValue'];
export type Facet = Schemas['Facet'];
export type Facets = Schemas['Facets'];
