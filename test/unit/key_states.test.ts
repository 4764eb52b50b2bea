// The life of a server key: what is due at which time, as the table says it.
import { expect, test } from 'vitest';
import { dueTransitions, type KeyFacts, type KeyPolicy, keyTransitions } from '../../src/keys/states.ts';

const day = 86_400_000;
const policy: KeyPolicy = { rotateAfterMs: 90 * day, publishAheadMs: 3_600_000, lifeMs: 900_000 };
const key = (id: string, state: KeyFacts['state'], since: number, until?: number): KeyFacts => ({
  id,
  state,
  since,
  until,
});
const due = (keys: KeyFacts[], now: number, given = policy) =>
  dueTransitions(keys, given, now).map((transition) => [transition.key?.id, transition.to]);

test('the next key is made so early that it can sign when the present one has come of age', () => {
  const signing = key('a', 'signing', 0);
  expect(due([signing], 90 * day - 3_600_001)).toEqual([]);
  expect(due([signing], 90 * day - 3_600_000)).toEqual([[undefined, 'next']]);
  expect(due([signing, key('b', 'next', 90 * day - 3_600_000)], 90 * day - 1)).toEqual([]);
});

test('when the next key begins to sign the present one stops, in one step', () => {
  const keys = [key('a', 'signing', 0), key('b', 'next', 1000)];
  expect(due(keys, 3_600_999)).toEqual([]);
  expect(due(keys, 3_601_000)).toEqual([
    ['a', 'verifying'],
    ['b', 'signing'],
  ]);
});

test('a verifying key goes when the last of what it made has expired, not before', () => {
  const keys = [key('b', 'signing', 1000), key('a', 'verifying', 1000, 901_000)];
  expect(due(keys, 900_999)).toEqual([]);
  expect(due(keys, 901_000)).toEqual([['a', 'retired']]);
  expect(due([key('b', 'signing', 1000), key('a', 'verifying', 1000)], 89 * day)).toEqual([]);
});

test('without a schedule a key is followed only by one that somebody has made', () => {
  const byCommand = { ...policy, rotateAfterMs: undefined };
  expect(due([key('a', 'signing', 0)], 1000 * day, byCommand)).toEqual([]);
  expect(due([key('a', 'signing', 0), key('b', 'next', 0)], day, byCommand)).toHaveLength(2);
});

test('a key that was published and forgotten, all servers down, signs late and is followed in its time', () => {
  const late = 200 * day;
  const keys = [key('a', 'signing', 0), key('b', 'next', day)];
  expect(due(keys, late)).toEqual([
    ['a', 'verifying'],
    ['b', 'signing'],
  ]);
});

test('no transition leads backwards, and each says why', () => {
  const order = [undefined, 'next', 'signing', 'verifying', 'retired'];
  for (const { from, to, because } of keyTransitions) {
    expect(order.indexOf(to)).toBe(order.indexOf(from) + 1);
    expect(because).not.toBe('');
  }
});
