import { expect, test } from 'vitest';

import { freshness } from './freshness';

test.each([
  ['service:flaskr timeout', 'live'],
  ['', 'live'],
  ['{a} >> {b}', 'once'],
  ['name:db | count() > 5', 'once'],
])('%s is asked %s', (query, expected) => expect(freshness(query)).toBe(expected));
