/** REDIS_URL in its three forms, and the certificates beside it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { redisFaults, redisTarget } from '../../src/config/redis.ts';
import { settingsSchema } from '../../src/config/schema.ts';
import { type Certificates, createCertificates } from '../support/certificates.ts';

const parse = (settings: Record<string, string>) => settingsSchema.safeParse(settings);
const targetOf = (url: string) => redisTarget(settingsSchema.parse({ REDIS_URL: url }));
const faultOf = (url: string) => {
  const [fault] = parse({ REDIS_URL: url }).error?.issues ?? [];
  return fault && `${fault.path[0]?.toString()} ${fault.message}`;
};

const single = { kind: 'single', name: '', database: 0, user: {}, tls: undefined };
test.each([
  ['redis://cache', { ...single, hosts: [{ host: 'cache', port: 6379 }] }],
  ['redis://[::1]:7000/3', { ...single, hosts: [{ host: '::1', port: 7000 }], database: 3 }],
  [
    'rediss://:a%40b@cache:1',
    { ...single, hosts: [{ host: 'cache', port: 1 }], user: { password: 'a@b' }, tls: {} },
  ],
  [
    'redis://cy:a:b@c@cache/',
    { ...single, hosts: [{ host: 'cache', port: 6379 }], user: { username: 'cy', password: 'a:b@c' } },
  ],
  [
    'redis+sentinel://cy:x@one,two:1/main?sentinel_username=w&sentinel_password=a+b%26',
    {
      kind: 'sentinel',
      hosts: [
        { host: 'one', port: 26_379 },
        { host: 'two', port: 1 },
      ],
      name: 'main',
      user: { username: 'cy', password: 'x' },
      sentinelUser: { username: 'w', password: 'a+b&' },
    },
  ],
  [
    'rediss+cluster://one:7000,two',
    {
      kind: 'cluster',
      hosts: [
        { host: 'one', port: 7000 },
        { host: 'two', port: 6379 },
      ],
      tls: {},
    },
  ],
])('%s', (url, target) => {
  expect(targetOf(url)).toMatchObject(target);
});

test.each([
  ['cache:6379', /must be redis:/],
  ['redis://', /must be redis:/],
  ['redis://cache:70000', /must be redis:/],
  ['redis+other://cache', /must be redis:/],
  ['redis://a%ZZ:x@cache', /must be redis:/],
  ['redis://one,two', /several hosts.*sentinel/],
  ['redis://cache/main', /number of a database/],
  ['redis://cache?family=6', /nothing after "\?"/],
  ['redis+sentinel://one,two', /needs the name of the primary/],
  ['redis+sentinel://one/main?sentinel=x', /only sentinel_username and sentinel_password/],
  ['redis+cluster://one/0', /only one database/],
])('%s is a fault', (url, fault) => {
  expect(faultOf(url)).toMatch(fault);
  expect(faultOf(url)).toMatch(/^REDIS_URL /);
});

test('a password is never part of a fault', () => {
  for (const url of ['redis://u:canary@one,two', 'redis:/u:canary@one', 'redis+sentinel://u:canary@one'])
    expect(faultOf(url)).not.toContain('canary');
});

describe('certificates', () => {
  let made: Certificates;
  beforeAll(async () => {
    made = await createCertificates();
  });
  afterAll(() => made.close());

  const faultsOf = (settings: Record<string, string>) => redisFaults(settingsSchema.parse(settings));

  test('they are for a REDIS_URL with TLS, the certificate with its own key', async () => {
    const [ours, other] = [await made.issue('/CN=cypher'), await made.issue('/CN=other')];
    const REDIS_URL = 'rediss://cache';
    const pair = { REDIS_CERTIFICATE: ours.pem, REDIS_KEY: ours.key };
    expect(faultsOf({ REDIS_URL, REDIS_CA: made.authority.pem, ...pair })).toEqual([]);
    expect(targetOf(REDIS_URL)?.tls).toEqual({});
    expect(faultsOf({ REDIS_URL: 'redis://cache', REDIS_CA: made.authority.pem })).toEqual([
      expect.stringMatching(/need a REDIS_URL with TLS/),
    ]);
    expect(faultsOf({ REDIS_URL, REDIS_KEY: ours.key })).toEqual([expect.stringMatching(/set together/)]);
    expect(faultsOf({ REDIS_URL, ...pair, REDIS_KEY: other.key })).toEqual([
      expect.stringMatching(/not the key of the first certificate/),
    ]);
  });

  test('what is no certificate or no key is a fault', () => {
    const { issues = [] } =
      parse({ REDIS_CA: 'x', REDIS_CERTIFICATE: made.authority.key, REDIS_KEY: 'x' }).error ?? {};
    expect(issues.map(({ path, message }) => `${path[0]?.toString()} ${message}`)).toEqual([
      'REDIS_CA must be certificates in PEM',
      'REDIS_CERTIFICATE must be certificates in PEM',
      'REDIS_KEY must be a private key in PEM, without a passphrase',
    ]);
  });
});
