import { expect, test } from 'vitest';

import { durationTerm, withDuration, written } from './duration';

test.each([
  [1, '1ns'],
  [16_384, '16.4us'],
  [999_999, '1ms'],
  [33_554_432, '33.6ms'],
  [250_000_000, '250ms'],
  [1_500_000_000, '1.5s'],
  [90e9, '90s'],
  [123_456e9, '123000s'],
])('%d ns are written as %s', (ns, text) => expect(written(ns)).toBe(text));

test('a range may be open at one end', () => {
  expect(durationTerm(1e6, 2e9)).toBe('duration:[1ms TO 2s]');
  expect(durationTerm(1e6, null)).toBe('duration:>=1ms');
  expect(durationTerm(null, 5e6)).toBe('duration:<=5ms');
});

const NEW = 'duration:>=1s';

test.each([
  ['', NEW],
  ['service:flaskr', `service:flaskr ${NEW}`],
  ['duration:>100ms service:flaskr', `service:flaskr ${NEW}`],
  ['duration>100ms service:flaskr', `service:flaskr ${NEW}`],
  ['service:flaskr duration:[1ms TO 2s] status:error', `service:flaskr status:error ${NEW}`],
  ['duration:>1ms duration:<=5ms', NEW],
  ['service:flaskr AND duration:>1ms', `service:flaskr ${NEW}`],
  ['-duration:>5s', `-duration:>5s ${NEW}`],
  ['status:error OR duration:>5s', `(status:error OR duration:>5s) ${NEW}`],
  ['(duration:>5s OR status:error) a', `(duration:>5s OR status:error) a ${NEW}`],
  ['{a} >> {duration:>2s b}', `{a} >> {b ${NEW}}`],
  ['name:duration', `name:duration ${NEW}`],
  ['duration.total:5', `duration.total:5 ${NEW}`],
])('in %o it takes the place of other durations', (text, result) => expect(withDuration(text, NEW)).toBe(result));
