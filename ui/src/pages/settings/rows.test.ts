import { expect, test } from 'vitest';

import { EMPTY, applied, besides, draftOf, faultOf, isSame } from './rows';

test('what is not edited stays as it was', () => {
  const before = { service: 'shop', env: '*', sample_rate: 0.07, tags: { team: 'a' }, log_injection: true, profiling: true };
  const draft = draftOf(before);
  expect(draft).toEqual({ service: 'shop', env: '*', share: '7', tracing: '', profiling: 'on', rate: '' });
  expect(applied(draft, before)).toEqual(before);
  expect(applied({ ...draft, share: '', profiling: '', rate: '20' }, before)).toEqual({
    service: 'shop',
    env: '*',
    tags: { team: 'a' },
    log_injection: true,
    profiling_rate: 20,
  });
});

test('nobody in particular is everybody', () => {
  expect(applied({ ...EMPTY, tracing: 'off' })).toEqual({ service: '*', env: '*', tracing: false });
  expect(isSame({ service: '*' }, { service: ' ', env: '*' })).toBe(true);
  expect(isSame({ service: 'shop' }, { service: '', env: '' })).toBe(false);
});

test('what makes no sense is said', () => {
  expect(faultOf({ ...EMPTY, share: '12,5' })).toBeNull();
  expect(faultOf({ ...EMPTY, share: '101' })).toContain('percent');
  expect(faultOf({ ...EMPTY, share: 'x' })).toContain('percent');
  expect(faultOf({ ...EMPTY, rate: '1.5' })).toContain('whole number');
  expect(faultOf(EMPTY)).toContain('different');
});

test('what only some clients follow is counted', () => {
  expect(besides({ sampling_rules: [{ sample_rate: 1 }, { sample_rate: 0 }], tags: { a: 'b' }, log_injection: false })).toBe(
    '2 sampling rules, 1 tag, log injection off',
  );
  expect(besides({})).toBe('');
});
