/** The checker of the fault runs is itself checked: written histories with one violation each, and one without any. */
import { expect, test } from 'vitest';
import { check } from '../faults/checker.ts';
import type { DatabaseFacts } from '../faults/database_facts.ts';
import type { Call, Event } from '../faults/history.ts';
import { slowByItself } from '../faults/probes.ts';

const facts: DatabaseFacts = {
  accounts: new Map([['ada', { confirmed: true, lastStep: 100, recoveryCodesUsed: 1 }]]),
  auditedTwice: [],
  told: new Map([['refresh.reused family:f', 1]]),
  families: new Map([['f', { tokens: 3 }]]),
};

const call = (about: Partial<Call>): Call => ({
  type: 'call',
  at: 1000,
  ms: 10,
  actor: 0,
  op: 'refresh',
  via: 0,
  status: 200,
  succeeded: true,
  ...about,
});
const refused: Partial<Call> = { status: 400, error: 'invalid_grant', succeeded: false };
const unavailable: Partial<Call> = { status: 503, retryAfter: '2', succeeded: false };

const sound: Event[] = [
  call({ op: 'redeem', uses: ['code:a'], yields: 't1', subjects: ['family:f'], creates: 'family:f' }),
  call({ op: 'redeem', uses: ['code:a'], ...refused }),
  call({ at: 1100, presents: 't1', yields: 't2', subjects: ['family:f'], honestSince: 1100 }),
  call({ at: 1150, via: 1, presents: 't1', yields: 't2', subjects: ['family:f'], honestSince: 1100 }),
  call({ at: 1200, op: 'register/finish', creates: 'account:ada' }),
  call({ at: 1200, op: 'totp/verify', uses: ['totp:ada:100', 'step:s'] }),
  call({ at: 1300, op: 'totp/verify', uses: ['recovery:ada:r', 'step:s2'] }),
  { type: 'fault', name: 'kill postgres', target: 'postgres', at: 2000, until: 3000 },
  call({ at: 2100, ms: 950, ...unavailable }),
  call({ at: 2100, op: 'discovery' }),
  { type: 'doubt', at: 6000, subjects: ['family:f'] },
  call({ at: 6000, op: 'reuse', presents: 't1', mustFail: true, ...refused }),
  { type: 'ended', at: 6010, subjects: ['family:f'], because: 'reuse', told: 'refresh.reused family:f' },
  call({ at: 6500, op: 'introspect', subjects: ['family:f'] }),
  call({ at: 7500, presents: 't2', subjects: ['family:f'], honestSince: 7500, ...refused }),
];

const fault = (target: 'postgres' | 'redis'): Event => ({
  type: 'fault',
  name: 'x',
  target,
  at: 9000,
  until: 9500,
});

/** The token t3 was used at 20,000 ms, and somebody else presents it later. */
const repeated = (at: number, about: Partial<Call> = {}): Call =>
  call({
    ...{ at, op: 'lockstep', presents: 't3', subjects: ['family:h'] },
    ...{ repeats: { from: 19_900, until: 20_000 }, ...about },
  });

const broken: [point: number, rule: RegExp, events: Event[]][] = [
  [1, /used twice/, [call({ uses: ['totp:ada:7'] }), call({ uses: ['totp:ada:7', 'step:other'] })]],
  [1, /two successors/, [call({ presents: 't1', yields: 't9' })]],
  [1, /must be refused/, [call({ op: 'reuse', mustFail: true })]],
  [
    1,
    /honest refresh was refused/,
    [call({ at: 1500, subjects: ['family:g'], honestSince: 1500, ...refused })],
  ],
  [
    1,
    /honest silent login was refused/,
    [call({ at: 13_000, op: 'silent login', subjects: ['session:s'], honestSince: 2000, ...refused })],
  ],
  [
    1,
    /honest introspect was refused/,
    [call({ op: 'introspect', status: 200, succeeded: false, subjects: ['token:x'], honestSince: 1000 })],
  ],
  [1, /thief in lockstep was answered 11000 ms later/, [repeated(31_000)]],
  [1, /introspect succeeded 1500 ms after/, [call({ at: 7510, op: 'introspect', subjects: ['family:f'] })]],
  [
    2,
    /refresh succeeded 1 ms after/,
    [
      { type: 'ended', at: 8000, subjects: ['family:g'], because: 'revoked' },
      call({ at: 8001, subjects: ['family:g'] }),
    ],
  ],
  [
    2,
    /silent login succeeded/,
    [
      { type: 'ended', at: 8000, subjects: ['session:s'], because: 'signed_out' },
      call({ at: 60_000, op: 'silent login', subjects: ['session:s'] }),
    ],
  ],
  [3, /acknowledged write is lost/, [call({ creates: 'account:bob' })]],
  [3, /acknowledged write is lost/, [call({ creates: 'family:gone' })]],
  [
    3,
    /refresh token is lost/,
    [3, 4].map((n) => call({ presents: `t${n - 1}`, yields: `t${n}`, subjects: ['family:f'] })),
  ],
  [
    3,
    /end is not in the audit log/,
    [{ type: 'ended', at: 8000, subjects: [], because: 'disabled', told: 'account.disabled account:ada' }],
  ],
  [3, /TOTP step is forgotten/, [call({ uses: ['totp:ada:101'] })]],
  [3, /recovery code is forgotten/, [call({ uses: ['recovery:ada:r2'] })]],
  [4, /503 though PostgreSQL was there/, [fault('redis'), call({ at: 9100, ...unavailable })]],
  [4, /503 though PostgreSQL was there/, [fault('postgres'), call({ at: 11_600, ...unavailable })]],
  [4, /status 500/, [fault('postgres'), call({ at: 9100, status: 500, succeeded: false })]],
  [4, /status 503/, [fault('postgres'), call({ at: 9100, status: 503, succeeded: false })]],
  [4, /waited longer/, [fault('postgres'), call({ at: 9100, ms: 1900, ...unavailable })]],
  [4, /waited longer/, [fault('redis'), call({ at: 9100, ms: 1900 })]],
  [4, /keys refused/, [fault('postgres'), call({ at: 9100, op: 'jwks', ...unavailable })]],
  [4, /no answer/, [call({ status: 0, succeeded: false })]],
  [4, /ended by itself/, [{ type: 'died', at: 1, provider: 0, code: 1 }]],
  [4, /nobody answered/, [{ type: 'gave_up', at: 31_000, op: 'refresh', since: 1000, subjects: [] }]],
];

