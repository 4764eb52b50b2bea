/** An administrator's commands, run as processes beside the running server: sessions, tokens, the doctor. */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { judge } from '../../src/cli/doctor/issuer.ts';
import { altered } from '../support/altered.ts';
import { apps } from '../support/apps.ts';
import { type Administered, startAdministered } from '../support/cypher.ts';
import { asApp, createPerson, isAlive } from '../support/person.ts';
import { startProxy } from '../support/proxy.ts';

const { web, api } = apps;
let server: Administered;
/** Whose clock no login has turned. */
let sound: Administered;
beforeAll(async () => {
  sound = await startAdministered();
  server = await startAdministered({ clients: [web, api] });
});
afterAll(() => Promise.all([server.close(), sound.close()]));

const run = async (...args: string[]) => {
  const { code, stdout, stderr } = await server.cypher(args);
  expect([code, stderr]).toEqual([0, '']);
  return stdout;
};
const isActive = async (token: string): Promise<boolean> => isAlive(server, token);
const inspect = async (token: string) => {
  const { stdout } = await server.cypher(['token', 'inspect', '--json'], { input: `${token}\n` });
  return JSON.parse(stdout);
};

test('one session of two is ended by command: its tokens die, those of the other live', async () => {
  const desk = createPerson(server, 'two-browsers');
  const first = await desk.tokensFor(web);
  const phone = createPerson(server, 'two-browsers');
  Object.assign(phone, { totpSecret: desk.totpSecret });
  const before = JSON.parse(await run('user', 'sessions', 'two-browsers', '--json'));
  const second = await phone.tokensFor(web);
  expect(before).toHaveLength(1);
  expect(before[0]).toMatchObject({
    address: '127.0.0.1',
    createdAt: expect.any(String),
    lastSeenAt: expect.any(String),
  });
  await run('user', 'sign-out', 'Two-Browsers', before[0].uid);
  expect([await isActive(first.access_token), await isActive(second.access_token)]).toEqual([false, true]);
  const left = JSON.parse(await run('user', 'sessions', 'two-browsers', '--json'));
  expect(left).toHaveLength(1);
  const again = await server.cypher(['user', 'sign-out', 'two-browsers', before[0].uid]);
  expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('has no session')]);
  await run('user', 'sign-out', 'two-browsers');
  expect(await isActive(second.access_token)).toBe(false);
});

test('a token is told what it is and why it is good for nothing, and gives away nothing that is one', async () => {
  const tokens = await createPerson(server, 'inspected').tokensFor(web);
  const live = await inspect(tokens.access_token);
  expect(live).toMatchObject({ kind: 'access', live: true, because: [], claims: { client_id: 'web' } });
  expect(live.kid).toMatch(/^k4\.lid\./);
  const refresh = await inspect(tokens.refresh_token);
  expect(refresh).toMatchObject({ kind: 'refresh', live: true });
  expect(Object.keys(refresh.claims)).not.toContain('token_id');

  await asApp(server, web, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token });
  expect((await inspect(tokens.refresh_token)).because.join()).toMatch(/used a moment ago/);
  await run('user', 'disable', 'inspected');
  expect((await inspect(tokens.access_token)).because.join()).toMatch(/was revoked/);
  expect((await inspect(tokens.refresh_token)).because.join()).toMatch(/its family has ended: account/);
  const forged = await server.cypher(['token', 'inspect'], { input: altered(tokens.access_token, 40) });
  expect([forged.code, forged.stdout]).toEqual([1, '']);
  const stranger = { KEY_ENCRYPTION_KEY: Buffer.alloc(32, 9).toString('base64url') };
  const refused = await server.cypher(['token', 'inspect', tokens.access_token], { settings: stranger });
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringContaining('KEY_ENCRYPTION_KEY is not the one'),
  ]);
});

test('the audit log is archived by command, up to its retention and no further', async () => {
  expect(await run('audit', 'archive', '/nowhere/at/all.gz')).toContain('No event is old enough');
  const young = await server.cypher(['audit', 'archive', '/nowhere/at/all.gz', '--before', '2999-01-01']);
  expect([young.code, young.stderr]).toEqual([1, expect.stringContaining('keeps events for')]);
  const unread = await server.cypher(['audit', 'archive', '/nowhere/at/all.gz', '--before', 'yesterday']);
  expect([unread.code, unread.stderr]).toEqual([1, expect.stringContaining('must be a date')]);
});

test('rotating again while the next key waits makes none, and says which one waits and until when', async () => {
  const rotate = async () => (await sound.cypher(['key', 'rotate', 'PS256'])).stdout;
  const [, id, time] = /^jwk PS256: (\S+) is published and signs from (\S+)\n$/.exec(await rotate()) ?? [];
  expect(await rotate()).toBe(
    `jwk PS256: ${id} waits already, so none was made: it is published and signs from ${time}\n`,
  );
  const listed = (await sound.cypher(['key', 'list'])).stdout.split('\n');
  expect(listed.filter((line) => line.startsWith('jwk PS256') && line.includes('next'))).toEqual([
    expect.stringContaining(String(id)),
  ]);
});

test('a command whose output nobody reads to its end is carried out without a complaint', async () => {
  const { code, stderr } = await sound.cypher(['key', 'rotate', 'ES256'], { unread: true });
  expect([code, stderr]).toEqual([0, '']);
  const { stdout } = await sound.cypher(['key', 'list']);
  expect(stdout).toMatch(/^jwk ES256\t\S+\tnext\t/m);
});

