/** DATABASE_URL with one host and with several. */
import { expect, test } from 'vitest';
import { databaseUrlFault, urlsOf } from '../../src/lib/database_url.ts';

test.each([
  ['postgres://db/x', ['postgres://db/x']],
  ['postgresql://a:b@db:5433/x?sslmode=verify-full', ['postgresql://a:b@db:5433/x?sslmode=verify-full']],
  [
    'postgres://a:b,c@one:1,two:2,[::1]:3/x?sslmode=verify-full',
    ['one:1', 'two:2', '[::1]:3'].map((host) => `postgres://a:b,c@${host}/x?sslmode=verify-full`),
  ],
  [
    'postgres://one,two/x?target_session_attrs=read-write',
    ['one', 'two'].map((host) => `postgres://${host}/x?target_session_attrs=read-write`),
  ],
  ['postgres:///x?host=/run/postgresql', ['postgres:///x?host=/run/postgresql']],
])('%s', (url, urls) => {
  expect(urlsOf(url)).toEqual(urls);
  expect(databaseUrlFault(url)).toBeUndefined();
});

test.each([
  ['mysql://db/x', /must be postgres/],
  ['postgres://one:1,two:x/x', /must be postgres/],
  ['postgres://one,,two/x', /must be postgres/],
  ['postgres://one,/x', /must be postgres/],
  [`postgres://${Array(21).fill('db').join(',')}/x`, /must be postgres/],
  ['postgres:///x?host=one,two', /before the name of the database/],
  ['postgres://one,two/x?target_session_attrs=any', /only a server that takes writes/],
  ['postgres://one,two/x?target_session_attrs=standby', /only a server that takes writes/],
])('%s is refused, without its text in the message', (url, fault) => {
  expect(databaseUrlFault(url)).toMatch(fault);
  expect(databaseUrlFault(url)).not.toContain(url);
});