test('a sound history has no violations', () => {
  expect(check(sound, facts)).toEqual([]);
});

test.each(broken)('point %i: %s', (point, rule, events) => {
  const violations = check([...sound, ...events], facts);
  expect(violations).toEqual([expect.objectContaining({ point, rule: expect.stringMatching(rule) })]);
});

test('point 1: a family with more generations in the database than tokens that were presented', () => {
  const violations = check(sound, { ...facts, families: new Map([['f', { tokens: 4 }]]) });
  expect(violations).toEqual([expect.objectContaining({ point: 1, subject: 'family:f' })]);
});

test('point 1: what happened once is in the audit log once', () => {
  const violations = check(sound, { ...facts, auditedTwice: ['ada'] });
  expect(violations).toEqual([expect.objectContaining({ point: 1, subject: 'account:ada' })]);
});

test('point 1: a refresh token that is presented again through an outage is honest, however late', () => {
  const late = call({ at: 13_000, presents: 't7', subjects: ['family:g'], honestSince: 2000, ...refused });
  expect(check([...sound, late], facts)).toEqual([
    expect.objectContaining({ point: 1, subject: 'family:g' }),
  ]);
});

test('a thief in lockstep is refused after the leeway, and after an outage once the allowance for it is over', () => {
  const outage: Event = { type: 'fault', name: 'x', target: 'postgres', at: 25_000, until: 45_000 };
  expect(check([...sound, repeated(31_000, refused)], facts)).toEqual([]);
  // Through 24 seconds with the heartbeats around them, and then for as long again.
  expect(check([...sound, outage, repeated(70_000)], facts)).toEqual([]);
  const short: Event = { ...outage, until: 25_900 };
  expect(check([...sound, short, repeated(31_000)], facts)).toHaveLength(1);
  expect(check([...sound, outage, repeated(72_000)], facts)).toEqual([
    expect.objectContaining({ point: 1, subject: 'family:h' }),
  ]);
});

test('what a failover to an asynchronous standby has lost is no fault, and anything else is', () => {
  const created = call({ at: 20_000, op: 'register/finish', creates: 'account:bob' });
  const login = call({
    ...{ at: 40_000, op: 'login/finish', subjects: ['account:bob'], honestSince: 40_000 },
    ...refused,
  });
  const failover = (from: number): Event => ({
    ...{ type: 'fault', name: 'x', target: 'postgres', at: from, until: from + 9000 },
    loses: [{ from, until: from + 9000 }],
  });
  expect(check([...sound, failover(19_000), created, login], facts)).toEqual([]);
  expect(check([...sound, failover(22_000), created, login], facts)).toHaveLength(2);
  const twice = [20_000, 40_000].map((at) => call({ at, uses: ['code:b'] }));
  expect(check([...sound, failover(19_000), ...twice], facts)).toEqual([]);
  expect(check([...sound, failover(22_000), ...twice], facts)).toHaveLength(1);
  const thrice = [...twice, call({ at: 41_000, uses: ['code:b'] })];
  expect(check([...sound, failover(19_000), ...thrice], facts)).toHaveLength(1);
  // The probe has noted the same failover.
  expect(check([...sound, failover(19_000), failover(19_500), ...thrice], facts)).toHaveLength(1);
  // The second use was acknowledged in the failover. The first one was durable before.
  expect(check([...sound, failover(39_000), ...twice], facts)).toHaveLength(1);
});

test('a machine that is too busy is allowed the wait for a slow database, and a fault is not', () => {
  const paused: Event = { type: 'fault', name: 'pause postgres', target: 'postgres', at: 9000, until: 9900 };
  const stalls = { from: 9100, until: 9950 };
  const slow: Event = {
    ...{ type: 'fault', name: slowByItself, target: 'postgres', at: stalls.from, until: stalls.until },
    stalls,
  };
  const late = call({ at: 9200, ms: 1900, ...unavailable });
  expect(check([...sound, slow, late], facts)).toEqual([]);
  expect(check([...sound, slow, { ...late, ms: 5300 }], facts)).toHaveLength(1);
  expect(check([...sound, paused, slow, late], facts)).toHaveLength(1);
  const refusedLater = call({ at: 12_500, ...unavailable });
  expect(check([...sound, slow, refusedLater], facts)).toEqual([]);
  expect(check([...sound, paused, slow, refusedLater], facts)).toHaveLength(1);
});

test('what met a provider that was itself away is excused', () => {
  const away: Event = { type: 'fault', name: 'kill provider', target: 'provider 0', at: 9000, until: 9500 };
  const none = call({ at: 9100, status: 0, succeeded: false });
  expect(check([...sound, away, none], facts)).toEqual([]);
  expect(check([...sound, away, { ...none, via: 1 }], facts)).toHaveLength(1);
});
