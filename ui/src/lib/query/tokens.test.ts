import { expect, test } from 'vitest';

import { tokenize } from './tokens';

const read = (text: string) => tokenize(text).map((token) => `${token.kind} ${text.slice(token.from, token.to)}`);

// What the server answers for the same texts.
test.each([
  ['timeout', ['word timeout']],
  ['service:flaskr -status:ok', ['field service:', 'value flaskr', 'operator -', 'field status:', 'value ok']],
  ['duration:>=100ms', ['field duration:', 'operator >=', 'number 100ms']],
  ['duration:[* TO 1s]', ['field duration:', 'bracket [', 'value *', 'operator TO', 'number 1s', 'bracket ]']],
  ['a:(x OR 5xx OR >5)', ['field a:', 'bracket (', 'value x', 'operator OR', 'value 5xx', 'operator OR', 'operator >', 'number 5', 'bracket )']],
  ['NOT a AND (b OR c)', ['operator NOT', 'word a', 'operator AND', 'bracket (', 'word b', 'operator OR', 'word c', 'bracket )']],
  ['@"odd key":"a \\" b"', ['field @"odd key":', 'value "a \\" b"']],
  ['http.route:/users/{id}', ['field http.route:', 'value /users/{id}']],
  ['name:/^(GET|HEAD)\\s/', ['field name:', 'regex /^(GET|HEAD)\\s/']],
  ['{is:entry} > {x} ~ {}', ['bracket {', 'field is:', 'value entry', 'bracket }', 'relation >', 'bracket {', 'word x', 'bracket }', 'relation ~', 'bracket {', 'bracket }']],
  ['a | sum(duration, b) > 1s', ['word a', 'pipe |', 'function sum', 'bracket (', 'field duration', 'bracket ,', 'word b', 'bracket )', 'operator >', 'number 1s']],
  ['🐍 é:1', ['word 🐍', 'field é:', 'number 1']],
])('%s', (text, expected) => expect(read(text)).toEqual(expected));

test('what is not finished is read as far as it goes', () => {
  expect(read('service:')).toEqual(['field service:']);
  expect(read('a:"x y')).toEqual(['field a:', 'error "x y']);
  expect(read('| count(')).toEqual(['pipe |', 'function count', 'bracket (']);
  expect(read(': )')).toEqual(['error :', 'bracket )']);
});

test('every text ends, and its tokens stand in order without overlap', () => {
  const pieces = ['a', ':', '"', '(', ')', '[', ']', '{', '}', '|', '>', '<', '/', '\\', '-', '@', ' ', ',', '~', 'é', '🐍'];
  let seed = 7;
  const pick = () => pieces[(seed = (seed * 48_271) % 2_147_483_647) % pieces.length];
  for (let round = 0; round < 3_000; round += 1) {
    const text = Array.from({ length: 1 + (round % 12) }, pick).join('');
    let end = 0;
    for (const token of tokenize(text)) {
      expect(token.from, text).toBeGreaterThanOrEqual(end);
      expect(token.to, text).toBeGreaterThan(token.from);
      expect(token.to, text).toBeLessThanOrEqual(text.length);
      expect(text.slice(end, token.from).trim(), text).toBe('');
      end = token.to;
    }
  }
});