test('an id is an id, also where it begins with a hyphen', async () => {
  for (const args of [
    ['key', 'drop', '-qOaTEhxzKVWqsAlbDCnGKXC'],
    ['key', 'drop', '-hOaTEhxzKVWqsAlbDCnGKXC', '--accounts-lose-access'],
    ['key', 'drop', '--', '--aTEhxzKVWqsAlbDCnGKXC'],
  ]) {
    const { code, stderr } = await sound.cypher(args);
    const id = args.find((word) => word.length > 20 && word !== '--accounts-lose-access');
    expect.soft([code, stderr]).toEqual([1, `there is no key ${id}\n`]);
  }
});

interface Finding {
  about: string;
  level: string;
  found: string;
  change?: string;
}
const doctor = async (settings: Record<string, string> = {}) => {
  const { code, stdout } = await sound.cypher(['doctor', '--json'], { settings });
  return { code, findings: JSON.parse(stdout) as Finding[] };
};

test('the doctor finds nothing at a sound installation, but that the PostgreSQL of the tests is not durable', async () => {
  const { code, findings } = await doctor();
  const others = findings.filter(({ level, found }) => level !== 'ok' && !found.includes('fsync is off'));
  expect(others).toEqual([]);
  expect(findings.some(({ found }) => found.includes('fsync is off'))).toBe(code === 1);
  const seen = findings.map(({ about }) => about);
  expect([...new Set(seen)]).toEqual([
    'configuration',
    'database',
    'clock',
    'key-encryption key',
    'history',
    'instances',
    'proxy',
    'redis',
    'issuer',
  ]);
});

test.each([
  ['configuration', { PORT: 'x' }, /PORT must be/],
  ['database', { DATABASE_URL: 'postgres://cypher:x@127.0.0.1:1/cypher' }, /./],
  ['redis', { REDIS_URL: 'redis://127.0.0.1:1' }, /ECONNREFUSED/],
  ['issuer', { ISSUER: 'http://localhost:1' }, /localhost:1/],
  ['key-encryption key', { KEY_ENCRYPTION_KEY: Buffer.alloc(32, 9).toString('base64url') }, /not the one/],
] as const)(
  'the doctor finds what is wrong with the %s, and says what to change',
  async (about, settings, found) => {
    const { code, findings } = await doctor(settings);
    const faults = findings.filter((finding) => finding.about === about && finding.level === 'fault');
    expect(faults[0]?.found).toMatch(found);
    expect(faults[0]?.change).toMatch(/.{10}/);
    expect(code).toBe(1);
  },
);

test('the doctor looks through the proxy: a header that a client made up, a proxy that is not named', async () => {
  const believing = await startAdministered({ settings: { TRUSTED_PROXIES: '127.0.0.1' } });
  const { stdout } = await believing.cypher(['doctor', '--json']);
  await believing.close();
  const found = (JSON.parse(stdout) as Finding[]).find(({ about }) => about === 'proxy');
  expect([found?.level, found?.found]).toEqual([
    'fault',
    expect.stringContaining('anybody may claim any address'),
  ]);

  const through = { forwardedFor: '198.51.100.77, 203.0.113.9', forwardedProto: 'https', peer: '10.0.0.2' };
  const trusted = { ...through, peerTrusted: true };
  const issuer = 'https://id.example';
  expect(judge({ ...trusted, address: '203.0.113.9' }, issuer).level).toBe('ok');
  expect(judge({ ...through, peerTrusted: false, address: '10.0.0.2' }, issuer)).toMatchObject({
    level: 'fault',
    change: 'TRUSTED_PROXIES=10.0.0.2',
  });
});

test('the doctor does not complain of a proxy on its own machine, which counts the doctor as itself', () => {
  const through = { forwardedProto: 'https', peer: '127.0.0.1', peerTrusted: true };
  const issuer = 'https://id.example';
  // Proxies that replace the header, and that append to it, with a port too.
  for (const forwardedFor of ['127.0.0.1', '198.51.100.77, 127.0.0.1', '198.51.100.77, 127.0.0.1:4711']) {
    for (const address of ['127.0.0.1', '198.51.100.77'])
      expect(judge({ ...through, address, forwardedFor }, issuer)).toMatchObject({
        level: 'warning',
        found: expect.stringContaining('on this machine'),
      });
  }
  const unnamed = { ...through, peerTrusted: false, address: '127.0.0.1', forwardedFor: '127.0.0.1' };
  expect(judge(unnamed, issuer)).toMatchObject({ level: 'fault', change: 'TRUSTED_PROXIES=127.0.0.1' });
});

test('how requests arrive is told to nobody else', async () => {
  for (const authorization of ['', 'Doctor 1.x', `Doctor ${server.clock.now()}.${'A'.repeat(43)}`]) {
    const answer = await fetch(`${server.url}/health/seen`, { headers: { authorization } });
    expect(answer.status).toBe(404);
  }
});

test('a command waits for a database that is slow', async () => {
  const slow = await startProxy(server.databaseUrl);
  onTestFinished(slow.close);
  slow.delay(200);
  const { code, stderr } = await server.cypher(['client', 'list'], { settings: { DATABASE_URL: slow.url } });
  expect([code, stderr]).toEqual([0, '']);
});
