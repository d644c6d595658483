// What is known of a query while it is written. All ranges count UTF-16 code units, as text fields do.

export type TokenKind = 'field' | 'value' | 'number' | 'regex' | 'word' | 'operator' | 'bracket' | 'relation' | 'pipe' | 'function' | 'error';

export interface Token {
  kind: TokenKind;
  from: number;
  to: number;
}

export interface Mistake {
  from: number;
  to: number;
  message: string;
  fix?: { replace: string } | null;
}

/** A part of a query that can be taken out: a term of a condition, or a function behind a bar. */
export interface Chip {
  kind: 'term' | 'pipe';
  index: number;
  from: number;
  to: number;
  text: string;
  without: string;
}

export interface Analysis {
  tokens: Token[];
  errors: Mistake[];
  warnings: string[];
  canonical: string | null;
  chips: Chip[];
}

export interface Suggestion {
  insert: string;
  kind: 'key' | 'value' | 'op' | 'keyword' | 'function';
  type?: string | null;
  detail?: string | null;
  count?: number | null;
  /** Where in the inserted text the cursor goes; behind it when missing. */
  caret?: number | null;
}

/** What could stand at the cursor, in place of the range. */
export interface Completion {
  replace: [number, number];
  items: Suggestion[];
}

export interface FacetValue {
  value: string;
  /** What asks for it in a query. */
  term: string;
  count: number;
}

export interface Facet {
  key: string;
  type: string;
  /** How many of the spans have it, 0 to 1. */
  share: number;
  distinct: number;
  /** Whether the figures are of all spans that were found, however few were looked at. */
  exact: boolean;
  /** Whether every span has a value of its own, so that none is worth choosing. */
  unique: boolean;
  /** Its commonest values. */
  top: FacetValue[];
}

export interface Facets {
  /** Whether only the newest `sample` spans were looked at. */
  sampled: boolean;
  sample: number;
  keys: Facet[];
}
