/** Whose address it is: what proxies write into X-Forwarded-For, and proxies that nobody has named. */
import request from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { judge } from '../../src/cli/doctor/issuer.ts';
import { apps } from '../support/apps.ts';
import { createPerson } from '../support/person.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { begin } from '../support/visits.ts';

const clients = Object.values(apps);
let proxied: TestServer;
let direct: TestServer;
beforeAll(async () => {
  const settings = { TRUSTED_PROXIES: '127.0.0.1,10.0.0.0/8' };
  proxied = await startServer({ clients, settings });
  direct = await startServer({ clients, issuer: 'https://id.example' });
});
afterAll(() => Promise.all([proxied.close(), direct.close()]));

/** The address under which a sign-in with this header is kept. */
async function addressOf(name: string, forwarded: string): Promise<string | undefined> {
  const person = createPerson(proxied, name);
  person.agent.set('X-Forwarded-For', forwarded);
  await person.follow(await person.signUp(await begin(person)));
  const [session] = await proxied.database.query<{ address: string }>(
    'select address from sessions join accounts on accounts.id = account_id where username = $1',
    [name],
  );
  return session?.address;
}

test('X-Forwarded-For with ports is understood, of IPv4 and of IPv6, behind one proxy and behind two', async () => {
  const seen = [
    await addressOf('azure', '203.0.113.7:51234'),
    await addressOf('brackets', '[2001:db8::7]:51234'),
    await addressOf('no-port', '[2001:db8::8]'),
    await addressOf('two-hops', '203.0.113.8:1, 10.0.0.9:443'),
    await addressOf('plain', '2001:db8::9'),
  ];
  expect(seen).toEqual(['203.0.113.7', '2001:db8::7', '2001:db8::8', '203.0.113.8', '2001:db8::9']);
});

test('X-Forwarded-For: what is no address is not made one', async () => {
  const rubbish = [
    '7',
    '0x7f.1',
    '203.0.113.7:x',
    '203.0.113.7:',
    '[203.0.113.7',
    'unknown',
    '203.0.113.7:1:2',
  ];
  for (const [index, forwarded] of rubbish.entries())
    expect([forwarded, await addressOf(`rubbish-${index}`, forwarded)]).toEqual([forwarded, '127.0.0.1']);
});

const warningsOf = (server: TestServer) =>
  server
    .logged()
    .split('\n')
    .filter((line) => line.includes('TRUSTED_PROXIES does not name'))
    .map((line) => JSON.parse(line).proxy);

test('a proxy that nobody has named is said once in the log, and health checks are none', async () => {
  await request(direct.url).get('/health/live').set('X-Forwarded-For', '203.0.113.7');
  expect(warningsOf(direct)).toEqual([]);
  for (let times = 0; times < 3; times++)
    await request(direct.url).get('/').set('X-Forwarded-For', '203.0.113.7');
  expect(warningsOf(direct)).toEqual(['127.0.0.1']);

  // One behind the one that is named.
  for (let times = 0; times < 3; times++)
    await request(proxied.url).get('/').set('X-Forwarded-For', '203.0.113.7, 192.168.1.5, 10.0.0.9');
  expect(warningsOf(proxied)).toEqual(['192.168.1.5']);
  // Whoever makes them up does not fill the log.
  for (let n = 0; n < 30; n++)
    await request(proxied.url).get('/').set('X-Forwarded-For', `203.0.113.7, 192.168.2.${n}`);
  expect(warningsOf(proxied).length).toBe(10);
});

test('the doctor finds a second proxy that is not named behind one that is', () => {
  const issuer = 'https://id.example';
  const through = { peer: '10.0.0.2', peerTrusted: true, forwardedProto: 'https' };
  const made = '198.51.100.77';
  const verdict = (address: string, forwardedFor: string) =>
    judge({ ...through, address, forwardedFor }, issuer);
  expect(verdict('192.168.1.5', `${made}, 203.0.113.9, 192.168.1.5`)).toMatchObject({
    level: 'fault',
    change: 'TRUSTED_PROXIES=10.0.0.2,192.168.1.5',
  });
  expect(verdict('203.0.113.9', `${made}, 203.0.113.9:4711, 10.0.0.3`).level).toBe('ok');
  expect(verdict('203.0.113.9', `203.0.113.9`).level).toBe('ok');
});
