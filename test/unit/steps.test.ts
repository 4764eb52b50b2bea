/** The table of steps, whole: what a browser may post by what it has proved. */
import { describe, expect, test } from 'vitest';
import { type Action, type Proven, type Step, stepOf, steps, takes } from '../../src/interaction/steps.ts';

const actions: Action[] = [
  'login/init',
  'login/finish',
  'register/init',
  'register/finish',
  'totp/setup',
  'totp/verify-setup',
  'totp/verify',
  'consent',
  'switch-account',
];
const password: Action[] = [
  'login/init',
  'login/finish',
  'register/init',
  'register/finish',
  'switch-account',
];
const consent: Action[] = ['consent', 'switch-account'];
const setUp: Action[] = ['totp/setup', 'totp/verify-setup'];

const unproved = undefined;
const unconfirmed = { totpConfirmed: false };
const confirmed = { totpConfirmed: true };

/** Every combination of what can be proved. */
const table: [string, Proven, Step, Action[]][] = [
  ['nothing', { prompt: 'login', passwordOf: unproved }, 'login', password],
  [
    'the password, no second factor yet',
    { prompt: 'login', passwordOf: unconfirmed },
    'totp_setup',
    [...password, ...setUp],
  ],
  [
    'the password',
    { prompt: 'login', passwordOf: confirmed },
    'totp',
    [...password, 'totp/verify', 'totp/verify-setup'],
  ],
  ['a session', { prompt: 'consent', passwordOf: unproved }, 'consent', consent],
  ['a session and a password anew', { prompt: 'consent', passwordOf: confirmed }, 'consent', consent],
  ['a session and an unfinished account', { prompt: 'consent', passwordOf: unconfirmed }, 'consent', consent],
];

describe.each(table)('having proved %s', (_name, proven, step, taken) => {
  test(`the step is ${step}`, () => expect(stepOf(proven)).toBe(step));
  test.each(actions)('%s', (action) => expect(takes(proven, action)).toBe(taken.includes(action)));
});

test('every step of the table can be reached, and none takes what is no action', () => {
  expect(new Set(table.map(([, proven]) => stepOf(proven)))).toEqual(new Set(steps.map(({ step }) => step)));
  expect(new Set(steps.flatMap(({ takes: taken }) => taken))).toEqual(new Set(actions));
});
